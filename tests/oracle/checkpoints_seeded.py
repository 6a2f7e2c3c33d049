"""Whole checkpoints of real networks as torch writes them, without their weights: those can be made again.

For tf_efficientnet_b0 and _b4 (the networks of the index's `_ns` entries), with the seeded stand-in weights of
src/nn/seeded.rs in timm's state dict, saved by torch in both formats. Writes tests/golden/checkpoints/
seeded.tar.gz: each file without the bytes of its storages, and seeded.json: where those belong, the SHA-256 of
the whole file, and that of what `save_file` makes of it. Needs timm 1.0.31, torch and safetensors. One minute.

    python tests/oracle/checkpoints_seeded.py
"""
import gzip
import hashlib
import io
import json
import pathlib
import pickle
import struct
import tarfile
import tempfile
import zipfile

import safetensors
import timm
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "checkpoints"
ARCHS = ["tf_efficientnet_b0", "tf_efficientnet_b4"]
# The recipe is that of logits.py, which is a program: everything but its last line, the call of main().
RECIPE = {"__file__": str(HERE.parent / "logits.py")}
exec((HERE.parent / "logits.py").read_text().rsplit("\nmain()", 1)[0], RECIPE)


def seeded(arch):
    model = timm.create_model(arch).eval()
    values, _ = RECIPE["recipe"](model)
    return {name: RECIPE["draw"](0, name, tensor.shape, values[name]) if name in values else torch.zeros_like(tensor)
            for name, tensor in model.state_dict().items()}


def storages_of_legacy(data, state):
    """Name, first byte and length of every storage, in the file's order."""
    stream = io.BytesIO(data)

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, _):
            return torch.FloatStorage()

    for _ in range(4):
        Unpickler(stream).load()
    names = {str(tensor.untyped_storage()._cdata): name for name, tensor in state.items()}
    at, found = None, []
    keys = pickle.load(stream)
    at = stream.tell()
    for key in keys:
        tensor = state[names[key]]
        assert struct.unpack_from("<q", data, at) == (tensor.numel(),)
        found.append((names[key], at + 8, tensor.nbytes))
        at += 8 + tensor.nbytes
    assert at == len(data)
    return found


def storages_of_zip(data, state):
    names = list(state)
    found = []
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        head, _, key = info.filename.rpartition("/data/")
        if head and key.isdigit():
            name_len, extra_len = struct.unpack_from("<HH", data, info.header_offset + 26)
            found.append((names[int(key)], info.header_offset + 30 + name_len + extra_len, info.file_size))
    assert len(found) == len(names)
    return sorted(found, key=lambda row: row[1])


def main():
    torch.set_num_threads(1)
    rows, packed = [], io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w") as tar:
        folder = pathlib.Path(folder)
        for arch in ARCHS:
            state = seeded(arch)
            clones = {k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in state.items()}
            save_file(clones, folder / "out", metadata={"format": "pt"})
            converted = hashlib.sha256((folder / "out").read_bytes()).hexdigest()
            for kind, zipped, find in [("legacy", False, storages_of_legacy), ("zip", True, storages_of_zip)]:
                # The archive's folder is named after the file.
                path = folder / f"{arch}_ns.pth"
                torch.save(state, path, _use_new_zipfile_serialization=zipped)
                data = path.read_bytes()
                found = find(data, state)
                frame, at = [], 0
                for name, start, length in found:
                    assert data[start:start + length] == state[name].numpy().tobytes()
                    frame.append(data[at:start])
                    at = start + length
                frame = b"".join(frame + [data[at:]])
                info = tarfile.TarInfo(f"{arch}-{kind}")
                info.size = len(frame)
                tar.addfile(info, io.BytesIO(frame))
                rows.append({"arch": arch, "frame": info.name, "bytes": len(data),
                             "file_sha256": hashlib.sha256(data).hexdigest(), "sha256": converted,
                             "storages": " ".join(f"{name}@{start}" for name, start, _ in found)})
    (OUT / "seeded.tar.gz").write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))
    golden = {
        "script": "tests/oracle/checkpoints_seeded.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torch": torch.__version__, "safetensors": safetensors.__version__},
        "files": rows,
    }
    (OUT / "seeded.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(len(rows), (OUT / "seeded.tar.gz").stat().st_size)


main()
