//! What a model takes from its collections.
//!
//! In: the index as its files say it. Out: [`super::Record::full`] of every model, by the rules of Python's
//! `Model.build_full_model`: fields that the model does not have are the collection's; metadata is merged
//! key by key, where lists are joined (the collection's first) and other values are the model's; results
//! are joined. Where that code cannot do what it means to (mappings inside metadata, several collections)
//! zoo does it: mappings are merged and the model's values win; of several collections the first one's
//! single values win.

use super::Index;
use crate::registry::tree::{Mapping, Node, Problem, Value, View};

/// Builds every model's whole form, and warns of collections that do not exist.
pub(super) fn apply(index: &mut Index) {
    let mut models = std::mem::take(&mut index.models);
    for model in &mut models {
        let mut base: Option<Node> = None;
        let names = model.own.field("In Collection");
        for name in names.into_iter().flat_map(|c| c.one_or_many()) {
            let Some(text) = name.text() else { continue };
            let Some(collection) = index.collection(text) else {
                let view = View::at(name, format!("{}.In Collection", model.path));
                index
                    .problems
                    .push(Problem::here(&view, format!("no collection is named `{text}`")).warning());
                continue;
            };
            base = Some(match base {
                // The first collection's own values win: it is merged over the next one's.
                Some(first) => over(&collection.own, &first, true),
                None => collection.own.clone(),
            });
        }
        if let Some(base) = base {
            model.full = over(&base, &model.own, false);
        }
    }
    index.models = models;
}

/// `top` laid over `base`. Lists are joined: `base`'s first, or `top`'s first where `top` came before.
fn over(base: &Node, top: &Node, top_first: bool) -> Node {
    let (Some(below), Some(above)) = (base.mapping(), top.mapping()) else { return top.clone() };
    let mut merged = below.clone();
    for (key, value) in above.iter() {
        if value.is_null() {
            continue;
        }
        let old = below.get(key.text()).filter(|old| !old.is_null());
        let new = match (key.text(), old) {
            ("Metadata", Some(old)) => metadata(old, value, top_first),
            ("Results", Some(old)) => joined(old, value, top_first),
            _ => value.clone(),
        };
        merged.set(key.text(), new);
    }
    Node { value: Value::Mapping(merged), ..top.clone() }
}

fn metadata(base: &Node, top: &Node, top_first: bool) -> Node {
    let (Some(below), Some(above)) = (base.mapping(), top.mapping()) else { return top.clone() };
    let mut merged: Mapping = below.clone();
    for (key, value) in above.iter().filter(|(_, v)| !v.is_null()) {
        let new = match below.get(key.text()).map(|old| (old, &old.value)) {
            Some((old, Value::Sequence(_))) => joined(old, value, top_first),
            Some((old, Value::Mapping(_))) if value.mapping().is_some() => metadata(old, value, top_first),
            _ => value.clone(),
        };
        merged.set(key.text(), new);
    }
    Node { value: Value::Mapping(merged), ..top.clone() }
}

fn joined(base: &Node, top: &Node, top_first: bool) -> Node {
    let (first, second) = if top_first { (top, base) } else { (base, top) };
    let items = first.one_or_many().iter().chain(second.one_or_many()).cloned().collect();
    Node { value: Value::Sequence(items), ..top.clone() }
}
