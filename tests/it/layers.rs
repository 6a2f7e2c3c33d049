//! Data flows one way: which module may use which is the table of the design, and this test reads the
//! `use` lines and `crate::` paths of every source file to hold it.

use std::path::{Path, PathBuf};

/// A module and the modules it may reach. `error`, `fs` and `hash` are everybody's.
const MAY_USE: &[(&str, &[&str])] = &[
    ("registry", &[]),
    ("store", &["registry", "checkpoint"]),
    ("checkpoint", &[]),
    ("arch", &["nn"]),
    ("nn", &["checkpoint"]),
    ("image", &["registry"]),
    ("dataset", &["registry", "store", "image"]),
    ("model", &["registry", "store", "checkpoint", "arch", "nn", "image"]),
    ("lint", &["registry", "arch", "nn"]),
    ("verify", &["model", "dataset", "registry", "store", "checkpoint", "arch", "nn", "image"]),
    (
        "render",
        &["registry", "store", "checkpoint", "arch", "nn", "image", "dataset", "model", "lint", "verify"],
    ),
];
const EVERYBODYS: &[&str] = &["error", "fs", "hash", "Result", "Error", "Class", "Classify", "Sha256"];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, out),
            false if path.extension().is_some_and(|e| e == "rs") => out.push(path),
            false => {}
        }
    }
}

/// The modules named right after `crate::` in code, also in `use crate::{a, b}`; comments left out.
fn reached(code: &str) -> Vec<String> {
    let code: String =
        code.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or(""),
            None => rest,
        };
        let braces = rest.starts_with('{');
        for name in names.split(',').take(if braces { usize::MAX } else { 1 }) {
            let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found
}

#[test]
fn data_flows_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (module, may) in MAY_USE {
        let mut files = Vec::new();
        sources(&root.join(module), &mut files);
        for file in files {
            seen += 1;
            for name in reached(&std::fs::read_to_string(&file).unwrap()) {
                if name != *module && !may.contains(&name.as_str()) && !EVERYBODYS.contains(&name.as_str()) {
                    wrong.push(format!("{} reaches `{name}`", file.display()));
                }
            }
        }
    }
    assert!(seen >= MAY_USE.len(), "the test must find the sources it judges");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests"), &mut files);
    let bare: Vec<_> =
        files.iter().filter(|f| !std::fs::read_to_string(f).unwrap().starts_with("//!")).collect();
    assert!(bare.is_empty(), "no module doc: {bare:?}");
}

/// The names in backticks on the map that are paths: folders end in `/`, and `src/lib.rs` is one file.
fn named(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        fenced ^= line.starts_with("```");
        if fenced {
            continue;
        }
        for name in line.split('`').skip(1).step_by(2) {
            let is_path =
                name.contains('/') && !name.contains(|c: char| c.is_whitespace() || "*<>:(".contains(c));
            if is_path && name.chars().next().is_some_and(|c| c.is_ascii_lowercase()) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn the_map_names_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 20, "{named:?}");
    let wrong: Vec<_> = named
        .iter()
        .filter(|name| match name.strip_suffix('/') {
            Some(folder) => !root.join(folder).is_dir(),
            None => !root.join(name).exists(),
        })
        .collect();
    assert!(wrong.is_empty(), "ARCHITECTURE.md names what is not there: {wrong:?}");
    // And the map leaves no module out.
    let modules =
        std::fs::read_dir(root.join("src")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    let left_out: Vec<_> = modules
        .map(|p| format!("src/{}/", p.file_name().unwrap().to_string_lossy()))
        .filter(|name| !named.contains(name))
        .collect();
    assert!(left_out.is_empty(), "ARCHITECTURE.md leaves out {left_out:?}");
}
