//! The registry as a table: which columns there are, and what stands in a cell.
//!
//! In: entries and column names. Out: a [`Table`] for people (short counts, corrected values marked `*`)
//! or for programs (plain numbers). Called by `zoo list`.

use super::entry::{short_bytes, short_count};
use super::table::{Column, Table};
use crate::registry::Entry;
use crate::registry::query::{Lookups, Row, Value};

/// The columns of a table for people without `--columns`, with the rank by which they stay.
pub const USUAL: &[(&str, u8)] = &[
    ("name", Column::KEEP),
    ("collection", 5),
    ("params", 8),
    ("flops", 6),
    ("file_size", 4),
    ("image_size", 7),
    ("crop_pct", 2),
    ("interpolation", 1),
    ("top1", 9),
    ("top5", 3),
    ("golden", 0),
];

/// What is behind a value that is not the page's.
pub const MARK: char = '*';

/// Who reads the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Short counts with units; corrected values marked.
    People,
    /// Plain numbers.
    Programs,
}

/// The table of some entries.
pub fn table(entries: &[&Entry], columns: &[(&str, u8)], reader: For, lookups: Lookups<'_>) -> Table {
    let numeric = |field: &str| {
        let of = |e: &&Entry| Row { entry: e, lookups }.value(field);
        entries.iter().find_map(of).is_some_and(|v| matches!(v, Value::Number(_)))
    };
    let column = |(field, rank): &(&str, u8)| match numeric(field) {
        true => Column::number(field, *rank),
        false => Column::text(field, *rank),
    };
    let mut table = Table { columns: columns.iter().map(column).collect() };
    for entry in entries {
        table.push(columns.iter().map(|(field, _)| cell(entry, field, reader, lookups)));
    }
    table
}

/// One value as its reader wants it; empty where it is unknown.
pub fn cell(entry: &Entry, field: &str, reader: For, lookups: Lookups<'_>) -> String {
    let value = |entry: &Entry| Row { entry, lookups }.value(field);
    let own = value(entry);
    let text = match (&own, reader) {
        (None, _) => String::new(),
        (Some(Value::Text(text)), _) => text.clone(),
        (Some(_), _) if matches!(field, "top1" | "top5") => percent(entry, field),
        (Some(Value::Number(n)), For::Programs) => n.to_string(),
        (Some(Value::Number(n)), For::People) => match field {
            "params" | "params_exact" | "flops" | "macs" => short_count(*n as u64),
            "file_size" => short_bytes(*n as u64),
            _ => n.to_string(),
        },
    };
    let says = !matches!(field, "macs" | "golden");
    let corrected = entry.published.as_deref().is_some_and(|page| says && value(page) != own);
    match reader == For::People && corrected {
        // Corrected to what is not known.
        true if text.is_empty() => format!("?{MARK}"),
        true => format!("{text}{MARK}"),
        false => text,
    }
}

/// As published, with all its digits: `75.10`.
fn percent(entry: &Entry, field: &str) -> String {
    let claim = entry.claim.as_ref();
    let accuracy = if field == "top1" { claim.map(|c| &c.top1) } else { claim.and_then(|c| c.top5.as_ref()) };
    accuracy.map(ToString::to_string).unwrap_or_default()
}
