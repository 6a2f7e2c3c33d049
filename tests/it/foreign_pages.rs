//! Other people's pages: a bad entry costs itself, a bad page the page, and every model that is left can be found.

use std::path::{Path, PathBuf};

use zoo::registry::{Entry, Registry, import, pages};

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn open(files: &[(&str, &str)]) -> (tempfile::TempDir, zoo::Result<Registry>) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    let path = match files {
        [(name, _)] => folder.path().join(name),
        _ => folder.path().to_owned(),
    };
    let registry = Registry::open(&[path]);
    (folder, registry)
}

fn added(registry: &Registry) -> Vec<&Entry> {
    registry.models().iter().filter(|e| e.added).collect()
}

fn told(registry: &Registry) -> Vec<String> {
    registry.warnings().iter().map(ToString::to_string).collect()
}

fn top1(entry: &Entry) -> Option<&str> {
    entry.claim.as_ref().map(|c| c.top1.text.as_str())
}

const TWO_OF_ONE_NAME: &str = "Models:
  - {Name: net, Config: a.py, Results: [{Task: Image Classification, Dataset: ImageNet-1k, Metrics: {Top 1 Accuracy: 70.1}}]}
  - {Name: net, Config: b.py, Results: [{Task: Classification, Dataset: ImageNet-1k, Metrics: {Top 1 Accuracy: 71.2}}]}
  - {Name: '', Config: c.py}
";

#[test]
fn two_models_of_one_name_and_one_without_are_all_there() {
    let (_folder, registry) = open(&[("m.yml", TWO_OF_ONE_NAME)]);
    let registry = registry.unwrap();
    assert_eq!(added(&registry).len(), 3);
    assert_eq!(top1(registry.resolve("net#1").unwrap()), Some("70.1"));
    assert_eq!(top1(registry.resolve("NET#2").unwrap()), Some("71.2"));
    assert_eq!(registry.resolve("#3").unwrap().claim, None);
    let error = registry.resolve("net").unwrap_err().to_string();
    assert!(error.contains("net#1, net#2"), "{error}");
    for none in ["net#3", "net#0", "net#x", "#4", "net#"] {
        assert!(registry.resolve(none).is_err(), "{none}");
    }
    let told = told(&registry);
    assert!(told.iter().any(|t| t.contains("a second model of the name `net`")), "{told:?}");
    assert!(told.iter().any(|t| t.contains("m.yml:4:5") && t.contains("no name")), "{told:?}");
}

/// What a page says of a model is what its own entry says, not its namesake's.
#[test]
fn each_of_two_has_its_own_record() {
    let (folder, registry) = open(&[("m.yml", TWO_OF_ONE_NAME)]);
    let (registry, path) = (registry.unwrap(), folder.path().join("m.yml"));
    for (name, config) in [("net#1", "a.py"), ("net#2", "b.py"), ("#3", "c.py")] {
        let record = pages::record(registry.resolve(name).unwrap(), &[&path]).unwrap().unwrap();
        assert_eq!(record.own.field("Config").unwrap().text(), Some(config), "{name}");
    }
}

#[test]
fn namesakes_are_told_apart_by_collection_first() {
    let page = "Collections: [{Name: A}, {Name: B}]
Models:
- {Name: net, In Collection: A, Config: 1}
- {Name: net, In Collection: B, Config: 2}
- {Name: net, In Collection: A, Config: 3}
";
    let (_folder, registry) = open(&[("m.yml", page)]);
    let registry = registry.unwrap();
    let error = registry.resolve("net").unwrap_err().to_string();
    assert!(error.contains("A/net#1, B/net, A/net#2"), "{error}");
    for (name, place) in [("A/net#1", 0), ("B/net", 1), ("a/NET#2", 2), ("net#3", 2)] {
        assert_eq!(registry.resolve(name).unwrap().at, added(&registry)[place].at, "{name}");
    }
}

