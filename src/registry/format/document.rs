//! An index as one tree again, in zoo's order, for YAML and JSON.
//!
//! In: an [`Index`]. Out: the tree that `zoo import` and `zoo show --yaml` write: `Type: model-index`,
//! the collections, the models, each as its own file says it (nothing inherited is repeated).

use super::{Index, Record, ordered};
use crate::registry::tree::{Mapping, Node, Schema, Typed, Value};

/// The whole index as one document.
pub fn document(index: &Index) -> Node {
    let list = |records: &[Record]| {
        Node::of(Value::Sequence(records.iter().map(|r| ordered(r.own.clone())).collect()))
    };
    let mut root = Mapping::default();
    root.set("Type", Node::string("model-index"));
    for (key, value) in &index.others {
        root.set(key, value.clone());
    }
    if let Some(library) = &index.library {
        root.set("Library", library.clone());
    }
    if !index.collections.is_empty() {
        root.set("Collections", list(&index.collections));
    }
    root.set("Models", list(&index.models));
    Node::of(Value::Mapping(root))
}

/// The tree as JSON, its scalars typed by a schema; what JSON has no number for is a string.
pub fn to_json(node: &Node, schema: Schema) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Sequence(items) => Json::Array(items.iter().map(|item| to_json(item, schema)).collect()),
        Value::Mapping(m) => {
            Json::Object(m.iter().map(|(k, v)| (k.text().to_owned(), to_json(v, schema))).collect())
        }
        Value::Scalar(scalar) => match scalar.typed(schema) {
            Typed::Null => Json::Null,
            Typed::Bool(b) => Json::Bool(b),
            Typed::Int(i) => match (i64::try_from(i), u64::try_from(i)) {
                (Ok(i), _) => Json::from(i),
                (_, Ok(u)) => Json::from(u),
                _ => Json::String(scalar.text.clone()),
            },
            Typed::Float(f) => {
                serde_json::Number::from_f64(f).map_or(Json::String(scalar.text.clone()), Json::Number)
            }
            Typed::Other(text) | Typed::Text(text) => Json::String(text.to_owned()),
        },
    }
}
