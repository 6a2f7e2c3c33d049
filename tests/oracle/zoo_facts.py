"""Writes the `zoo:` section of registry pages: what pages leave out, each fact with where it is from.

    python tests/oracle/zoo_facts.py FACTS.csv registry/models/*.yaml

FACTS.csv has a row for each model of the index (`tests/golden/registry/facts.csv` is the committed copy):
`arch`, `classifier`, `first_conv` of timm 1.0.31; `w_*`, facts of the weights that the page names; `today*`, what
timm 1.0.31 makes of the name, which is no evidence about the page. An existing `zoo:` section is replaced; the
rest of a page is copied byte for byte. Pages are in the form that `zoo import` writes.
"""

import csv
import sys


def section(row):
    """The lines of one model's `zoo:` mapping, keys in the order of the documentation."""
    facts, evidence = [], []

    def fact(key, value, source):
        if value:
            facts.append(f"{key}: {value}")
            evidence.append(f"{key}: {source}")

    where = row["w_source"].replace("\u2019", "'")
    where = where if ":" not in where else f'"{where}"'
    timm = f"timm {row['arch_in']}"
    triple = lambda text: "[" + ", ".join(text.split()) + "]"
    fact("arch", row["arch"] or row["name"], timm)
    fact("mean", triple(row["w_mean"]), where)
    fact("std", triple(row["w_std"]), where)
    fact("classifier", row["classifier"], timm)
    fact("first_conv", row["first_conv"], timm)
    fact("params", row["w_params"], where)
    fact("names", "timm 0.4.12" if row["w_names"] == "differ" else "timm", "state dicts of timm 0.4.12 and 1.0.31")
    fact("licence", row["w_licence"], "timm 1.0.31, file of the same hash")
    same = row["w_tag"] and row["today_hf"] == "timm/" + row["w_tag"]
    fact("hf_id", row["today_hf"] if same else "", "timm 1.0.31, file of the same hash")
    fact("tag", row["w_tag"], "timm 1.0.31, file of the same hash")
    size = row["w_input"].split("x")[-1]
    config = f"{{image_size: {size}, crop_pct: {row['w_crop_pct']}, interpolation: {row['w_interpolation']}}}"
    fact("config", config, where)
    if row["today"]:
        today = [f"name: {row['today']}"]
        today += [f"url: {row['today_url']}"] if row["today_url"] else []
        fact("today", "{" + ", ".join(today) + "}", "timm 1.0.31")
    return ["  zoo:"] + [f"    {f}" for f in facts] + ["    evidence:"] + [f"      {e}" for e in evidence]


def rewrite(text, rows):
    """The page with every model's section put last in its mapping."""
    out, row, skipping = [], None, False

    def close():
        if row is not None:
            out.extend(section(row))

    for line in text.splitlines():
        top = not line.startswith((" ", "-"))
        if line.startswith("- Name: ") or top:
            close()
            name = line.removeprefix("- Name: ").strip("'\"")
            row, skipping = (None if top else rows.get(name)), False
        elif line.startswith("  ") and not line.startswith("   ") and not line.startswith("  -"):
            skipping = line == "  zoo:" and row is not None
        if not skipping:
            out.append(line)
    close()
    return "\n".join(out) + "\n"


def main(facts, *pages):
    with open(facts, newline="", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    for page in pages:
        with open(page, encoding="utf-8") as file:
            text = rewrite(file.read(), rows)
        with open(page, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
