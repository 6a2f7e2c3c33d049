"""The digits in the file names that OpenMMLab's libraries publish, by the rule of their own publishing scripts.

`tools/model_converters/publish_model.py` names a file `NAME-HASH8.pth` or `NAME_DATE-HASH8.pth`, mmpose's
`NAME-HASH8_DATE.pth`, in the first eight hex digits of the file's SHA-256. Takes folders of unpacked wheels
(`pip download --no-deps mmpose`, then `python -m zipfile -e`), reads every address of a weights file in their
metafiles, and writes tests/golden/file_names.json: of each library and shape of name the first two.

    python tests/oracle/file_names.py WHEELS
"""

import collections
import datetime
import hashlib
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "file_names.json"
ADDRESS = re.compile(r"https?://[^\s\"'<>)\]]+?/([^\s/\"'<>)\]]+\.(?:pth\.tar|pth|pt|npz|safetensors|pkl|bin|ckpt))\b")
PUBLISHED = re.compile(r"[-_]([0-9a-f]{8,9})(?:[-_](\d{8}))?$")


def is_date(text):
    try:
        return 1970 <= datetime.datetime.strptime(text, "%Y%m%d").year < 2100
    except ValueError:
        return False


def digits(name):
    stem = re.sub(r"(\.(pth|tar|pt|npz|safetensors|pkl|bin|ckpt))+$", "", name)
    found = PUBLISHED.search(stem)
    if found and found[2] and not is_date(found[2]):
        found = re.search(r"[-_]([0-9a-f]{8,9})$", stem)
    return None if not found or is_date(found[1]) else found[1]


def shape(name):
    word = lambda m: "D" if is_date(m[0]) else f"H{len(m[0])}" if len(m[0]) < 12 else "~"
    words = re.split(r"([-_.])", re.sub(r"(?<![0-9a-z])[0-9a-f]{6,}(?![0-9a-z])", word, name))
    return "".join(w if re.fullmatch(r"[-_.]|D|H\d+|pth|tar|pt|npz|pkl", w) else "~" for w in words)[-16:]


def main():
    kept, read = {}, 0
    for library in sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir()):
        shapes = collections.defaultdict(list)
        names = set()
        for file in library.rglob("*.yml"):
            names.update(ADDRESS.findall(file.read_text(errors="replace")))
        read += len(names)
        for name in sorted(names):
            shapes[shape(name)].append(name)
        for some in shapes.values():
            kept.update((name, digits(name)) for name in some[:2])
    golden = {
        "script": "tests/oracle/file_names.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "read": read,
        "names": dict(sorted(kept.items())),
    }
    OUT.write_text(json.dumps(golden, indent=0) + "\n")
    print(f"{OUT}: {len(kept)} of {read} names")


if __name__ == "__main__":
    main()
