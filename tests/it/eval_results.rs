//! Hugging Face's `.eval_results/*.yaml`: what huggingface_hub writes is read with all its fields and comes back, what
//! it refuses is refused, and a verdict that zoo writes is read again.

use std::path::Path;

use serde_json::{Value, json};
use zoo::registry::format::{Index, to_json};
use zoo::registry::tree::{self, Limits, Origin, Schema};
use zoo::registry::{Registry, import, pages};
use zoo::render::{card, eval_results};

use crate::support::{Home, Ran};

fn golden() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/eval_results.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    golden["files"].as_array().unwrap().clone()
}

/// A repository with this file, as zoo reads it.
fn repository(text: &str) -> (tempfile::TempDir, Index) {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("net/.eval_results");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("x.yaml"), text).unwrap();
    let index = import::read(&folder.path().join("net")).unwrap();
    (folder, index)
}

/// An entry of the file with the library's names of its fields.
fn fields(entry: &Value) -> Value {
    let at = |path: &str| entry.pointer(path).cloned().unwrap_or_default();
    json!({"dataset_id": at("/dataset/id"), "task_id": at("/dataset/task_id"), "value": at("/value"),
        "dataset_revision": at("/dataset/revision"), "verify_token": at("/verifyToken"), "date": at("/date"),
        "source_url": at("/source/url"), "source_name": at("/source/name"), "source_user": at("/source/user"),
        "source_org": at("/source/org"), "notes": at("/notes")})
}

fn entries(yaml: &str) -> Vec<Value> {
    let (documents, _) = tree::yaml(yaml.as_bytes(), Origin::file("w"), &Limits::default()).unwrap();
    let Value::Array(items) = to_json(&documents[0], Schema::Yaml11) else { panic!("{yaml}") };
    items.iter().map(fields).collect()
}

#[test]
fn what_the_hubs_library_writes_is_read_and_comes_back_and_what_it_refuses_is_refused() {
    let files = golden();
    assert!(files.len() > 50);
    for file in files {
        let text = file["text"].as_str().unwrap();
        let (_folder, index) = repository(text);
        let Some(expected) = file["entries"].as_array() else {
            assert!(index.problems.has_errors(), "{text}");
            continue;
        };
        let told: Vec<_> = index.problems.iter().map(ToString::to_string).collect();
        assert!(!index.problems.has_errors(), "{text}: {told:?}");
        let model = &index.models[0];
        assert_eq!(model.name(), Some("net"));
        let written = eval_results::eval_results(model, &[], &eval_results::Options::default());
        if expected.is_empty() {
            assert!(written.is_err());
            continue;
        }
        assert_eq!(entries(&written.unwrap()), *expected, "{text}");
        // The same by itself, and through zoo's own form.
        let mut whole = Index::default();
        pages::append(&mut whole, index);
        let document = zoo::registry::format::document(&whole);
        let again = import::read_bytes("a.yaml", tree::to_yaml(&document).as_bytes()).unwrap();
        let told: Vec<_> = again.problems.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{text}: {told:?}");
        let written = eval_results::eval_results(&again.models[0], &[], &eval_results::Options::default());
        assert_eq!(entries(&written.unwrap()), *expected, "{text}");
    }
}

const RESULTS: &str = "- dataset: {id: ILSVRC/imagenet-1k, task_id: default}\n  value: 78.66\n  date: '2026-11-27T10:30:00Z'\n\
    - dataset: {id: cais/hle, task_id: default}\n  value: 20.9\n";
const CARD: &str = "---\nlicense: mit\nmodel-index:\n- name: carded\n  results:\n  - task: {type: text-generation}\n    \
    dataset: {type: wiki, name: Wiki}\n    metrics: [{type: perplexity, value: 3.5}]\n---\n# A card\n";

