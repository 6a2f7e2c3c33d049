"""torch's gradients of the last stage of timm's models with seeded stand-in weights (the recipe of `logits.py`): what
`zoo finetune --unfreeze last` is held to.

Writes tests/golden/unfreeze.json. Needs timm 1.0.31, torch and numpy.

    python tests/oracle/unfreeze.py [ARCH[@SIZE]]...     # adds or replaces these rows; without any, all on record again

The last stage is what comes after the module of the level of `features_only` before the last, or of the block before, where
that lies inside one (INSIDE): a hook parts the graph there, in float64, with all norms as in evaluation. A row has, for one architecture with CLASSES classes and a batch of seeded images
with LABELS:

  module     that module, and `count` the tensors of convolutions and linear layers behind it
  names      SHA-256 of their names, sorted, a line each
  stages     what timm calls the parts of the network that they are in, as deep as that module
  loss       the mean cross entropy
  gradients  of the first, the middle and the last of these tensors in the order of the state dict, of the smallest and of the
             largest: the Euclidean norm, and for PROBES seeded vectors p (tensor `probe/N`, 2u - 1) the sum(p * gradient)
"""

import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve()
ARGS, sys.argv = sys.argv[1:], sys.argv[:1]
sys.path.insert(0, str(HERE.parent))
import logits  # noqa: E402  (runs its own main, on nothing)
import numpy as np  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

OUT = HERE.parent.parent / "golden" / "unfreeze.json"
INSIDE = {"legacy_xception": "block11", "xception41": "blocks.10"}
SEED, CLASSES, LABELS, PROBES = 0, 10, [3, 7], 2


def fill(model):
    values, _ = logits.recipe(model)
    for name, tensor in model.state_dict().items():
        if name in values:
            tensor.copy_(logits.draw(SEED, name, tuple(tensor.shape), values[name]))


def probe(n, size):
    return np.concatenate(list(logits.uniform(SEED, f"probe/{n}", size))) * 2 - 1


def row(arch, size):
    level = timm.create_model(arch, device="meta", features_only=True).feature_info.get_dicts()[-2]
    level = {"module": INSIDE[arch]} if arch in INSIDE else level
    model = timm.create_model(arch, num_classes=CLASSES, **logits.KWARGS.get(arch, {})).eval()
    with torch.no_grad():
        fill(model)
    model.double()
    image = logits.draw(SEED, "input", (len(LABELS), 3, size, size), lambda u: 6 * u - 3).double()
    # SelecSLS hands on a list, its map first.
    part = lambda value: [part(v) for v in value] if isinstance(value, list) else value.detach().requires_grad_()
    module = model.get_submodule(level["module"])
    if level.get("hook_type") == "forward_pre":
        module.register_forward_pre_hook(lambda _, inputs: (part(inputs[0]),))
    else:
        module.register_forward_hook(lambda _, __, output: part(output))
    loss = nn.functional.cross_entropy(model(image), torch.tensor(LABELS))
    loss.backward()
    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear, timm.layers.CondConv2d)
    own = {f"{prefix}.{leaf}": tensor.grad for prefix, part in model.named_modules() if isinstance(part, kinds)
           for leaf, tensor in part.named_parameters(recurse=False) if tensor.grad is not None}
    names = list(own)
    of_size = sorted(names, key=lambda name: own[name].numel())
    chosen = dict.fromkeys([names[0], names[len(names) // 2], names[-1], of_size[0], of_size[-1]])
    gradients = []
    for name in chosen:
        flat = own[name].numpy().ravel()
        gradients.append({"name": name, "norm": float(f"{np.linalg.norm(flat):.9g}"),
                          "probes": [float(f"{(probe(n, flat.size) * flat).sum():.9g}") for n in range(PROBES)]})
    digest = hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()
    # As deep as that module: `layer4`, `blocks.5`, `features.denseblock4`.
    depth = level["module"].count(".") + 1
    stages = list(dict.fromkeys(".".join(name.split(".")[:-1][:depth]) for name in names))
    print(arch, size, level["module"], len(names), stages, f"loss {loss.item():.4g}", flush=True)
    return {"arch": arch, "size": size, "module": level["module"], "count": len(names), "names": digest, "stages": stages,
            "loss": float(f"{loss.item():.9g}"), "gradients": gradients}


def main():
    torch.set_num_threads(1)
    old = json.loads(OUT.read_text())["rows"] if OUT.exists() else []
    rows = {r["arch"]: r for r in old}
    for arch, _, size in [a.partition("@") for a in ARGS] or [(r["arch"], "@", r["size"]) for r in old]:
        rows[arch] = row(arch, int(size or 64))
    head = {
        "script": f"tests/oracle/{HERE.name}",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "recipe_sha256": hashlib.sha256((HERE.parent / "logits.py").read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "seed": SEED, "classes": CLASSES, "labels": LABELS,
    }
    lines = ",\n".join(json.dumps(rows[a], separators=(",", ":")) for a in sorted(rows))
    OUT.write_text(json.dumps(head)[:-1] + f',\n"rows":[\n{lines}\n]}}\n')


main()
