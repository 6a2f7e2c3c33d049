"""What PyPI's `model-index` makes of files written for each rule of the format.

Writes tests/golden/model_index.json: for each case the files, the path that is loaded, and every model and
collection as that reader has them (`own`, and `full` with what its collections add). Needs `model-index`.

    python tests/oracle/model_index.py
"""

import hashlib
import importlib.metadata
import json
import pathlib
import tempfile

import modelindex
from modelindex.models.BaseModelIndex import BaseModelIndex
from modelindex.models.Model import Model
from modelindex.models.ModelIndex import ModelIndex
from modelindex.models.ModelList import ModelList

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "model_index.json"

RESULT = "{Task: Image Classification, Dataset: ImageNet, Metrics: {Top 1 Accuracy: 78.66%, Top 5 Accuracy: 94.37}}"
MODEL = "- Name: a\n  In Collection: C\n  Metadata: {FLOPs: 488, Parameters: 24.3M}\n"

CASES = {
    "a folder with model-index.yml": ("", {"model-index.yml": "Models:\n" + MODEL}),
    "a folder with model-index.yaml": ("", {"model-index.yaml": "Models:\n" + MODEL}),
    "model-index.yml before model-index.yaml": (
        "",
        {"model-index.yml": "Models: [{Name: yml, Code: x}]", "model-index.yaml": "Models: [{Name: yaml, Code: x}]"},
    ),
    "a json root": ("i.json", {"i.json": '{"Models": [{"Name": "a", "Metadata": {"FLOPs": 3.5e9, "x": [1, null]}}]}'}),
    "a single model as the root": ("m.yml", {"m.yml": "Name: a\nWeights: https://x.org/w.pth\nResults: [%s]" % RESULT}),
    "a list of models as the root": ("m.yml", {"m.yml": "- {Name: a, Code: c}\n- {Name: b, Paper: https://x.org/p}\n"}),
    "one model where a list may be": ("i.yml", {"i.yml": "Models: {Name: a, Code: c}\nCollections: {Name: C}"}),
    "fields in any case and with underscores": (
        "i.yml",
        {
            "i.yml": "MODELS:\n- NAME: a\n  in_collection: C\n  METADATA: {flops: 1, PARAMETERS: 2, batch_size: 3,"
            " training_data: [x], Training_Techniques: y, training resources: z, ARCHITECTURE: [r], epochs: 4}\n"
            "  results: [{TASK: t, dataset: d, Metrics: {m: 1}}]\n  weights: w\n  ReadMe: text\n  IMAGE: http://x.org/i\n"
            "  config: c\n  code: d\n  paper: e\nCOLLECTIONS: [{name: C, metadata: {epochs: 9, custom key: 1}}]\n"
        },
    ),
    "custom fields": ("i.yml", {"i.yml": "Models: [{Name: a, My Field: [1, {x: y}], Metadata: {File Size: 3, ID: a}}]"}),
    "paper as a mapping": ("i.yml", {"i.yml": "Models: [{Name: a, Paper: {Title: T, URL: https://x.org}}]"}),
    "several weights": ("i.yml", {"i.yml": "Models: [{Name: a, Weights: [https://x.org/1, https://x.org/2]}]"}),
    "nulls": ("i.yml", {"i.yml": "Models: [{Name: a, Paper: null, Code: ~, Weights: , Metadata: {FLOPs: null, x: 1}}]"}),
    "counts and percents as people write them": (
        "i.yml",
        {"i.yml": "Models: [{Name: a, Metadata: {FLOPs: 33G, Parameters: 24.3M}, Results: [%s]}]" % RESULT},
    ),
    "scalars of every style": (
        "i.yml",
        {
            "i.yml": "Models:\n- Name: a\n  Code: 'it''s'\n  Config: \"a\\tb \\u00e9\"\n  Image: http://x.org/#f\n"
            "  README: |\n    two\n    lines\n  Paper: >\n    one\n    line\n  Weights: plain # comment\n"
            "  Metadata: {a: 1.0e-05, b: 1e-5, c: '0.875', d: 0x1F, e: yes, f: 'yes', g: 1_000, h: .inf, i: -3}\n"
        },
    ),
    "anchors, aliases and merge keys": (
        "i.yml",
        {"i.yml": "x: &m {FLOPs: 1, Epochs: 2}\nModels: [{Name: a, Metadata: {<<: *m, Epochs: 3}}, {Name: b, Metadata: *m}]"},
    ),
    "of two equal keys the last": ("i.yml", {"i.yml": "Models: [{Name: a, Code: 1, Code: 2}]"}),
    "two models of one name": ("i.yml", {"i.yml": "Models: [{Name: a, Code: 1}, {Name: a, Code: 2}]"}),
    "metadata as a list of mappings": ("i.yml", {"i.yml": "Models: [{Name: a, Metadata: [{flops: 1}, {Epochs: 2}]}]"}),
    "metadata within metadata": ("i.yml", {"i.yml": "Models: [{Name: a, Metadata: {Metadata: {flops: 1}}}]"}),
    "metadata in a file": (
        "i.yml",
        {"i.yml": "Models: [{Name: a, Metadata: sub/m.json}]", "sub/m.json": '{"flops": 7, "Training Data": ["x"]}'},
    ),
    "results in a file": (
        "i.yml",
        {"i.yml": "Models: [{Name: a, Results: r.yml}, {Name: b, Results: k.yml}]", "r.yml": "- %s" % RESULT,
         "k.yml": "results: [%s, %s]" % (RESULT, RESULT)},
    ),
    "results in several files": (
        "i.yml",
        {"i.yml": "Models: [{Name: a, Results: 'r/*.yml'}]",
         "r/2.yml": "- {Task: t, Dataset: second, Metrics: {m: 1}}", "r/1.yml": "- {Task: t, Dataset: first, Metrics: {m: 1}}"},
    ),
    "a list of result files": (
        "i.yml",
        {"i.yml": "Models: [{Name: a, Results: [one.yml, wrapped.yml, {Task: t, Dataset: d, Metrics: {m: 1}}]}]",
         "one.yml": RESULT, "wrapped.yml": "Result: %s" % RESULT},
    ),
    "one result where a list may be": ("i.yml", {"i.yml": "Models: [{Name: a, Results: %s}]" % RESULT}),
    "task and dataset as mappings, metrics as a list": (
        "i.yml",
        {"i.yml": "Models: [{Name: a, Results: [{task: {type: t, name: T}, dataset: {Name: D}, "
                  "metrics: [{name: m, value: 1}, {Name: n, Value: 2%}]}]}]"},
    ),
    "models in a file": ("i.yml", {"i.yml": "Models: sub/m.yml", "sub/m.yml": "- {Name: a, Code: c}\n- {Name: b, Code: c}"}),
    "models in a file under their key": ("i.yml", {"i.yml": "Models: m.yml", "m.yml": "models: [{Name: a, Code: c}]"}),
    "models in several files": (
        "i.yml",
        {"i.yml": "Models: 'm/*.yml'", "m/b.yml": "[{Name: b, Code: c}]", "m/a.yml": "[{Name: a, Code: c}]",
         "m/.hidden.yml": "[{Name: hidden, Code: c}]", "m/c.yaml": "[{Name: other, Code: c}]"},
    ),
    "a list of model files": (
        "i.yml",
        {"i.yml": "Models: [one.yml, 'w?.yml', many.yml, {Name: d, Code: c}]", "one.yml": "{Name: a, Code: c}",
         "w1.yml": "Model: {Name: b, Code: c}", "w10.yml": "{Name: no, Code: c}", "many.yml": "Models: [{Name: e, Code: c}]"},
    ),
    "collections in files": (
        "i.yml",
        {"i.yml": "Collections: [c.yml, w.yml, m.yml]\nModels: [{Name: a, In Collection: D, Code: c}]", "c.yml": "Name: C",
         "w.yml": "Collection: {Name: D, Metadata: {x: 1}}", "m.yml": "Collections: [{Name: E}]"},
    ),
    "collections in one file": ("i.yml", {"i.yml": "Collections: c.yml", "c.yml": "[{Name: C}, {Name: D}]"}),
    "imports": (
        "",
        {
            "model-index.yml": "Import:\n- configs/*/metafile.yml\n- docs/*.md\n- more.json\nModels: [{Name: first, Code: c}]\n",
            "configs/b/metafile.yml": "Models: [{Name: b, In Collection: B, Code: c}]\nCollections: [{Name: B, Paper: p}]",
            "configs/a/metafile.yml": "Import: [../shared.yml]\nModels: [{Name: a, In Collection: B, Results: r.yml}]",
            "configs/a/r.yml": "[%s]" % RESULT,
            "configs/shared.yml": "Collections: [{Name: S}]\nLibrary: {Name: L, docs: https://x.org}",
            "docs/m.md": "# M\n\n<!--\nType: model-index\nModels:\n- Name: md\n  Code: c\n-->\n",
            "docs/none.md": "# nothing here\n",
            "more.json": '{"Models": [{"Name": "json", "Code": "c"}]}',
        },
    ),
    "comments of a page are joined": (
        "p.md",
        {"p.md": "# P\n\n<!-- a note: with a colon -->\n\n<!--\nModels:\n- {Name: a, Code: c}\n-->\n\ntext\n\n<!--\n"
                 "type: Model-Index\nModels:\n- {Name: b, Code: c}\nCollections:\n- Name: C\n-->\n\n    <!--\n    Models: [{Name: no}]\n    -->\n"},
    ),
    "front matter": (
        "p.md",
        {"p.md": "---\nlicense: mit\nmodel-index:\n- name: a\n  results:\n  - task: {type: image-classification, name: IC}\n"
                 "    dataset: {name: ImageNet, type: imagenet-1k}\n    metrics:\n    - {name: Top 1, type: accuracy, value: 78.66}\n"
                 "---\n# Card\n"},
    ),
    "a page as a model": ("i.yml", {"i.yml": "Models: [docs/a.md]", "docs/a.md": "<!--\nName: a\nCode: c\n-->\n\n# A\n"}),
    "a page as the root model": ("a.md", {"a.md": "# A\n\n<!--\nName: a\nCode: c\n-->\n"}),
    "inheritance": (
        "i.yml",
        {
            "i.yml": "Collections:\n- Name: C\n  Paper: P\n  Code: shared\n  Custom: kept\n  Metadata: {Training Data: [x], Epochs: 1,"
            " Architecture: [r], Training Techniques: one, only here: 5}\n  Results: [{Task: t, Dataset: c, Metrics: {m: 1}}]\n"
            "- Name: Bare\n"
            "Models:\n- Name: a\n  In Collection: C\n  Code: own\n  Metadata: {Training Data: [y], Epochs: 2, Architecture: s,"
            " Training Techniques: [two], new: 3}\n  Results: [{Task: t, Dataset: a, Metrics: {m: 2}}]\n"
            "- {Name: nothing of its own, In Collection: C}\n"
            "- {Name: from a bare one, In Collection: Bare, Metadata: {FLOPs: 1}, Results: [%s]}\n"
            "- {Name: without, Metadata: {FLOPs: 1}}\n" % RESULT
        },
    ),
    "of two collections of one name the last": (
        "i.yml",
        {"i.yml": "Collections: [{Name: C, Code: 1}, {Name: C, Code: 2}]\nModels: [{Name: a, In Collection: C}]"},
    ),
    "a collection that is not there": ("i.yml", {"i.yml": "Models: [{Name: a, In Collection: Nowhere, Code: c}]"}),
    "a file that is not there": ("i.yml", {"i.yml": "Import: [gone.yml]\nModels: [{Name: a, Metadata: m.yml, Results: r.yml}]"}),
    "a readme that is not there": ("i.yml", {"i.yml": "Models: [{Name: a, README: docs/gone.md, Image: gone.png}]"}),
    "a library in a file": ("i.yml", {"i.yml": "Library: l.yml\nModels: [{Name: a, Code: c}]", "l.yml": "Name: L\nRepository: r"}),
}


