"""What `zoo finetune` is measured against: scikit-learn's digits as images, its logistic regression on timm's features, and
timm's own loading of what zoo has written. Needs timm 1.0.31, torch, scikit-learn, Pillow and safetensors.

    python tests/oracle/finetune.py digits DIR              # writes DIR/train and DIR/val, a folder for each digit
    python tests/oracle/finetune.py sklearn DIR SIDECAR     # accuracy of LogisticRegression on timm's features of them
    python tests/oracle/finetune.py make ARCH OUT.safetensors [SIDE]   # timm's own initial weights, with a sidecar
    python tests/oracle/finetune.py loads OUT.safetensors DIR PREDICTED.json

`sklearn` takes architecture and preprocessing from a sidecar of a model whose weights lie beside it, and searches C by
cross-validation on the training part, after the same scaling as zoo's. `loads` creates the architecture with as many
classes, loads the weights strictly, and compares the class of every image below DIR with what `zoo predict --json` said.
"""

import json
import pathlib
import sys
import time

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform


def digits(folder):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    at = np.arange(len(data.target))
    train, val = train_test_split(at, test_size=0.2, stratify=data.target, random_state=0)
    for part, places in (("train", train), ("val", val)):
        for i in places:
            path = pathlib.Path(folder) / part / str(data.target[i]) / f"{i:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((data.images[i] * 255 / 16).round().astype(np.uint8)).save(path)


def make(arch, out, side="64"):
    torch.manual_seed(0)
    model = timm.create_model(arch)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, out, metadata={"format": "pt"})
    cfg = model.pretrained_cfg
    sidecar = {"schema": "zoo.model/1", "arch": arch, "classes": cfg["num_classes"], "preprocess": {
        "size": [int(side)] * 2, "crop_pct": cfg["crop_pct"], "interpolation": cfg["interpolation"],
        "mean": cfg["mean"], "std": cfg["std"]}}
    pathlib.Path(out).with_suffix(".json").write_text(json.dumps(sidecar))


def model_of(weights, **kwargs):
    """The architecture of a weights file with a sidecar, and its transform."""
    weights = pathlib.Path(weights)
    sidecar = json.loads(weights.with_suffix(".json").read_text())
    classes = sidecar["classes"]
    classes = classes if isinstance(classes, int) else len(classes)
    model = timm.create_model(sidecar["arch"], num_classes=classes)
    model.load_state_dict(load_file(weights), strict=True)
    prepare = sidecar["preprocess"]
    transform = create_transform(
        input_size=(3, *prepare["size"]), crop_pct=prepare["crop_pct"], crop_mode=prepare.get("crop_mode", "center"),
        interpolation=prepare["interpolation"], mean=prepare["mean"], std=prepare["std"])
    return model.eval(), transform


def images(folder):
    return sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix in (".png", ".jpg", ".jpeg", ".JPEG"))


def outputs(model, transform, paths):
    rows = []
    with torch.inference_mode():
        for path in paths:
            rows.append(model(transform(Image.open(path).convert("RGB")).unsqueeze(0))[0].numpy())
    return np.stack(rows)


def regression(folder, weights):
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model, transform = model_of(weights)
    model.reset_classifier(0)
    parts = {part: images(pathlib.Path(folder) / part) for part in ("train", "val")}
    start = time.time()
    x = {part: outputs(model, transform, paths) for part, paths in parts.items()}
    y = {part: [p.parent.name for p in paths] for part, paths in parts.items()}
    features = time.time() - start
    start = time.time()
    fit = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-5, 1, 13), max_iter=1000, cv=5))
    fit.fit(x["train"].astype(np.float64), y["train"])
    right = (fit.predict(x["val"].astype(np.float64)) == np.array(y["val"])).sum()
    n = len(y["val"])
    print(json.dumps({"images": n, "top1_correct": int(right), "top1": round(100 * right / n, 6),
                      "seconds": {"features": round(features, 1), "training": round(time.time() - start, 1)}}))


def loads(weights, folder, predicted):
    model, transform = model_of(weights)
    paths = images(folder)
    own = outputs(model, transform, paths).argmax(axis=1)
    answers = {a["image"]: a["top"][0]["index"] for a in json.loads(pathlib.Path(predicted).read_text())}
    differ = [str(p) for p, c in zip(paths, own) if answers[str(p)] != int(c)]
    print(f"{weights}: loaded strictly; the same class for {len(paths) - len(differ)} of {len(paths)} images")
    sys.exit(bool(differ))


def main():
    torch.set_num_threads(1)
    verb, *rest = sys.argv[1:]
    {"digits": digits, "make": make, "sklearn": regression, "loads": loads}[verb](*rest)


main()
