//! Fuzz targets of the readers of pages, with bolero: any bytes, and pages changed at random, are an index or
//! problems, each with its place. What is read can be typed, linted, listed, and written and read again; what a
//! user types as a query, a pattern or an order is one or is refused.
//!
//! Each runs for a moment in every test run; `fuzz/README.md` says how to run them for hours.

use std::sync::OnceLock;

use bolero::check;
use zoo::lint::{LintContext, Page, lint};
use zoo::registry::format::document;
use zoo::registry::import::{check::differences, read_bytes};
use zoo::registry::query::{Lookups, Pattern, Query, Row, Sort};
use zoo::registry::tree::{Severity, to_comment, to_yaml};
use zoo::registry::{Registry, Training};

const NAMES: [&str; 5] = ["p.md", "p.mdx", "i.yaml", "i.json", ".eval_results/e.yaml"];

/// A page, a card, an index and evaluations, for mutations that get past the first byte.
const SEEDS: [&str; 4] = [
    "# P\n\n<!--\nType: model-index\nCollections:\n- Name: C\n  Paper: {Title: T, URL: https://example.org}\nModels:\n- Name: m\n  \
     In Collection: C\n  Metadata: &m {FLOPs: 1, Parameters: 24.3M, x: [1, {y: 2}]}\n  Weights: [a, b]\n  Results:\n  - Task: t\n    \
     Dataset: d\n    Metrics: {Top 1 Accuracy: 78.66%}\n- {Name: n, Metadata: *m}\n-->\n",
    "---\nlicense: mit\ntags: [a]\nmodel-index:\n- name: m\n  results:\n  - task: {type: image-classification}\n    dataset: {name: d, \
     type: t}\n    metrics:\n    - {type: accuracy, value: 0.5}\n---\ntext\n",
    "{\"Models\": [{\"Name\": \"a\", \"Metadata\": {\"FLOPs\": 3.5e9, \"x\": [1, null, \"\\u00e9\"]}}]}",
    "- dataset: {id: ILSVRC/imagenet-1k, task_id: default, revision: 5503434ddd753f426f4b38109466949a1217c2bb}\n  value: 78.66\n  \
     date: '2026-11-27T10:30:00Z'\n  source: {url: https://x.org, name: n}\n  notes: |\n    a\n    b\n- dataset:\n    id: a/b\n    task_id: t\n  value: 1\n",
];

const SIGNS: &[u8] = b":-[]{}&*!|>'\"#%,? \n\t";

fn known() -> &'static Registry {
    static KNOWN: OnceLock<Registry> = OnceLock::new();
    KNOWN.get_or_init(|| Registry::builtin().unwrap())
}

/// Our own pages, the small ones.
fn pages() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("registry/models");
    let files = std::fs::read_dir(folder).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap());
    let mut pages: Vec<_> = files.filter(|bytes| bytes.len() < 6 << 10).collect();
    pages.sort();
    assert!(pages.len() > 10);
    pages
}

/// Reads; every problem has its file and a place in it, and what was read without an error comes back from its
/// own YAML and from an HTML comment, with nothing different.
fn take(name: &str, bytes: &[u8]) {
    let problems = match read_bytes(name, bytes) {
        Err(malformed) => malformed.problems,
        Ok(mut index) => {
            let prose = String::from_utf8(bytes.to_vec()).ok();
            let prose: Vec<_> = prose.into_iter().map(|text| Page { file: name.to_owned(), text }).collect();
            let report = lint(&LintContext::new(&index, &prose, known()), &[]);
            assert!(report.findings.iter().all(|f| f.message.len() < 4096), "{:?}", report.findings);
            let problems = std::mem::take(&mut index.problems);
            for model in &index.models {
                let _ = Training::of(&model.full()).lines();
            }
            if !problems.has_errors() && !index.models.is_empty() {
                let text = to_yaml(&document(&index));
                let back = read_bytes("x.yaml", text.as_bytes()).unwrap();
                assert!(!back.problems.has_errors(), "{text}: {:?}", back.problems);
                assert_eq!(back.models.len(), index.models.len(), "{text}");
                assert_eq!(to_yaml(&document(&back)), text);
                let comment = format!("<!--\n{}-->\n", to_comment(&document(&index)));
                let page = read_bytes("x.md", comment.as_bytes()).unwrap();
                // Of models of one name each is compared with the first.
                let mut names: Vec<_> = index.models.iter().map(|m| m.name()).collect();
                names.sort_unstable();
                let unique = names.windows(2).all(|pair| pair[0] != pair[1]);
                let different = [differences(&index, &back), differences(&index, &page)].concat();
                assert!(!unique || different.is_empty(), "{text}: {different:#?}");
            }
            problems
        }
    };
    for problem in &problems {
        assert!(
            problem.severity == Severity::Warning || &*problem.file == name || problem.file.is_empty(),
            "{problem}"
        );
        let lines = bytes.iter().filter(|b| **b == b'\n').count() as u32;
        assert!(problem.line <= lines + 2, "{problem} of {lines} lines");
    }
}

