//! What a name means: here, where two models may have it, and to timm today.

use std::collections::HashMap;

use super::context::{LintContext, Model};
use super::rule::Sink;
use crate::hash::HashPrefix;
use crate::registry::{Source, Today};

pub(super) fn duplicates(context: &LintContext<'_>, sink: &mut Sink) {
    let mut first: HashMap<&str, &Model<'_>> = HashMap::new();
    for model in &context.models {
        let Some(other) = first.get(model.name) else {
            first.insert(model.name, model);
            continue;
        };
        let Some(view) = model.view.field("Name") else { continue };
        let node = &other.record.own;
        let place = format!("{}:{}", node.file, node.span.line);
        let same = other.record.collections().eq(model.record.collections());
        let message = match same {
            true => format!("a second model of this name in the same collection; the first is at {place}"),
            false => {
                format!("a second model of this name, at {place} too: only COLLECTION/NAME tells them apart")
            }
        };
        sink.at(&view, model, message).found(model.name);
    }
}

/// What timm makes of an entry's name now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolves {
    SameFile,
    OtherWeights,
    CannotTell,
}

/// By address, by the hash in the file's name, or by timm's tag of the entry's own file. Another hash alone
/// is another file and not yet other weights: many were saved again when they moved.
pub(super) fn resolves(model: &Model<'_>, today: &Today) -> Resolves {
    let own = model.entry.sources.first();
    let digits = |source: &Source| HashPrefix::from_file_name(source.file_name());
    if let Some((own, theirs)) = own.zip(today.url.as_ref()) {
        let same = |(a, b): (HashPrefix, HashPrefix)| {
            a.as_str().starts_with(b.as_str()) || b.as_str().starts_with(a.as_str())
        };
        if own == theirs || digits(own).zip(digits(theirs)).is_some_and(same) {
            return Resolves::SameFile;
        }
    }
    match &model.facts.tag {
        Some(tag) if *tag == today.name => Resolves::SameFile,
        Some(_) => Resolves::OtherWeights,
        None => Resolves::CannotTell,
    }
}

pub(super) fn other_weights(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let Some(today) = model.facts.today.as_ref() else { return };
    if resolves(model, today) == Resolves::OtherWeights
        && let Some(view) = model.view.field("Name")
    {
        let own = model.facts.tag.as_ref();
        let expected =
            own.map_or_else(|| "the file that the page names".to_owned(), |tag| format!("`{tag}`"));
        let message = "timm's `create_model(name, pretrained=True)` now loads other weights than the page's";
        sink.at(&view, model, message).expected(&today.name, expected);
    }
}

pub(super) fn unknown_weights(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let Some(today) = model.facts.today.as_ref() else { return };
    if resolves(model, today) == Resolves::CannotTell
        && let Some(view) = model.view.field("Name")
    {
        let message = match &today.url {
            Some(_) => "timm now uses another file for this name; it may or may not hold the same weights",
            None => "timm gives no hash for its file of this name, so it may or may not be the same file",
        };
        sink.at(&view, model, message).found(&today.name);
    }
}
