"""Mutated checkpoints, read by torch (`weights_only=True`) and numpy on one side and by zoo on the other: what both take
must be equal bit for bit, with the same names, types and shapes; what zoo refuses must come with exit code 3 and a
reason. Called by tests/long.sh.

    python tests/oracle/differential.py ZOO [--minutes 5] [--seed 0] [--keep FOLDER]

Seeds are the files of the corpus. Members of archives are changed and put together again, so that checksums hold and the
change reaches what is inside. Of what zoo refuses and torch takes, the reasons are counted and printed: each is to be
read, and to be right. Exit code 1 where two readers differ; the file is kept.
"""
import argparse
import collections
import gzip
import io
import json
import multiprocessing
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile

import numpy as np
import torch
from safetensors.torch import load_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
LARGEST = 24 << 10
EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]
OPCODES = b"(0123tReoubaq\x85\x86\x87\x93\x94}].NKJMIL"
# Opcodes that mean nearly the same: what a writer might have used instead.
LIKE = [b"\x88\x89N", b"KJM", b"Xx", b"tl\x85\x86\x87", b"Rb\x81", b"hjq", b"}]", b"ue"]


def seeds():
    for name in ["checkpoints/corpus.tar.gz", "scans/files.tar.gz"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress((GOLDEN / name).read_bytes()))) as tar:
            for info in tar:
                data = tar.extractfile(info).read()
                if len(data) <= LARGEST and not info.name.endswith(".safetensors") and "jit" not in info.name:
                    yield info.name, data


def changed(rng, data, others):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(10)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            size = rng.choice([1, 2, 4, 8])
            data[at:at + size] = struct.pack("<Q", rng.choice(EDGES))[:size]
        elif kind == 3:
            data[at:at + rng.randrange(1, 16)] = b""
        elif kind == 4:
            data[at:at] = data[at:at + rng.randrange(1, 64)]
        elif kind == 5:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data[at:at] = other[start:start + rng.randrange(1, 128)]
        elif kind == 6:
            data[at:at] = bytes([rng.choice(OPCODES)])
        elif kind == 7 and at < len(data):
            data[at] = (data[at] + rng.choice([-1, 1])) % 256
        elif kind == 8:
            group = rng.choice(LIKE)
            places = [i for i, b in enumerate(data) if b in group]
            if places:
                data[rng.choice(places)] = rng.choice(group)
        elif kind == 9:
            # A number or word of the pickle changed in its own length: dtype names, shapes, keys.
            words = list(re.finditer(rb"[A-Za-z_]{3,}|[0-9]+", bytes(data)))
            if words:
                a, b = rng.choice(words), rng.choice(words)
                if len(a.group()) == len(b.group()):
                    data[a.start():a.end()] = b.group()
    return bytes(data)


def mutated(rng, name, data, others):
    """The file with one of its parts changed."""
    if data[:4] != b"PK\x03\x04" or rng.random() < 0.1:
        return changed(rng, data, others)
    try:
        members = [(i, zipfile.ZipFile(io.BytesIO(data)).read(i)) for i in zipfile.ZipFile(io.BytesIO(data)).infolist()]
    except Exception:
        return changed(rng, data, others)
    likely = [i for i, (info, _) in enumerate(members) if info.filename.endswith((".pkl", ".npy", "byteorder"))]
    chosen = rng.choice(likely) if likely and rng.random() < 0.9 else rng.randrange(len(members))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i, (info, body) in enumerate(members):
            fresh = zipfile.ZipInfo(info.filename)
            fresh.compress_type = info.compress_type
            archive.writestr(fresh, changed(rng, body, others) if i == chosen else body)
    return out.getvalue()


def plain(value):
    """A tensor's dtype, shape and bytes."""
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<")))
        return str(value.dtype.newbyteorder("=")), list(value.shape), little.tobytes()
    value = value.detach()
    value = value.resolve_conj().resolve_neg().contiguous()
    raw = value.reshape(-1).view(torch.uint8) if value.numel() else torch.zeros(0, dtype=torch.uint8)
    return str(value.dtype).removeprefix("torch."), list(value.shape), raw.numpy().tobytes()


def by_reference(path, numpy):
    """What torch or numpy reads: the object, or None and why not."""
    warnings.simplefilter("ignore")
    if numpy:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                return {name: loaded[name] for name in loaded.files}
            return {"arr_0": loaded}
    return torch.load(path, map_location="cpu", weights_only=True)


def worker(pipe):
    """Reads files as the reference does; a process of its own, since a mutated file may end torch."""
    while True:
        path, numpy = pipe.recv()
        try:
            value = by_reference(path, numpy)
            pipe.send(("ok", reduced(value)))
        except Exception as e:
            pipe.send(("no", f"{type(e).__name__}: {e}"[:200]))


