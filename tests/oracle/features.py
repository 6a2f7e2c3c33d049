"""timm's features for seeded stand-in weights (the recipe of `logits.py`): what `zoo features` is held to.

Writes tests/golden/features.json. Needs timm 1.0.31 (for `gluon_xception65`, which that has not, timm 0.4.12 in its place
on the path), torch and numpy.

    python tests/oracle/features.py [ARCH[@SIZE]]...      # adds or replaces these rows; without any, all on record again
    PYTHONPATH=TIMM_0_4_12 python tests/oracle/features.py gluon_xception65

What the timm on the path does not have stays as it is on record; its row says which timm made it.

`feature_info` has channels and reduction of every level of `features_only` for each architecture of
architectures.json. A row has, for one architecture, every level: `pool` (`num_classes=0`), `map`
(`forward_features`), and those of `features_only`. Of a level's values it has

  sigma    their standard deviation
  noise    max |float32 - float64| / sigma of torch itself
  sample   SAMPLES float32 values evenly spread over the row-major values, base64
  probes   for PROBES seeded vectors p (tensor `probe/N`, 2u - 1): sum(p * value) / sqrt(count), so that every value counts
"""

import base64
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

OUT = HERE.parent.parent / "golden" / "features.json"
ARCHITECTURES = HERE.parent.parent / "golden" / "architectures.json"
SEED, SAMPLES, PROBES = 0, 16, 2


def is_old():
    return timm.__version__.startswith("0.")


def has(arch):
    """Whether the timm on the path is the one that `arch` is on record of."""
    return (arch in logits.OLD) == is_old()


def fill(model):
    """Gives a model its seeded weights."""
    values, _ = logits.recipe(model)
    for name, tensor in model.state_dict().items():
        if name in values:
            tensor.copy_(logits.draw(SEED, name, tuple(tensor.shape), values[name]))


def pyramid_of(arch):
    """timm's `features_only` with seeded weights, filled in where pretrained ones would be loaded."""
    # 0.4.12's name, and today's.
    builder = sys.modules["timm.models.helpers" if is_old() else "timm.models._builder"]
    own = builder.load_pretrained
    builder.load_pretrained = lambda model, **_: fill(model)
    try:
        return timm.create_model(arch, pretrained=True, features_only=True, **logits.KWARGS.get(arch, {})).eval()
    finally:
        builder.load_pretrained = own


def level(name, single, double):
    flat = single[0].double().numpy().ravel()
    sigma = flat.std()
    noise = np.abs(double[0].numpy().ravel() - flat).max() / sigma
    at = np.linspace(0, flat.size - 1, SAMPLES).round().astype(int)
    probe = lambda n: np.concatenate(list(logits.uniform(SEED, f"probe/{n}", flat.size))) * 2 - 1
    out = {"level": name, "shape": list(single.shape[1:]), "sigma": float(f"{sigma:.9g}"),
           "noise": float(f"{noise:.3g}"),
           "sample": base64.b64encode(flat[at].astype("<f4").tobytes()).decode(),
           "probes": [float(f"{(probe(n) * flat).sum() / np.sqrt(flat.size):.9g}") for n in range(PROBES)]}
    return out


def row(arch, size):
    image = logits.draw(SEED, "input", (1, 3, size, size), lambda u: 6 * u - 3)
    levels = []
    with torch.inference_mode():
        model = timm.create_model(arch, num_classes=0, **logits.KWARGS.get(arch, {})).eval()
        fill(model)
        found = {"pool": model(image), "map": model.forward_features(image)}
        model.double()
        levels.append(level("pool", found["pool"], model(image.double())))
        levels.append(level("map", found["map"], model.forward_features(image.double())))
        model = pyramid_of(arch)
        single = model(image)
        double = model.double()(image.double())
        for at, (a, b) in enumerate(zip(single, double)):
            levels.append(level(f"pyramid.{at}", a, b))
    worst = max(l["noise"] for l in levels)
    print(arch, size, [l["shape"] for l in levels], f"noise {worst:.2e}")
    made = {"arch": arch, "size": size, "levels": levels}
    return made | {"timm": timm.__version__} if is_old() else made


def info(arch):
    model = timm.create_model(arch, features_only=True, **({} if is_old() else {"device": "meta"}))
    return [[d["num_chs"], d["reduction"]] for d in model.feature_info.get_dicts()]


def main():
    torch.set_num_threads(1)
    old = json.loads(OUT.read_text()) if OUT.exists() else {"rows": [], "feature_info": {}, "versions": None}
    rows = {r["arch"]: r for r in old["rows"]}
    wanted = [a.partition("@") for a in ARGS] or [(a, "@", r["size"]) for a, r in rows.items() if has(a)]
    for arch, _, size in wanted:
        if not has(arch):
            sys.exit(f"timm {timm.__version__} is not the one that {arch} is on record of")
        rows[arch] = row(arch, int(size or 64))
    names = set(json.loads(ARCHITECTURES.read_text())["architectures"]) - set(logits.OLD)
    infos = old["feature_info"]
    infos |= {arch: info(arch) for arch in (logits.OLD if is_old() else names) if not is_old() or arch in rows}
    lines = lambda items: "[\n" + ",\n".join(json.dumps(i, separators=(",", ":")) for i in items) + "\n]"
    head = {
        "script": f"tests/oracle/{HERE.name}",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "recipe_sha256": hashlib.sha256((HERE.parent / "logits.py").read_bytes()).hexdigest(),
        "versions": old["versions"] if is_old() else {
            "timm": timm.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "seed": SEED,
    }
    table = ",\n".join(f"{json.dumps(n)}:{json.dumps(infos[n], separators=(',', ':'))}" for n in sorted(infos))
    rows = lines(rows[a] for a in sorted(rows))
    OUT.write_text(json.dumps(head)[:-1] + f',\n"feature_info":{{\n{table}\n}},\n"rows":{rows}}}\n')


main()
