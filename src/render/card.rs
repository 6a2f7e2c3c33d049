//! Hugging Face model cards. In: a model's entry and record, and the verdicts of a zoo report about it. Out:
//! the card, its front matter as the Hub's specification has it. Called by `zoo card`.

use std::path::Path;

use serde_json::{Value, json};

use super::page::{self, Paper};
use super::{cite, template};
use crate::error::{Class, Classify};
use crate::registry::citation;
use crate::registry::format::{Record, Reported, fields, is_eval_result, reported};
use crate::registry::tree::{Mapping, Node, Value as Tree, View, same_field, to_yaml};
use crate::registry::{Entry, is_top1, is_top5};

/// A report that has nothing for this card.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is no report of `zoo verify`.
    #[error("report `{file}`: `{path}`: expected {expected}")]
    Malformed {
        /// The file.
        file: String,
        /// Where in it.
        path: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// It is about other models.
    #[error("report `{file}` has no result of `{model}`, only of {}", others.join(", "))]
    OtherModels {
        /// The file.
        file: String,
        /// The model of the card.
        model: String,
        /// The models it has.
        others: Vec<String>,
    },
}

impl Classify for ReportError {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// One verdict of a report, as a card states it. Accuracies and interval are percent.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// `reproduced`, `consistent`, `contradicted` or `no-claim`.
    pub verdict: String,
    /// The dataset's name.
    pub dataset: String,
    /// What its images are of the population: `census`, `random`, `given`, `other`.
    pub relation: String,
    /// Images counted.
    pub n: u64,
    /// Measured top-1.
    pub top1: f64,
    /// Measured top-5.
    pub top5: Option<f64>,
    /// Of top-1; absent where there is none.
    pub interval: Option<[f64; 2]>,
    /// Of the interval, a fraction.
    pub confidence: Option<f64>,
    /// The claim's value.
    pub claim: Option<f64>,
    /// Of the weights file.
    pub file_sha256: Option<String>,
    /// When the run began, as ISO 8601 has it.
    pub date: Option<String>,
}

/// The verdicts about a model in a report of `zoo verify --report R.json`.
///
/// # Errors
/// [`ReportError`].
pub fn verified(file: &str, report: &Value, model: &str) -> Result<Vec<Verified>, ReportError> {
    let malformed = |path: String, expected| ReportError::Malformed { file: file.to_owned(), path, expected };
    let results = report.get("results").and_then(Value::as_array);
    let results = results.ok_or_else(|| malformed("results".into(), "a list of results"))?;
    let mut found = Vec::new();
    let mut others = Vec::new();
    for (i, result) in results.iter().enumerate() {
        let need = |path: &str, expected| {
            let value = result.pointer(&format!("/{}", path.replace('.', "/")));
            value.ok_or_else(|| malformed(format!("results[{i}].{path}"), expected))
        };
        let text = |path: &str| {
            let value = need(path, "a text")?.as_str();
            value.map(str::to_owned).ok_or_else(|| malformed(format!("results[{i}].{path}"), "a text"))
        };
        let number = |path: &str| result.pointer(path).and_then(Value::as_f64);
        let name = text("model")?;
        if name != model {
            others.push(format!("`{name}`"));
            continue;
        }
        let n = need("n", "a number of images")?.as_u64();
        let top1 = number("/top1").ok_or_else(|| malformed(format!("results[{i}].top1"), "percent"))?;
        let interval = [number("/interval/0"), number("/interval/1")];
        found.push(Verified {
            verdict: text("verdict")?,
            dataset: text("dataset.name")?,
            relation: text("dataset.relation")?,
            n: n.ok_or_else(|| malformed(format!("results[{i}].n"), "a number of images"))?,
            top1,
            top5: number("/top5"),
            interval: interval[0].zip(interval[1]).map(|(low, high)| [low, high]),
            confidence: number("/confidence"),
            claim: number("/claim/value"),
            file_sha256: result.pointer("/weights/file_sha256").and_then(Value::as_str).map(str::to_owned),
            date: report.pointer("/timing/started").and_then(Value::as_str).map(str::to_owned),
        });
    }
    if found.is_empty() {
        return Err(ReportError::OtherModels { file: file.to_owned(), model: model.to_owned(), others });
    }
    Ok(found)
}

/// The values of a card.
pub fn values(record: &Record, entry: &Entry, verified: &[Verified]) -> Value {
    let full = record.full();
    let Paper { title, url } = page::corrected(page::paper(&full), entry);
    let citation = citation::text(&full);
    let citation = citation.or_else(|| cite::bibtex(&entry.name, title.as_deref(), url.as_deref()));
    let facts: Vec<_> = verified.iter().map(fact).collect();
    json!({
        "front_matter": to_yaml(&front_matter(record, entry, verified)),
        "model": page::model(record, entry),
        "collection": entry.collection,
        "kind": match task(&full, entry) {
            Some(task) if same_field(&task, CLASSIFICATION) => "An image classification model".to_owned(),
            Some(task) => format!("A model for {}", task.replace('-', " ").to_lowercase()),
            None => "A model".to_owned(),
        },
        "results": page::results(entry),
        "paper": {"title": title, "url": url},
        "training": page::training(&full),
        "verified": facts,
        "fence": citation.as_deref().map(page::fence),
        "citation": citation,
    })
}

