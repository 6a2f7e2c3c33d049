//! Model cards: what a card had comes back after `zoo import` and `zoo card`, and nothing is claimed that is not so.

use std::path::Path;

use serde_json::Value;
use zoo::registry::format::{self, document, to_json};
use zoo::registry::tree::{self, Limits, Origin, Schema, to_yaml};
use zoo::registry::{Registry, import, pages};
use zoo::render::{card, eval_results, page};

/// The front matter of a page.
fn front_matter(page: &str) -> Value {
    let block = page.trim_start().strip_prefix("---\n").unwrap().split_once("\n---").unwrap().0;
    let (documents, _) = tree::yaml(block.as_bytes(), Origin::file("f"), &Limits::default()).unwrap();
    to_json(&documents[0], Schema::Core)
}

/// The card and the page that zoo writes for the only model of a source.
fn written(source: &Path) -> (String, String) {
    let registry = Registry::open(&[source.to_owned()]).unwrap();
    let entry = registry.models().iter().find(|e| e.added).unwrap();
    let record = pages::record(entry, &[source]).unwrap().unwrap();
    let card = card::card(&card::values(&record, entry, &[]), None).unwrap();
    let page = page::page(&page::values(&entry.name, None, &[(&record, entry)]), None).unwrap();
    (card, page)
}

const CARDS: &[&str] = &[
    "license: mit\nmodel-index:\n- name: a\n  results: []",
    "language:\n- en\n- 'no'\n- zh\nlicense: apache-2.0\nlibrary_name: transformers\ntags:\n- Generated_From_Trainer\n- ASR\ndatasets:\n- mozilla-foundation/common_voice_8_0\n- My/Data_Set\nmetrics:\n- wer\npipeline_tag: automatic-speech-recognition\nbase_model: facebook/wav2vec2-xls-r-300m\nwidget:\n- text: 'Hello: world'\n- src: https://x.org/a.wav?b=1#c\nmodel-index:\n- name: XLS-R\n  results:\n  - task:\n      type: automatic-speech-recognition\n      name: Speech Recognition\n    dataset:\n      type: mozilla-foundation/common_voice_8_0\n      name: Common Voice 8\n      config: fr\n      split: test\n      revision: 5503434ddd753f426f4b38109466949a1217c2bb\n      args: {language: fr, n: 3}\n    metrics:\n    - type: wer\n      name: Test WER\n      value: 12.5\n      config: default\n      args: {max_order: 4}\n      verified: true\n      verifyToken: eyJhbGciOiJFZERTQSJ9.x.y\n    - {type: cer, value: '20.0 ± 1.2'}\n    source: {name: Open ASR, url: 'https://x.org'}",
    "license: [mit, cc-by-4.0]\nlicense_name: Other\nlicense_link: LICENSE\ndatasets: one\nmodel-index:\n- name: SetFit with BAAI/bge\n  results:\n  - task: {type: text-classification, name: Text Classification}\n    dataset: {name: Unknown, type: unknown, split: test}\n    metrics: [{type: accuracy, value: 0.8617, name: Accuracy}, {type: Jaccard_Error, value: 0.2, name: TEST Jaccard Error Rate}]",
    "license: null\nthumbnail: null\nmodel-index:\n- name: ''\n  results:\n  - task: {type: reinforcement-learning}\n    dataset: {name: LunarLander-v2, type: LunarLander-v2}\n    metrics: [{type: mean_reward, value: 250.1 +/- 20.3, name: mean_reward}]",
    "model-index:\n- name: no-results\ntags: []\nco2_eq_emissions: {emissions: 1.5, source: code}",
];

#[test]
fn a_card_that_is_imported_is_written_as_it_was() {
    for card in CARDS {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("---\n{card}\n---\n# A card\n");
        let (source, imported) = (folder.path().join("card.md"), folder.path().join("imported.yaml"));
        std::fs::write(&source, &text).unwrap();
        let index = import::read(&source).unwrap();
        assert!(!index.problems.has_errors(), "{card}");
        std::fs::write(&imported, to_yaml(&document(&index))).unwrap();
        for source in [&source, &imported] {
            let (card, page) = written(source);
            assert_eq!(front_matter(&card), front_matter(&text), "{card}");
            for written in [&card, &page] {
                for untrue in [
                    "create_model",
                    "zoo predict",
                    "zoo verify",
                    "ImageNet",
                    "imagenet",
                    "image classification",
                ] {
                    assert!(!written.contains(untrue), "{untrue}: {written}");
                }
            }
        }
    }
}

