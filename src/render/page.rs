//! What the page and card templates know of a model. In: its typed entry and its record in the index. Out:
//! values for a template, and the pages themselves. Called by `zoo page` and `zoo card`.

use std::path::Path;

use serde_json::json;

use super::{cite, entry, template};
use crate::registry::citation;
use crate::registry::format::{Index, Record, document};
use crate::registry::query::Lookups;
use crate::registry::tree::{View, same_field, to_comment};
use crate::registry::{Entry, Training};

/// The values of a documentation page for some models of one collection, each with its typed entry.
pub fn values(title: &str, collection: Option<&Record>, models: &[(&Record, &Entry)]) -> serde_json::Value {
    let index = Index {
        models: models.iter().map(|(record, _)| (*record).clone()).collect(),
        collections: collection.into_iter().cloned().collect(),
        ..Index::default()
    };
    let first = models.first().map(|(record, _)| record.full());
    let paper = first.as_ref().map(paper).unwrap_or_default();
    let paper = models.first().map_or_else(Paper::default, |(_, entry)| corrected(paper, entry));
    let described = collection.and_then(|c| c.own.field(citation::DESCRIPTION)?.text().map(str::to_owned));
    let citation = first.as_ref().and_then(citation::text);
    let citation = citation.or_else(|| cite::bibtex(title, paper.title.as_deref(), paper.url.as_deref()));
    let known: Vec<_> = models.iter().map(|(record, entry)| model(record, entry)).collect();
    json!({
        "title": title,
        "description": described,
        "paper": {"title": paper.title, "url": paper.url},
        "models": known,
        "example": known.first(),
        "training": first.as_ref().map(training),
        "fence": citation.as_deref().map(fence),
        "citation": citation,
        "index": to_comment(&document(&index)),
        // What the page says of timm, ImageNet and `zoo predict` is so of these only.
        "classifiers": !models.is_empty() && models.iter().all(|(record, entry)| is_timm_classifier(record, entry)),
    })
}

/// The page of these values by our template or the user's.
///
/// # Errors
/// [`template::Error`].
pub fn page(values: &serde_json::Value, theirs: Option<&Path>) -> Result<String, template::Error> {
    template::render(template::PAGE, theirs, values)
}

/// A paper as a page names it: a mapping, or an address alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Paper {
    pub(super) title: Option<String>,
    pub(super) url: Option<String>,
}

pub(super) fn paper(model: &View<'_>) -> Paper {
    let Some(paper) = model.field("Paper") else { return Paper::default() };
    let field = |name: &str| paper.field(name).and_then(|v| v.text()).map(str::to_owned);
    match paper.text() {
        Some(text) if text.contains("://") => Paper { title: None, url: Some(text.to_owned()) },
        Some(text) => Paper { title: Some(text.to_owned()), url: None },
        None => Paper { title: field("Title"), url: field("URL") },
    }
}

/// The paper with the address of the entry's, which is corrected where the page's leads nowhere.
pub(super) fn corrected(paper: Paper, entry: &Entry) -> Paper {
    let known = entry.paper.as_ref().filter(|known| known.published_url == paper.url && paper.url.is_some());
    Paper { url: known.map_or(paper.url, |known| known.url.clone()), ..paper }
}

/// Backticks that nothing in a text ends.
pub(super) fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Whether timm has the model: its architecture, or its code.
pub(super) fn is_of_timm(entry: &Entry) -> bool {
    entry.zoo.arch.is_some() || entry.code.as_deref().is_some_and(|c| c.contains("pytorch-image-models"))
}

/// Whether it is a network of timm's that classifies ImageNet's pictures, as far as its results say.
fn is_timm_classifier(record: &Record, entry: &Entry) -> bool {
    let other =
        |r: &crate::registry::ModelResult| !same_field(&r.task, "Image Classification") && !r.task.is_empty();
    is_of_timm(entry)
        && entry.zoo.classes.is_empty()
        && record.own.field("Card").is_none()
        && (entry.claim.is_some() || !entry.results.iter().any(other))
}

/// Every result, a metric a row.
pub(super) fn results(entry: &Entry) -> Vec<serde_json::Value> {
    let rows = |r: &crate::registry::ModelResult| {
        let row = |m: &crate::registry::Metric| json!({"task": r.task, "dataset": r.dataset, "metric": m.name, "value": m.text});
        r.metrics.iter().map(row).collect::<Vec<_>>()
    };
    entry.results.iter().flat_map(rows).collect()
}

/// How the weights were made: names and values, lists joined.
pub(super) fn training(model: &View<'_>) -> Vec<serde_json::Value> {
    let lines = Training::of(model).lines().into_iter();
    lines.map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// What templates know of one model: the object of `zoo list --json`, with numbers as people read them and
/// what timm calls it.
pub(super) fn model(record: &Record, known: &Entry) -> serde_json::Value {
    let mut value = entry::to_json(known, Lookups::NONE);
    let zoo = &known.zoo;
    let url = known.sources.first().map(|s| s.0.as_str());
    let today = record.own.field("zoo").and_then(|z| z.field("today")?.field("name")?.text());
    // The tag is of the file itself; without one the name is all there is.
    let timm = zoo.tag.as_deref().unwrap_or(&known.name);
    let renamed = zoo.tag.is_some() && today.is_some() && today != zoo.tag.as_deref();
    let claim = known.claim.as_ref();
    let published = claim.and_then(|c| c.published_top1.as_ref()).map(|a| a.text.clone());
    let more = json!({
        "params": known.params.map(|n| entry::short_count(n.0)),
        "flops": known.flops.map(|n| entry::short_count(n.0)),
        "file_size": zoo.size.or(known.file_size).map(|n| entry::short_bytes(n.0)),
        "image_size": known.image_size.map(|s| match s.height == s.width {
            true => s.height.to_string(),
            false => format!("{}x{}", s.height, s.width),
        }),
        "top1": claim.map(|c| c.top1.text.clone()),
        "top5": claim.and_then(|c| c.top5.as_ref()).map(|a| a.text.clone()),
        "published_top1": published,
        "file_name": known.sources.first().map(|s| s.file_name().to_owned()),
        "url": url.filter(|u| super::safe::link(u).is_some()),
        "classifier": zoo.classifier,
        "tag": zoo.tag,
        "timm": timm,
        "today": today,
        "renamed": renamed,
        "classifier_of_timm": is_timm_classifier(record, known),
        "all_results": results(known),
    });
    if let (Some(value), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}
