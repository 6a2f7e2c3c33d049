//! The `--where` language and `--sort`: which models, in which order.
//!
//! In: the text a user typed and a [`Row`] a model. Out: a [`Query`], or where in the text it stops making
//! sense. Called by `zoo list` and by `zoo verify --where`.
//!
//! ```text
//! query      = and { ( "or" | "||" ) and }
//! and        = not { ( "and" | "&&" ) not }
//! not        = ( "not" | "!" ) not | "(" query ")" | comparison
//! comparison = field ( "<" | "<=" | ">" | ">=" | "=" | "==" | "!=" | "~" | "!~" ) value
//!            | field "is" [ "not" ] "null"
//! value      = number [ unit ] | "text" | 'text' | word
//! unit       = "k" | "M" | "G" | "B" | "T" | "kB" | "MB" | "GB" | "TB" | "%"
//! ```
//! `~` asks as the pattern of `zoo list` does, whatever the case: a part of the text, or all of it where the
//! pattern has `*`, `?` or `[…]`. `=` between texts also ignores case. Numbers are plain counts, pixels, bytes
//! or percent: `top1 >= 80`, `params < 10M`, `file_size < 20 MB`; `B` alone is a billion. A field that is unknown for a model makes every
//! comparison with it unknown, as in SQL: neither `x < 1` nor `not x < 1` chooses that model, and only
//! `x is null` does; `unknown or true` is true, `unknown and false` is false.

mod parse;
mod pattern;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use super::entry::Entry;
use super::names;
pub use pattern::Pattern;

/// What can be asked about, and what it is.
pub const FIELDS: &[(&str, &str)] = &[
    ("name", "the model's name"),
    ("collection", "the collection it is in"),
    ("arch", "the architecture's timm name"),
    ("params", "parameters, as the page counts them"),
    ("params_exact", "parameters of the weights, exactly"),
    ("flops", "floating point operations, as the page counts them"),
    ("macs", "multiply-adds of convolutions and linear layers, computed"),
    ("file_size", "bytes of the weights file"),
    ("image_size", "pixels of the evaluation image's longer side"),
    ("crop_pct", "share of the resized image that is kept"),
    ("interpolation", "the filter images are resized with"),
    ("top1", "claimed ImageNet top-1 accuracy in percent"),
    ("top5", "claimed ImageNet top-5 accuracy in percent"),
    ("licence", "licence of the weights"),
    ("url", "the first place of the weights"),
    ("hash_prefix", "digits of the SHA-256 in the file's name"),
    ("training_data", "what it was trained on"),
    ("golden", "what timm's logits are on record for: architecture, checkpoint or unknown"),
];

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count, pixels, bytes or percent.
    Number(f64),
    /// A text.
    Text(String),
}

/// What no page says and others know: how to find it out. Called only for what is asked.
#[derive(Clone, Copy)]
pub struct Lookups<'a> {
    /// Computes the multiply-adds.
    pub macs: fn(&Entry) -> Option<u64>,
    /// Names the golden level.
    pub golden: &'a dyn Fn(&Entry) -> Option<&'static str>,
}

impl Lookups<'_> {
    /// Nobody knows.
    pub const NONE: Lookups<'static> = Lookups { macs: |_| None, golden: &|_| None };
}

/// One model to be asked about.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The entry, corrected or as published.
    pub entry: &'a Entry,
    /// What it does not say itself.
    pub lookups: Lookups<'a>,
}

impl Row<'_> {
    /// The value of a field; `None` where it is unknown for this model.
    pub fn value(&self, field: &str) -> Option<Value> {
        let entry = self.entry;
        let claim = entry.claim.as_ref();
        let count = |n: Option<u64>| n.map(|n| Value::Number(n as f64));
        let text = |t: Option<String>| t.map(Value::Text);
        match field {
            "name" => Some(Value::Text(entry.name.clone())),
            "collection" => text(entry.collection.clone()),
            "arch" => text(entry.zoo.arch.clone()),
            "params" => count(entry.params.map(|n| n.0)),
            "params_exact" => count(entry.zoo.params.map(|n| n.0)),
            "flops" => count(entry.flops.map(|n| n.0)),
            "macs" => count((self.lookups.macs)(entry)),
            "file_size" => count(entry.zoo.size.or(entry.file_size).map(|n| n.0)),
            "image_size" => entry.image_size.map(|s| Value::Number(s.height.max(s.width) as f64)),
            "crop_pct" => entry.crop_pct.map(|c| Value::Number(c.get())),
            "interpolation" => text(entry.interpolation.map(|i| i.name().to_owned())),
            "top1" => claim.map(|c| Value::Number(c.top1.value)),
            "top5" => claim.and_then(|c| c.top5.as_ref()).map(|a| Value::Number(a.value)),
            "licence" => text(entry.zoo.licence.clone()),
            "url" => text(entry.sources.first().map(|s| s.0.clone())),
            "hash_prefix" => text(entry.hash_prefix().map(|p| p.as_str().to_owned())),
            "training_data" if entry.training_data.is_empty() => None,
            "training_data" => Some(Value::Text(entry.training_data.join(", "))),
            "golden" => text((self.lookups.golden)(entry).map(str::to_owned)),
            _ => None,
        }
    }
}

