//! The rules that the format's Python reader does not have, or has no word for: what is refused, what is warned
//! of and where. That what both read means the same is tested in `tests/it/model_index.rs`, against its output.

use super::*;
use crate::registry::tree::Schema;

/// What is said of a page, as `line:column path: message`.
fn said(index: &Index) -> Vec<String> {
    let place = |p: &Problem| format!("{}:{} {}: {}", p.line, p.column, p.path, p.message);
    index.problems.iter().map(place).collect()
}

fn yaml(text: &str) -> Index {
    page("p.yaml", text.as_bytes())
}

fn full(index: &Index, model: usize) -> serde_json::Value {
    to_json(&index.models[model].full, Schema::Core)
}

#[test]
fn fields_are_found_however_they_are_written_and_the_last_of_two_counts() {
    let index = yaml(
        "models:\n- NAME: a\n  in_collection: c\n  metadata: {flops: 1, own key: 2}\n  Weights: x\n  weights: y\n",
    );
    let expected = serde_json::json!({"Name": "a", "In Collection": "c",
        "Metadata": {"FLOPs": 1, "own key": 2}, "Weights": "y"});
    assert_eq!(to_json(&index.models[0].own, Schema::Core), expected);
    assert!(!index.problems.has_errors());
    let said = said(&index);
    assert!(said[0].starts_with("5:3 models[0]: `Weights` is a second `Weights`"), "{said:?}");
    assert!(said[1].starts_with("3:18 models[0].In Collection: no collection is named `c`"), "{said:?}");
}

#[test]
fn a_model_takes_from_all_its_collections_and_its_own_word_counts() {
    let index = yaml(
        "Collections:
- Name: one
  Paper: p1
  Metadata: {Epochs: 1, Training Data: [x], Training Resources: {gpus: 8, kind: V100}}
  Results: [{Task: t, Dataset: one, Metrics: {m: 1}}]
- Name: two
  Code: c2
  Paper: p2
  Metadata: {Epochs: 2, Layers: 9, Training Data: [y]}
Models:
- Name: a
  In Collection: [one, two]
  Metadata: {Training Data: z, Training Resources: {gpus: 4}}
  Results: [{Task: t, Dataset: own, Metrics: {m: 2}}]
",
    );
    assert_eq!(said(&index), Vec::<String>::new());
    let full = full(&index, 0);
    assert_eq!((&full["Paper"], &full["Code"]), (&"p1".into(), &"c2".into()));
    assert_eq!((&full["Metadata"]["Epochs"], &full["Metadata"]["Layers"]), (&1.into(), &9.into()));
    assert_eq!(full["Metadata"]["Training Data"], serde_json::json!(["x", "y", "z"]));
    assert_eq!(full["Metadata"]["Training Resources"], serde_json::json!({"gpus": 4, "kind": "V100"}));
    let datasets: Vec<_> = full["Results"].as_array().unwrap().iter().map(|r| &r["Dataset"]).collect();
    assert_eq!(datasets, ["one", "own"]);
    // Nothing of it is the model's own.
    assert!(index.models[0].own.field("Code").is_none());
}

#[test]
fn two_models_of_one_name_are_told_unless_their_collections_differ() {
    let of = |second: &str| {
        said(&yaml(&format!(
            "Collections: [{{Name: c}}, {{Name: d}}]\nModels:\n- {{Name: a, In Collection: c}}\n- {{Name: a, In Collection: {second}}}\n"
        )))
    };
    assert_eq!(of("d"), Vec::<String>::new());
    let same = of("c");
    assert_eq!(same, ["4:10 Models[1].Name: a second model of the name `a`; the first is at p.yaml:3"]);
}

#[test]
fn results_are_one_thing_in_each_of_their_forms() {
    let forms = [
        "[{Task: t, Dataset: d, Metrics: {top: 78.66%}}]",
        "{task: t, dataset: d, metrics: {top: 78.66%}}",
        "{Task: {name: t, type: other}, Dataset: {type: d}, Metrics: [{name: top, value: 78.66%}]}",
        "{Task: t, Dataset: {name: d}, Metrics: [{top: 78.66%}]}",
        "{Task: t, Dataset: d, Metrics: {type: top, value: 78.66%}}",
    ];
    for form in forms {
        let index = yaml(&format!("Models: [{{Name: a, Results: {form}}}]\n"));
        assert_eq!(said(&index), Vec::<String>::new(), "{form}");
        let view = index.models[0].full();
        let [result] = &reported(&view)[..] else { panic!("{form}") };
        let text = |view: &Option<View<'_>>| view.as_ref().and_then(|v| v.text()).map(str::to_owned);
        assert_eq!((text(&result.task), text(&result.dataset)), (Some("t".into()), Some("d".into())));
        let [(name, value)] = &result.metrics[..] else { panic!("{form}") };
        assert_eq!((*name, value.text()), ("top", Some("78.66%")), "{form}");
    }
}

