"""What PyYAML's safe loader makes of YAML documents, crafted and mutated, and what the hub's front matter is.

Writes tests/golden/yaml_documents.json: `documents`, each with the text and the value that `yaml.safe_load` gives
(dates, bytes and sets as marked mappings), or that it refuses, or that its other loader (`CSafeLoader`, which is libyaml)
refuses what it takes; `pages`, each with the front matter that
huggingface_hub's own pattern finds. Needs PyYAML and huggingface_hub.

    python tests/oracle/yaml_documents.py
"""

import datetime
import hashlib
import importlib.metadata
import json
import pathlib
import random

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "yaml_documents.json"

SCALARS = """~ null Null NULL nULL true True TRUE tRUE yes Yes YES yEs no on On off OFF y n 0 -0 +0 00 01 010 08 09 0o17 0b101 0b12
0b 0b_ 0x1F 0X1F 0x 0x_1 1_000 _1 1_ -1 +1 -_1 1.5 1. .5 -.5 +.5 1._5 1_0.5 1e5 1e-5 1.0e5 1.0e+5 1.0e-05 1.e+3 .1e+2 1E5 6.02E+23 .inf -.inf
+.inf .Inf .INF .nan .NaN .NAN -.nan 1:30 1:30.5 -1:30 190:20:30 1:60 01:30 0:30 1:2:3:4 1:30: 12e03 685_230.15 685.230_15e+03 1.2.3 1,000 78.66% 24.3M
2020-01-31 2020-1-31 2020-01-31T10:11:12Z 2001-12-14t21:59:43.10-05:00 2001-12-14 = << <<< - -- --- -a ? ?a : :a a:b a: @ ` % %a ! !a & * | > [ ] { } , # a#b
a#b' 'it''s' "a\\tb" "\\x41" "\\u00e9" "\\U0001F600" "\\ud83d\\ude00" "\\ud83d" "\\N\\_\\L\\P\\e\\0" "\\/" "\\a" 'x:y' http://x.org/a?b=c#d C:\\dir é 日本 \u00a0x
99999999999999999999 0.1e1 1__0 0x_ +0x1F -0b11 007 0_7 1e 1.5e+ infinity nan""".split()

CONTEXTS = ["{}", "a: {}", "- {}", "[{}]", "[{}, b]", "{{a: {}}}", "{{{}: b}}", "{}: b", "? {}\n: c", "a: {} # note", "a:\n  {}\nb: c"]

