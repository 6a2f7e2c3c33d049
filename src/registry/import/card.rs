//! Hugging Face model cards: metadata in the front matter, with a `model-index` of another schema.
//!
//! In: the page. Out: an index in zoo's form, or `None` where the page is no card. A card's `model-index`
//! is a list of models whose results have `task`, `dataset` and `metrics` as mappings and lists; what the
//! card says beside it is true of each of them: `license` becomes `zoo.licence`, `datasets` the training
//! data, `pipeline_tag` the task; the rest (tags, library, language …) is kept under `Card`.
//! Source: the Hub's model card metadata specification (`modelcard.md` of huggingface_hub).

use std::sync::Arc;

use crate::registry::format::{self, Index, markdown};
use crate::registry::tree::{
    self, Limits, Malformed, Mapping, Node, Problem, Schema, Typed, Value, View, same_field,
};

/// Reads a page as a model card.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Option<Index>, Malformed> {
    let file: Arc<str> = Arc::from(name);
    // What is no UTF-8 is refused, with its place, by the reader of pages.
    let Ok(page) = std::str::from_utf8(bytes) else { return Ok(None) };
    let Some(block) = markdown::front_matter(page, &file) else { return Ok(None) };
    let (documents, problems) = tree::yaml(block.text.as_bytes(), block.origin, &Limits::default())?;
    let Some(front) = documents.into_iter().next() else { return Ok(None) };
    let Some(models) = front.field("model-index").filter(|m| m.sequence().is_some_and(|s| !s.is_empty()))
    else {
        return Ok(None);
    };
    let models = Node {
        value: Value::Sequence(models.one_or_many().iter().map(simplified).collect()),
        ..models.clone()
    };
    let mut index = format::nodes(&models);
    index.problems.extend(problems);
    let mut warnings = Vec::new();
    for model in &mut index.models {
        for result in format::reported(&model.own()) {
            warnings.extend(result.metrics.iter().filter_map(|(name, value)| fraction(name, value)));
        }
        beside(&front, &mut model.own);
        model.own = format::ordered(model.own.clone());
        model.full = model.own.clone();
    }
    warnings.into_iter().for_each(|w| index.problems.push(w));
    Ok(Some(index))
}

/// A model of a card with its results as model-index writes them, where nothing is lost by it: a task or
/// dataset of which only name and type are known is its name, and metrics of which only name, type and
/// value are known are a mapping.
fn simplified(model: &Node) -> Node {
    let mut model = model.clone();
    let Some(results) = model.field("results").cloned() else { return model };
    let items = results.one_or_many().iter().map(|result| {
        let mut result = result.clone();
        for (key, value) in result.mapping_mut().into_iter().flat_map(|m| m.pairs_mut()) {
            if same_field(key.text(), "Metrics") {
                metrics(value);
            } else if let Some(name) = only(value, &["name"]) {
                *value = name;
            }
        }
        result
    });
    let items = items.collect();
    let key = model.mapping().and_then(|m| m.iter().find(|(k, _)| same_field(k.text(), "results")));
    if let Some(key) = key.map(|(k, _)| k.text().to_owned())
        && let Some(mapping) = model.mapping_mut()
    {
        mapping.set(&key, Node { value: Value::Sequence(items), ..results });
    }
    model
}

/// The first of a mapping's values when it has no other keys than these.
fn only(node: &Node, keys: &[&str]) -> Option<Node> {
    let mapping = node.mapping()?;
    (mapping.len() == keys.len() && keys.iter().all(|k| mapping.get(k).is_some()))
        .then(|| keys.first().and_then(|k| mapping.get(k)).cloned())
        .flatten()
}

fn metrics(node: &mut Node) {
    let mut named = Mapping::default();
    for item in node.sequence().unwrap_or_default() {
        let plain =
            item.mapping().is_some_and(|m| m.iter().all(|(k, _)| ["name", "value"].contains(&k.text())));
        let (name, value) = (item.get("name").and_then(Node::text), item.get("value"));
        match (plain, name, value) {
            (true, Some(name), Some(value)) if named.get(name).is_none() => named.set(name, value.clone()),
            _ => return,
        }
    }
    node.value = Value::Mapping(named);
}

/// Adds what the card says beside its `model-index`.
fn beside(front: &Node, model: &mut Node) {
    let mut zoo = Mapping::default();
    let mut metadata = Mapping::default();
    let mut rest = Mapping::default();
    for (key, value) in front.mapping().into_iter().flat_map(Mapping::iter) {
        match key.text() {
            "model-index" => {}
            _ if value.is_null() => {}
            "license" if value.text().is_some() => zoo.set("licence", value.clone()),
            "datasets" => metadata.set("Training Data", value.clone()),
            "pipeline_tag" => metadata.set("Tasks", value.clone()),
            other => rest.set(other, value.clone()),
        }
    }
    // What is put together here stands where the model does.
    let place =
        Node { file: model.file.clone(), span: model.span, value: Value::Mapping(Mapping::default()) };
    let Some(mapping) = model.mapping_mut() else { return };
    let mut add = |key: &str, mut more: Mapping| {
        // What the model itself says goes first.
        for (k, v) in mapping.get(key).and_then(Node::mapping).into_iter().flat_map(Mapping::iter) {
            more.set(k.text(), v.clone());
        }
        if !more.is_empty() {
            mapping.set(key, Node { value: Value::Mapping(more), ..place.clone() });
        }
    };
    add("Metadata", metadata);
    add("Card", rest);
    add("zoo", zoo);
}

/// Cards often give an accuracy as a fraction, as their metrics library computes it; zoo reads percent.
fn fraction(name: &str, value: &View<'_>) -> Option<Problem> {
    let number = match value.node().scalar()?.typed(Schema::Core) {
        Typed::Float(f) => f,
        _ => return None,
    };
    let is_accuracy = name.to_lowercase().contains("acc");
    (is_accuracy && number > 0.0 && number <= 1.0).then(|| {
        let message = format!("`{name}` of {number} looks like a fraction; zoo reads percent");
        Problem::here(value, message).warning()
    })
}