fn changed(seed: &[u8], changes: &[(u16, u8, u8)]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for (at, byte, how) in changes {
        let at = usize::from(*at) % (bytes.len() + 1);
        match how % 3 {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            // Signs that mean something, more often than others.
            _ if how & 4 == 0 => bytes.insert(at, *byte),
            _ => bytes.insert(at, SIGNS[usize::from(*byte) % SIGNS.len()]),
        }
    }
    bytes
}

#[test]
fn import_bytes() {
    check!().for_each(|bytes: &[u8]| {
        let (which, rest) = bytes.split_first().unwrap_or((&0, &[]));
        take(NAMES[usize::from(*which) % NAMES.len()], rest);
    });
}

#[test]
fn import_changed() {
    check!().with_type::<(u8, Vec<(u16, u8, u8)>)>().for_each(|(which, changes)| {
        let seed = usize::from(*which) % SEEDS.len();
        let bytes = changed(SEEDS[seed].as_bytes(), changes);
        take(["p.md", "c.md", "i.json", ".eval_results/e.yaml"][seed], &bytes);
        if seed == 0 {
            // The block alone.
            let block: Vec<u8> = bytes.iter().skip(10).copied().collect();
            take("i.yaml", &block);
        }
    });
}

#[test]
fn import_our_pages_changed() {
    let pages = pages();
    check!().with_type::<(u8, Vec<(u16, u8, u8)>)>().for_each(|(which, changes)| {
        take("p.yaml", &changed(&pages[usize::from(*which) % pages.len()], changes));
    });
}

/// Words of the query language and of its users' mistakes.
const WORDS: [&str; 32] = [
    "params",
    "top1",
    "name",
    "collection",
    "<",
    "<=",
    ">",
    "=",
    "!=",
    "~",
    "!~",
    "and",
    "or",
    "not",
    "is",
    "null",
    "(",
    ")",
    "10M",
    "80%",
    "20",
    "MB",
    "\"a*b\"",
    "'x",
    "[a-",
    "*",
    "&&",
    "||",
    "!",
    "é",
    "\u{1b}",
    ",-",
];

#[test]
fn queries() {
    let rows: Vec<_> = known().models().iter().step_by(40).collect();
    check!().with_type::<Vec<(u8, bool)>>().for_each(|words| {
        let mut text = String::new();
        for (word, space) in words {
            text += WORDS[usize::from(*word) % WORDS.len()];
            text += if *space { " " } else { "" };
        }
        match text.parse::<Query>() {
            Err(e) => assert!(e.column <= text.chars().count(), "{text}: {e:?}"),
            Ok(query) => {
                let chosen = |q: &Query| -> Vec<bool> {
                    rows.iter().map(|entry| q.chooses(&Row { entry, lookups: Lookups::NONE })).collect()
                };
                // What is chosen is not what its opposite chooses.
                if let Ok(opposite) = format!("not ({text})").parse::<Query>() {
                    assert!(chosen(&query).iter().zip(chosen(&opposite)).all(|(a, b)| !(*a && b)), "{text}");
                }
            }
        }
        if let Ok(pattern) = text.parse::<Pattern>() {
            let _ = rows.iter().filter(|e| pattern.matches(&e.name)).count();
        }
        let _ = text.parse::<Sort>();
    });
}