DOCUMENTS = [
    "", "\n", "# only a comment\n", "---\n", "---\n...\n", "--- a\n", "--- |\n a\n b\n", "a\nb\n", "a: 1\n...\n", "%YAML 1.1\n---\na: 1\n",
    "%YAML 1.2\n---\na: 1\n", "%TAG ! tag:x.org,2002:\n---\na: 1\n",
    # continued scalars, at any indentation
    "a:\n  b: 'one\ntwo'\n  c: 3\n", "a:\n  b: \"one\ntwo\n three\"\n", "- 'a\n\n\n  b'\n- c\n", "a: 'x\n\ty'\n", 'a: "x\\\n   y"\n', 'a: "x \\\n  \\  y"\n',
    "a: one\n  two\n  three\nb: c\n", "a: one\n\n  two\n", "a:\n  one\n  two\n", "'a\n b': 1\n", "a: 'b'\n'c': \"d\"\n", "a: \"b\n  c: d\n  \"\n",
    # block scalars
    "a: |\n  x\n   y\n\n  z\n\nb: 1\n", "a: |-\n  x\n\n", "a: |+\n  x\n\n", "a: >\n  x\n  y\n\n  z\n   w\n  v\n", "a: >-\n\n  x\n  y\n\n   z\n", "a: |2\n   x\n  y\n",
    "a: |1-\n  x\n", "a: |\n\n\n  x\n", "a: |\nb: c\n", "a: | # note\n  x # y\n", "a: >+\n\n\nb: 1\n", "a: |0\n  x\n", "- |\n a\n- >\n b\n c\n", "a: |\n\tx\n", "a: >2-\n    x\n  y\n",
    # flow
    "{}", "[]", "[,]", "[a,]", "[a,,b]", "{a, b: c}", "{a: 1, }", "{a:1}", "{a: b:c}", "{'a':1}", '{"a":1,"b":[1,2]}', "[a: b, c: d]", "[a b, c  d]", "[a,\n b,\n c\n]", "a: [\nb,\nc]\n",
    "{a: [b, {c: d}], e: }", "{a: {b: {c: {d: e}}}}", "[? a : b]", "{? a : b, ? c}", "[a, [b, [c]]]", "{a: 'b'c}", "[a#b, c]", "[a #b\n, c]", "{a: b\n  c}", "{\n  a: 1,\n  b: 2\n}\n", "[-1, - 1]", "[a]: b\n",
    "{a: b}: c\n", "[x:, y]", "{x:,y: 1}", "{http://x: y}", "[http://x/y, b]", "{a: http://x?y=1}", "[a?b]", "[a?]", "['a?b', \"c,d\"]", "{ a : b , c : d }", "a: {b: c\n}\n", "a: {\n  b: c\n  }\n", "a: {\nb: c\n}\n", "[\ta]", "{a:\tb}", "[a,\n\tb]",
    # block collections
    "a:\n- b\n- c\nd: e\n", "a:\n  - b\n  - c\n", "- - a\n  - b\n-\n  c\n", "-\n- a\n-\n", "- a: 1\n  b: 2\n- c: 3\n", "- a: 1\n   b: 2\n", "a: 1\n b: 2\n", "  a: 1\n  b: 2\n", "  a: 1\n b: 2\n", "a:\n  b: 1\n c: 2\n", "a:\nb:\n",
    "a: b: c\n", "a: b\n  c: d\n", "a: - b\n", "a:\n-b\n", "-a\n- b\n", "? a\n: b\n? c\n", "? - a\n: - b\n", "? |\n  a\n: b\n", ": a\n", "? \n: 1\n", "a: 1\na: 2\n", "a : 1\n", "a:1\n", "'a':1\n", "\"a\": 1\n", "a:  \n", "~: 1\nnull: 2\n",
    "1: a\n", "1.5: a\n", "true: a\n", "2020-01-01: a\n", "=: 1\n", "a: =\n",
    # white space, comments, line ends
    "a:\t1\n", "-\ta\n", "a: b\tc\n", "a: b\t# d\n", "a: b \t\n", "\ta: 1\n", "a: 1\n\t\nb: 2\n", "a: 1\n \t\nb: 2\n", "a:\n\tb: 1\n", "a:\n  b: 1\n\tc: 2\n", "a: 1#c\n", "a: 1 #c\n", "a: #c\n  1\n", "#c\na: 1\n  #d\nb: 2\n", "a: 'x' #c\n", "a: 'x'#c\n", "a: [b] #c\n",
    "a: 1\r\nb: 2\r\n", "a: 1\rb: 2\r", "a: |\r\n  x\r\n  y\r\n", "a: 'x\r\n  y'\r\n", "\ufeffa: 1\n", "a: \ufeffb\n", "a: \x85b\n", "a: b\u2028 c\n", "a: |\n  x\u2028  y\n", "a: \x07\n", "a: \x7f\n", "a: \x00\n", "a: \ufffe\n", "a: \U0001f600\n", "\u00a0a: 1\n", "a:\u00a0b\n",
    "a: 1", "a: ", "a:", "- ", "-", "a: |", "a: |\n  x", "'a", '"a', "[a", "{a", "{a: b", "a: 'b\n", "a: \"b\\", "a: \"\\q\"", "a: \"\\x4\"", "a: \"\\u12\"", "a: \"\\ud83d\\ude00 \\ud800 x\"\nb: \\ud83d\nc: '\\uD83D\\uDE00'\n", "a: \"\\ue000 \\ud83d\\ude00\"\n", "a: \"\ue000 \\ud83d\\ude00\"\n",
    # anchors, aliases, merge keys
    "a: &x 1\nb: *x\n", "a: &x [1, 2]\nb: *x\n", "a: &x {k: 1}\nb: {<<: *x, l: 2}\n", "a: &x {k: 1}\nb:\n  <<: *x\n  k: 2\n", "a: &x {key: 1}\nb: &y {key: 2, other: 3}\nc: {<<: [*x, *y]}\n", "c: {<<: {k: 1}}\n", "c: {'<<': {k: 1}}\n", "c: {<<: 1}\n",
    "c: {<<: [1]}\n", "c: {<<: {key: 1}, key: 5, more: 6}\n", "a: *x\n", "a: &x\nb: *x\n", "&a a: *a\n", "&m {a: 1}\n", "- &x a\n- &x b\n- *x\n", "a: &x-1_é 1\nb: *x-1_é\n", "*x : 1\n", "- &k key\n- {*k : 1}\n", "a: &x 1\n---\nb: *x\n", "a: & b\n", "a: &x &y b\n", "&x\n- a\n", "a: &x\n  b: 1\nc: *x\n", "<<: {a: 1}\nb: 2\n", "b: 2\n<<: {a: 1, b: 3}\n", "c: {<<: {<<: {key: 1}, other: 2}}\n",
    # tags
    "a: !!str 12\n", "a: !!int '12'\n", "a: !!float 1\n", "a: !!float '1e5'\n", "a: !!bool yes\n", "a: !!bool 'no'\n", "a: !!null ''\n", "a: ! 12\n", "a: ! '12'\n", "a: ! [b]\n", "a: !!seq [b]\n", "a: !!map {b: c}\n", "a: !!set {b, c}\n", "a: !!omap [b: c]\n", "a: !!timestamp 2020-01-01\n", "a: !!binary aGk=\n",
    "a: !foo b\n", "a: !!foo b\n", "a: !!python/object/apply:os.system [ls]\n", "a: !!python/tuple [1]\n", "a: !<tag:yaml.org,2002:str> 1\n", "%TAG !y! tag:yaml.org,2002:\n---\na: !y!str 1\n", "a: !y!str 1\n", "!!map {a: !!str}\n", "a: !!str\n", "a: !!str &x b\nc: *x\n", "a: &x !!str 1\nc: *x\n", "a: !!int x\n", "a: !!str [b]\n",
    "a: !!null x\n", "a: !!float '1e5 '\n", "a: !!int ' 12'\n", 'a: "\\ud83d\\\\ude00"\n', "a: |\n  x\r", "a: |\r\n  x\r\n  y\r", "[!!str, a]", "{a: !b, c: d}", "a: [Hello !, 'x!,']\n", "a: |+\n  x\n  ", "a: |\n  x\n    ", "a: >\n  x\n\n  y",
    # several documents
    "a: 1\n---\nb: 2\n", "---\na: 1\n---\n", "a: 1\n...\n---\nb: 2\n", "a\n---\n", "a: |\n  x\n---\nb: 1\n", "a: 'x\n--- y'\n", "a: 'x\n---y'\n",
    # as metafiles and cards have them
    "Collections:\n  - Name: A\n    Paper:\n      Title: 'A title that goes on\nbelow its key'\n      URL: https://x.org\nModels:\n  - Name: a\n    In Collection: A\n    Results: null\n",
    "license: apache-2.0\ntags:\n- image-classification\n- timm\nmodel-index:\n- name: x\n  results:\n  - task: {type: image-classification, name: Image Classification}\n    metrics: [{type: accuracy, value: 0.79}]\n",
    "language:\n- no\n- en\nlicense: mit\n", "widget:\n- text: \"Hello \\U0001F600\"\n- src: https://x.org/a?b=c&d=e\n", "datasets: [a/b, 'c/d']\nmetrics: {top1: 78.66%, top5: 94}\n", "Metadata:\n  Training Time: 1:30\n  Epochs: 300\n  LR: 1e-3\n  FLOPs: 4.1G\n",
]