#[test]
fn what_is_no_model_is_told_with_its_place_and_the_rest_is_read() {
    let index =
        yaml("Models:\n- 7: x\n- [a]\n- Name: b\n  Metadata: 3\n- Name: ''\n- Name: c\n  Results: [[]]\n");
    let names: Vec<_> = index.models.iter().filter_map(Record::name).collect();
    assert_eq!(names, ["b", "c"]);
    let said = said(&index);
    for place in [
        "2:3 Models[0]",
        "3:3 Models[1]",
        "5:13 Models[2].Metadata",
        "6:3 Models[3]",
        "8:13 Models[4].Results[0]",
    ] {
        assert!(said.iter().any(|t| t.starts_with(place)), "{place}: {said:?}");
    }
    assert!(index.checked().is_err());
    for nothing in ["", "7", "[1, 2]", "{Name: a}", "a: b"] {
        assert!(yaml(nothing).checked().is_err(), "{nothing}");
    }
}

#[test]
fn a_page_on_its_own_reads_no_other_file() {
    for text in [
        "Import: other.yml\nModels: [{Name: a, Code: c}]\n",
        "Models: [other.yml, {Name: a, Code: c}]\n",
        "Models: [{Name: a, Metadata: other.yml}]\n",
        "Models: [{Name: a, Results: other.yml}]\n",
        "Library: other.yml\nModels: [{Name: a, Code: c}]\n",
        "Collections: other.yml\nModels: [{Name: a, Code: c}]\n",
    ] {
        let index = yaml(text);
        assert_eq!(index.models.len(), 1, "{text}");
        assert!(
            said(&index).iter().any(|t| t.contains("only this one is read")),
            "{text}: {:?}",
            said(&index)
        );
    }
}

#[test]
fn many_files_and_much_text_end_somewhere() {
    let dir = tempfile::tempdir().unwrap();
    let write =
        |name: &str, text: &str| crate::fs::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    // Twelve times six megabytes: each file may be read, all of them together may not.
    write("big.yml", &format!("Name: a\nCode: c\n# {}\n", "x".repeat(6 << 20)));
    let imports = ["big.yml"; 12].join(", ");
    write("i.yml", &format!("Import: [{imports}]\nModels: [{{Name: b, Code: c}}]\n"));
    let index = load(&dir.path().join("i.yml")).unwrap();
    assert!(index.models.len() < 12, "{}", index.models.len());
    assert!(said(&index).iter().any(|t| t.contains("bytes in all files together")), "{:?}", said(&index));
    // Files within files: 70 deep.
    for n in 0..70 {
        write(&format!("d{n}.yml"), &format!("Import: d{}.yml\nModels: [{{Name: m{n}, Code: c}}]\n", n + 1));
    }
    let index = load(&dir.path().join("d0.yml")).unwrap();
    assert_eq!(index.models.len(), 64);
    assert!(said(&index).iter().any(|t| t.contains("more than 64 deep")), "{:?}", said(&index));
    // A folder that is no model-index says what it should have.
    crate::fs::create_dir_all(&dir.path().join("empty")).unwrap();
    let error = load(&dir.path().join("empty")).unwrap_err().to_string();
    assert!(error.contains("model-index.yml"), "{error}");
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let text = "Type: model-index\nextra: [1, two]\nLibrary: {Name: l, docs: d}\nCollections: [{Name: c, Paper: {url: u, title: t}}]\n\
        Models:\n- {Results: {Task: t, Dataset: d, Metrics: {m: 1}}, zoo: {arch: x}, Name: a, own: {k: [null, '1', 1]}, in collection: c}\n";
    let index = yaml(text);
    assert_eq!(said(&index), Vec::<String>::new());
    let written = document(&index);
    let again = page("q.yaml", crate::registry::tree::to_yaml(&written).as_bytes());
    assert_eq!(said(&again), Vec::<String>::new());
    assert_eq!(to_json(&document(&again), Schema::Core), to_json(&written, Schema::Core));
    // Known fields in the format's order, the others after them.
    let keys: Vec<_> = ordered(index.models[0].own.clone())
        .mapping()
        .unwrap()
        .iter()
        .map(|(k, _)| k.text().to_owned())
        .collect();
    assert_eq!(keys, ["Name", "In Collection", "Results", "zoo", "own"]);
}
