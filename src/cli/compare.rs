//! `zoo compare A B …`: entries side by side, what differs marked.

use serde_json::json;

use super::{Context, Status};
use crate::error::Result;
use crate::model::macs;
use crate::registry::query::{FIELDS, Lookups};
use crate::registry::{Entry, Registry};
use crate::render::entry::to_json;
use crate::render::list::{For, cell};
use crate::render::table::{Column, Table};

/// Arguments of `zoo compare`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The models
    #[arg(required = true, num_args = 2.., value_name = "NAME")]
    names: Vec<String>,
    /// Values as published, corrections not applied
    #[arg(long)]
    as_published: bool,
    /// An object with the models and the fields that differ
    #[arg(long)]
    json: bool,
}

/// Prints the comparison.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    context.warn(registry.warnings());
    let mut entries: Vec<&Entry> = Vec::with_capacity(args.names.len());
    for name in &args.names {
        let entry = registry.resolve(name)?;
        entries.push(if args.as_published { entry.as_published() } else { entry });
    }
    let levels = context.levels()?;
    let golden = |e: &Entry| Some(levels.of(e).name());
    let lookups = Lookups { macs, golden: &golden };
    let row = |field: &str| entries.iter().map(|e| cell(e, field, For::People, lookups)).collect::<Vec<_>>();
    let differs = |row: &[String]| row.windows(2).any(|pair| pair.first() != pair.last());
    let rows: Vec<_> = FIELDS.iter().map(|(field, _)| (*field, row(field))).collect();
    if args.json {
        let models: Vec<_> = entries.iter().map(|e| to_json(e, lookups)).collect();
        let different: Vec<_> =
            rows.iter().filter(|(_, row)| differs(row)).map(|(field, _)| *field).collect();
        let document = json!({ "schema": "zoo.compare/1", "models": models, "different": different });
        context.print_json(&document)?;
        return Ok(Status::Success);
    }
    let mut columns = vec![Column::text("", Column::KEEP), Column::text("field", Column::KEEP)];
    columns.extend(entries.iter().map(|e| Column::text(&e.name, Column::KEEP)));
    let mut table = Table { columns };
    for (field, row) in rows.iter().skip(1).filter(|(_, row)| row.iter().any(|c| !c.is_empty())) {
        let mark = if differs(row) { "≠" } else { "" };
        let known = row.iter().map(|c| if c.is_empty() { "-" } else { c.as_str() });
        table.push([mark, *field].into_iter().chain(known));
    }
    context.print(table.folded(context.width, context.color))?;
    Ok(Status::Success)
}
