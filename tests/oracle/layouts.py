"""Puts six drawn pictures, named as ImageNet's validation images are, into each layout that people have them in.

Out, in tests/golden/layouts: the official tar and a devkit whose `meta.mat` scipy wrote as MATLAB would
(compressed and not), Hugging Face parquet by pyarrow (two files, row groups of two, and a training file that must
be left alone), WebDataset shards (`.cls` and `.json`), a CSV, and golden.json: what they all must give.

Run with: python tests/oracle/layouts.py   (timm 1.0.31, Pillow, scipy, pyarrow)
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import PIL
import pyarrow
import pyarrow.parquet
import scipy
import scipy.io
import timm
from PIL import Image
from timm.data import ImageNetInfo

OUT = Path(__file__).resolve().parent.parent / "golden" / "layouts"
SYNSETS = ImageNetInfo().label_names()
LABELS = [65, 970, 230, 809, 516, 0]


def digest(data):
    return hashlib.sha256(bytes(data)).hexdigest()


def picture(seed):
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (5, 4 + seed, 3), dtype=np.uint8)).save(out, "JPEG", quality=60)
    return out.getvalue()


def tar(path, files, mode="w", **options):
    with tarfile.open(path, mode, **options) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def meta(compressed):
    """Leaves with ILSVRC's own numbers, which are no positions among the sorted synsets, and two inner nodes."""
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O"), ("wordnet_height", "O")]
    rows = [(number, SYNSETS[label], "a thing", 0, 3) for number, label in zip((490, 7, 300, 1000, 1, 42), LABELS)]
    rows += [(1001, "n00001740", "entity", 2, 9), (1002, "n00002684", "object", 400, 8)]
    # MATLAB keeps a double in whichever type it fits: every one that a number may come in.
    kinds = [np.float64, np.uint16, np.int16, np.int64, np.uint8, np.float32, np.uint32, np.int32]
    synsets = np.array(
        [
            tuple(v if isinstance(v, str) else np.array([[v]], dtype=number) for v in row)
            for row, number in zip(rows, kinds)
        ],
        dtype=kind,
    )
    out = io.BytesIO()
    scipy.io.savemat(out, {"other": np.arange(5), "synsets": synsets.reshape(-1, 1)}, do_compression=compressed)
    return out.getvalue()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    names = [f"ILSVRC2012_val_{i:08}.JPEG" for i in range(1, 7)]
    data = [picture(i) for i in range(6)]
    (OUT / "meta.mat").write_bytes(meta(False))
    (OUT / "meta-compressed.mat").write_bytes(meta(True))
    truth = b"490\n7\n300\n1000\n1\n42\n"
    (OUT / "ground-truth.txt").write_bytes(truth)
    kit = "ILSVRC2012_devkit_t12"
    tar(
        OUT / f"{kit}.tar.gz",
        [
            (f"{kit}/readme.txt", b"not read"),
            (f"{kit}/data/ILSVRC2012_validation_ground_truth.txt", truth),
            (f"{kit}/data/meta.mat", meta(True)),
        ],
        "w:gz",
    )
    tar(OUT / "ILSVRC2012_img_val.tar", zip(names, data), format=tarfile.GNU_FORMAT)

    def table(rows):
        images = [{"bytes": data[i], "path": names[i]} for i in rows]
        labels = pyarrow.array([LABELS[i] for i in rows], pyarrow.int64())
        kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        return pyarrow.table({"image": pyarrow.array(images, kind), "label": labels})

    for name, rows in [
        ("validation-00000-of-00002", [3, 0, 1, 2]),
        ("validation-00001-of-00002", [5, 4]),
        ("train-00000-of-00001", [0]),
    ]:
        pyarrow.parquet.write_table(table(rows), OUT / f"{name}.parquet", row_group_size=2, compression="snappy")

    stems = [n.removesuffix(".JPEG") for n in names]
    cls = [(f"{s}.{e}", v) for i, s in enumerate(stems[:3]) for e, v in (("jpg", data[i]), ("cls", str(LABELS[i]).encode()))]
    jsons = []
    for i in (3, 4, 5):
        jsons += [(f"val/{stems[i]}.json", json.dumps({"label": LABELS[i]}).encode()), (f"val/{stems[i]}.jpg", data[i])]
    tar(OUT / "shard-000000.tar", cls)
    tar(OUT / "shard-000001.tar", jsons, format=tarfile.PAX_FORMAT)
    folders = [(f"./{SYNSETS[label]}/{name}", d) for label, name, d in zip(LABELS, names, data)]
    tar(OUT / "folders.tar", folders)

    golden = {
        "script": "tests/oracle/layouts.py",
        "script_sha256": digest(Path(__file__).read_bytes()),
        "versions": {
            "pillow": PIL.__version__,
            "timm": timm.__version__,
            "scipy": scipy.__version__,
            "pyarrow": pyarrow.__version__,
        },
        "images": [
            {"name": n, "label": label, "synset": SYNSETS[label], "sha256": digest(d)}
            for n, label, d in zip(names, LABELS, data)
        ],
    }
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(sum(f.stat().st_size for f in OUT.iterdir()), "bytes")


main()
