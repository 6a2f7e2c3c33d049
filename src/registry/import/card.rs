//! Hugging Face model cards: metadata in the front matter, with a `model-index` of another schema.
//!
//! In: the page. Out: an index in zoo's form, or `None` where the page is no card. A card's `model-index`
//! is a list of models whose results have `task`, `dataset` and `metrics` as mappings and lists; what the
//! card says beside it is true of each of them: `license` becomes `zoo.licence`, `datasets` the training
//! data, `pipeline_tag` the task; the rest (tags, library, language …) is kept under `Card`, and results stay as the
//! card has them, so that `zoo card` writes the same front matter again.
//! Source: the Hub's model card metadata specification (`modelcard.md` of huggingface_hub).

use std::sync::Arc;

use crate::registry::format::{self, Index, markdown};
use crate::registry::tree::{self, Limits, Malformed, Mapping, Node, Problem, Schema, Typed, Value, View};

/// Reads a page as a model card.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Option<Index>, Malformed> {
    let file: Arc<str> = Arc::from(name);
    // What is no UTF-8 is refused, with its place, by the reader of pages.
    let Ok(page) = std::str::from_utf8(bytes) else { return Ok(None) };
    let Some(block) = markdown::front_matter(page, &file) else { return Ok(None) };
    let (documents, problems) = tree::yaml(block.text.as_bytes(), block.origin, &Limits::default())?;
    let Some(front) = documents.into_iter().next() else { return Ok(None) };
    let Some(models) = front.field("model-index").filter(|m| m.sequence().is_some()) else { return Ok(None) };
    let mut index = format::models(models);
    let mut warnings = problems;
    if models.sequence().is_some_and(<[Node]>::is_empty) {
        warnings.push(Problem::at(&file, models.span, "a `model-index` without models").warning());
    }
    for model in &mut index.models {
        if model.own.field("Results").is_none() {
            warnings.warn(&model.own(), "no `results`, which the hub wants");
        }
        for result in format::reported(&model.own()) {
            result
                .metrics
                .iter()
                .filter_map(|(name, value)| fraction(name, value))
                .for_each(|w| warnings.push(w));
        }
        beside(&front, &mut model.own);
        model.own = format::ordered(model.own.clone());
        model.full = model.own.clone();
    }
    index.problems.extend(warnings);
    Ok(Some(index))
}

/// Adds what the card says beside its `model-index`.
fn beside(front: &Node, model: &mut Node) {
    let mut zoo = Mapping::default();
    let mut metadata = Mapping::default();
    let mut rest = Mapping::default();
    for (key, value) in front.mapping().into_iter().flat_map(Mapping::iter) {
        match key.text() {
            "model-index" => {}
            "license" if value.text().is_some() => zoo.set("licence", value.clone()),
            "datasets" if !value.is_null() => metadata.set("Training Data", value.clone()),
            "pipeline_tag" if !value.is_null() => metadata.set("Tasks", value.clone()),
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
        // An empty `Card` says that this is one.
        if !more.is_empty() || key == "Card" {
            mapping.set(key, Node { value: Value::Mapping(more), ..place.clone() });
        }
    };
    add("Metadata", metadata);
    add("Card", rest);
    add("zoo", zoo);
}

/// Cards often give an accuracy as a fraction, as their metrics library computes it; under any other name than the
/// library's zoo reads percent.
fn fraction(name: &str, value: &View<'_>) -> Option<Problem> {
    let number = match value.node().scalar()?.typed(Schema::Core) {
        Typed::Float(f) => f,
        _ => return None,
    };
    let is_percent = crate::registry::is_top1(name) || crate::registry::is_top5(name);
    (is_percent && number > 0.0 && number <= 1.0).then(|| {
        let message = format!("`{name}` of {number} looks like a fraction; zoo reads percent");
        Problem::here(value, message).warning()
    })
}
