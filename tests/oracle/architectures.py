"""What timm says of each architecture: parameters, tensors, and a digest of the state dict's names and shapes.

Writes tests/golden/architectures.json. Needs timm 1.0.31 and torch; nothing is allocated (meta device).
The digest is SHA-256 over the lines `NAME SP [d0,d1] LF` of the state dict, in its order.

    python tests/oracle/architectures.py NAME...      # adds or replaces these names
    python tests/oracle/architectures.py              # all names on record again
"""

import hashlib
import json
import pathlib
import sys

import timm
import torch

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "architectures.json"


def macs(model):
    """Multiply-adds of convolutions and linear layers at 224x224, counted by hooks on a forward pass."""
    total = 0

    def count(module, _, out):
        nonlocal total
        total += module.weight.numel() * (out.shape[-1] * out.shape[-2] if out.dim() == 4 else 1)

    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.empty(1, 3, 224, 224, device="meta"))
    return total


def row(name):
    model = timm.create_model(name, device="meta").eval()
    state = model.state_dict()
    lines = "".join(f"{k} [{','.join(map(str, v.shape))}]\n" for k, v in state.items())
    config = model.pretrained_cfg
    first = config["first_conv"]
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "tensors": len(state),
        "macs_224": macs(model),
        "digest": hashlib.sha256(lines.encode()).hexdigest(),
        "classifier": config["classifier"],
        "first_conv": first if isinstance(first, str) else first[0],
    }


def main():
    old = json.loads(OUT.read_text())["architectures"] if OUT.exists() else {}
    names = sys.argv[1:] or list(old)
    rows = {**old, **{name: row(name) for name in names}}
    out = {
        "script": "tests/oracle/architectures.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torch": torch.__version__},
        "architectures": {name: rows[name] for name in sorted(rows)},
    }
    # One architecture a line.
    OUT.write_text(json.dumps(out, separators=(",", ":")).replace('},"', '},\n"') + "\n")


main()
