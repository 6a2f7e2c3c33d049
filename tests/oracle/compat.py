"""What a zoo of before the records' keys were written out left behind: its journal, cache, lock, plan, reports.

Writes tests/golden/compat/. Needs timm 1.0.31, torch, numpy, safetensors and the binary of that time (0.1.0, a487799):

    python tests/oracle/compat.py PATH/TO/zoo

tests/it/compat.rs holds that today's build goes on with them. They are not made again when zoo changes: a later
binary's records would prove nothing. The images are those of tests/golden/images, under the names and with the
modification time of images.tsv; the weights are the seeded ones of tf_efficientnet_lite0 (tests/oracle/logits.py); the
kernels are the portable ones, whose bits every machine has.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import timm
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve()
GOLDEN = HERE.parent.parent / "golden"
OUT = GOLDEN / "compat"
MODEL = "efficientnet_lite0_pypi"
MODIFIED = 1_700_000_000
# Folder, name, picture. What the network thinks of them does not matter, only that it is written down.
IMAGES = [
    ("n01440764", "a.jpg", "420.jpg"),
    ("n01440764", "b.jpg", "444.jpg"),
    ("n01443537", "c.jpg", "grey.jpg"),
    ("n01443537", "d.jpg", "tall.jpg"),
    ("n02108422", "e.jpg", "wide.jpg"),
    ("n02108422", "f.jpg", "photo.jpg"),
]
PAGE = """\
Models:
- Name: tiny
  Weights: https://example.org/weights/tiny-{digits}.pth
"""


def main(zoo):
    zoo = pathlib.Path(zoo).resolve()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        home = work / "home"
        env = {"PATH": os.environ["PATH"], "HOME": str(work), "ZOO_HOME": str(home), "ZOO_ISA": "portable"}

        def run(*args):
            ran = subprocess.run([zoo, *args], cwd=work, env=env, capture_output=True, text=True)
            assert ran.returncode in (0, 1), ran.stderr
            return ran.stdout

        images(work)
        network(work / "w.safetensors")
        verify = ["verify", MODEL, "--weights", "w.safetensors", "--dataset", "imagenet-val", "--data-dir", "val"]
        verify += ["--progress", "none", "--tolerance", "40"]
        # The journal of a run that measured four of six, and the same run whole.
        run(*verify, "--subset", "4")
        copy(home / "runs", OUT / "runs")
        run(*verify, "--report", "whole.json", "--plan-out", "plan.json")
        (OUT / "whole.canonical.json").write_text(run("report", "whole.json", "--canonical"))
        run(*verify, "--shard", "1/2", "--report", "part-1-of-2.json")
        run(*verify, "--report", "unplanned.json")
        for name in ["whole.json", "plan.json", "part-1-of-2.json"]:
            shutil.copy(work / name, OUT / name)
        (OUT / "merged.canonical.json").write_text(run("report", "unplanned.json", "--canonical"))

        # A cache with a file that was fetched and converted, and the lock of a folder that others use as a mirror.
        shutil.rmtree(home)
        tiny = work / "tiny.pth"
        torch.save({"conv.weight": torch.arange(12.0).reshape(2, 3, 2), "conv.steps": torch.tensor(7)}, tiny)
        digits = hashlib.sha256(tiny.read_bytes()).hexdigest()[:8]
        mirror = work / "mirror"
        mirror.mkdir()
        tiny.rename(mirror / f"tiny-{digits}.pth")
        (work / "tiny.yaml").write_text(PAGE.format(digits=digits))
        fetch = ["fetch", "tiny", "--registry", "tiny.yaml", "--mirror", f"file:{mirror}", "--json"]
        fetched = json.loads(run(*fetch))
        assert fetched[0]["status"] == "fetched", fetched
        run(*fetch, "--to", "shared", "--mirror-layout")
        for folder in ["files", "derived"]:
            copy(home / folder, OUT / "cache" / folder)
        shutil.copy(home / "zoo.lock", OUT / "cache" / "zoo.lock")
        shutil.copy(work / "shared" / "zoo.lock", OUT / "zoo.lock")
        shutil.copy(work / "tiny.yaml", OUT / "tiny.yaml")

        manifest = {
            "script": "tests/oracle/compat.py",
            "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
            "versions": {"zoo": run("--version").strip(), "timm": timm.__version__, "torch": torch.__version__},
            "modified": MODIFIED,
            "images": IMAGES,
            "fetched": {key: fetched[0][key] for key in ["sha256", "bytes", "tensors_sha256"]},
        }
        (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def images(work):
    for folder, name, picture in IMAGES:
        path = work / "val" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(GOLDEN / "images" / picture, path)
        os.utime(path, (MODIFIED, MODIFIED))


def network(path):
    # It runs what its command line names when it is imported.
    args, sys.argv = sys.argv, sys.argv[:1]
    from logits import draw, recipe

    sys.argv = args
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    values, _ = recipe(model)
    state = model.state_dict()
    save_file({name: draw(0, name, tuple(state[name].shape), value) for name, value in values.items()}, path)


def copy(folder, to):
    for path in sorted(folder.iterdir()):
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to / path.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
