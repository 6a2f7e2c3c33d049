//! Data flows one way: which module may use which is the table of the design, and this test reads the
//! `use` lines and the `crate::` and `super::` paths of every source file to hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module of the crate `zoo` and the modules it may reach. `common` (`error`, `hash`) and `fs` are everybody's; that
/// `nn` and `nn::kernels` reach nothing else is Cargo's to hold: they are crates of their own.
const MAY_USE: &[(&str, &[&str])] = &[
    ("registry", &[]),
    ("store", &["registry", "checkpoint"]),
    ("checkpoint", &[]),
    ("arch", &["nn::graph", "nn::describe"]),
    ("image", &["registry"]),
    ("dataset", &["registry", "store", "image"]),
    ("model", &["registry", "store", "checkpoint", "arch", "nn", "image"]),
    ("lint", &["registry", "arch", "nn"]),
    ("verify", &["model", "dataset", "registry", "store", "checkpoint", "arch", "nn", "image"]),
    ("finetune", &["verify", "model", "dataset", "registry", "checkpoint", "arch", "nn", "image"]),
    (
        "render",
        &[
            "registry",
            "store",
            "checkpoint",
            "arch",
            "nn",
            "image",
            "dataset",
            "model",
            "lint",
            "verify",
            "finetune",
        ],
    ),
];
const EVERYBODYS: &[&str] =
    &["beside", "error", "fs", "hash", "Result", "Error", "Class", "Classify", "Sha256"];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The code of a file without its comments and its unit tests.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// How many inline modules (`mod name { … }`) a place in the code lies in.
fn inline_depth(text: &str, at: usize) -> usize {
    let inside = |(start, _): &(usize, &str)| {
        let Some((head, body)) = text[*start..].split_once('{') else { return false };
        let named = head["mod ".len()..].trim_end().chars().all(|c| c.is_alphanumeric() || c == '_');
        let mut open = 1;
        let end = body.find(|c| {
            open += i32::from(c == '{') - i32::from(c == '}');
            open == 0
        });
        named && end.is_some_and(|end| (*start..start + head.len() + 1 + end).contains(&at))
    };
    text.match_indices("mod ").filter(inside).count()
}

/// The paths that a `use` tree or a path in an expression names, one list of segments each; a `super` that only leaves
/// an inline module is left out.
fn paths(text: &str) -> Vec<Vec<String>> {
    fn tree(text: &mut &str, before: &[String], found: &mut Vec<Vec<String>>) {
        let mut path = before.to_vec();
        loop {
            *text = text.trim_start();
            if let Some(rest) = text.strip_prefix('{') {
                *text = rest;
                loop {
                    *text = text.trim_start();
                    if let Some(rest) = text.strip_prefix('}') {
                        *text = rest;
                        return;
                    }
                    let left = text.len();
                    tree(text, &path, found);
                    *text = text.trim_start();
                    *text = text.strip_prefix(',').unwrap_or(text);
                    if text.len() == left {
                        return; // Not a `use` tree after all.
                    }
                }
            }
            let len = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
            if len > 0 {
                path.push(text[..len].to_owned());
            }
            *text = &text[len..];
            match text.strip_prefix("::") {
                Some(rest) if len > 0 => *text = rest,
                _ => break,
            }
        }
        if let Some(rest) = text.strip_prefix(" as ") {
            *text = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        }
        found.push(path);
    }
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let begins = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if begins {
                let mut these = Vec::new();
                tree(&mut &text[at..], &[], &mut these);
                let ups = inline_depth(text, at);
                let leaves = |p: &Vec<String>| p.iter().take(ups).take_while(|s| *s == "super").count();
                found.extend(these.into_iter().map(|p| p[leaves(&p)..].to_vec()));
            }
        }
    }
    found
}

/// Where the module of a file stands: `["image", "jpeg", "idct"]`; `mod.rs` is its folder.
fn module(file: &Path, root: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root).unwrap().with_extension("");
    let mut path: Vec<String> = inside.iter().map(|s| s.to_string_lossy().into_owned()).collect();
    path.pop_if(|last| last == "mod" || last == "lib");
    path
}

/// Every path that a file reaches, from its crate's root on.
fn reached(file: &Path, root: &Path) -> Vec<Vec<String>> {
    let here = module(file, root);
    let resolve = |path: Vec<String>| -> Option<Vec<String>> {
        let ups = path.iter().take_while(|s| *s == "super").count();
        let from_root = path.first().is_some_and(|s| s == "crate");
        let rest = &path[if from_root { 1 } else { ups }..];
        let base = if from_root { &[] } else { here.get(..here.len().checked_sub(ups)?)? };
        Some(base.iter().chain(rest).cloned().collect())
    };
    paths(&code(file)).into_iter().filter_map(resolve).filter(|p| !p.is_empty()).collect()
}

