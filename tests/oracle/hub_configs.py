"""Folders as timm saves models for the hub, and what timm makes of them.

Writes tests/golden/hub_configs.json: `configs`, each with the text of a `config.json` and the architecture, number of
classes, class names with their descriptions and preprocessing that timm's own loader (`local-dir:`) resolves; those that
describe a network other than its name says are marked `other`. Needs timm 1.0.31.

    python tests/oracle/hub_configs.py
"""

import hashlib
import json
import pathlib
import tempfile

import timm
from timm.data import resolve_data_config
from timm.models._hub import load_model_config_from_path, save_config_for_hf

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "hub_configs.json"


def saved(name, config=None, **args):
    model = timm.create_model(name, **args)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "config.json"
        save_config_for_hf(model, str(path), model_config=config)
        return path.read_text()


def texts():
    yield saved("efficientnet_b0"), False
    yield saved("tf_efficientnet_lite0.in1k"), False
    yield saved("resnet50", num_classes=3, config={"label_names": ["a", "b", "c"], "label_descriptions": {"a": "a cat", "c": "a fox"}}), False
    yield saved("mobilenetv3_large_100", num_classes=2, config={"label_names": {"0": "no", "1": "yes"}}), False
    yield saved("tresnet_m"), False
    yield saved("inception_v3"), False
    yield saved("resnet18", in_chans=1), True
    yield saved("resnet18", global_pool="max"), True
    old = {"architecture": "resnet18", "num_classes": 4, "num_features": 512, "input_size": [3, 160, 192], "crop_pct": 0.95,
           "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "labels": ["w", "x", "y", "z"], "classifier": "fc"}
    yield json.dumps(old), False
    yield json.dumps({"architecture": "resnet18", "num_classes": 7}), False
    yield json.dumps({"architecture": "resnet18", "num_classes": 7, "pretrained_cfg": {"mean": [0.4], "crop_mode": "squash", "crop_pct": 0}}), False


def resolved(text):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(text)
        cfg, name, args = load_model_config_from_path(folder)
    data = resolve_data_config(pretrained_cfg=cfg)
    names = cfg.get("label_names")
    described = cfg.get("label_descriptions") or {}
    if isinstance(names, dict):
        names = [names[str(i)] for i in range(len(names))]
    mean = data["mean"] if len(data["mean"]) == 3 else list(data["mean"]) * 3
    return {"architecture": name, "num_classes": cfg.get("num_classes", 1000), "names": names and [described.get(n, n) for n in names],
            "size": list(data["input_size"]), "crop_pct": data["crop_pct"], "crop_mode": data["crop_mode"],
            "interpolation": data["interpolation"], "mean": mean, "std": data["std"], "args": args}


configs = [{"text": text, "other": bool(other), **resolved(text)} for text, other in texts()]
golden = {"script": "tests/oracle/hub_configs.py", "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
          "timm": timm.__version__, "configs": configs}
OUT.write_text(json.dumps(golden, indent=1) + "\n")
for config in configs:
    print(config["architecture"], config["num_classes"], config["size"], config["args"], config["other"])
