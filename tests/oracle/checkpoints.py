"""Checkpoints of every kind torch and numpy write, and what safetensors makes of them: what `convert` is held to.

Writes tests/golden/checkpoints/corpus.tar.gz (the files) and golden.json: for each the SHA-256 of

    save_file({k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in sd.items()},
              metadata={"format": "pt"})

where `sd` is what today's torch or numpy reads back from the file. Needs torch, numpy, safetensors 0.8; and
for the files of torch 1.13 a Python that has it (Debian 12: /usr/bin/python3 with python3-torch). Two minutes.

    python tests/oracle/checkpoints.py [--old /usr/bin/python3]
"""
import argparse
import gzip
import hashlib
import io
import json
import pathlib
import pickle
import pickletools
import subprocess
import tarfile
import tempfile
import warnings
import zipfile

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file, save_model

import checkpoint_cases
from checkpoint_cases import Case

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "checkpoints"
# torch's own converters, beside `save_file`: for these files also the narrower and the tied forms.
NARROWED = ["module-zip.pth", "views-legacy.pth"]
DEDUPED = ["tied-zip.pth", "tied-legacy.pth"]


def loaded(path, case):
    """The state dict as today's reader has it."""
    suffix = path.suffix
    if suffix == ".npy":
        return {"arr_0": np.load(path)}
    if suffix == ".npz":
        return dict(np.load(path))
    if suffix == ".safetensors":
        return load_file(path)
    if suffix == ".pkl":
        value = pickle.loads(path.read_bytes())
    elif "jit" in path.name:
        value = torch.jit.load(path).state_dict()
    else:
        value = torch.load(path, map_location="cpu", weights_only=False)
    for key in case.key:
        value = value[key]
    assert not case.strip or all(k.startswith(case.strip) for k in value)
    return {k[len(case.strip):]: v for k, v in value.items()}


def dense(value):
    """A tensor as the reference takes it; None for what is none."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))
    if not isinstance(value, torch.Tensor):
        return None
    value = value.detach()
    if value.dtype == torch.float4_e2m1fn_x2:
        # torch copies bytes, not pairs of 4-bit values.
        assert value.is_contiguous()
        return value.view(torch.uint8).clone().view(value.dtype)
    return value.clone(memory_format=torch.contiguous_format).resolve_conj().resolve_neg()


def saved(tensors, writer=save_file, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "out.safetensors"
        writer(tensors, str(path), **options)
        return hashlib.sha256(path.read_bytes()).hexdigest()


class Module:
    """What `save_model` wants: something with a state dict."""
    def __init__(self, state):
        self.state_dict = lambda: state


def opcodes(path):
    """Names of the opcodes in all pickles of a file."""
    data = path.read_bytes()
    seen = set()
    if path.name == "zip-without-crcs.pth":
        # Python's zipfile insists on them.
        return seen
    if data[:4] == b"PK\3\4":
        with zipfile.ZipFile(path) as archive:
            pickles = [(io.BytesIO(archive.read(n)), 1) for n in archive.namelist() if n.endswith(".pkl")]
    elif path.suffix in (".npy", ".safetensors"):
        pickles = []
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            # The other members have pickles between raw bytes; of the same pickler.
            pickles = [(io.BytesIO(archive.extractfile("pickle").read()), 1)]
    else:
        pickles = [(io.BytesIO(data), 1 if path.suffix == ".pkl" else 5)]
    for stream, count in pickles:
        for _ in range(count):
            seen |= {opcode.name for opcode, _, _ in pickletools.genops(stream)}
    return seen


def old_cases(python, folder):
    """Cases of files that torch 1.13 has just written."""
    script = HERE.parent / "checkpoints_old.py"
    version = subprocess.run([python, "-W", "ignore", script, folder], check=True, capture_output=True, text=True).stdout
    for path in sorted(pathlib.Path(folder).iterdir()):
        key = ("state_dict",) if "training" in path.name else ()
        yield version.strip(), Case(path.name, lambda to, path=path: pathlib.Path(to).write_bytes(path.read_bytes()), key=key)


def row(case, path):
    entry = {"file": case.name, "bytes": path.stat().st_size}
    if case.choose:
        entry["key"] = case.choose
    if case.refused:
        return {**entry, "refused": case.refused}, set()
    state = loaded(path, case)
    tensors = {k: t for k, v in state.items() if (t := dense(v)) is not None}
    entry |= {"tensors": len(tensors), "sha256": saved(tensors, metadata={"format": "pt"})}
    if case.name in NARROWED:
        for name, kind in [("f16", torch.float16), ("bf16", torch.bfloat16)]:
            narrow = {k: v.to(kind) if v.is_floating_point() else v for k, v in tensors.items()}
            entry[name] = saved(narrow, metadata={"format": "pt"})
    if case.name in DEDUPED:
        entry["deduped"] = saved(Module(state), save_model)
    return entry, opcodes(path)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--old", default="/usr/bin/python3")
    old_python = arguments.parse_args().old
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    np.random.seed(0)
    torch.set_num_threads(1)
    rows, seen = [], set()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as old_folder:
        folder = pathlib.Path(folder)
        old = list(old_cases(old_python, old_folder))
        cases = list(checkpoint_cases.cases()) + [case for _, case in old]
        for case in cases:
            path = folder / case.name
            try:
                case.write(str(path))
                entry, codes = row(case, path)
            except Exception as e:
                raise SystemExit(f"{case.name}: {e!r}")
            rows.append(entry)
            seen |= codes
        assert len({case.name for case in cases}) == len(cases)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for case in cases:
                info = tarfile.TarInfo(case.name)
                data = (folder / case.name).read_bytes()
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "corpus.tar.gz").write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))
    helpers = {p: hashlib.sha256((HERE.parent / p).read_bytes()).hexdigest()
               for p in ["checkpoint_cases.py", "checkpoints_old.py"]}
    golden = {
        "script": "tests/oracle/checkpoints.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "helpers_sha256": helpers,
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__,
                     "old torch": old[0][0]},
        "opcodes": sorted(seen),
        "files": rows,
    }
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(len(rows), "files,", sum("refused" in r for r in rows), "refused,", len(seen), "opcodes,",
          (OUT / "corpus.tar.gz").stat().st_size, "bytes packed")


main()
