"""torchvision's tensor names beside timm's, and older names beside today's: what zoo's renaming is held to.

Writes tests/golden/checkpoints/renames.json: for each pair of networks the digest of the lines `theirs SP timm's`,
sorted. Which is which is found by order and shape, and proved: timm's network loads the renamed tensors strictly
and computes what torchvision's does. Needs timm 1.0.31, torch and torchvision. Half a minute.

    python tests/oracle/renames.py
"""
import hashlib
import json
import pathlib

import timm
import torch
import torchvision
from timm.models.densenet import _filter_torchvision_pretrained

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "checkpoints" / "renames.json"
# timm's architecture, torchvision's, and what timm has to be told to compute the same.
PAIRS = [
    ("mobilenetv3_large_100", "mobilenet_v3_large", {"bn_eps": 1e-3}),
    ("mobilenetv3_small_100", "mobilenet_v3_small", {"bn_eps": 1e-3}),
    ("regnetx_016", "regnet_x_1_6gf", {}),
    ("regnety_032", "regnet_y_3_2gf", {}),
    ("resnet50", "resnet50", {}),
    ("densenet121", "densenet121", {}),
]


def lines(pairs):
    text = "".join(f"{theirs} {ours}\n" for theirs, ours in sorted(pairs))
    return {"tensors": len(pairs), "digest": hashlib.sha256(text.encode()).hexdigest()}


def compared(arch, name, options):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(weights=None).eval()
    ours = timm.create_model(arch, **options).eval()
    state, wanted = theirs.state_dict(), ours.state_dict()
    assert len(state) == len(wanted), arch
    # Running statistics that are not those of a fresh network.
    for key, tensor in state.items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.0)
    # In torchvision a block's shortcut comes first, in timm last.
    order = list(state)
    if "regnet" in arch:
        blocks = {}
        for k in order:
            blocks.setdefault(k.split(".f.")[0].split(".proj.")[0] if "trunk" in k else k, []).append(k)
        order = [k for group in blocks.values() for k in sorted(group, key=lambda k: ".proj." in k)]
    pairs = list(zip(order, wanted))
    for a, b in pairs:
        assert state[a].numel() == wanted[b].numel() and a.rsplit(".")[-1] == b.rsplit(".")[-1], (a, b)
    ours.load_state_dict({b: state[a].reshape(wanted[b].shape) for a, b in pairs}, strict=True)
    image = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        x, y = theirs(image), ours(image)
    assert (x - y).abs().max() <= 1e-4 * y.std(), (arch, (x - y).abs().max(), y.std())
    return {"arch": arch, "scheme": "torchvision", **lines(pairs)}


def older():
    """DenseNet's names before torch 0.4, which timm's filter makes today's."""
    today = list(timm.create_model("densenet121").state_dict())
    old = [k.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.").replace("conv1.", "conv.1.").replace("conv2.", "conv.2.")
           if "denselayer" in k and "num_batches" not in k else k for k in today]
    filtered = list(_filter_torchvision_pretrained({k: k for k in old}).items())
    assert {new for new, _ in filtered} == set(today)
    return {"arch": "densenet121", "scheme": "older", **lines([(old, new) for new, old in filtered if old != new])}


golden = {
    "script": "tests/oracle/renames.py",
    "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
    "versions": {"timm": timm.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__},
    "pairs": [compared(*pair) for pair in PAIRS] + [older()],
}
OUT.write_text(json.dumps(golden, indent=1) + "\n")
print([(p["arch"], p["tensors"]) for p in golden["pairs"]])
