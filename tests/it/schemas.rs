//! What `--json` prints is what `schemas/` says, checked on real outputs by a validator of the few keywords
//! that the schemas use; a keyword it does not know fails the test.

use std::path::Path;

use serde_json::{Map, Value};

use crate::support::{Home, Reply, Server};

/// Every way in which an output is not what its schema says.
pub(crate) fn wrong(schema: &str, output: &Value) -> Vec<String> {
    Schemas::check(schema, output)
}

/// The keywords that say nothing about a value.
const PROSE: [&str; 5] = ["$schema", "$id", "title", "description", "$defs"];

pub(crate) struct Schemas;

impl Schemas {
    fn read(name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
        serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
            .unwrap()
    }

    /// Every way in which a value is not what a schema says.
    pub(crate) fn check(name: &str, value: &Value) -> Vec<String> {
        let root = Schemas::read(name);
        let mut wrong = Vec::new();
        Checker { file: name, root: &root, wrong: &mut wrong }.value(&root, value, "$");
        wrong
    }
}

struct Checker<'a> {
    file: &'a str,
    root: &'a Value,
    wrong: &'a mut Vec<String>,
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is called `{other}`"),
    }
}

impl Checker<'_> {
    fn says(&mut self, at: &str, what: impl std::fmt::Display) {
        self.wrong.push(format!("{at}: {what}"));
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        for (keyword, rule) in schema.as_object().unwrap() {
            match keyword.as_str() {
                _ if PROSE.contains(&keyword.as_str()) => {}
                "$ref" => {
                    let (file, pointer) = rule.as_str().unwrap().split_once('#').unwrap();
                    let other = if file.is_empty() { self.root.clone() } else { Schemas::read(file) };
                    let part = other.pointer(pointer).unwrap_or_else(|| panic!("{}: {rule}", self.file));
                    Checker { file: self.file, root: &other, wrong: self.wrong }.value(part, value, at);
                }
                "type" => {
                    let one = [rule.clone()];
                    let types = rule.as_array().map_or(&one[..], Vec::as_slice);
                    if !types.iter().any(|t| is_type(value, t.as_str().unwrap())) {
                        self.says(at, format_args!("{value} is no {rule}"));
                    }
                }
                "enum" if !rule.as_array().unwrap().contains(value) => {
                    self.says(at, format_args!("{value} is none of {rule}"));
                }
                "const" if value != rule => self.says(at, format_args!("{value} is not {rule}")),
                "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => {
                    self.says(at, format_args!("{value} < {rule}"));
                }
                "maximum" if value.as_f64() > rule.as_f64() && value.is_number() => {
                    self.says(at, format_args!("{value} > {rule}"));
                }
                "pattern" => {
                    let pattern = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                    if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                        self.says(at, format_args!("{value} is not like {rule}"));
                    }
                }
                "minItems" | "maxItems" => {
                    let length = value.as_array().map(|a| a.len() as u64);
                    let limit = rule.as_u64().unwrap();
                    if length.is_some_and(|n| if keyword == "minItems" { n < limit } else { n > limit }) {
                        self.says(at, format_args!("{keyword} {limit}"));
                    }
                }
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(rule, item, &format!("{at}[{i}]"));
                    }
                }
                "required" => {
                    for key in rule.as_array().unwrap() {
                        if value.as_object().is_some_and(|o| !o.contains_key(key.as_str().unwrap())) {
                            self.says(at, format_args!("no {key}"));
                        }
                    }
                }
                "properties" => {
                    for (key, part) in value.as_object().into_iter().flatten() {
                        if let Some(rule) = rule.get(key) {
                            self.value(rule, part, &format!("{at}.{key}"));
                        }
                    }
                }
                "additionalProperties" => {
                    let none = Map::new();
                    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
                    for (key, part) in
                        value.as_object().into_iter().flatten().filter(|(k, _)| !known.contains_key(*k))
                    {
                        match rule {
                            Value::Bool(true) => {}
                            Value::Bool(false) => self.says(at, format_args!("`{key}` is not foreseen")),
                            rule => self.value(rule, part, &format!("{at}.{key}")),
                        }
                    }
                }
                "enum" | "const" | "minimum" | "maximum" => {}
                other => panic!("{}: the validator does not know `{other}`", self.file),
            }
        }
    }
}