#[test]
fn a_bad_page_does_not_cost_the_folder() {
    let good = "Models:\n- {Name: good, Config: c}\n";
    let (_folder, registry) = open(&[
        ("a.yml", good),
        ("b.yml", "Models: [{Name: x\n"),
        ("c.yml", "Models:\n- 7\n- {Name: other, Metadata: 3, Config: c}\n- [x]\n"),
        ("ci.yml", "on: push\njobs: {}\n"),
        ("README.md", "# What lies here\n"),
        ("d.json", "{\"Models\": [{\"Name\": \"j\", \"Code\": \"c\"}]"),
        ("card.md", "---\nmodel-index: [{name: carded}]\nlicense: mit\n---\n"),
    ]);
    let registry = registry.unwrap();
    let names: Vec<_> = added(&registry).iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["good", "other", "carded"]);
    let told = told(&registry);
    for file in ["b.yml:", "c.yml:2", "c.yml:3", "c.yml:4", "ci.yml", "d.json:"] {
        assert!(told.iter().any(|t| t.contains(file)), "{file}: {told:?}");
    }
    assert!(!told.iter().any(|t| t.contains("README.md")), "{told:?}");
}

#[test]
fn a_source_with_nothing_in_it_is_an_error() {
    for (name, text) in
        [("a.yml", "Models: [{Name: x\n"), ("a.yml", "on: push\n"), ("a.md", "# x\n"), ("a.json", "[")]
    {
        let (_folder, registry) = open(&[(name, text)]);
        assert!(registry.is_err(), "{name}: {text}");
    }
}

/// The front matter of the cards below, with lines before it that the hub passes over.
#[test]
fn a_card_is_read_whatever_stands_before_it() {
    let card = "---\nlicense: mit\nmodel-index:\n- name: a\n  results:\n  - task: {type: image-classification}\n    dataset: {type: imagenet-1k, name: ImageNet}\n    metrics: [{type: accuracy, value: 0.7866}]\n---\n# x\n";
    for before in ["", "\n", "\n \n\t\n", "\u{feff}", "\u{feff}\n"] {
        for text in [format!("{before}{card}"), format!("{before}{card}").replace('\n', "\r\n")] {
            let (_folder, registry) = open(&[("a.md", &text)]);
            let registry = registry.unwrap();
            assert_eq!(top1(added(&registry)[0]), Some("78.66"), "{text:?}");
        }
    }
}

#[test]
fn the_accuracy_is_found_under_its_other_names() {
    let task = |text: &str| format!("task: {text}, dataset: {{type: ILSVRC/imagenet-1k, name: ImageNet-1k}}");
    let cases = [
        (task("{type: image-classification}"), "[{type: accuracy, value: 0.7866}]", Some("78.66")),
        (task("{type: image-classification}"), "[{type: accuracy, value: 0.8}]", Some("80")),
        (task("{type: image-classification}"), "[{type: accuracy, value: 1.0}]", Some("100")),
        (task("{type: image-classification}"), "[{type: accuracy, value: 0.00512}]", Some("0.512")),
        (task("{type: image-classification}"), "[{type: accuracy, value: 78.7}]", Some("78.7")),
        (task("{type: image-classification}"), "[{type: accuracy, value: 78.70%}]", Some("78.70")),
        (
            task("{type: image-classification}"),
            "[{type: accuracy, name: acc@1, value: 78.66}]",
            Some("78.66"),
        ),
        (
            task("{type: image-classification}"),
            "[{type: f1, value: 0.7}, {type: accuracy, name: Accuracy, value: 0.5}]",
            Some("50"),
        ),
        (task("{name: Classification}"), "[{name: Top-1 Accuracy, value: 70}]", Some("70")),
        (task("{type: object-detection}"), "[{type: accuracy, value: 0.5}]", None),
        ("dataset: {name: ImageNet}".to_owned(), "[{name: top1_acc, value: 70}]", Some("70")),
        ("dataset: {name: ImageNet-V2}".to_owned(), "[{name: top1_acc, value: 70}]", None),
        ("dataset: {name: CIFAR-10}".to_owned(), "[{type: accuracy, value: 0.9}]", None),
    ];
    for (result, metrics, expected) in cases {
        let card =
            format!("---\nmodel-index: [{{name: a, results: [{{{result}, metrics: {metrics}}}]}}]\n---\n");
        let (_folder, registry) = open(&[("a.md", &card)]);
        let registry = registry.unwrap();
        assert_eq!(top1(added(&registry)[0]), expected, "{card}");
    }
}

#[test]
fn metrics_within_metrics_are_kept() {
    let page = "Models: [{Name: a, Results: {Task: t, Dataset: d, Metrics: {bbox: {AP: 1, AP50: [2, 3]}, x: null, y: 4}}}]\n";
    let (_folder, registry) = open(&[("a.yml", page)]);
    let registry = registry.unwrap();
    let metrics = &added(&registry)[0].results[0].metrics;
    let metrics: Vec<_> = metrics.iter().map(|m| format!("{}={}", m.name, m.text)).collect();
    assert_eq!(metrics, ["bbox.AP=1", "bbox.AP50[0]=2", "bbox.AP50[1]=3", "y=4"]);
    assert_eq!(told(&registry), [""; 0]);
}