def plain(value):
    if isinstance(value, BaseModelIndex):
        return plain(value.data)
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return value


def record(model):
    return {"own": plain(model), "full": plain(model.full_model)}


def load(root, path):
    loaded = modelindex.load(str(pathlib.Path(root) / path))
    out = {"models": [], "collections": [], "library": None}
    if isinstance(loaded, ModelIndex):
        out["models"] = [record(m) for m in loaded.models]
        out["collections"] = [plain(c) for c in loaded.collections]
        out["library"] = plain(loaded.library)
    elif isinstance(loaded, ModelList):
        out["models"] = [record(m) for m in loaded]
    elif isinstance(loaded, Model):
        out["models"] = [record(loaded)]
    else:
        raise SystemExit(f"{path}: a {type(loaded)}")
    out["problems"] = len(loaded.check(silent=True))
    return out


def main():
    cases = []
    for name, (path, files) in CASES.items():
        with tempfile.TemporaryDirectory() as root:
            for file, text in files.items():
                target = pathlib.Path(root) / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            expected = json.loads(json.dumps(load(root, path)).replace(root + "/", ""))
            cases.append({"case": name, "files": files, "load": path, "expected": expected})
    golden = {
        "script": "tests/oracle/model_index.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"model-index": importlib.metadata.version("model-index"),
                     "PyYAML": importlib.metadata.version("PyYAML"), "Markdown": importlib.metadata.version("Markdown")},
        "cases": cases,
    }
    OUT.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    print(f"{OUT}: {len(cases)} cases")


if __name__ == "__main__":
    main()
