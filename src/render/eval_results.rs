//! Hugging Face's `.eval_results/*.yaml`: verdicts where people look for them.
//!
//! In: the verdicts of a report about one model. Out: the YAML, in the form of `_eval_results.py` of huggingface_hub
//! 2.4. Called by `zoo card --eval-results`.

use super::card::Verified;
use crate::registry::tree::{Mapping, Node, Value, to_yaml};

/// What the hub calls the dataset, and where the evaluation can be looked at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Id of the benchmark on the hub; without it that of ImageNet for its datasets, else the dataset's own name.
    pub dataset_id: Option<String>,
    /// The task within the benchmark.
    pub task_id: String,
    /// A link to the evaluation; zoo's name goes with it, which the hub takes only with a link.
    pub source_url: Option<String>,
}

/// The file: a list with an entry for each verdict. The value is top-1 in percent.
pub fn eval_results(verified: &[Verified], options: &Options) -> String {
    let items = verified.iter().map(|v| entry(v, options)).collect();
    to_yaml(&Node::of(Value::Sequence(items)))
}

fn entry(v: &Verified, options: &Options) -> Node {
    let id = options.dataset_id.clone().unwrap_or_else(|| match v.dataset.as_str() {
        "imagenet-val" => "ILSVRC/imagenet-1k".to_owned(),
        other => other.to_owned(),
    });
    let mut dataset = Mapping::default();
    dataset.set("id", Node::string(id));
    dataset.set("task_id", Node::string(&options.task_id));
    let mut entry = Mapping::default();
    entry.set("dataset", Node::of(Value::Mapping(dataset)));
    entry.set("value", Node::plain(v.top1.to_string()));
    if let Some(date) = &v.date {
        entry.set("date", Node::string(date));
    }
    if let Some(url) = &options.source_url {
        let mut source = Mapping::default();
        source.set("url", Node::string(url));
        source.set("name", Node::string("zoo verify"));
        entry.set("source", Node::of(Value::Mapping(source)));
    }
    entry.set("notes", Node::string(notes(v)));
    Node::of(Value::Mapping(entry))
}

/// What the number alone does not say.
fn notes(v: &Verified) -> String {
    let mut notes = format!("top-1 in percent, on {} images ({})", v.n, v.relation);
    if let Some(top5) = v.top5 {
        notes.push_str(&format!("; top-5 {top5}"));
    }
    if let (Some([low, high]), Some(confidence)) = (v.interval, v.confidence) {
        notes.push_str(&format!("; {} % interval {low} to {high}", (confidence * 1e6).round() / 1e4));
    }
    match v.claim {
        Some(claim) => notes.push_str(&format!("; claimed {claim}: {}", v.verdict)),
        None => notes.push_str(&format!("; {}", v.verdict)),
    }
    if let Some(sha256) = &v.file_sha256 {
        notes.push_str(&format!("; weights file SHA-256 {sha256}"));
    }
    notes
}