/// The README that zoo itself supplies is no file that is missing, and paths may begin at the root.
#[test]
fn files_are_looked_for_where_the_page_means_them() {
    let folder = tempfile::tempdir().unwrap();
    let page = "<!--\nType: model-index\nModels:\n- {Name: x, Code: c}\n- {Name: y, Code: c, README: docs/y.md}\n- {Name: z, README: gone.md, Code: c}\n-->\n";
    write(
        folder.path(),
        &[("model-index.yml", "Import: docs/*.md"), ("docs/x.md", page), ("docs/y.md", "# y\n")],
    );
    let index = import::read(folder.path()).unwrap();
    assert_eq!(index.models.len(), 3);
    let told: Vec<_> = index.problems.iter().map(ToString::to_string).collect();
    assert!(matches!(&told[..], [one] if one.contains("gone.md")), "{told:?}");
    let missing: PathBuf = folder.path().join("nowhere");
    assert!(import::read(&missing).is_err());
}

/// The rules that find something in a tree of files, with their messages.
fn linted(files: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    let index = pages::source(folder.path()).unwrap();
    let known = zoo::lint::known().unwrap();
    let report = zoo::lint::lint(&zoo::lint::LintContext::new(&index, &[], &known), &[]);
    report.findings.iter().map(|f| (f.rule.id, f.message.clone())).collect()
}

/// What zoo's rules must not say of libraries that are not of classifiers, or that came without their documentation.
#[test]
fn a_library_of_detectors_is_told_once_what_is_its_own() {
    let page = |name: &str| {
        format!(
            "Collections:\n- {{Name: C{name}, README: configs/{name}/README.md}}\nModels:\n- Name: {name}\n  In Collection: C{name}\n  \
             Frames: 3\n  Batch Size: 3\n  Weights: https://x.org/{name}-0123abc{name}.pth\n  Results:\n  - {{Task: Tracking, Dataset: Streets, Metrics: {{XYZA: 5}}}}\n"
        )
    };
    let names = ["a", "b", "c", "d"];
    let pages: Vec<_> = names.iter().map(|n| (format!("configs/{n}/metafile.yml"), page(n))).collect();
    let mut files: Vec<(&str, &str)> = pages.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let root = "Import:\n- configs/*/metafile.yml\n";
    files.push(("model-index.yml", root));
    let found = linted(&files);
    let rules: Vec<_> = found.iter().map(|(rule, _)| *rule).collect();
    // Not one is asked for a crop; a word of the library's own is told once.
    assert_eq!(rules, ["Z008", "Z006", "Z006", "Z017", "Z017"], "{found:?}");
    assert!(
        found[0].1.contains("`configs/a/README.md`") && found[0].1.contains("any other of the 4 READMEs"),
        "{found:?}"
    );
    assert!(
        found.iter().skip(1).all(|(_, message)| message.ends_with("here and in 3 more places")),
        "{found:?}"
    );
    assert!(found.iter().any(|(_, message)| message.contains("belongs under `Metadata`")), "{found:?}");
    // Where one is there, the others are missing one by one.
    files.push(("configs/a/README.md", "# a\n"));
    let found = linted(&files);
    assert_eq!(found.iter().filter(|(rule, _)| *rule == "Z008").count(), 3, "{found:?}");
}

#[test]
fn two_placeholders_are_not_one_file() {
    let found = linted(&[(
        "p.yml",
        "Models:\n- {Name: a, Weights: <>, Code: c}\n- {Name: b, Weights: <>, Code: c}\n",
    )]);
    let rules: Vec<_> =
        found.iter().map(|(rule, _)| *rule).filter(|r| ["Z020", "Z021"].contains(r)).collect();
    assert!(rules.is_empty(), "{found:?}");
}

#[test]
fn the_address_of_a_folder_is_no_file() {
    let found = linted(&[("p.yml", "Models:\n- {Name: n, Weights: 'https://x.org/n/', Results: []}\n")]);
    let of_weights: Vec<_> = found.iter().filter(|(rule, _)| ["Z022", "Z026"].contains(rule)).collect();
    assert!(matches!(of_weights.as_slice(), [("Z026", message)] if message.contains("folder")), "{found:?}");
}
