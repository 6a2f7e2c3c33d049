"""The same as `logits_families.py` for architectures that timm 0.4.12 has and timm 1.0.31 has not. Needs timm 0.4.12 on
the path in place of today's.

    PYTHONPATH=FOLDER_OF_TIMM_0.4.12 python tests/oracle/logits_old.py gluon_xception65[@SIZE[,SIZE...]][:SAMPLE]
"""

import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve()
ARGS, sys.argv = sys.argv[1:], sys.argv[:1]
sys.path.insert(0, str(HERE.parent))
import logits_families  # noqa: E402  (runs its own main, on nothing)

logits = logits_families.logits
create = logits.timm.create_model


def create_model(name, **kwargs):
    model = create(name, **kwargs)
    model.pretrained_cfg = model.default_cfg  # as today's timm calls it
    return model


logits.timm.create_model = create_model


def main():
    logits.torch.set_num_threads(1)
    for arg in ARGS:
        arg, _, sample = arg.partition(":")
        arch, _, sizes = arg.partition("@")
        sizes = [int(s) for s in sizes.split(",")] if sizes else [96]
        golden = logits.golden(arch, sizes, sample or "40", 0)
        golden["recipe"] = {"script": golden["script"], "script_sha256": golden["script_sha256"]}
        golden["script"] = f"tests/oracle/{HERE.name}"
        golden["script_sha256"] = hashlib.sha256(HERE.read_bytes()).hexdigest()
        (logits.OUT / f"{arch}.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
