//! `registry/corrections.yaml`: what pages say wrongly, the right value, and how that is known.
//!
//! In: the file's corrections and an index of pages. Out: the index with the right values in place, and which entries
//! that concerns. A correction is of a model, or of a collection and then of every model in it. It names what the page
//! says, so that it cannot outlive the error it mends.

use serde::Deserialize;

use super::entry::Correction;
use super::format::Index;
use super::tree::{Node, Problems, Scalar, Value};
use super::values::Date;

/// What the file holds.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<Written>")]
pub(super) struct Corrections {
    /// Of models.
    pub(super) models: Vec<Correction>,
    /// Of collections, whose names stand in the place of a model's.
    pub(super) collections: Vec<Correction>,
}

/// One as the file has it: of a model or of a collection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    model: Option<String>,
    collection: Option<String>,
    field: String,
    page: String,
    right: Option<String>,
    evidence: String,
    date: Date,
}

impl TryFrom<Vec<Written>> for Corrections {
    type Error = String;

    fn try_from(list: Vec<Written>) -> Result<Self, String> {
        let mut read = Corrections::default();
        for Written { model, collection, field, page, right, evidence, date } in list {
            let (list, model) = match (model, collection) {
                (Some(model), None) => (&mut read.models, model),
                (None, Some(collection)) => (&mut read.collections, collection),
                _ => return Err(format!("a correction of `{field}` names one of `model` and `collection`")),
            };
            list.push(Correction { model, field, page, right, evidence, date });
        }
        Ok(read)
    }
}

/// Puts the right values in place. One that finds another value than it names is a problem.
pub(super) fn apply(corrections: &Corrections, index: &mut Index, problems: &mut Problems) {
    for correction in &corrections.collections {
        let Some(record) = index.collections.iter_mut().find(|c| c.name() == Some(&correction.model)) else {
            problems.push(stale(correction, "no page has that collection"));
            continue;
        };
        if set(&mut record.own, correction).and_then(|()| set(&mut record.full, correction)).is_none() {
            problems.push(stale(correction, "the page does not say that"));
        }
        let inside = |m: &&mut super::format::Record| m.collections().any(|c| c == correction.model);
        for record in index.models.iter_mut().filter(inside) {
            // A model that has a paper of its own says nothing wrong.
            let _ = set(&mut record.full, correction);
        }
    }
    for correction in &corrections.models {
        let Some(record) = index.models.iter_mut().find(|m| m.name() == Some(&correction.model)) else {
            problems.push(stale(correction, "no page has that model"));
            continue;
        };
        let full = set(&mut record.full, correction);
        match full.and_then(|()| set(&mut record.own, correction)) {
            Some(()) => {}
            None => problems.push(stale(correction, "the page does not say that")),
        }
    }
}

fn stale(correction: &Correction, why: &str) -> super::tree::Problem {
    let message = format!("correction of `{}`: {why}", correction.model);
    let problem = super::tree::Problem::of("corrections.yaml", message).path(correction.field.as_str());
    problem.expected(correction.page.as_str(), "a value that stands there")
}

fn set(model: &mut Node, correction: &Correction) -> Option<()> {
    let node = walk(model, &correction.field)?;
    let scalar = node.scalar().filter(|s| s.text == correction.page)?;
    let style = scalar.style;
    node.value = Value::Scalar(match &correction.right {
        Some(right) => Scalar { text: right.clone(), style },
        None => Scalar { text: "null".into(), style: super::tree::Style::Plain },
    });
    Some(())
}

/// The value at a key path such as `Results[0].Metrics.Top 1 Accuracy`.
fn walk<'a>(node: &'a mut Node, path: &str) -> Option<&'a mut Node> {
    path.split('.').try_fold(node, |node, step| {
        let (key, index) = match step.strip_suffix(']').and_then(|s| s.split_once('[')) {
            Some((key, index)) => (key, Some(index.parse::<usize>().ok()?)),
            None => (step, None),
        };
        let pairs = node.mapping_mut()?.pairs_mut();
        let value = pairs.iter_mut().find(|(k, _)| k.text() == key).map(|(_, v)| v)?;
        let Some(index) = index else { return Some(value) };
        match &mut value.value {
            Value::Sequence(items) => items.get_mut(index),
            _ => None,
        }
    })
}
