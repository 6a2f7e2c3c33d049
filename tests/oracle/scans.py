"""Files for `zoo scan` that a few lines of Rust cannot make: TorchScript that runs on loading and TorchScript that does
not, tensors of torch.distributed, quantised state dicts, torch.export's and torch.package's archives.

    python tests/oracle/scans.py

writes tests/golden/scans/files.tar.gz and golden.json, which says what is right of each. What runs in them would make
a file `executed` in the current folder; nothing of it is run here.
"""
import gzip
import hashlib
import io
import json
import pathlib
import pickle
import tarfile
import tempfile
import warnings

import torch
import torch.distributed as dist
from torch import nn

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "scans"
warnings.simplefilter("ignore")
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.bn = nn.BatchNorm2d(2)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x))) + x


class Net(nn.Module):
    """A residual network in small: what torch.jit makes of a resnet18."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3, stride=2)
        self.blocks = nn.Sequential(Block(), Block())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


@torch.jit.script
class Box(object):
    def __init__(self, t: torch.Tensor):
        self.t = t

    def __getstate__(self) -> torch.Tensor:
        return self.t

    def __setstate__(self, t: torch.Tensor) -> None:
        self.t = t
        torch.save(t, "executed")


class Boxed(nn.Module):
    def __init__(self, boxes):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.boxes: list[Box] = boxes

    def forward(self, x):
        return self.fc(x) + self.boxes[0].t


class Saves(nn.Module):
    def forward(self, x):
        torch.save(x, "executed")
        return x


class Stateful(nn.Module):
    """A module whose own `__setstate__` runs, and does nothing that reaches out."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    @torch.jit.export
    def __getstate__(self):
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        self.weight = state[0]
        self.training = state[1]

    def forward(self, x):
        return x + self.weight


class Extra(nn.Linear):
    def get_extra_state(self):
        inner = io.BytesIO()
        torch.save({"scale": torch.ones(2)}, inner)
        return inner

    def set_extra_state(self, state):
        pass


def boxed(path):
    box = Box(torch.zeros(2))
    scripted = torch.jit.script(Boxed([box]))
    scripted.save(path)


def with_files(path):
    torch.jit.script(Net()).save(path, _extra_files={"labels.txt": "cat\ndog\n", "config.json": "{}"})


def distributed(path):
    from torch.distributed.tensor import distribute_tensor, init_device_mesh, Shard
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    torch.save({"w": distribute_tensor(torch.arange(6.0), mesh, [Shard(0)])}, path)
    dist.destroy_process_group()


def quantised(path, legacy):
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(2, 2)), {nn.Linear})
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not legacy)


def packaged(path):
    from torch.package import PackageExporter
    with PackageExporter(path) as exporter:
        exporter.save_source_string("zoo_package", "x = 1\n")
        exporter.save_pickle("model", "model.pkl", {"w": torch.zeros(2)})


# Name, how it is written, the verdict, the imports outside of the known set, whether a part is not looked into.
CASES = [
    ("jit-scripted.pt", lambda p: torch.jit.script(Net()).save(p), "known", [], False),
    ("jit-traced.pt", lambda p: torch.jit.trace(Net().eval(), torch.zeros(1, 3, 8, 8)).save(p), "known", [], False),
    ("jit-frozen.pt", lambda p: torch.jit.freeze(torch.jit.script(Net().eval())).save(p), "known", [], False),
    ("jit-extra-files.pt", with_files, "known", [], False),
    ("jit-mobile.ptl", lambda p: torch.jit.script(Net())._save_for_lite_interpreter(p), "known", [], False),
    ("jit-class-setstate.pt", boxed, "dangerous", ["__torch__.Box.__setstate__", "torch.save"], False),
    ("jit-forward-saves.pt", lambda p: torch.jit.script(Saves()).save(p), "dangerous", ["torch.save"], False),
    ("jit-module-setstate.pt", lambda p: torch.jit.script(Stateful()).save(p), "unknown",
     ["__torch__.Stateful.__setstate__"], False),
    ("dtensor.pth", distributed, "known", [], False),
    ("extra-state-bytesio.pth", lambda p: torch.save(Extra(2, 2).state_dict(), p), "known", [], False),
    ("pickle-dump.pkl", lambda p: pathlib.Path(p).write_bytes(pickle.dumps(nn.Linear(2, 2).state_dict())),
     "known", [], False),
    ("quantised-dynamic.pth", lambda p: quantised(p, False), "known", [], False),
    ("quantised-dynamic-legacy.pth", lambda p: quantised(p, True), "known", [], False),
    ("bits8.pth", lambda p: torch.save({"w": torch.zeros(4, dtype=torch.uint8).view(torch.bits8)}, p), "known", [], False),
    ("exported.pt2", lambda p: torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), p),
     None, [], False),
    ("package.pt", packaged, None, [], True),
]


def main():
    rows, packed = [], io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, write, verdict, imports, unscanned in CASES:
            path = pathlib.Path(folder) / name
            write(str(path))
            data = path.read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            rows.append({"file": name, "verdict": verdict, "imports": imports, "unscanned": unscanned})
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "files.tar.gz").write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))
    golden = {
        "script": "tests/oracle/scans.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"torch": torch.__version__},
        "files": rows,
    }
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(len(rows), "files,", (OUT / "files.tar.gz").stat().st_size, "bytes packed")


if __name__ == "__main__":
    main()
