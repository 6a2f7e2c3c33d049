"""timm's logits for seeded stand-in weights and a seeded image: what every engine of zoo is held to.

Writes tests/golden/logits/records.json, one line an architecture, and logits.bin, the logits in 24 bits each. Needs
timm 1.0.31 (for `gluon_xception65` and `ig_resnext101_32x48d` timm 0.4.12 in its place on the path), torch and numpy.

    python tests/oracle/logits.py ARCH[@SIZE[,SIZE...]][:SAMPLE]... [--seed 0]

SIZE defaults to 96, SAMPLE says how many floating tensors are exchanged for figure (b) ('all', or a number of them spread
evenly over the state dict; default 40), besides the first of every type of module that these leave out. What is
on record of other architectures stays; the record of one that is named is made anew.

The recipe, the same as src/nn/seeded.rs: element i of tensor NAME is drawn by splitmix64 from the first
eight bytes, little-endian, of SHA-256('SEED/NAME'); u = top 24 bits / 2^24; values in float64, rounded once.
Which norm is the last of a block with a shortcut is known by the block's type: blocks.json. A rule there may say `within`,
the submodule whose last norm it is, `shortcut`, an attribute of blocks that have one, or `unless`, one of blocks without.
All norms' weights are multiplied by the record's gain: the first of GAINS with which (a) and (b) hold.

Figures of a row:
  noise        (a) max |float32 - float64| / sigma of torch itself; must be <= 1e-5
  sensitivity  (b) the smallest max |change| / sigma when one floating tensor is that of seed + 1; >= 1e-3
Logits are stored as q: least + q * (most - least) / (2^24 - 1), some 2e-7 sigma from what they were.
"""

import hashlib
import json
import math
import pathlib
import sys
import time

import numpy as np
import timm
import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "logits"
BLOCKS = json.loads((HERE.parent / "blocks.json").read_text())
# What the weights of the index need and timm's own defaults do not say.
KWARGS = {"fbnetc_100": {"bn_eps": 1e-3}}
# What timm 0.4.12 calls it.
OLD = {"ig_resnext101_32x48d": "ig_resnext101_32x48d", "gluon_xception65": "gluon_xception65"}
# The last for networks whose activations die away: b3.
GAINS = (1.0, 0.8, 0.65, 0.5, 1.05)
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
CHUNK = 1 << 22
LEVELS = 2**24 - 1


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
        rule = BLOCKS.get(kind)
        if not rule:
            continue
        kinds[kind] = rule
        if ("shortcut" in rule and not getattr(module, rule["shortcut"])) or (
                "unless" in rule and getattr(module, rule["unless"])):
            continue
        if "within" in rule:
            inside = module.get_submodule(rule["within"]).named_modules()
            last = [n for n, m in inside if isinstance(m, NORMS)][-1]
            names.add(f"{name}.{rule['within']}.{last}")
        else:
            names.add(f"{name}.{rule['last']}")
    return names, kinds


def recipe(model, gain=1.0):
    """For every floating tensor of the state dict, what it is drawn as; and the rules of blocks."""
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
                plain = VALUES["last" if prefix in last else "norm"]
                value = plain if gain == 1.0 else lambda u, plain=plain: plain(u) * gain
            elif leaf == "weight" and type(module).__name__ == "CondConv2d":
                # Shares of a half each of so many experts: as one filter where they are four.
                value = filter_value(tensor.shape[1] // module.out_channels * module.num_experts / 4)
            elif leaf == "weight" and tensor.dim() >= 2:
                value = filter_value(math.prod(tensor.shape[1:]))
            else:
                value = VALUES["other"]
            values[name] = value
    return values, kinds


def tried(model, names, count):
    """At most `count` of the names, evenly spread, the first and the last among them, and the first of every type of
    module that has none."""
    if count == "all":
        return names
    picked = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, int(count)).round().astype(int))]
    modules = dict(model.named_modules())
    kind = {name: type(modules[name.rpartition(".")[0]]).__name__ for name in names}
    seen = {kind[name] for name in picked}
    for name in names:
        if kind[name] not in seen:
            seen.add(kind[name])
            picked.append(name)
    return picked


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
    picked = tried(model, names, sample)
    for name in picked:
        own = state[name].clone()
        state[name].copy_(draw(seed + 1, name, tuple(own.shape), values[name]))
        change = np.abs(logits_of(model, image) - single).max() / sigma
        state[name].copy_(own)
        if not change >= smallest:
            smallest, at = change, name
    del state, own
    noise = np.abs(logits_of(model.double(), image.double()) - single).max() / sigma
    model.float()
    figures = {"size": size, "sigma": sigma, "noise": noise}
    figures = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in figures.items()}
    figures["sensitivity"] = {"smallest": float(f"{smallest:.6g}"), "tensor": at, "tried": len(picked), "of": len(names)}
    return figures, single.astype("<f4")


