"""Evaluations as huggingface_hub writes and reads them, and what it refuses.

Writes tests/golden/eval_results.json: `files`, each with the text of a `.eval_results/*.yaml` and the entries that
`parse_eval_result_entries` makes of it, or null where it raises an error. Needs huggingface_hub 2.4 and PyYAML.

    python tests/oracle/eval_results.py
"""

import dataclasses
import hashlib
import importlib.metadata
import itertools
import json
import pathlib

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "eval_results.json"

REVISION = "5503434ddd753f426f4b38109466949a1217c2bb"
URL = "https://huggingface.co/spaces/org/name"
OPTIONS = {
    "dataset_revision": REVISION, "verify_token": "eyJhbGciOiJIUzI1NiJ9.e30.x", "date": "2025-01-15T10:30:00Z", "source_url": URL,
    "source_name": "Eval: logs & more", "source_user": "someone", "source_org": "org", "notes": "tools,\nwith 'quotes' and # signs",
}


def written():
    for value in [20.9, 0.412, 78, 1e-5, 100.0, "n/a", None, True]:
        yield [EvalResultEntry(dataset_id="ILSVRC/imagenet-1k", task_id="default", value=value)]
    for count in [1, 2, len(OPTIONS)]:
        for keys in itertools.combinations(OPTIONS, count):
            given = {key: OPTIONS[key] for key in keys}
            if "source_url" in given or not any(key.startswith("source_") for key in given):
                yield [EvalResultEntry(dataset_id="cais/hle", task_id="gpqa_diamond", value=0.5, **given)]
    yield [EvalResultEntry("ILSVRC/imagenet-1k", "default", 78.66), EvalResultEntry("cais/hle", "default", 20.9, date="2025-01-15")]
    yield []


def texts():
    for entries in written():
        data = eval_result_entries_to_yaml(entries)
        yield yaml.dump(data)
        yield yaml.safe_dump(data, sort_keys=False, default_flow_style=True, allow_unicode=True)
    # As people write them, and what the library refuses.
    entry = "- dataset:\n    id: cais/hle\n    task_id: default\n"
    yield "# a note\n" + entry + "  value: 20.90\n  date: 2025-01-15\n  source: {url: https://x.org/e}\n"
    yield entry + "  value: 20.90\n  date: \"2025-01-15T10:30:00Z\"\n  extra: kept\n"
    yield entry + "  value: 20.90\n  source:\n    url: https://x.org/e\n    user: someone\n"
    yield entry + "  value: 20.90\n  source:\n"
    yield entry + "  value: 20.90\n" + entry + "  value: 21\n"
    yield entry
    yield "- dataset: {id: cais/hle}\n  value: 1\n"
    yield "- dataset: {task_id: default}\n  value: 1\n"
    yield "- value: 1\n"
    yield "- dataset: {}\n  value: 1\n"
    yield "- dataset: cais/hle\n  value: 1\n"
    yield entry + "  value: 20.90\n  source: {name: logs}\n"
    yield entry + "  value: 20.90\n  source: {user: someone}\n"
    yield entry + "  value: 20.90\n  source: {org: org}\n"
    yield entry + "  value: 20.90\n  source: https://x.org/e\n"
    yield "- just a text\n"
    # What the hub's API answers with.
    yield "- filename: .eval_results/a.yaml\n  error: no such task\n- filename: .eval_results/b.yaml\n  data:\n    dataset: {id: cais/hle, task_id: default}\n    value: 3\n"


def parsed(text):
    try:
        return [dataclasses.asdict(entry) for entry in parse_eval_result_entries(yaml.safe_load(text))]
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


files = [{"text": text, "entries": parsed(text)} for text in texts()]
golden = {
    "script": "tests/oracle/eval_results.py",
    "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
    "huggingface_hub": importlib.metadata.version("huggingface_hub"),
    "files": files,
}
OUT.write_text(json.dumps(golden, ensure_ascii=False, indent=1, default=str) + "\n")
print(len(files), "files,", sum(f["entries"] is None for f in files), "refused")
