#!/usr/bin/env python3
"""compare_report.py REPORT.json GOLDEN.json: zoo's report of the main job against what timm computed.

Exits 1 and lists every difference. Needs nothing but Python's standard library.
"""
import json
import pathlib
import sys

# float32 summed in another order moves a probability by some 1e-6; a wrong pixel moves it far more.
PROB_TOLERANCE = 1e-4
# What the statistics of 18 correct of 20 against a claim of 75.1 % must be.
EXPECTED = {
    "n": 20,
    "top1_correct": 18,
    "top5_correct": 19,
    "verdict": "consistent",
    "interval": [68.301729, 98.765147],
    "detectable_drop": 36.62,
    "images_to_decide": 39,
}


def main(report_path, golden_path):
    (result,) = json.loads(pathlib.Path(report_path).read_text())["results"]
    golden = json.loads(pathlib.Path(golden_path).read_text())
    # The drop is stated with two decimals, the report has six.
    found = {**result, "detectable_drop": round(result["detectable_drop"], 2)}
    wrong = [f"{key}: {found[key]}, expected {value}" for key, value in EXPECTED.items() if found[key] != value]
    wrong += [f"{key}: {golden[key]} in the golden file, expected {EXPECTED[key]}" for key in ("n", "top1_correct", "top5_correct") if golden[key] != EXPECTED[key]]
    rows = {row[0].rsplit("/", 1)[-1]: row for row in result["per_image"]}
    for image in golden["images"]:
        stem = image["file"].rsplit(".", 1)[0]
        row = rows.pop(stem, None)
        if row is None:
            wrong.append(f"{stem}: not in the report")
            continue
        _, labels, classes, probs, status = row
        if labels not in (image["label"], [image["label"]]):
            wrong.append(f"{stem}: labels {labels}, expected {image['label']}")
        if classes != image["top5"]:
            wrong.append(f"{stem}: top-5 {classes}, timm's are {image['top5']}")
        off = max(abs(a - b) for a, b in zip(probs, image["prob5"], strict=True))
        if off > PROB_TOLERANCE:
            wrong.append(f"{stem}: a probability is off by {off:.2e}")
        if status != "ok":
            wrong.append(f"{stem}: status {status}")
    wrong += [f"{stem}: not in the golden file" for stem in rows]
    print("\n".join(wrong) or f"main job: {len(golden['images'])} images, every top-5 equal to timm's")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
