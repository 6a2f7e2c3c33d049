"""Which images timm's networks take, and what becomes of them: the sizes that people run, odd ones and oblong ones among them.

Writes tests/golden/sizes.json: for one architecture of each kind and each `[height, width]`, the shape of timm's last feature
map, or null where timm refuses. On the meta device: shapes only, no weights. Needs timm 1.0.31 and torch; some ten minutes.

    python tests/oracle/sizes.py
"""

import hashlib
import json
import pathlib

import timm
import torch

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "sizes.json"
SIZES = [[160, 160], [192, 192], [224, 224], [240, 240], [256, 256], [288, 288], [299, 299], [320, 320], [331, 331], [352, 352],
         [384, 384], [448, 448], [512, 512], [161, 161], [225, 225], [301, 301], [511, 511], [160, 224], [225, 161], [300, 500],
         [375, 499], [163, 509], [64, 96], [33, 32], [32, 32], [75, 75], [17, 23], [8, 8]]
ARCHS = ["cspdarknet53", "cspresnext50", "densenet121", "densenetblur121d", "dla34", "dla60_res2net", "dpn68", "dpn92",
         "ecaresnetlight", "efficientnet_b0", "ese_vovnet19b_dw", "ese_vovnet39b", "fbnetc_100", "hrnet_w18_small",
         "inception_resnet_v2", "inception_v3", "inception_v4", "legacy_senet154", "legacy_seresnet18", "legacy_xception",
         "mixnet_s", "mobilenetv3_large_100", "nasnetalarge", "pnasnet5large", "regnetx_002", "regnety_002",
         "res2net50_26w_4s", "resnest14d", "resnest50d_1s4x24d", "resnest50d_4s2x40d", "resnet18", "resnet26d", "resnet50",
         "resnetblur50", "resnetv2_50x1_bit", "rexnet_100", "selecsls42b", "seresnext26t_32x4d", "skresnet18",
         "skresnext50_32x4d", "tf_efficientnet_b0", "tf_efficientnet_cc_b0_4e", "tf_efficientnet_es", "tf_mixnet_m",
         "tf_mobilenetv3_small_100", "tresnet_m", "xception41"]


def main():
    rows, refused = {}, set()
    for arch in ARCHS:
        with torch.device("meta"):
            model = timm.create_model(arch).eval()
        shapes = []
        for h, w in SIZES:
            with torch.inference_mode():
                try:
                    x = model.forward_features(torch.empty(1, 3, h, w, device="meta"))
                    model.forward_head(x)
                    shapes.append(list(x.shape[1:]))
                except (RuntimeError, AssertionError, ValueError) as error:
                    refused.add(str(error).splitlines()[0][:70])
                    shapes.append(None)
        rows[arch] = shapes
        print(arch, sum(s is None for s in shapes), flush=True)
    golden = {
        "script": "tests/oracle/sizes.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torch": torch.__version__},
        "sizes": SIZES,
    }
    text = json.dumps(golden, indent=1)[:-2] + ',\n "architectures": {\n'
    text += ",\n".join(f"{json.dumps(a)}: {json.dumps(s, separators=(',', ':'))}" for a, s in rows.items())
    OUT.write_text(text + "\n}\n}\n")
    print(*sorted(refused), sep="\n")


main()