PAGES = [
    "---\na: 1\n---\n# x\n", "\n---\na: 1\n---\n", "\n \n\t\n---\na: 1\n---\n", "  ---\na: 1\n---\n", "---\r\na: 1\r\n---\r\n", "---\ra: 1\r---\n", "---\na: 1\n---", "---\na: 1\n--- \t\n# x\n", "---\na: 1\n---x\n---\n", "---\na: 1\n ---\n---\n",
    "---\n\n---\n", "---\n---\n", "---\n", "a\n---\nb: 1\n---\n", "----\na: 1\n---\n", "---\na: 1\n----\n---\n", "---\na: 1\n\n\n---\n\ntext\n---\n", "---\n# note\na: 1\n---\n", "---\na: |\n  x\n  ---\n  y\n---\n", "# x\n", "", "\n\n", "---\na: '\n---\n'\n---\n", "---\r\na: 1\n---\r\n# x\r\n",
]


def mutated(rng):
    """Real-looking documents with a few characters deleted, doubled, swapped or indented."""
    whole = [d for d in DOCUMENTS if len(d) > 12]
    for _ in range(700):
        text = list(rng.choice(whole))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text)) if text else 0
            match rng.randrange(5):
                case 0 if text:
                    del text[at]
                case 1:
                    text.insert(at, rng.choice(" \n:-#'\",[]{}?&*!|>%@a1\t"))
                case 2 if len(text) > at + 1:
                    text[at], text[at + 1] = text[at + 1], text[at]
                case 3:
                    text.insert(at, "\n" + " " * rng.randrange(4))
                case _:
                    text[at:at] = text[at : at + rng.randrange(6)]
        yield "".join(text)