/// Runs a command and holds its output to the schema.
fn held(home: &Home, args: &[&str], schema: &str, code: i32) -> Value {
    let ran = home.run(args);
    assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
    let value: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", ran.out));
    let wrong = Schemas::check(schema, &value);
    assert!(wrong.is_empty(), "{args:?} against {schema}:\n{}", wrong.join("\n"));
    value
}

#[test]
fn the_registry_s_outputs_are_what_the_schemas_say() {
    let home = Home::new();
    let listed = held(&home, &["list", "--json"], "list-1.json", 0);
    assert_eq!(listed.as_array().unwrap().len(), 262);
    held(&home, &["list", "--json", "--as-published"], "list-1.json", 0);
    held(&home, &["list", "--json", "nothing at all"], "list-1.json", 0);
    held(&home, &["show", "efficientnet_b2a", "--json"], "show-1.json", 0);
    held(&home, &["compare", "resnet18", "efficientnet_b2a", "--json"], "compare-1.json", 0);
    held(&home, &["cite", "resnet18", "efficientnet_lite0_pypi", "--json"], "cite-1.json", 0);
    held(&home, &["lint", "--json"], "lint-1.json", 0);
    held(&home, &["lint", "--as-published", "--json"], "lint-1.json", 1);
    home.write("odd.yaml", "Models: [{Name: a, Weights: x, Metadata: {Image Size: 224x320, FLOPs: y}}, 3]\n");
    let odd = held(&home, &["lint", "odd.yaml", "--json"], "lint-1.json", 1);
    assert!(odd.as_array().unwrap().len() > 3);
    home.write("o.yaml", "Models: [{Name: a, Weights: x, Metadata: {Image Size: 224x320}, Results: [{Task: t, Dataset: d, Metrics: {m: many, n: 1}}]}]\n");
    held(&home, &["list", "--registry", "o.yaml", "--json"], "list-1.json", 0);
}

#[test]
fn the_checkpoints_outputs_are_what_the_schemas_say() {
    let home = Home::new();
    let tensor = |bytes: &'static [u8]| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], bytes).unwrap();
        safetensors::serialize([("w", view)], None).unwrap()
    };
    let bytes = tensor(&[0; 8]);
    home.write("a.safetensors", &bytes);
    home.write("b.safetensors", tensor(&[0, 0, 128, 63, 0, 0, 0, 0]));
    home.write("call.pth", b"cos\nsystem\n(S'true'\ntR.");
    held(&home, &["inspect", "a.safetensors", "--json"], "inspect-1.json", 0);
    held(&home, &["inspect", "a.safetensors", "--json", "--sha256", "--stats"], "inspect-1.json", 0);
    held(&home, &["diff", "a.safetensors", "a.safetensors", "--json"], "diff-1.json", 0);
    held(&home, &["diff", "a.safetensors", "b.safetensors", "--json"], "diff-1.json", 1);
    held(&home, &["scan", "a.safetensors", "--json"], "scan-1.json", 0);
    let ran = home.run(&["scan", "call.pth", "--json"]);
    let scanned: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(Schemas::check("scan-1.json", &scanned), Vec::<String>::new(), "{scanned}");
    assert!(ran.code == Some(1) || ran.code == Some(3), "{ran:?}");
    let digest = zoo::hash::Sha256::of(&bytes).to_string();
    let server = Server::start(move |asked| Reply::file(asked, &bytes, "\"w\""));
    home.write(
        "r.yaml",
        format!("Models: [{{Name: a, Weights: '{}/a-{}.safetensors'}}]\n", server.url, &digest[..8]),
    );
    let plain =
        held(&home, &["convert", "a.safetensors", "-o", "c.safetensors", "--json"], "convert-1.json", 0);
    assert_eq!((&plain["sha256"], &plain["files"]), (&Value::Null, &serde_json::json!(["c.safetensors"])));
    let narrow = ["convert", "b.safetensors", "-o", "d.safetensors", "--dtype", "f16", "--sha256", "--json"];
    held(&home, &narrow, "convert-1.json", 0);
    for status in ["fetched", "cached"] {
        let got = held(
            &home,
            &["fetch", "a", "--registry", "r.yaml", "--format", "pth", "--json"],
            "fetch-1.json",
            0,
        );
        assert_eq!(got[0]["status"], status);
    }
    // The cache now has something in it.
    let listed = held(&home, &["cache", "ls", "--json"], "cache-1.json", 0);
    assert!(
        listed.as_array().unwrap().iter().any(|i| i["kind"] == "file" && i["names"][0] == "a"),
        "{listed}"
    );
    let file = listed.as_array().unwrap().iter().find(|i| i["kind"] == "file").unwrap();
    held(&home, &["cache", "gc", "--sources", "--dry-run", "--json"], "cache-1.json", 0);
    assert_eq!(held(&home, &["cache", "verify", "--json"], "cache-1.json", 0), serde_json::json!([]));
    std::fs::write(file["path"].as_str().unwrap(), "damaged").unwrap();
    assert_eq!(held(&home, &["cache", "verify", "--json"], "cache-1.json", 1)[0]["kind"], "file");
    let gone = held(&home, &["cache", "rm", "a", "--json"], "cache-1.json", 0);
    assert!(!gone.as_array().unwrap().is_empty());
}

