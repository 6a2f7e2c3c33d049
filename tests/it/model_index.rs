//! The model-index format against its own Python reader, field by field, on files written for each rule.

use std::path::Path;

use serde_json::{Map, Value, json};
use zoo::registry::format::{self, Index};
use zoo::registry::tree::{Node, Schema, View};

/// A model or collection as Python has it: nothing that is null, results of three fields, and types as
/// YAML 1.1 gives them.
fn as_python(node: &Node) -> Value {
    let mut out = Map::new();
    for (key, value) in node.mapping().unwrap().iter() {
        let json = match key.text() {
            _ if value.is_null() => continue,
            "Results" => results(node),
            "Metadata" => without_nulls(value),
            _ => to_json(value),
        };
        out.insert(key.text().to_owned(), json);
    }
    Value::Object(out)
}

fn to_json(node: &Node) -> Value {
    format::to_json(node, Schema::Yaml11)
}

fn without_nulls(node: &Node) -> Value {
    let mut json = to_json(node);
    if let Some(mapping) = json.as_object_mut() {
        mapping.retain(|_, v| !v.is_null());
    }
    json
}

fn results(model: &Node) -> Value {
    let view = View::root(model);
    let result = |r: format::Reported<'_>| {
        let text = |v: &Option<View<'_>>| v.as_ref().map_or(Value::Null, |v| to_json(v.node()));
        let metrics: Map<String, Value> =
            r.metrics.iter().map(|(name, v)| ((*name).to_owned(), to_json(v.node()))).collect();
        json!({"Task": text(&r.task), "Dataset": text(&r.dataset), "Metrics": metrics})
    };
    format::reported(&view).into_iter().map(result).collect()
}

fn loaded(index: &Index) -> Value {
    let models: Vec<_> =
        index.models.iter().map(|m| json!({"own": as_python(&m.own), "full": as_python(&m.full)})).collect();
    let collections: Vec<_> = index.collections.iter().map(|c| as_python(&c.own)).collect();
    let library = index.library.as_ref().map(as_python);
    json!({"models": models, "collections": collections, "library": library})
}

#[test]
fn every_rule_of_the_format_is_python_s() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read(root.join("tests/golden/model_index.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in case["files"].as_object().unwrap() {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.as_str().unwrap()).unwrap();
        }
        let index = format::load(&dir.path().join(case["load"].as_str().unwrap())).unwrap();
        let mut expected = case["expected"].clone();
        let problems = expected.as_object_mut().unwrap().remove("problems").unwrap();
        let found = loaded(&index);
        let told: Vec<_> = index.problems.iter().map(ToString::to_string).collect();
        // Where Python complains zoo warns; it also warns of what Python takes silently.
        let warned = problems == 0 || !told.is_empty();
        if found != expected || !warned || index.problems.has_errors() {
            wrong.push(format!(
                "{}:\n  zoo    {found}\n  python {expected}\n  problems {told:?}",
                case["case"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