#[test]
fn identifiers_keep_their_case_and_unknown_tasks_are_not_invented() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("p.yml");
    let text = "Models: [{Name: Det, Weights: 'https://x.org/Det-0123abcd.pth', Metadata: {Training Data: [COCO, My Set]}, Results: [{Task: Object Detection, Dataset: COCO, Metrics: {box AP: 37.4, Jaccard Accuracy Loss: 1}}]}]\n";
    std::fs::write(&page, text).unwrap();
    let (card, documentation) = written(&page);
    let front = front_matter(&card);
    assert_eq!(front["datasets"], serde_json::json!(["COCO", "My-Set"]));
    let result = &front["model-index"][0]["results"][0];
    assert_eq!(result["dataset"]["type"], "COCO");
    assert_eq!(result["metrics"][0]["type"], "box AP");
    assert_eq!(result["metrics"][1]["type"], "Jaccard Accuracy Loss");
    assert!(card.contains("| Object Detection | COCO | box AP | 37.4 |"), "{card}");
    assert!(documentation.contains("| Object Detection | COCO | box AP | 37.4 |"), "{documentation}");
    for written in [&card, &documentation] {
        for untrue in ["create_model", "zoo predict", "ImageNet", "imagenet", "timm"] {
            assert!(!written.contains(untrue), "{untrue}: {written}");
        }
    }
    std::fs::write(&page, "Models: [{Name: what, Code: c}]\n").unwrap();
    let (card, _) = written(&page);
    assert!(front_matter(&card).get("pipeline_tag").is_none() && card.contains("A model."), "{card}");
}

/// What timm has keeps its page whole.
#[test]
fn a_classifier_of_timm_keeps_its_examples() {
    let registry = Registry::builtin().unwrap();
    let entry = registry.resolve("tf_efficientnet_b0_ns").unwrap();
    let record = pages::record(entry, &[] as &[&Path]).unwrap().unwrap();
    let card = card::card(&card::values(&record, entry, &[]), None).unwrap();
    let page = page::page(&page::values("t", None, &[(&record, entry)]), None).unwrap();
    for text in ["create_model", "zoo predict", "zoo verify"] {
        assert!(card.contains(text) && page.contains(text), "{text}");
    }
    assert!(card.contains("| Top 1, published | 78.66 |") && page.contains("## How do I train this model?"));
}

#[test]
fn a_verdict_is_written_as_the_hub_reads_it() {
    let report = serde_json::json!({"timing": {"started": "2026-11-27T04:25:14Z"}, "results": [{"model": "m", "verdict": "reproduced",
        "dataset": {"name": "imagenet-val", "relation": "census"}, "n": 50000, "top1": 78.66, "top5": 94.37, "interval": [78.66, 78.66],
        "confidence": 0.95, "claim": {"value": 78.7}, "weights": {"file_sha256": "ab"}}]});
    let verified = card::verified("r.json", &report, "m").unwrap();
    let options = eval_results::Options {
        task_id: "default".into(),
        source_url: Some("https://x.org/r.json".into()),
        ..eval_results::Options::default()
    };
    let index = format::page("p.yml", b"Models: [{Name: m, Code: c}]\n");
    let text = eval_results::eval_results(&index.models[0], &verified, &options).unwrap();
    let (documents, _) = tree::yaml(text.as_bytes(), Origin::file("e"), &Limits::default()).unwrap();
    let json = to_json(&documents[0], Schema::Yaml11);
    let expected = serde_json::json!([{"dataset": {"id": "ILSVRC/imagenet-1k", "task_id": "default"}, "value": 78.66,
        "date": "2026-11-27T04:25:14Z", "source": {"url": "https://x.org/r.json", "name": "zoo verify"},
        "notes": "top-1 in percent, on 50000 images (census); top-5 94.37; 95 % interval 78.66 to 78.66; claimed 78.7: reproduced; weights file SHA-256 ab"}]);
    assert_eq!(json, expected, "{text}");
}
