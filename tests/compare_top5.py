#!/usr/bin/env python3
"""compare_top5.py REPORT.json TIMM.json KEY: each image's top-5 and the counts, zoo's against timm's.

Images whose six best logits lie nearer to each other than float32 can tell are listed, not counted as different.
Exits 1 when anything else differs. Needs nothing but Python's standard library.
"""
import json
import pathlib
import sys

# In standard deviations of the logits: the bound that zoo's logits are held to, on both sides.
NEAR_TIE = 2e-4


def main(report_path, timm_path, key):
    (result,) = json.loads(pathlib.Path(report_path).read_text())["results"]
    theirs = json.loads(pathlib.Path(timm_path).read_text())[key]
    rows = {row[0]: row for row in result["per_image"]}
    wrong, ties = [], []
    for image, expected in theirs.items():
        row = rows.pop(image, None)
        if row is None:
            wrong.append(f"{image}: not in the report")
        elif row[2] != expected["top5"]:
            where = ties if expected["closest"] < NEAR_TIE else wrong
            where.append(f"{image}: {row[2]}, timm's are {expected['top5']} ({expected['closest']} sigma apart)")
    wrong += [f"{image}: not among timm's" for image in rows]
    counts = [sum(i["label"] in i["top5"][:k] for i in theirs.values()) for k in (1, 5)]
    if not ties and [result["top1_correct"], result["top5_correct"]] != counts:
        wrong.append(f"counts {result['top1_correct']}, {result['top5_correct']}; timm's are {counts}")
    print("\n".join(wrong + [f"near tie: {t}" for t in ties]))
    print(f"{key}: {len(theirs)} images, {len(wrong)} differ, {len(ties)} near ties; right {counts[0]}, within five {counts[1]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