/// A query that makes no sense, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n{text}\n{}^", " ".repeat(*.column))]
pub struct Error {
    /// What was typed.
    pub text: String,
    /// Characters before the place.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl crate::error::Classify for Error {
    fn class(&self) -> crate::error::Class {
        crate::error::Class::Usage
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// The field of that name, in any case and with `-` for `_`.
///
/// # Errors
/// A hint: the nearest names, or all.
pub fn field(name: &str) -> Result<&'static str, String> {
    let wanted = name.to_ascii_lowercase().replace('-', "_");
    let names = || FIELDS.iter().map(|(name, _)| *name);
    names().find(|n| *n == wanted).ok_or_else(|| {
        let near = names::nearest(&wanted, names());
        match near.is_empty() {
            true => format!("fields are {}", names().collect::<Vec<_>>().join(", ")),
            false => format!("did you mean `{}`?", near.join("` or `")),
        }
    })
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Contains,
    ContainsNot,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    /// Whether the field matches, or does not.
    Matches(&'static str, bool, Pattern),
    Or(Vec<Expression>),
    And(Vec<Expression>),
    Not(Box<Expression>),
    Compare(&'static str, Comparison, Value),
    IsNull(&'static str),
}

/// Which models are meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Query(Expression);

impl std::str::FromStr for Query {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::query(text).map(Query)
    }
}

impl Query {
    /// Whether a model is chosen: the query is true of it, neither false nor unknown.
    pub fn chooses(&self, row: &Row<'_>) -> bool {
        evaluate(&self.0, row) == Some(true)
    }
}

/// `None` is unknown. Recursion is bounded by the parser's depth.
fn evaluate(expression: &Expression, row: &Row<'_>) -> Option<bool> {
    match expression {
        Expression::Or(all) => among(all, row, true),
        Expression::And(all) => among(all, row, false),
        Expression::Not(inner) => evaluate(inner, row).map(|b| !b),
        Expression::IsNull(field) => Some(row.value(field).is_none()),
        Expression::Matches(field, wanted, pattern) => match row.value(field)? {
            Value::Text(text) => Some(pattern.matches(&text) == *wanted),
            Value::Number(_) => None,
        },
        Expression::Compare(field, comparison, right) => compare(&row.value(field)?, *comparison, right),
    }
}

/// Kleene's 'or' (`decides` true) and 'and' (`decides` false).
fn among(all: &[Expression], row: &Row<'_>, decides: bool) -> Option<bool> {
    let mut result = Some(!decides);
    for one in all {
        match evaluate(one, row) {
            Some(value) if value == decides => return Some(decides),
            None => result = None,
            Some(_) => {}
        }
    }
    result
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> Option<bool> {
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b)?,
        (Value::Text(a), Value::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        _ => return None,
    };
    Some(match comparison {
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        // Patterns are [`Expression::Matches`].
        Comparison::Contains | Comparison::ContainsNot => return None,
    })
}

/// An order: fields, each ascending or, with `-` in front, descending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort(Vec<(&'static str, bool)>);

impl std::str::FromStr for Sort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut fields = Vec::new();
        let mut column = 0;
        for part in text.split(',') {
            let name = part.trim();
            // A comma at the end is no field.
            if name.is_empty() && !fields.is_empty() {
                continue;
            }
            let (name, down) = name.strip_prefix('-').map_or((name, false), |n| (n, true));
            let found = field(name).map_err(|hint| Error {
                text: text.to_owned(),
                column: column + part.len() - part.trim_start().len() + usize::from(down),
                message: format!("`{name}` is not a field"),
                hint: Some(hint),
            })?;
            fields.push((found, down));
            column += part.chars().count() + 1;
        }
        Ok(Sort(fields))
    }
}

impl Sort {
    /// Sorts entries; what is unknown goes last either way, and equal ones keep their order.
    pub fn apply(&self, entries: &mut [&Entry], lookups: Lookups<'_>) {
        for (field, down) in self.0.iter().rev() {
            let key = |e: &&Entry| Row { entry: e, lookups }.value(field);
            let mut keyed: Vec<_> = entries.iter().map(|e| (key(e), *e)).collect();
            keyed.sort_by(|(a, _), (b, _)| match (a, b) {
                (None, None) => Ordering::Equal,
                (None, _) => Ordering::Greater,
                (_, None) => Ordering::Less,
                (Some(a), Some(b)) if *down => order(b, a),
                (Some(a), Some(b)) => order(a, b),
            });
            entries.iter_mut().zip(keyed).for_each(|(slot, (_, entry))| *slot = entry);
        }
    }
}

fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Number(_), Value::Text(_)) => Ordering::Less,
        (Value::Text(_), Value::Number(_)) => Ordering::Greater,
    }
}

/// Whether a field holds numbers.
pub(super) fn is_number(field: &str) -> bool {
    matches!(
        field,
        "params"
            | "params_exact"
            | "flops"
            | "macs"
            | "file_size"
            | "image_size"
            | "crop_pct"
            | "top1"
            | "top5"
    )
}
