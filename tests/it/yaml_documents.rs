//! YAML against PyYAML's safe loader, document by document: what it takes is taken, with the same value. And the
//! front matter of pages against huggingface_hub's pattern.

use std::path::Path;

use serde_json::{Value, json};
use zoo::registry::import;
use zoo::registry::tree::{self, Limits, Node, Origin, Schema, Typed};

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/yaml_documents.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A tree as the script writes Python's values.
fn as_python(node: &Node) -> Value {
    typed(node, Schema::Yaml11)
}

/// A tree with its scalars typed by a schema.
fn typed(node: &Node, schema: Schema) -> Value {
    match &node.value {
        tree::Value::Sequence(items) => items.iter().map(|item| typed(item, schema)).collect(),
        tree::Value::Mapping(mapping) => {
            mapping.iter().map(|(key, value)| (key.text().to_owned(), typed(value, schema))).collect()
        }
        tree::Value::Scalar(scalar) => match scalar.typed(schema) {
            Typed::Null => Value::Null,
            Typed::Bool(b) => json!(b),
            Typed::Int(i) => i64::try_from(i).map_or_else(|_| json!({"!int": i.to_string()}), |i| json!(i)),
            Typed::Float(f) if f.is_finite() => json!(f),
            Typed::Float(f) if f.is_nan() => json!({"!float": "nan"}),
            Typed::Float(f) => json!({"!float": if f > 0.0 { "inf" } else { "-inf" }}),
            Typed::Other(_) => json!({"!timestamp": true}),
            Typed::Text(text) => json!(text),
        },
    }
}

/// Python's sets and bytes as zoo keeps them: keys without values, and the text of the base64.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            if let Some(Value::Array(keys)) = expected.get("!set") {
                let names: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
                return found.len() == names.len() && names.iter().all(|name| found[*name].is_null());
            }
            found.len() == expected.len()
                && found.iter().all(|(key, value)| expected.get(key).is_some_and(|e| is_same(value, e)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| is_same(f, e))
        }
        (Value::String(_), Value::Object(expected)) => expected.contains_key("!binary"),
        (Value::Number(found), Value::Number(expected)) => found.as_f64() == expected.as_f64(),
        // A list of pairs of one key each.
        (Value::Object(pair), Value::Array(expected)) => {
            let pair = pair.iter().flat_map(|(key, value)| [json!(key), value.clone()]);
            pair.collect::<Vec<_>>() == *expected
        }
        _ => found == expected,
    }
}

#[test]
fn what_pyyaml_takes_is_taken_with_the_same_value() {
    let golden = golden();
    let documents = golden["documents"].as_array().unwrap();
    assert!(documents.len() > 2000);
    let (mut wrong, mut stricter) = (Vec::new(), 0);
    for document in documents {
        let text = document[0].as_str().unwrap();
        let read = tree::yaml(text.as_bytes(), Origin::file("d.yml"), &Limits::default());
        if document[1].get("refused").is_some() {
            stricter += usize::from(read.is_err());
            continue;
        }
        let found = match read {
            Ok((documents, _)) => documents.first().map_or(Value::Null, as_python),
            // A lone `?` as the only item of a list: libyaml-safer has a key begin there.
            Err(_) if text == "[?]" => continue,
            // PyYAML's two loaders differ about these: a `:` at the end of a plain scalar in brackets, directives
            // that nobody knows.
            Err(_) if document[1].get("libyaml").is_some() => continue,
            Err(e) => {
                wrong.push(format!("{text:?}: {e}"));
                continue;
            }
        };
        // PyYAML 6.0.4 tells equal keys of merged mappings apart by the identity of their strings, so which value
        // counts hangs on the length of the key; by the specification, and before 6.0.4, it is the first.
        if text.contains("<<: [*x, *y]") {
            continue;
        }
        if document[1].get("value").is_some_and(|expected| !is_same(&found, expected)) {
            wrong.push(format!("{text:?}: zoo {found}, PyYAML {}", document[1]["value"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), documents.len(), wrong.join("\n"));
    // Of what PyYAML refuses zoo refuses most too; the rest is libyaml's greater leniency about tabs, several
    // documents in one file, and values that only PyYAML's constructor fails on.
    assert!(stricter > 400, "{stricter}");
}

#[test]
fn front_matter_is_where_the_hub_finds_it() {
    for page in golden()["pages"].as_array().unwrap() {
        let text = page[0].as_str().unwrap();
        let Some(block) = page[1].as_str() else { continue };
        for mark in ["", "\u{feff}"] {
            let card = format!("{mark}{}", text.replace(block, "model-index: [{name: a, results: []}]"));
            if block.trim().is_empty() {
                continue;
            }
            let index = import::read_bytes("card.md", card.as_bytes()).unwrap();
            assert_eq!(index.models.len(), 1, "{card:?}");
        }
    }
}

/// Our own files are YAML to readers other than ours: serde's gives the values that the positioned tree gives.
#[test]
fn built_in_files_read_the_same_with_serde_yaml() {
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("registry");
    let mut files = vec![registry.join("corrections.yaml")];
    for folder in ["models", "datasets"] {
        let entries = std::fs::read_dir(registry.join(folder)).unwrap().map(|e| e.unwrap().path());
        files.extend(entries.filter(|p| p.extension().is_some_and(|e| e == "yaml")));
    }
    assert!(files.len() > 70, "{} files", files.len());
    for file in files {
        let text = std::fs::read(&file).unwrap();
        let expected: Value = serde_yaml::from_slice(&text).unwrap();
        let (documents, _) =
            tree::yaml(&text, Origin::file(&file.to_string_lossy()), &Limits::default()).unwrap();
        let found = typed(documents.first().unwrap(), Schema::Core);
        assert!(is_same(&found, &expected), "{}", file.display());
    }
}
