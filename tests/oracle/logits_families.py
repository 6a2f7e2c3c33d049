"""timm's logits for seeded stand-in weights, for the families that `logits.py` has no rule for: the same recipe, image,
figures and file format, with what these families need besides. Writes tests/golden/logits/ARCH.json.

    python tests/oracle/logits_families.py ARCH[@SIZE[,SIZE...]][:SAMPLE]... [--seed 0]

SIZE defaults to 96 here: (b) needs many passes. A rule of blocks.json may say `within`, the submodule whose last norm it
is, and `unless`, an attribute of blocks without a shortcut.
"""

import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve()
ARGS, sys.argv = sys.argv[1:], sys.argv[:1]
sys.path.insert(0, str(HERE.parent))
import logits  # noqa: E402  (runs its own main, on nothing)


def last_norms(model):
    """Names of the last norms of branches with a shortcut, and the block types they were found by."""
    names, kinds = set(), {}
    for name, module in model.named_modules():
        kind = f"{type(module).__module__}.{type(module).__name__}"
        rule = logits.BLOCKS.get(kind)
        if not rule:
            continue
        kinds[kind] = rule
        if ("shortcut" in rule and not getattr(module, rule["shortcut"])) or (
                "unless" in rule and getattr(module, rule["unless"])):
            continue
        if "within" in rule:
            inside = module.get_submodule(rule["within"]).named_modules()
            last = [n for n, m in inside if isinstance(m, logits.NORMS)][-1]
            names.add(f"{name}.{rule['within']}.{last}")
        else:
            names.add(f"{name}.{rule['last']}")
    return names, kinds


logits.last_norms = last_norms


def main():
    logits.torch.set_num_threads(1)
    args, seed = ARGS, 0
    if "--seed" in args:
        at = args.index("--seed")
        seed = int(args[at + 1])
        del args[at:at + 2]
    for arg in args:
        arg, _, sample = arg.partition(":")
        arch, _, sizes = arg.partition("@")
        sizes = [int(s) for s in sizes.split(",")] if sizes else [96]
        golden = logits.golden(arch, sizes, sample or "40", seed)
        golden["recipe"] = {"script": golden["script"], "script_sha256": golden["script_sha256"]}
        golden["script"] = f"tests/oracle/{HERE.name}"
        golden["script_sha256"] = hashlib.sha256(HERE.read_bytes()).hexdigest()
        (logits.OUT / f"{arch}.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
