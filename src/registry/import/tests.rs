//! Import takes any bytes, and what it takes it can write and take again. `cargo bolero test` finds the
//! targets here; under `cargo test` they run for a bounded number of inputs.

use super::*;
use crate::registry::format::document;
use crate::registry::tree::{Severity, to_yaml};

const NAMES: [&str; 4] = ["p.md", "p.mdx", "i.yaml", "i.json"];

/// A page and a card, for mutations that get past the first byte.
const SEEDS: [&str; 3] = [
    "# P\n\n<!--\nType: model-index\nCollections:\n- Name: C\n  Paper: {Title: T, URL: https://example.org}\nModels:\n- Name: m\n  \
     In Collection: C\n  Metadata: &m {FLOPs: 1, Parameters: 24.3M, x: [1, {y: 2}]}\n  Weights: [a, b]\n  Results:\n  - Task: t\n    \
     Dataset: d\n    Metrics: {Top 1 Accuracy: 78.66%}\n- {Name: n, Metadata: *m}\n-->\n",
    "---\nlicense: mit\ntags: [a]\nmodel-index:\n- name: m\n  results:\n  - task: {type: image-classification}\n    dataset: {name: d, \
     type: t}\n    metrics:\n    - {type: accuracy, value: 0.5}\n---\ntext\n",
    "{\"Models\": [{\"Name\": \"a\", \"Metadata\": {\"FLOPs\": 3.5e9, \"x\": [1, null, \"\\u00e9\"]}}]}",
];

const SIGNS: &[u8] = b":-[]{}&*!|>'\"#%,? \n\t";

/// Reads; every problem has its file, and what was read without an error comes back from its own YAML.
fn take(name: &str, bytes: &[u8]) {
    let problems = match read_bytes(name, bytes) {
        Err(malformed) => malformed.problems,
        Ok(mut index) => {
            let problems = std::mem::take(&mut index.problems);
            if !problems.has_errors() && !index.models.is_empty() {
                let text = to_yaml(&document(&index));
                let back = read_bytes("x.yaml", text.as_bytes()).unwrap();
                assert!(!back.problems.has_errors(), "{text}: {:?}", back.problems);
                assert_eq!(back.models.len(), index.models.len(), "{text}");
                assert_eq!(to_yaml(&document(&back)), text);
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

#[test]
fn any_bytes_are_an_index_or_problems() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let (which, rest) = bytes.split_first().unwrap_or((&0, &[]));
        take(NAMES[usize::from(*which) % NAMES.len()], rest);
    });
}

#[test]
fn a_mutated_page_is_an_index_or_problems() {
    bolero::check!().with_type::<(u8, Vec<(u16, u8, u8)>)>().for_each(|(which, changes)| {
        let seed = usize::from(*which) % SEEDS.len();
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
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
        take(["p.md", "c.md", "i.json"][seed], &bytes);
        if seed == 0 {
            // The block alone.
            let block: Vec<u8> = bytes.iter().skip(10).copied().collect();
            take("i.yaml", &block);
        }
    });
}

#[test]
fn files_outside_the_folder_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let write =
        |name: &str, text: &str| crate::fs::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    crate::fs::create_dir_all(&dir.path().join("in")).unwrap();
    write("secret.yml", "Name: secret\nCode: c\n");
    crate::fs::symlink(Path::new("../secret.yml"), &dir.path().join("in/link.yml")).unwrap();
    let absolute = dir.path().join("secret.yml").display().to_string();
    for reference in ["../secret.yml", "link.yml", &absolute, "../*.yml", "x/../../secret.yml"] {
        write("in/i.yml", &format!("Import: ['{reference}']\nModels: [{{Name: a, Code: c}}]\n"));
        let index = read(&dir.path().join("in/i.yml")).unwrap();
        assert_eq!(index.models.len(), 1, "{reference}");
        assert!(!index.problems.is_empty(), "{reference}");
    }
    // A cycle is named, and ends.
    write("in/a.yml", "Import: b.yml\nModels: [{Name: a, Code: c}]\n");
    write("in/b.yml", "Import: a.yml\nModels: [{Name: b, Code: c}]\n");
    let index = read(&dir.path().join("in/a.yml")).unwrap();
    let told: Vec<_> = index.problems.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|t| t.contains("a.yml") && t.contains("b.yml")), "{told:?}");
}
