"""timm's logits for seeded stand-in weights and a seeded image: what every engine of zoo is held to.

Writes tests/golden/logits/ARCH.json. Needs timm 1.0.31, torch and numpy.

    python tests/oracle/logits.py ARCH[@SIZE[,SIZE...]][:SAMPLE]... [--seed 0]

SIZE defaults to the architecture's own test size, SAMPLE says how many floating tensors are
exchanged for figure (b) ('all', or a number of them spread evenly over the state dict; default 40).

The recipe, the same as src/nn/seeded.rs: element i of tensor NAME is drawn by splitmix64 from the first
eight bytes, little-endian, of SHA-256('SEED/NAME'); u = top 24 bits / 2^24; values in float64, rounded once.
Which norm is the last of a block with a shortcut is known by the block's type: blocks.json. The types that a
network has are recorded in its golden file.

Figures of a row:
  noise        (a) max |float32 - float64| / sigma of torch itself; must be <= 1e-5
  sensitivity  (b) the smallest max |change| / sigma when one floating tensor is that of seed + 1; >= 1e-3
"""

import base64
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import timm
import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "logits"
BLOCKS = json.loads((HERE.parent / "blocks.json").read_text())
# What the weights of the index need and timm's own defaults do not say.
KWARGS = {"fbnetc_100": {"bn_eps": 1e-3}}
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
CHUNK = 1 << 22


def uniform(seed, name, count):
    """`count` numbers in [0, 1), in pieces, float64."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
    for start in range(0, count, CHUNK):
        i = np.arange(start + 1, min(count, start + CHUNK) + 1, dtype=np.uint64)
        z = np.uint64(key) + i * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        yield (z >> np.uint64(40)).astype(np.float64) / 2**24


def draw(seed, name, shape, value):
    pieces = [value(u).astype(np.float32) for u in uniform(seed, name, math.prod(shape))]
    return torch.from_numpy(np.concatenate(pieces).reshape(shape))


def filter_value(fan_in):
    return lambda u: (2 * u - 1) * math.sqrt(3 * 2 / fan_in)


VALUES = {
    "norm": lambda u: 0.75 + 0.5 * u,
    "last": lambda u: (0.75 + 0.5 * u) * 0.2,
    "bias": lambda u: (2 * u - 1) * 0.2,
    "mean": lambda u: 0.4 * u - 0.2,
    "var": lambda u: 0.5 + u,
    "other": lambda u: 0.75 + 0.5 * u,
}


def last_norms(model):
    """Names of the last norms of branches with a shortcut, and the block types they were found by."""
    names, kinds = set(), {}
    for name, module in model.named_modules():
        kind = f"{type(module).__module__}.{type(module).__name__}"
        if rule := BLOCKS.get(kind):
            kinds[kind] = rule
            if getattr(module, rule["shortcut"]) if "shortcut" in rule else True:
                names.add(f"{name}.{rule['last']}")
    return names, kinds


def recipe(model):
    """For every floating tensor of the state dict, what it is drawn as."""
    last, kinds = last_norms(model)
    values = {}
    for prefix, module in model.named_modules():
        own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
        for leaf, tensor in own.items():
            if not tensor.is_floating_point():
                continue
            name = f"{prefix}.{leaf}" if prefix else leaf
            if leaf == "running_mean":
                value = VALUES["mean"]
            elif leaf == "running_var":
                value = VALUES["var"]
            elif leaf == "bias":
                value = VALUES["bias"]
            elif isinstance(module, NORMS):
                value = VALUES["last" if prefix in last else "norm"]
            elif leaf == "weight" and type(module).__name__ == "CondConv2d":
                value = filter_value(tensor.shape[1] // module.out_channels)
            elif leaf == "weight" and tensor.dim() >= 2:
                value = filter_value(math.prod(tensor.shape[1:]))
            else:
                value = VALUES["other"]
            values[name] = value
    return values, kinds


def spread(names, count):
    """At most `count` of the names, evenly spread, the first and the last among them."""
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, count).round().astype(int))]


def logits_of(model, image):
    with torch.inference_mode():
        return model(image)[0].double().numpy()


def row(model, values, seed, size, sample):
    state = model.state_dict()  # anew for each row: .double() puts other tensors into the model
    image = draw(seed, "input", (1, 3, size, size), lambda u: 6 * u - 3)
    single = logits_of(model, image)
    sigma = single.std()
    smallest, at = math.inf, None
    names = [n for n in state if n in values]
    picked = names if sample == "all" else spread(names, int(sample))
    for name in picked:
        own = state[name].clone()
        state[name].copy_(draw(seed + 1, name, tuple(own.shape), values[name]))
        change = np.abs(logits_of(model, image) - single).max() / sigma
        state[name].copy_(own)
        if not change >= smallest:
            smallest, at = change, name
    noise = np.abs(logits_of(model.double(), image.double()) - single).max() / sigma
    model.float()
    figures = {"size": size, "sigma": sigma, "noise": noise,
               "sensitivity": {"smallest": smallest, "tensor": at, "tried": len(picked), "of": len(names)}}
    print(f"  {size}: sigma {sigma:.3g}, (a) {noise:.2e}, (b) {smallest:.2e} at {at}, {len(picked)}/{len(names)}")
    if not (noise <= 1e-5 and smallest >= 1e-3):
        print("  MISSED: (a) must be <= 1e-5 and (b) >= 1e-3")
    figures = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in figures.items()}
    figures["sensitivity"]["smallest"] = float(f"{smallest:.6g}")
    return {**figures, "logits": base64.b64encode(single.astype("<f4").tobytes()).decode()}


def golden(arch, sizes, sample, seed):
    model = timm.create_model(arch, **KWARGS.get(arch, {})).eval()
    values, kinds = recipe(model)
    state = model.state_dict()
    digest = hashlib.sha256()
    for name, tensor in state.items():
        if name in values:
            tensor.copy_(draw(seed, name, tuple(tensor.shape), values[name]))
            digest.update(tensor.numpy().tobytes())
    cfg = model.pretrained_cfg
    sizes = sizes or [cfg.get("test_input_size", cfg["input_size"])[-1]]
    print(arch)
    return {
        "script": "tests/oracle/logits.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "arch": arch,
        "timm_kwargs": KWARGS.get(arch, {}),
        "blocks": kinds,
        "seed": seed,
        # Of the float32 bytes of every floating tensor, in the order of the state dict.
        "weights_sha256": digest.hexdigest(),
        "rows": [row(model, values, seed, size, sample) for size in sizes],
    }


def main():
    torch.set_num_threads(1)
    args, seed = sys.argv[1:], 0
    if "--seed" in args:
        at = args.index("--seed")
        seed = int(args[at + 1])
        del args[at:at + 2]
    OUT.mkdir(parents=True, exist_ok=True)
    for arg in args:
        arg, _, sample = arg.partition(":")
        arch, _, sizes = arg.partition("@")
        sizes = [int(s) for s in sizes.split(",")] if sizes else []
        text = json.dumps(golden(arch, sizes, sample or "40", seed), indent=1)
        (OUT / f"{arch}.json").write_text(text + "\n")


main()
