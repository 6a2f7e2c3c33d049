"""timm's random resized crop and flip for given boxes: what `zoo finetune --augment` is held to.

Writes tests/golden/crops.json. Needs timm 1.0.31, torchvision and Pillow.

    python tests/oracle/crops.py

Each row: a picture of tests/golden/images, a box [top, left, height, width], whether it is mirrored, size and filter, and
the SHA-256 of the float32 tensor [3, size, size] that timm's RandomResizedCropAndInterpolation, RandomHorizontalFlip,
ToTensor and Normalize make of it.
"""

import hashlib
import json
import pathlib

import PIL
import timm
import torch
import torchvision
from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision import transforms

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "crops.json"
IMAGES = HERE.parent.parent / "golden" / "images"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BOXES = [([0, 0, 20, 30], False), ([3, 5, 31, 17], True), ([1, 0, 40, 40], True), ([7, 9, 2, 3], False)]


def row(name, box, flip, size, interpolation):
    crop = RandomResizedCropAndInterpolation(size, interpolation=interpolation)
    crop.get_params = lambda *_: tuple(box)
    flips = transforms.RandomHorizontalFlip(p=1.0 if flip else 0.0)
    steps = transforms.Compose([crop, flips, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    tensor = steps(Image.open(IMAGES / name).convert("RGB"))
    digest = hashlib.sha256(tensor.contiguous().numpy().astype("<f4").tobytes()).hexdigest()
    return {"image": name, "box": box, "flip": flip, "size": size, "interpolation": interpolation, "sha256": digest}


def main():
    torch.set_num_threads(1)
    rows = [row(name, box, flip, size, interpolation)
            for name in ("420.jpg", "444.jpg", "wide.jpg")
            for box, flip in BOXES
            for size, interpolation in ((24, "bicubic"), (33, "bilinear"))]
    OUT.write_text(json.dumps({
        "script": f"tests/oracle/{HERE.name}",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__},
        "mean": MEAN,
        "std": STD,
        "rows": rows,
    }, indent=1) + "\n")


main()