def plain(value):
    if isinstance(value, dict):
        keys = [key(k) for k in value]
        return dict(zip(keys, map(plain, value.values()))) if len(set(keys)) == len(keys) else unequal()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, set):
        return {"!set": sorted(map(str, value))}
    if isinstance(value, (datetime.date, datetime.datetime)):
        return {"!timestamp": True}
    if isinstance(value, bytes):
        return {"!binary": True}
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return {"!float": str(value)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return {"!int": str(value)}
    return value


class Unequal(Exception):
    pass


def unequal():
    raise Unequal("keys that are one text, such as 1 and '1'")


def key(value):
    """zoo keeps the text of a key; only keys whose text Python can give back are compared."""
    if isinstance(value, str):
        return plain(value)
    return {None: "null"}.get(value) or unequal()


def load(text):
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError):
        return {"refused": True}
    try:
        found = {"value": plain(value)}
    except (Unequal, RecursionError):
        found = {"taken": True}
    try:
        yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        found["libyaml"] = "refused"
    return found


def main():
    rng = random.Random(24)
    texts = [context.format(scalar) for scalar in SCALARS for context in CONTEXTS] + DOCUMENTS + list(mutated(rng))
    documents, seen = [], set()
    for text in texts:
        if text not in seen:
            seen.add(text)
            documents.append([text, load(text)])
    pages = []
    for page in PAGES:
        found = REGEX_YAML_BLOCK.search(page)
        pages.append([page, found.group(2) if found else None])
    head = {
        "script": "tests/oracle/yaml_documents.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in ("PyYAML", "huggingface_hub")},
    }
    lines = lambda rows: ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    OUT.write_text(json.dumps(head)[:-1] + ',\n"documents": [\n' + lines(documents) + '\n],\n"pages": [\n' + lines(pages) + "\n]}\n")
    refused = sum("refused" in d[1] for d in documents)
    print(f"{OUT}: {len(documents)} documents, {refused} refused, {len(pages)} pages, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