#[test]
fn paths_are_found_in_all_their_forms() {
    let found: Vec<_> = paths("use crate::a::{b, c::{D, self}};\nlet x = super::super::e::f(crate::g::h);")
        .iter()
        .map(|p| p.join("::"))
        .collect();
    assert_eq!(
        found,
        ["crate::a::b", "crate::a::c::D", "crate::a::c::self", "crate::g::h", "super::super::e::f"]
    );
}

#[test]
fn data_flows_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, may) in MAY_USE {
        let mut files = Vec::new();
        sources(&root.join(name), &mut files);
        for file in files {
            seen += 1;
            for path in reached(&file, &root) {
                let allowed = |m: &str| {
                    let allowed: Vec<&str> = m.split("::").collect();
                    path.iter().map(String::as_str).take(allowed.len()).eq(allowed.iter().copied())
                };
                let own = path.first().is_some_and(|p| p == name || EVERYBODYS.contains(&p.as_str()));
                if !own && !may.iter().any(|m| allowed(m)) {
                    wrong.push(format!("{} reaches `{}`", file.display(), path.join("::")));
                }
            }
        }
    }
    assert!(seen >= MAY_USE.len(), "the test must find the sources it judges");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files by the module they are, and what each reaches of them.
fn graph(root: &Path) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let mut files = Vec::new();
    sources(root, &mut files);
    // The members of the workspace have graphs of their own.
    files.retain(|f| {
        let inner = f.ancestors().skip(1).take_while(|a| *a != root);
        !inner.into_iter().any(|folder| folder.join("Cargo.toml").exists())
    });
    let by_module: BTreeMap<_, _> = files.iter().map(|f| (module(f, root), f.clone())).collect();
    let target =
        |path: &[String]| (1..=path.len()).rev().find_map(|len| by_module.get(path.get(..len)?)).cloned();
    let edges = |file: &PathBuf| {
        let direct = reached(file, root);
        // A module that is imported by name is reached into by that name: `use super::numpy;`, `numpy::files::npy(…)`.
        let modules = direct.iter().filter(|p| by_module.contains_key(*p));
        let text = code(file);
        let by_name = modules.flat_map(|module| {
            let prefix = format!("{}::", module.last().unwrap());
            let uses: Vec<_> = text
                .match_indices(&prefix)
                .filter(|(at, _)| {
                    !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                })
                .flat_map(|(at, _)| {
                    paths(&format!("crate::{}", &text[at + prefix.len()..])).into_iter().take(1)
                })
                .map(|p| module.iter().chain(&p[1..]).cloned().collect::<Vec<_>>())
                .collect();
            uses
        });
        let all: Vec<_> = direct.iter().cloned().chain(by_name).collect();
        all.iter().filter_map(|p| target(p)).filter(|t| t != file).collect()
    };
    files.iter().map(|f| (f.clone(), edges(f))).collect()
}

/// Circles that are still to be cut.
const KNOWN_CIRCLES: [&str; 0] = [];

#[test]
fn no_circle_leaves_its_folder() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for root in [src.clone(), src.join("nn"), src.join("nn/kernels")] {
        let graph = graph(&root);
        assert!(graph.len() > 10, "{}: only {} files", root.display(), graph.len());
        // What a file reaches in any number of steps.
        let all = |from: &PathBuf| {
            let mut seen = BTreeSet::new();
            let mut next = vec![from.clone()];
            while let Some(file) = next.pop() {
                for to in graph.get(&file).into_iter().flatten() {
                    if seen.insert(to.clone()) {
                        next.push(to.clone());
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<_, _> = graph.keys().map(|f| (f.clone(), all(f))).collect();
        for (from, to) in reach.iter().flat_map(|(f, all)| all.iter().map(move |t| (f, t))) {
            if from < to && from.parent() != to.parent() && reach[to].contains(from) {
                let name = |f: &Path| f.strip_prefix(&src).unwrap().display().to_string();
                let circle = format!("{} and {}", name(from), name(to));
                if !KNOWN_CIRCLES.contains(&circle.as_str()) {
                    wrong.push(format!("{circle} reach each other"));
                }
            }
        }
    }
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