fn listed(home: &Home, registry: &str) -> Vec<Value> {
    let ran = home.run(&[
        "--registry",
        registry,
        "list",
        "--json",
        "--where",
        "name~'net*' or name='carded' or name='x'",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

#[test]
fn a_file_a_folder_a_repository_and_the_cache_of_one_are_listed_imported_and_linted() {
    let home = Home::new();
    home.write("net/.eval_results/x.yaml", RESULTS);
    home.write("net/.eval_results/notes.txt", "no evaluation");
    home.write("hub/models--org--net/snapshots/0123/.eval_results/x.yaml", RESULTS);
    home.write("loose/x.yaml", RESULTS);
    for (registry, name) in [
        ("net", "net"),
        ("net/.eval_results", "net"),
        ("net/.eval_results/x.yaml", "net"),
        ("hub/models--org--net/snapshots/0123", "net"),
        ("loose/x.yaml", "x"),
        ("loose", "x"),
    ] {
        let found = home.run(&["--registry", registry, "show", name, "--json"]);
        let shown: Value = serde_json::from_str(&ok(found).out).unwrap();
        assert_eq!(shown["top1"], json!(78.66), "{registry}: {shown}");
        assert_eq!(shown["results"].as_array().unwrap().len(), 2, "{registry}: {shown}");
        // A folder of pages is imported page by page.
        if registry == "loose" {
            continue;
        }
        let imported: Value =
            serde_json::from_str(&ok(home.run(&["import", registry, "--json"])).out).unwrap();
        assert_eq!(imported["Models"][0]["Results"][1]["Dataset"]["id"], "cais/hle", "{registry}");
        let linted = ok(home.run(&["lint", registry, "--json"]));
        let found: Vec<Value> = serde_json::from_str(&linted.out).unwrap();
        let rules: Vec<_> = found.iter().map(|f| f["rule"].as_str().unwrap()).collect();
        // How ImageNet was evaluated is not said there, and cannot be.
        assert_eq!(rules, ["Z005"], "{registry}: {found:?}");
    }
}

#[test]
fn a_card_and_the_evaluations_beside_it_are_one_model_and_stay_apart_when_written() {
    let home = Home::new();
    home.write("repo/README.md", CARD);
    home.write("repo/.eval_results/x.yaml", RESULTS);
    let models = listed(&home, "repo");
    assert_eq!(models.len(), 1);
    assert_eq!(
        (models[0]["name"].as_str(), models[0]["results"].as_array().unwrap().len()),
        (Some("carded"), 3)
    );
    let card = ok(home.run(&["--registry", "repo", "card", "carded"])).out;
    assert!(
        card.contains("perplexity") && !card.split("\n---").next().unwrap().contains("task_id"),
        "{card}"
    );
    let written = ok(home.run(&["--registry", "repo", "card", "carded", "--eval-results"])).out;
    assert_eq!(entries(&written), entries(RESULTS));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let home = Home::new();
    let bad = "- dataset: {id: 'no id!', task_id: default, revision: main, tsk: 1}\n  value: high\n  date: yesterday\n  \
        source: {url: ftp.example.org}\n  note: x\n- dataset: {id: a/b}\n- dataset: {id: a/b, task_id: t}\n  value: 1\n  \
        source: {name: logs}\n- dataset: {id: a/b, task_id: t}\n  value: 2\n";
    home.write("net/.eval_results/x.yaml", bad);
    let ran = home.run(&["lint", "net", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let found: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let at = |line: u64, rule: &str, words: &str| {
        let is = |f: &&Value| {
            f["line"] == line && f["rule"] == rule && f["message"].as_str().unwrap().contains(words)
        };
        assert!(found.iter().any(|f| is(&f)), "{line} {rule} {words}: {found:#?}");
    };
    at(1, "Z003", "not the id of a dataset");
    at(1, "Z003", "not a git commit");
    at(2, "Z003", "not a number");
    at(3, "Z003", "not a date");
    at(4, "Z003", "not a link");
    at(5, "Z007", "nearly a known one");
    at(1, "Z006", "does not know");
    at(6, "Z001", "no `task_id`");
    at(6, "Z001", "no `value`");
    at(9, "Z001", "no `url`");
    at(10, "Z003", "a second value");
    // One bad entry costs itself, and nothing is written from a file that the hub refuses.
    assert_eq!(home.run(&["import", "net"]).code, Some(3));
    ok(home.run(&["--registry", "net", "show", "net"]));
    home.write("bad/.eval_results/x.yaml", "a: [\n");
    assert_eq!(home.run(&["import", "bad/.eval_results/x.yaml"]).code, Some(3));
    home.write("bad/.eval_results/x.yaml", "just text\n");
    let ran = home.run(&["import", "bad"]);
    assert!(ran.code == Some(3) && ran.err.contains("a list of mappings"), "{ran:?}");
}

#[test]
fn a_verdict_that_is_written_is_read_again() {
    let report = json!({"timing": {"started": "2026-11-27T04:25:14Z"}, "results": [{"model": "m", "verdict": "reproduced",
        "dataset": {"name": "imagenet-val", "relation": "census"}, "n": 50000, "top1": 78.66, "top5": 94.37,
        "interval": [78.66, 78.66], "confidence": 0.95, "claim": {"value": 78.7}, "weights": {"file_sha256": "ab"}}]});
    let verified = card::verified("r.json", &report, "m").unwrap();
    let index = zoo::registry::format::page("p.yml", b"Models: [{Name: m, Code: c}]\n");
    let options = eval_results::Options {
        task_id: "default".into(),
        dataset_revision: Some("5503434ddd753f426f4b38109466949a1217c2bb".into()),
        source_url: Some("https://x.org/r.json".into()),
        source_org: Some("org".into()),
        ..eval_results::Options::default()
    };
    let text = eval_results::eval_results(&index.models[0], &verified, &options).unwrap();
    let (folder, read) = repository(&text);
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    let again = eval_results::eval_results(&read.models[0], &[], &eval_results::Options::default()).unwrap();
    assert_eq!(entries(&again), entries(&text));
    let registry = Registry::open(&[folder.path().join("net")]).unwrap();
    assert_eq!(registry.resolve("net").unwrap().claim.as_ref().unwrap().top1.text, "78.66");
    // What the hub would not take is not written.
    let refused = |options: eval_results::Options| {
        eval_results::eval_results(&index.models[0], &verified, &options).unwrap_err().to_string()
    };
    let with = |change: fn(&mut eval_results::Options)| {
        let mut changed = options.clone();
        change(&mut changed);
        refused(changed)
    };
    assert!(with(|o| o.dataset_id = Some("a b".into())).contains("--dataset-id"));
    assert!(with(|o| o.dataset_revision = Some("main".into())).contains("40 hex digits"));
    assert!(with(|o| o.source_url = Some("javascript:x".into())).contains("https://"));
    let mut other = verified.clone();
    other[0].dataset = "imagenet-a".into();
    let error = eval_results::eval_results(&index.models[0], &other, &options).unwrap_err().to_string();
    assert!(error.contains("`imagenet-a`") && error.contains("--dataset-id"), "{error}");
}
