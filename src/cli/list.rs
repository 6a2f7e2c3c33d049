//! `zoo list [PATTERN]`: the registry as a table, JSON, CSV or Markdown.

use super::{Context, Status};
use crate::error::Result;
use crate::registry::{Entry, Registry};
use crate::render::entry::{short_bytes, short_count, to_json};
use crate::render::safe;
use crate::render::table::{Column, Table};

/// Arguments of `zoo list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only models whose name contains this, or matches it where it has `*`, `?` or `[…]`
    pattern: Option<String>,
    /// A JSON array, everything known of each model
    #[arg(long, conflicts_with_all = ["csv", "md"])]
    json: bool,
    /// CSV with a heading
    #[arg(long, conflicts_with = "md")]
    csv: bool,
    /// A Markdown table
    #[arg(long)]
    md: bool,
}

/// Prints the models.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    let matches = |e: &&Entry| args.pattern.as_deref().is_none_or(|p| e.name.contains(p));
    let entries: Vec<_> = registry.models().iter().filter(matches).collect();
    if args.json {
        let document: Vec<_> = entries.iter().map(|e| to_json(e)).collect();
        let document = serde_json::to_string_pretty(&document).unwrap_or_default();
        context.println(safe::json(&document).as_ref())?;
        return Ok(Status::Success);
    }
    let mut table = table(&entries);
    let text = match (args.csv, args.md) {
        (true, _) => table.csv(),
        (_, true) => table.markdown(),
        _ => {
            if let Some(width) = context.width {
                table.fit(width);
            }
            table.terminal(context.color)
        }
    };
    context.print(text)?;
    Ok(Status::Success)
}

fn table(entries: &[&Entry]) -> Table {
    let mut table = Table {
        columns: vec![
            Column::text("name", Column::KEEP),
            Column::text("collection", 5),
            Column::number("params", 8),
            Column::number("flops", 6),
            Column::number("file size", 4),
            Column::number("size", 7),
            Column::number("crop", 2),
            Column::text("filter", 1),
            Column::number("top-1", 9),
            Column::number("top-5", 3),
        ],
    };
    for entry in entries {
        let claim = entry.claim.as_ref();
        let row: [Option<String>; 10] = [
            Some(entry.name.clone()),
            entry.collection.clone(),
            entry.params.map(short_count),
            entry.flops.map(short_count),
            entry.file_size.map(short_bytes),
            entry.image_size.map(|s| s.to_string()),
            entry.crop_pct.map(|c| c.to_string()),
            entry.interpolation.map(|i| i.name().to_owned()),
            claim.map(|c| c.top1.to_string()),
            claim.and_then(|c| c.top5.as_ref()).map(|a| a.to_string()),
        ];
        table.push(row.map(Option::unwrap_or_default));
    }
    table
}
