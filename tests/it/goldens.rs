//! Every golden file carries the hash of the script that made it: a script that changed without its
//! goldens being made again is found here.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn json_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            json_files(&path, out)
        } else if path.extension().is_some_and(|e| e == "json") {
            out.push(path)
        }
    }
}

#[test]
fn goldens_are_what_their_scripts_make() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    json_files(&root.join("tests/golden"), &mut files);
    let mut stale = Vec::new();
    let mut signed = 0;
    for file in &files {
        let golden: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let Some(script) = golden["script"].as_str() else { continue };
        signed += 1;
        let now = zoo::Sha256::of(&std::fs::read(root.join(script)).unwrap()).to_string();
        if golden["script_sha256"].as_str() != Some(&now) {
            stale.push(format!("{}: {script} is now {now}", file.display()));
        }
    }
    assert!(signed > 0, "no golden file names its script");
    assert!(stale.is_empty(), "run these scripts again:\n{}", stale.join("\n"));
}

#[test]
fn the_last_norms_are_found_as_when_the_logits_were_made() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let blocks = read(root.join("oracle/blocks.json"));
    let golden = read(root.join("golden/logits/records.json"));
    let rules = golden["blocks"].as_object().unwrap();
    assert!(!rules.is_empty());
    for (kind, rule) in rules {
        assert_eq!(blocks[kind], *rule, "{kind}");
    }
    for record in golden["records"].as_array().unwrap() {
        for kind in record["blocks"].as_array().unwrap() {
            assert!(rules.contains_key(kind.as_str().unwrap()), "{}: {kind}", record["arch"]);
        }
    }
}

#[test]
fn label_sets_are_those_that_were_published() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden: Value =
        serde_json::from_slice(&std::fs::read(root.join("tests/golden/label_sets.json")).unwrap()).unwrap();
    for (name, sha256) in golden["sha256"].as_object().unwrap() {
        let file = root.join(format!("registry/labels/{name}.txt"));
        assert_eq!(
            *sha256,
            zoo::Sha256::of(&std::fs::read(&file).unwrap()).to_string(),
            "{}",
            file.display()
        );
    }
}
