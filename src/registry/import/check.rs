//! What differs between pages and the registry.
//!
//! In: two indexes. Out: every difference of their models and collections, by key path. zoo's own section,
//! citation and description are compared only where the page's metadata have them: pages of others do not.

use crate::registry::format::{Index, Record, to_json};
use crate::registry::tree::{Node, Schema, Value, join};

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The model, or `collection NAME`.
    pub model: String,
    /// Where in it, such as `Metadata.FLOPs`; empty: the whole of it.
    pub path: String,
    /// What the registry says, if anything.
    pub registry: Option<serde_json::Value>,
    /// What the page says, if anything.
    pub page: Option<serde_json::Value>,
}

/// What the models and collections of `page` say otherwise than the registry's of the same name.
pub fn differences(registry: &Index, page: &Index) -> Vec<Difference> {
    let mut found = Vec::new();
    for (pages, ours, label) in
        [(&page.collections, &registry.collections, "collection "), (&page.models, &registry.models, "")]
    {
        for record in pages {
            let name = record.name().unwrap_or_default();
            let mut comparison = Comparison { model: format!("{label}{name}"), found: &mut found };
            match counterpart(ours, record) {
                Some(other) => {
                    let ours = ["zoo", "Citation", "Description"];
                    let missing = ours.into_iter().filter(|key| record.own.field(key).is_none());
                    let other = without(&other.own, missing);
                    comparison.nodes("", &other, &record.own);
                }
                None => comparison.add("", None, Some(&record.own)),
            }
        }
    }
    found
}

/// The record of the same name, in the same collections where several have it.
fn counterpart<'a>(records: &'a [Record], record: &Record) -> Option<&'a Record> {
    let same = || records.iter().filter(|r| r.name() == record.name());
    same().find(|r| r.collections().eq(record.collections())).or_else(|| same().next())
}

fn without<'a>(node: &Node, keys: impl Iterator<Item = &'a str>) -> Node {
    let mut node = node.clone();
    if let Some(mapping) = node.mapping_mut() {
        keys.for_each(|key| {
            mapping.remove(key);
        });
    }
    node
}

struct Comparison<'a> {
    model: String,
    found: &'a mut Vec<Difference>,
}

impl Comparison<'_> {
    fn add(&mut self, path: &str, registry: Option<&Node>, page: Option<&Node>) {
        let json = |node: &Node| to_json(node, Schema::Core);
        let (registry, page) = (registry.map(json), page.map(json));
        self.found.push(Difference { model: self.model.clone(), path: path.to_owned(), registry, page });
    }

    fn nodes(&mut self, path: &str, registry: &Node, page: &Node) {
        match (&registry.value, &page.value) {
            (Value::Mapping(ours), Value::Mapping(theirs)) => {
                for (key, value) in ours.iter() {
                    let path = join(path, key.text());
                    match theirs.get(key.text()) {
                        Some(other) => self.nodes(&path, value, other),
                        None => self.add(&path, Some(value), None),
                    }
                }
                for (key, value) in theirs.iter().filter(|(k, _)| ours.get(k.text()).is_none()) {
                    self.add(&join(path, key.text()), None, Some(value));
                }
            }
            (Value::Sequence(ours), Value::Sequence(theirs)) if ours.len() == theirs.len() => {
                for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
                    self.nodes(&format!("{path}[{i}]"), a, b);
                }
            }
            _ if registry.same_facts(page) => {}
            _ => self.add(path, Some(registry), Some(page)),
        }
    }
}
