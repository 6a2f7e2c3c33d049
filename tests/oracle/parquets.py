"""Writes six drawn pictures, named as ImageNet's validation images are, as parquet in the ways that people have it.

Out, in tests/golden/parquet: tables by Hugging Face's `datasets` (ClassLabels of fewer classes in another order, of
several columns, in lists), by pyarrow (every compression; images as plain, large and dictionary-encoded bytes, inside
structs, as paths; labels as names, floats with gaps, nulls), and golden.json: what they must give.

Run with: python tests/oracle/parquets.py   (timm 1.0.31, Pillow, pyarrow, datasets)
"""

import hashlib
import io
import json
from pathlib import Path

import datasets
import numpy as np
import PIL
import pyarrow
import pyarrow.parquet
import timm
from PIL import Image
from timm.data import ImageNetInfo

OUT = Path(__file__).resolve().parent.parent / "golden" / "parquet"
INFO = ImageNetInfo()
SYNSETS = INFO.label_names()
LABELS = [65, 970, 230, 809, 516, 0]
NAMES = [f"ILSVRC2012_val_{i:08}.JPEG" for i in range(1, 7)]


def digest(data):
    return hashlib.sha256(bytes(data)).hexdigest()


def text(label):
    """The class's synonyms with commas, as Hugging Face's imagenet-1k names it."""
    return INFO.index_to_description(label, detailed=False)


def picture(seed):
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (5, 4 + seed, 3), dtype=np.uint8)).save(out, "JPEG", quality=60)
    return out.getvalue()


DATA = [picture(i) for i in range(6)]
IMAGES = [{"bytes": d, "path": n} for d, n in zip(DATA, NAMES)]
STRUCT = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def by_datasets():
    from datasets import ClassLabel, Features, List, Value
    from datasets import Image as ImageFeature

    few = ClassLabel(names=[text(label) for label in reversed(LABELS)])
    own = [few.str2int(text(label)) for label in LABELS]
    pair = ClassLabel(names=["animal", "thing"])

    def write(name, columns, features):
        table = datasets.Dataset.from_dict({"image": IMAGES, **columns}, features=Features({"image": ImageFeature(), **features}))
        table.to_parquet(OUT / name)

    write("class-label.parquet", {"label": own}, {"label": few})
    write(
        "fine-and-coarse.parquet",
        {"coarse_label": [1, 1, 0, 1, 1, 0], "fine_label": own},
        {"coarse_label": pair, "fine_label": few},
    )
    write("label-list.parquet", {"label": [[n] for n in own]}, {"label": List(few)})
    write("texts.parquet", {"label": [text(n) for n in LABELS]}, {"label": Value("string")})
    write("small-ints.parquet", {"label": LABELS}, {"label": Value("uint16")})


def by_pyarrow():
    def write(name, columns, **options):
        pyarrow.parquet.write_table(pyarrow.table(columns), OUT / name, **options)

    images = pyarrow.array(IMAGES, STRUCT)
    labels = pyarrow.array(LABELS, pyarrow.int64())
    for kind in ("zstd", "gzip", "lz4", "brotli", "snappy", "none"):
        write(f"{kind}.parquet", {"image": images, "label": labels}, compression=kind, row_group_size=4)
    paths = pyarrow.array(NAMES)
    write("plain-bytes.parquet", {"image": pyarrow.array(DATA, pyarrow.binary()), "file_name": paths, "label": labels})
    write(
        "large.parquet",
        {
            "image": pyarrow.array(DATA, pyarrow.large_binary()),
            "path": pyarrow.array(NAMES, pyarrow.large_string()),
            "label": labels,
        },
    )
    write(
        "dictionary.parquet",
        {"image": images, "label": pyarrow.array([SYNSETS[n] for n in LABELS]).dictionary_encode()},
        use_dictionary=True,
    )
    write("no-dictionary.parquet", {"image": images, "label": labels}, use_dictionary=False, data_page_version="2.0")
    nested = pyarrow.array(
        [{"image": i, "json": {"label": n}} for i, n in zip(IMAGES, LABELS)],
        pyarrow.struct([("image", STRUCT), ("json", pyarrow.struct([("label", pyarrow.int32())]))]),
    )
    write("nested.parquet", {"sample": nested})
    only = pyarrow.array([{"bytes": None, "path": n} for n in NAMES], STRUCT)
    write("paths-only.parquet", {"image": only, "label": labels})
    write("path-texts.parquet", {"image": paths, "label": labels})
    keys = pyarrow.array([n.removesuffix(".JPEG") for n in NAMES])
    write("webdataset.parquet", {"__key__": keys, "jpg": images, "cls": labels})
    write("small-pages.parquet", {"image": images, "label": labels}, data_page_size=200, write_batch_size=1, use_dictionary=False)
    # Bad images: no bytes, no label; the others must be as ever.
    holes = pyarrow.array([{"bytes": None, "path": n} if i == 2 else IMAGES[i] for i, n in enumerate(NAMES)], STRUCT)
    write("no-bytes.parquet", {"image": holes, "label": labels})
    write("no-label.parquet", {"image": images, "label": pyarrow.array([None, *LABELS[1:]], pyarrow.int64())})
    floats = pyarrow.array([float("nan"), *map(float, LABELS[1:])], pyarrow.float64(), from_pandas=False)
    write("floats.parquet", {"image": images, "label": floats})
    write("test-split.parquet", {"image": images, "label": pyarrow.array([-1] * 6, pyarrow.int64())})
    write("no-label-column.parquet", {"image": images, "caption": paths})


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    by_datasets()
    by_pyarrow()
    golden = {
        "script": "tests/oracle/parquets.py",
        "script_sha256": digest(Path(__file__).read_bytes()),
        "versions": {
            "pillow": PIL.__version__,
            "timm": timm.__version__,
            "pyarrow": pyarrow.__version__,
            "datasets": datasets.__version__,
        },
        "images": [
            {"name": n, "label": label, "synset": SYNSETS[label], "text": text(label), "sha256": digest(d)}
            for n, label, d in zip(NAMES, LABELS, DATA)
        ],
    }
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    print(sum(f.stat().st_size for f in OUT.iterdir()), "bytes in", len(list(OUT.iterdir())), "files")


main()
