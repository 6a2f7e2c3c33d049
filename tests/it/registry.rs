//! The registry against its own copy of the pages' figures, and every collection through all its forms and
//! back: page, YAML, `zoo show --yaml`, `zoo page`, `zoo import`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zoo::registry::format::Index;
use zoo::registry::import::{self, check::differences};

use crate::support::{Home, Reply, Server};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The rows of the facts' table by name, each by column.
fn facts() -> HashMap<String, HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(root("tests/golden/registry/facts.csv")).unwrap();
    let headers = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        let cells = headers.iter().zip(record.iter()).map(|(h, c)| (h.to_owned(), c.to_owned()));
        (record[0].to_owned(), cells.collect())
    };
    reader.records().map(|r| row(r.unwrap())).collect()
}

#[test]
fn every_number_of_list_as_published_is_the_page_s() {
    let facts = facts();
    assert_eq!(facts.len(), 261);
    let ran = Home::new().run(&["list", "--json", "--as-published"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let listed: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let mut seen = 0;
    for model in &listed {
        let Some(row) = facts.get(model["name"].as_str().unwrap()) else { continue };
        let number = |column: &str| row[column].trim_end_matches('%').parse::<f64>().unwrap();
        let own = |key: &str| model[key].as_f64().unwrap();
        for (key, column) in [
            ("params", "params"),
            ("flops", "flops"),
            ("file_size", "file_size"),
            ("image_size", "image_size"),
            ("crop_pct", "crop_pct"),
            ("top1", "top1"),
            ("top5", "top5"),
        ] {
            assert_eq!(own(key), number(column), "{} {key}", row["name"]);
        }
        for (key, column) in
            [("collection", "collection"), ("interpolation", "interpolation"), ("url", "weights")]
        {
            assert_eq!(model[key].as_str().unwrap(), row[column], "{} {key}", row["name"]);
        }
        assert_eq!(model["hash_prefix"].as_str().unwrap_or_default(), row["hash"], "{}", row["name"]);
        let metrics = &model["results"][0]["metrics"];
        assert_eq!(metrics["Top 1 Accuracy"].as_f64().unwrap(), number("top1"));
        seen += 1;
    }
    assert_eq!(seen, 261);
}

/// What timm 1.0.31 and 0.4.12 count, and what the graph has.
#[test]
fn parameters_computed_are_timm_s_exactly() {
    let facts = facts();
    let mut computed = 0;
    for entry in zoo::registry::Registry::builtin().unwrap().models() {
        let Some(row) = facts.get(&entry.name) else { continue };
        let exact: u64 = row["w_params"].parse().unwrap();
        assert_eq!(entry.zoo.params.map(|n| n.0), Some(exact), "{}", entry.name);
        let (Some(arch), Some(size)) = (&entry.zoo.arch, entry.image_size) else { continue };
        let Some(found) = zoo::arch::facts(arch, [size.height, size.width]) else { continue };
        assert_eq!(found.params, exact, "{}", entry.name);
        computed += 1;
    }
    assert!(computed >= 155, "{computed}");
    let home = Home::new();
    let noisy: Vec<_> = facts.values().filter(|r| r["collection"] == "Noisy Student").collect();
    assert_eq!(noisy.len(), 9);
    for row in noisy {
        let ran = home.run(&["show", &row["name"], "--tree", "--json"]);
        let tree: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(tree["params"].as_u64().unwrap().to_string(), row["arch_params"], "{}", row["name"]);
        match row["name"].as_str() {
            "tf_efficientnet_b0_ns" => assert_eq!(tree["params"], 5_288_548),
            "tf_efficientnet_l2_ns" => assert_eq!(tree["params"], 480_309_308),
            _ => {}
        }
    }
}

#[test]
fn an_unknown_name_gets_did_you_mean() {
    let home = Home::new();
    for verb in ["show", "cite", "page", "card", "fetch"] {
        let ran = home.run(&[verb, "tf_eficientnet_b0_ns"]);
        assert_eq!(ran.code, Some(3), "{verb}: {ran:?}");
        assert!(ran.err.contains("did you mean `tf_efficientnet_b0_ns`"), "{verb}: {}", ran.err);
        assert!(ran.out.is_empty(), "{verb}");
    }
}

/// What pages and cards tell people to type is there, and the Rust is that of the documentation, which is compiled.
#[test]
fn pages_and_cards_tell_nothing_that_is_not_there() {
    let home = Home::new();
    let help = home.run(&["--help"]).out;
    let verbs: Vec<&str> = help.lines().filter_map(|l| l.strip_prefix("  ")?.split(' ').next()).collect();
    let page = home.run(&["page", "tf_efficientnet_b0_ns"]).out;
    for text in [&page, &home.run(&["card", "tf_efficientnet_b0_ns"]).out] {
        let typed = text.lines().filter_map(|l| l.strip_prefix("zoo ")?.split(' ').next());
        let typed: Vec<_> = typed.collect();
        assert!(typed.len() >= 2 && typed.iter().all(|verb| verbs.contains(verb)), "{typed:?} {verbs:?}");
    }
    let source = std::fs::read_to_string(root("src/model/mod.rs")).unwrap();
    let example =
        source.split_once("as zoo;\n").unwrap().1.split_once("//! # Ok").unwrap().0.replace("//! ", "");
    assert!(page.contains(&example), "{example}");
}

/// A card claims what is right, with the page as its source only where the page says that.
#[test]
fn a_card_has_the_corrected_claim() {
    let home = Home::new();
    let card = home.run(&["card", "pnasnet5large"]).out;
    assert!(card.contains("value: 82.814") && !card.contains("value: 0.98"), "{card}");
    assert!(!card.contains("source:") && home.run(&["card", "resnet50"]).out.contains("source:"), "{card}");
    home.write("d.yaml", "Models:\n- Name: det\n  Code: c\n  Results: [{Task: Object Detection, Dataset: COCO, Metrics: {box AP: 37.4}}]\n");
    let card = home.run(&["card", "det", "--registry", "d.yaml"]).out;
    assert!(
        card.contains("pipeline_tag: object-detection") && card.contains("A model for object detection"),
        "{card}"
    );
    assert!(!card.contains("timm\n- zoo") && !card.contains("library_name"), "{card}");
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> =
        std::fs::read_dir(root("registry/models")).unwrap().map(|e| e.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() >= 64);
    pages
}

/// Nothing differs, either way, and nothing is missing.
fn same(a: &Index, b: &Index, what: &str) {
    let found: Vec<_> = differences(a, b).into_iter().chain(differences(b, a)).collect();
    assert!(found.is_empty(), "{what}: {found:#?}");
}

#[test]
fn every_collection_comes_back_from_show_and_from_its_page() {
    let home = Home::new();
    for page in pages() {
        let stem = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let original = import::read(&page).unwrap();
        assert!(original.problems.is_empty(), "{stem}: {:?}", original.problems);
        // Import writes the file as it is: the registry is in import's own form.
        let imported = home.run(&["import", page.to_str().unwrap()]);
        assert_eq!(imported.out, std::fs::read_to_string(&page).unwrap(), "{stem}");
        let collection = original.collections[0].name().unwrap();
        let rendered = home.run(&["page", collection]);
        assert_eq!(rendered.code, Some(0), "{stem}: {}", rendered.err);
        let file = home.write(&format!("{stem}.md"), &rendered.out);
        same(&original, &import::read(&file).unwrap(), &stem);
        // The first and the last model, whole, with the collection.
        for model in [original.models.first().unwrap(), original.models.last().unwrap()] {
            let shown = home.run(&["show", model.name().unwrap(), "--yaml"]);
            assert_eq!(shown.code, Some(0), "{}", shown.err);
            let file = home.write("shown.yaml", &shown.out);
            let back = import::read(&file).unwrap();
            let only = Index {
                models: vec![model.clone()],
                collections: original.collections.clone(),
                ..Index::default()
            };
            same(&only, &back, model.name().unwrap());
            let again = home.run(&["import", "shown.yaml"]);
            assert_eq!(again.out, shown.out, "{stem}");
        }
    }
}

/// All models, by the library's own functions: 262 processes would only repeat the above.
#[test]
fn every_model_comes_back_alone() {
    use zoo::registry::format::document;
    use zoo::registry::tree::to_yaml;
    for page in pages() {
        let original = import::read(&page).unwrap();
        for model in &original.models {
            let only = Index {
                models: vec![model.clone()],
                collections: original.collections.clone(),
                ..Index::default()
            };
            let text = to_yaml(&document(&only));
            let back = import::read_bytes("x.yaml", text.as_bytes()).unwrap();
            same(&only, &back, model.name().unwrap());
            assert_eq!(to_yaml(&document(&back)), text);
        }
    }
}

#[test]
fn the_registry_has_the_pages_and_nothing_differs() {
    let home = Home::new();
    let files: Vec<_> = pages().iter().map(|p| p.display().to_string()).collect();
    let mut args = vec!["import", "--check"];
    args.extend(files.iter().map(String::as_str));
    let ran = home.run(&args);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
}

/// A model-index of others, with everything in files of its own, under every verb.
#[test]
fn somebody_else_s_model_index_works_under_every_verb() {
    let weights = b"not a checkpoint, but a file".repeat(100);
    let digest = zoo::hash::Sha256::of(&weights).to_string();
    let server = Server::start(move |asked| Reply::file(asked, &weights, "\"w\""));
    let home = Home::new();
    home.write("zoo/model-index.yml", "Import:\n- configs/*/*.yml\n");
    home.write("zoo/configs/det/det.yml", format!(
        "Collections:\n- {{Name: Detectors, Metadata: {{Training Data: COCO}}, Paper: {{Title: P, URL: https://example.org/p}}}}\n\
         Models:\n- Name: det_r50\n  in_collection: Detectors\n  metadata: {{parameters: 41.3M, flops: 180G}}\n  \
         Weights: [{}/w-{}.pth, https://example.org/other.pth]\n  \
         Results:\n  - {{Task: Object Detection, Dataset: COCO, Metrics: {{box AP: 37.4}}}}\n", server.url, &digest[..8]));
    home.write("zoo/configs/cls/cls.yml", "Models:\n- Name: twin\n  In Collection: A\n  Code: c\n- Name: twin\n  In Collection: B\n  Code: d\nCollections: [{Name: A}, {Name: B}]\n");
    for registry in ["zoo/model-index.yml", "zoo"] {
        let list = home.run(&["list", "det", "--json", "--registry", registry]);
        assert_eq!(list.code, Some(0), "{list:?}");
        let listed: Value = serde_json::from_str(&list.out).unwrap();
        let det = &listed[0];
        assert_eq!(det["name"], "det_r50");
        assert_eq!(
            (det["params"].as_u64(), det["flops"].as_u64()),
            (Some(41_300_000), Some(180_000_000_000))
        );
        assert_eq!(det["results"][0]["task"], "Object Detection");
        assert_eq!(det["results"][0]["metrics"]["box AP"], 37.4);
        assert_eq!(det["urls"].as_array().unwrap().len(), 2);
        assert_eq!(det["training_data"][0], "COCO");
        let show = home.run(&["show", "det_r50", "--registry", registry]);
        assert!(show.code == Some(0) && show.out.contains("box AP 37.4"), "{show:?}");
        let twin = home.run(&["show", "twin", "--registry", registry]);
        assert!(twin.code == Some(3) && twin.err.contains("A/twin, B/twin"), "{twin:?}");
        assert_eq!(home.run(&["show", "B/twin", "--registry", registry]).code, Some(0));
        let lint = home.run(&["lint", "--registry", registry, "--json"]);
        assert_eq!(lint.code, Some(0), "{lint:?}");
        let found: Vec<Value> = serde_json::from_str(&lint.out).unwrap();
        let rules: Vec<_> = found.iter().map(|f| f["rule"].as_str().unwrap()).collect();
        assert!(rules.contains(&"Z010") && !rules.contains(&"Z001"), "{rules:?}");
        let place = found.iter().find(|f| f["rule"] == "Z010").unwrap();
        assert!(
            place["file"].as_str().unwrap().ends_with("configs/cls/cls.yml") && place["line"] == 5,
            "{place}"
        );
        let fetch = home.run(&["fetch", "det_r50", "--registry", registry, "--format", "pth", "--json"]);
        assert_eq!(fetch.code, Some(0), "{fetch:?}");
        let fetched: Value = serde_json::from_str(&fetch.out).unwrap();
        assert_eq!(fetched[0]["sha256"], digest.as_str());
        // One source of the model-index's own names shadows ours, and takes nothing else away.
        let all = home.run(&["list", "--json", "--registry", registry]);
        assert_eq!(serde_json::from_str::<Vec<Value>>(&all.out).unwrap().len(), 262 + 3);
    }
}