#[test]
fn the_other_verbs_outputs_are_what_the_schemas_say() {
    let home = Home::new();
    let ran = home.run(&["doctor", "--json"]);
    let checks: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(Schemas::check("doctor-1.json", &checks), Vec::<String>::new(), "{checks}");
    held(&home, &["show", "resnet18", "--tree", "--json"], "show.tree-1.json", 0);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/registry/models/res2net.yaml"))
        .unwrap();
    home.write("same.yaml", &page);
    home.write("other.yaml", page.replacen("Epochs: ", "Epochs: 1", 1));
    assert_eq!(
        held(&home, &["import", "--check", "same.yaml", "--json"], "import-check-1.json", 0),
        serde_json::json!([])
    );
    let differs = held(&home, &["import", "--check", "other.yaml", "--json"], "import-check-1.json", 1);
    assert!(differs[0]["path"].as_str().unwrap().ends_with("Epochs"), "{differs}");
    held(&home, &["import", "same.yaml", "-o", ".", "--force", "--json"], "import-write-1.json", 0);
    let datasets = held(&home, &["dataset", "list", "--json"], "dataset-list-1.json", 0);
    for dataset in datasets.as_array().unwrap() {
        held(
            &home,
            &["dataset", "show", dataset["name"].as_str().unwrap(), "--json"],
            "dataset-show-1.json",
            0,
        );
    }
    let photo = crate::lite0::golden("photo.jpg");
    home.write("val/n01440764/ILSVRC2012_val_00000293.jpg", std::fs::read(photo).unwrap());
    let check = ["dataset", "check", "imagenet-val", "--data-dir", "val", "--json"];
    let checked = held(&home, &check, "dataset-check-1.json", 0);
    assert_eq!((&checked["images"], &checked["missing"]["count"]), (&1.into(), &49_999.into()));
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let mut listed: Vec<Value> =
        serde_json::from_str(&Home::new().run(&["list", "resnet18", "--json"]).out).unwrap();
    let model = listed[0].as_object_mut().unwrap();
    model.insert("top1".into(), 101.into());
    model.insert("hash_prefix".into(), "xyz".into());
    model.insert("interpolation".into(), "cubic".into());
    model.insert("colour".into(), "red".into());
    model.insert("mean".into(), serde_json::json!([0.5]));
    model.remove("std");
    let wrong = Schemas::check("list-1.json", &Value::Array(listed));
    assert!(wrong.len() >= 6, "{wrong:?}");
}

/// Every schema is named after what prints it, and every one is held above or beside what it describes.
#[test]
fn no_schema_is_idle() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests: String = [
        "schemas.rs",
        "predict.rs",
        "verify.rs",
        "verify_refusals.rs",
        "bench.rs",
        "scans.rs",
        "features.rs",
        "finetune.rs",
        "hub.rs",
        "locks.rs",
        "many.rs",
        "caches.rs",
        "online.rs",
        "remote.rs",
    ]
    .map(|file| std::fs::read_to_string(folder.join("tests/it").join(file)).unwrap())
    .concat();
    for file in std::fs::read_dir(folder.join("schemas")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let (verb, version) = name.strip_suffix(".json").unwrap().rsplit_once('-').unwrap();
        assert_eq!(Schemas::read(&name)["$id"], format!("zoo.{verb}/{version}"));
        assert!(tests.contains(&format!("\"{name}\"")), "nothing is held to {name}");
    }
}