/// The card of these values by our template or the user's.
///
/// # Errors
/// [`template::Error`].
pub fn card(values: &Value, theirs: Option<&Path>) -> Result<String, template::Error> {
    template::render(template::CARD, theirs, values)
}

fn fact(v: &Verified) -> Value {
    json!({
        "verdict": v.verdict,
        "dataset": v.dataset,
        "relation": v.relation,
        "n": v.n,
        "top1": v.top1,
        "top5": v.top5,
        "interval": v.interval,
        "confidence_percent": v.confidence.map(|c| (c * 1e6).round() / 1e4),
        "claim": v.claim,
        "file_sha256": v.file_sha256,
    })
}

/// The metadata of the card: what the Hub reads.
fn front_matter(record: &Record, entry: &Entry, verified: &[Verified]) -> Node {
    if let Some(card) = record.own.field("Card").and_then(Node::mapping) {
        return of_card(record, card, verified);
    }
    let mut front = Mapping::default();
    // The Hub's own word for a licence that nobody has stated.
    front.set("license", Node::string(entry.zoo.licence.as_deref().unwrap_or("unknown").to_lowercase()));
    let full = record.full();
    let of_timm = page::is_of_timm(entry);
    if of_timm {
        front.set("library_name", Node::string("timm"));
    }
    let kind = task(&full, entry).map(|task| slug(&task));
    if let Some(kind) = &kind {
        front.set("pipeline_tag", Node::string(kind));
    }
    front.set("tags", texts(kind.as_deref().into_iter().chain(of_timm.then_some("timm")).chain(["zoo"])));
    let data = record.full.field("Metadata").and_then(|m| m.field("Training Data"));
    let data = data.map(Node::one_or_many).unwrap_or_default().iter().filter_map(Node::text);
    let data: Vec<_> = data.map(hub_dataset).collect();
    if !data.is_empty() {
        front.set("datasets", texts(data.iter().map(String::as_str)));
    }
    let Paper { url, .. } = page::corrected(page::paper(&full), entry);
    // A corrected figure is not the page's.
    let corrected = entry.corrections.iter().any(|c| c.field.starts_with("Results"));
    let page_url = url.filter(|_| !corrected).or(full
        .field("Code")
        .filter(|_| !corrected)
        .and_then(|c| c.text())
        .map(str::to_owned));
    let results = reported(&full);
    let results = results.iter().filter(|r| !is_eval_result(r.view.node()));
    let mut results: Vec<_> = results.filter_map(|r| published(r, page_url.as_deref())).collect();
    results.extend(verified.iter().map(measured));
    let mut model = Mapping::default();
    model.set("name", Node::string(&entry.name));
    model.set("results", list(results));
    front.set("model-index", list(vec![mapping(model)]));
    mapping(front)
}

/// The front matter of a card that was imported, as it was: what the card said beside its `model-index`, and the
/// model's results word for word.
fn of_card(record: &Record, card: &Mapping, verified: &[Verified]) -> Node {
    let own = &record.own;
    let mut front = Mapping::default();
    let from = |section: &str, key: &str| own.field(section).and_then(|s| s.field(key)).cloned();
    for (key, value) in [
        ("license", from("zoo", "licence")),
        ("datasets", from("Metadata", "Training Data")),
        ("pipeline_tag", from("Metadata", "Tasks")),
    ] {
        if let Some(value) = value {
            front.set(key, value);
        }
    }
    for (key, value) in card.iter() {
        front.set(key.text(), value.clone());
    }
    let mut model = Mapping::default();
    for (key, value) in own.mapping().into_iter().flat_map(Mapping::iter) {
        match key.text() {
            "Card" | "zoo" | "Metadata" => {}
            "Name" => model.set("name", value.clone()),
            "Results" => {
                // Those of `.eval_results` stay in their own files.
                let results = value.one_or_many().iter().filter(|r| !is_eval_result(r)).map(in_lower_case);
                let all: Vec<_> = results.chain(verified.iter().map(measured)).collect();
                if !all.is_empty() || value.one_or_many().is_empty() {
                    model.set("results", list(all));
                }
            }
            other => model.set(other, value.clone()),
        }
    }
    if model.get("results").is_none() && !verified.is_empty() {
        model.set("results", list(verified.iter().map(measured).collect()));
    }
    // The hub takes no model-index without results; a repository of evaluations alone has none.
    let results = own.field("Results").map(Node::one_or_many).unwrap_or_default();
    if model.get("results").is_some() || !results.iter().any(is_eval_result) {
        front.set("model-index", list(vec![mapping(model)]));
    }
    mapping(front)
}