def reduced(value, depth=0):
    """The object with tensors as (dtype, shape, bytes), so that it can be sent and compared."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            return ("special",)
        if value.numel() * value.element_size() > 64 << 20:
            return ("special",)
        return ("tensor", plain(value))
    if isinstance(value, np.ndarray):
        return ("tensor", plain(value)) if value.dtype.kind in "biufc" else ("special",)
    if isinstance(value, dict) and depth < 8:
        return ("dict", [(k if isinstance(k, (str, int, bool, float, type(None))) else repr(k), reduced(v, depth + 1))
                         for k, v in value.items()])
    if isinstance(value, (list, tuple)) and depth < 8:
        return ("dict", [(i, reduced(v, depth + 1)) for i, v in enumerate(value)])
    return ("other",)


class Reference:
    def __init__(self):
        self.start()

    def start(self):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=worker, args=(other,), daemon=True)
        self.process.start()

    def read(self, path, numpy):
        self.pipe.send((path, numpy))
        try:
            if self.pipe.poll(20):
                return self.pipe.recv()
            self.process.kill()
        except (EOFError, OSError):
            pass
        self.process.join()
        self.start()
        return ("died", "")


TYPES = {"bool_": "bool"}


def differs(obj, folder, said):
    """Why what zoo wrote is not what the reference read."""
    for key in said["unwrapped"]:
        if obj[0] != "dict":
            return f"no dict at {key}"
        found = [v for k, v in obj[1] if str(k) == key]
        if not found:
            return f"no {key}"
        obj = found[-1]
    if obj[0] != "dict":
        return "not a dict"
    strip = said["stripped"] or ""
    left = {name for name in list(said.get("left_out") or []) + list(said.get("refused") or [])}
    expected = {}
    for name, value in obj[1]:
        if value[0] == "tensor" and isinstance(name, str):
            expected[name.removeprefix(strip)] = value[1]
    written = {}
    for file in folder.glob("out*.safetensors"):
        written.update(load_file(file))
    for name, value in written.items():
        want = expected.pop(name, None)
        if want is None:
            return f"{name!r} is not in what the reference reads at {said['unwrapped']}"
        have = plain(value)
        if TYPES.get(want[0], want[0]) != have[0]:
            return f"{name!r}: {have[0]}, not {want[0]}"
        if have[1] != want[1]:
            return f"{name!r}: shape {have[1]}, not {want[1]}"
        # A bool that is neither 0 nor 1 is undefined to torch: it copies some as they are and makes others 1.
        if have[0] == "bool":
            have, want = ((*v[:2], bytes(b != 0 for b in v[2])) for v in (have, want))
        if have[2] != want[2]:
            return f"{name!r}: other bytes"
    # A tuple as a key is named in zoo's own words.
    tuples = [other["name"] for other in said.get("left_out_tensors") or [] if other["name"].startswith("(")]
    missing = [name for name in expected if name not in str(left) and not (name.startswith("(") and tuples)]
    return f"{missing[:3]} left out in silence" if missing else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", default="differential-failures")
    a = parser.parse_args()
    rng, files = random.Random(a.seed), list(seeds())
    others = [data for _, data in files]
    reference, counts, reasons, wrong = Reference(), collections.Counter(), collections.Counter(), 0
    examples = {}
    end = time.monotonic() + 60 * a.minutes
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        folder = pathlib.Path(folder)
        while time.monotonic() < end:
            name, data = rng.choice(files)
            data = mutated(rng, name, data, others)
            path = folder / f"x{pathlib.Path(name).suffix}"
            path.write_bytes(data)
            ran = subprocess.run([a.zoo, "convert", str(path), "-o", str(folder / "out.safetensors"), "--force", "--json", "-q"],
                                 capture_output=True, text=True, errors="replace")
            numpy = name.endswith((".npy", ".npz"))
            verdict, value = reference.read(str(path), numpy)
            problem = None
            if ran.returncode == 0:
                counts[f"zoo takes, {'numpy' if numpy else 'torch'} {verdict}"] += 1
                if verdict == "ok":
                    problem = differs(value, folder, json.loads(ran.stdout))
            elif ran.returncode != 3 or "error:" not in ran.stderr:
                problem = f"exit {ran.returncode}: {ran.stderr[-300:]}"
            else:
                counts[f"zoo refuses, {'numpy' if numpy else 'torch'} {verdict}"] += 1
                if verdict == "ok":
                    reason = re.sub(r"`[^`]*`|[0-9]+|\[[^]]*\]", "#", ran.stderr.splitlines()[0].removeprefix("error: "))[:110]
                    reasons[reason] += 1
                    if reason not in examples:
                        examples[reason] = (name, data)
            if problem:
                wrong += 1
                keep = pathlib.Path(a.keep)
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{wrong}-{name}").write_bytes(data)
                print(f"WRONG {wrong}-{name}: {problem}", flush=True)
            for out in folder.glob("out*"):
                out.unlink()
    print(f"seed {a.seed}: {sum(counts.values())} files;", ", ".join(f"{k}: {n}" for k, n in sorted(counts.items())))
    print("refused by zoo alone:")
    for reason, n in reasons.most_common():
        print(f"{n:6} {reason}   (first: {examples[reason][0]})")
    if os.environ.get("KEEP_EXAMPLES"):
        keep = pathlib.Path(os.environ["KEEP_EXAMPLES"])
        keep.mkdir(parents=True, exist_ok=True)
        for i, (reason, (name, data)) in enumerate(examples.items()):
            (keep / f"{i}-{name}").write_bytes(data)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