def create(arch):
    if timm.__version__.startswith("0."):
        model = timm.create_model(OLD[arch])
        model.pretrained_cfg = model.default_cfg  # as today's timm calls it
        return model
    return timm.create_model(arch, **KWARGS.get(arch, {}))


def record(arch, sizes, sample, seed):
    model = create(arch).eval()
    for gain in GAINS:
        start = time.time()
        values, kinds = recipe(model, gain)
        state = model.state_dict()
        digest = hashlib.sha256()
        for name, tensor in state.items():
            if name in values:
                tensor.copy_(draw(seed, name, tuple(tensor.shape), values[name]))
                digest.update(tensor.numpy().tobytes())
        del state
        rows, logits = zip(*[row(model, values, seed, size, sample) for size in sizes])
        held = all(r["noise"] <= 1e-5 and r["sensitivity"]["smallest"] >= 1e-3 for r in rows)
        for r in rows:
            s = r["sensitivity"]
            print(f"{arch} at {r['size']}, gain {gain}: sigma {r['sigma']:.3g}, (a) {r['noise']:.2e}, (b) {s['smallest']:.2e}"
                  f" at {s['tensor']}, {s['tried']}/{s['of']}; {time.time() - start:.0f} s{'' if held else ' MISSED'}", flush=True)
        if held:
            break
    entry = {
        "arch": arch,
        "timm": timm.__version__,
        "timm_kwargs": KWARGS.get(arch, {}),
        "blocks": sorted(kinds),
        "seed": seed,
        "gain": gain,
        # Of the float32 bytes of every floating tensor, in the order of the state dict.
        "weights_sha256": digest.hexdigest(),
        "rows": list(rows),
    }
    return entry, list(logits), kinds


class Records:
    """The file of records and that of logits, together."""

    def __init__(self):
        self.rules, self.entries, self.logits = {}, {}, {}
        if not (OUT / "records.json").exists():
            return
        old = json.loads((OUT / "records.json").read_text())
        data = np.fromfile(OUT / "logits.bin", dtype=np.uint8).reshape(-1, 3)
        self.rules = old["blocks"]
        for entry in old["records"]:
            self.entries[entry["arch"]] = entry
            self.logits[entry["arch"]] = [data[r["at"]:r["at"] + r["classes"]] for r in entry["rows"]]

    def put(self, entry, logits, kinds):
        self.rules.update(kinds)
        packed = []
        for r, values in zip(entry["rows"], logits):
            least, most = float(values.min()), float(values.max())
            q = ((values.astype(np.float64) - least) / (most - least) * LEVELS).round().astype("<u4")
            r.update(classes=len(values), least=least, most=most)
            packed.append(q.view(np.uint8).reshape(-1, 4)[:, :3])
        self.entries[entry["arch"]], self.logits[entry["arch"]] = entry, packed

    def write(self):
        OUT.mkdir(parents=True, exist_ok=True)
        at, blobs, lines = 0, [], []
        for arch in sorted(self.entries):
            for r, packed in zip(self.entries[arch]["rows"], self.logits[arch]):
                r["at"] = at
                at += len(packed)
                blobs.append(packed)
            lines.append(json.dumps(self.entries[arch], separators=(",", ":")))
        head = {
            "script": "tests/oracle/logits.py",
            "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
            "blocks": dict(sorted(self.rules.items())),
        }
        np.concatenate(blobs).tofile(OUT / "logits.bin")
        text = json.dumps(head, indent=1)[:-2] + ',\n "records": [\n' + ",\n".join(lines) + "\n]\n}\n"
        (OUT / "records.json").write_text(text)


def main():
    torch.set_num_threads(1)
    args, seed = sys.argv[1:], 0
    if "--seed" in args:
        at = args.index("--seed")
        seed = int(args[at + 1])
        del args[at:at + 2]
    for arg in args:
        arg, _, sample = arg.partition(":")
        arch, _, sizes = arg.partition("@")
        sizes = [int(s) for s in sizes.split(",")] if sizes else [96]
        made = record(arch, sizes, sample or "40", seed)
        records = Records()
        records.put(*made)
        records.write()


main()