/// A result with the keys of a card, which are the format's own in lower case.
fn in_lower_case(result: &Node) -> Node {
    let mut result = result.clone();
    for (key, _) in result.mapping_mut().into_iter().flat_map(|m| m.pairs_mut()) {
        if fields::RESULT.contains(&key.text()) {
            key.scalar.text.make_ascii_lowercase();
        }
    }
    result
}

/// A result that the page reports, as the Hub writes it.
fn published(result: &Reported<'_>, url: Option<&str>) -> Option<Node> {
    let text = |v: &Option<View<'_>>| v.as_ref().and_then(|v| v.text()).map(str::to_owned);
    let metrics = result.metrics.iter().filter_map(|(name, value)| {
        let value = value.text()?;
        let number = value.trim().trim_end_matches('%').trim_end();
        let value = if number.parse::<f64>().is_ok() { Node::plain(number) } else { Node::string(value) };
        Some(metric(name, value, None, None))
    });
    let metrics: Vec<_> = metrics.collect();
    let (task, dataset) = (text(&result.task)?, text(&result.dataset)?);
    (!metrics.is_empty()).then(|| {
        let mut result = one(&task, &dataset, None, metrics);
        // The Hub takes a source only with its address.
        if let Some(url) = url.filter(|u| super::safe::link(u).is_some()) {
            result.set("source", mapping(pair(("name", "the model's page"), ("url", url))));
        }
        mapping(result)
    })
}

/// A result that zoo measured. `verified` says that the claim was reproduced.
fn measured(v: &Verified) -> Node {
    let mut images = pair(("images", ""), ("relation", &v.relation));
    images.set("images", Node::plain(v.n.to_string()));
    let mut args = images.clone();
    args.set("verdict", Node::string(&v.verdict));
    if let Some([low, high]) = v.interval {
        args.set("interval", list(vec![Node::plain(low.to_string()), Node::plain(high.to_string())]));
    }
    if let Some(confidence) = v.confidence {
        args.set("confidence", Node::plain(confidence.to_string()));
    }
    let reproduced = Node::plain((v.verdict == "reproduced").to_string());
    let percent = |value: f64| Node::plain(value.to_string());
    let mut metrics = vec![metric("Top 1 Accuracy", percent(v.top1), Some(reproduced), Some(args))];
    // The verdict is about top-1 only.
    metrics.extend(v.top5.map(|top5| metric("Top 5 Accuracy", percent(top5), None, Some(images))));
    mapping(one(CLASSIFICATION, &v.dataset, Some(&v.relation), metrics))
}

const CLASSIFICATION: &str = "Image Classification";

/// What the model is for: the task of its first result, else of its metadata; what timm has classifies images.
fn task(model: &View<'_>, entry: &Entry) -> Option<String> {
    let result = reported(model).into_iter().find_map(|r| r.task?.text().map(str::to_owned));
    let metadata =
        || model.field("Metadata")?.field("Tasks")?.node().one_or_many().first()?.text().map(str::to_owned);
    result.or_else(metadata).or_else(|| page::is_of_timm(entry).then(|| CLASSIFICATION.to_owned()))
}

/// The Hub's word for a task.
fn slug(task: &str) -> String {
    task.to_lowercase().replace(' ', "-")
}

fn pair(first: (&str, &str), second: (&str, &str)) -> Mapping {
    let mut pair = Mapping::default();
    pair.set(first.0, Node::string(first.1));
    pair.set(second.0, Node::string(second.1));
    pair
}

fn one(task: &str, dataset: &str, config: Option<&str>, metrics: Vec<Node>) -> Mapping {
    let mut result = Mapping::default();
    result.set("task", mapping(pair(("type", &slug(task)), ("name", task))));
    let mut of = pair(("type", &hub_dataset(dataset)), ("name", dataset));
    if let Some(config) = config {
        of.set("config", Node::string(config));
    }
    result.set("dataset", mapping(of));
    result.set("metrics", list(metrics));
    result
}

fn metric(name: &str, value: Node, verified: Option<Node>, args: Option<Mapping>) -> Node {
    let mut metric = Mapping::default();
    // The hub's own id of an accuracy; any other metric keeps its name, in its own case.
    let is_accuracy = is_top1(name) || is_top5(name) || same_field(name, "accuracy");
    metric.set("type", Node::string(if is_accuracy { "accuracy" } else { name }));
    metric.set("name", Node::string(name));
    metric.set("value", value);
    if let Some(verified) = verified {
        metric.set("verified", verified);
    }
    if let Some(args) = args {
        metric.set("args", mapping(args));
    }
    mapping(metric)
}

/// The Hub's id of a dataset.
fn hub_dataset(name: &str) -> String {
    match name.to_lowercase().as_str() {
        "imagenet" | "imagenet-val" => "imagenet-1k".into(),
        _ => name.replace(' ', "-"),
    }
}

fn mapping(mapping: Mapping) -> Node {
    Node::of(Tree::Mapping(mapping))
}

fn list(items: Vec<Node>) -> Node {
    Node::of(Tree::Sequence(items))
}

fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> Node {
    list(items.into_iter().map(Node::string).collect())
}
