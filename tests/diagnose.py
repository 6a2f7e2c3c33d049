#!/usr/bin/env python3
"""diagnose.py ZOO DIR [MODEL...]: every planted mistake is named, and none where there is none (tests/oracle/faults.py).

Needs nothing but Python's standard library. Exits 1 when a case is wrong.
"""
import json
import pathlib
import subprocess
import sys
import tempfile


def found(zoo, folder, model, data, seed):
    with tempfile.TemporaryDirectory() as scratch:
        report = pathlib.Path(scratch) / "r.json"
        command = [zoo, "verify", model, "--registry", folder / "pages.yaml", "--dataset", "imagenet-val", "--data-dir",
                   folder / data, "--seed", str(seed), "--diagnose", "--report", report, "--progress", "none"]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode > 1:
            sys.exit(f"exit {ran.returncode}: {ran.stderr}")
        (diagnosis,) = json.loads(report.read_text())["diagnoses"]
        return diagnosis


def main(zoo, folder, *only):
    folder = pathlib.Path(folder).resolve()
    wrong = 0
    for case in json.loads((folder / "faults.json").read_text()):
        models = case["model"] if isinstance(case["model"], list) else [case["model"]]
        if only and not set(only) & set(models):
            continue
        diagnoses = [found(zoo, folder, m, case["data"], case["seed"]) for m in models]
        names = [(d["finding"] or {"hypothesis": None})["hypothesis"] for d in diagnoses]
        # Of two files one is in order.
        right = sorted(map(str, names)) == sorted(["None"] * (len(names) - 1) + [str(case["finds"])])
        wrong += not right
        evidence = [d["finding"]["evidence"] for d in diagnoses if d["finding"]]
        print(f"{'ok   ' if right else 'WRONG'} {'/'.join(models)} on {case['data']}, seed {case['seed']}: {names}; {evidence}")
        if not right:
            for diagnosis in diagnoses:
                for tried in diagnosis["tried"]:
                    print(f"      {tried}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
