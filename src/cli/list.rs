//! `zoo list [PATTERN]`: the registry as a table, JSON, CSV, Markdown or a picture.

use std::mem::ManuallyDrop;
use std::path::PathBuf;

use super::existing::refuse_existing;
use super::{Context, Status};
use crate::error::{Classify, Error, Result};
use crate::model::macs;
use crate::registry::query::{FIELDS, Lookups, Pattern, Query, Row, Sort, field};
use crate::registry::{Entry, Error as RegistryError, Registry};
use crate::render::entry::to_json;
use crate::render::list::{For, MARK, USUAL, table};
use crate::render::plot::{Point, svg};
use crate::render::table::Column;

/// Arguments of `zoo list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only models whose name contains this, or matches it where it has `*`, `?` or `[…]`
    pattern: Option<String>,
    /// Only models that satisfy this, such as 'params < 10M and top1 >= 80 and collection ~ "Noisy"'
    ///
    /// FIELD <, <=, >, >=, =, != or ~ VALUE, joined by `and`, `or`, `not` and parentheses; `~` is 'contains', or a
    /// glob for the whole where VALUE has `*`, `?` or `[…]`; `!~` the opposite; `FIELD is null`: not known. Numbers
    /// may have a unit (10M, 20MB, 80%). A comparison with an unknown value is never true. The fields are those
    /// of `--columns all`.
    #[arg(long = "where", value_name = "QUERY")]
    query: Option<String>,
    /// Order by these fields, `-` in front for descending: -top1,params
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    sort: Option<String>,
    /// These columns instead of the usual ones; `all` for every one
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Show at most N models
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Values as published, corrections not applied
    #[arg(long)]
    as_published: bool,
    /// A JSON array with everything known about each model
    #[arg(long, conflicts_with_all = ["csv", "md", "columns"])]
    json: bool,
    /// CSV with a heading
    #[arg(long, conflicts_with = "md")]
    csv: bool,
    /// A Markdown table
    #[arg(long)]
    md: bool,
    /// Plot accuracy against cost, with the Pareto front labelled, into this .svg instead of printing a table
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["csv", "md", "json"])]
    plot: Option<PathBuf>,
    /// What to plot as the cost
    #[arg(long, value_enum, default_value_t = Cost::Params, requires = "plot")]
    plot_by: Cost,
    /// Overwrite the plot's file
    #[arg(long, requires = "plot")]
    force: bool,
}

/// What accuracy is plotted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Cost {
    /// Parameters
    Params,
    /// Floating point operations
    Flops,
}

/// Prints the models.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let query = args.query.as_deref().map(str::parse::<Query>).transpose()?;
    let sort = args.sort.as_deref().map(str::parse::<Sort>).transpose()?;
    let columns = args.columns.as_deref().map(columns).transpose()?;
    let pattern = args.pattern.as_deref().map(|p| p.parse::<Pattern>().map_err(Error::usage)).transpose()?;
    // Never freed, nor is the document below: the process ends with them, and freeing some ten thousand texts first takes a twentieth of the time.
    let registry = ManuallyDrop::new(Registry::open(&context.globals.registry)?);
    context.warn(registry.warnings());
    // A plot that could not be written is refused before anything is computed.
    if let Some(file) = &args.plot {
        refuse_existing(file, args.force)?;
    }
    let levels = context.levels()?;
    let golden = |e: &Entry| Some(levels.of(e).name());
    let lookups = Lookups { macs, golden: &golden };
    let shown = |e| if args.as_published { Entry::as_published(e) } else { e };
    let mut entries: Vec<&Entry> = registry.models().iter().map(shown).collect();
    entries.retain(|e| pattern.as_ref().is_none_or(|p| p.matches(&e.name)));
    entries.retain(|entry| query.as_ref().is_none_or(|q| q.chooses(&Row { entry, lookups })));
    if entries.is_empty() {
        context.note(&nothing(args, &registry));
    }
    if let Some(sort) = &sort {
        sort.apply(&mut entries, lookups);
    }
    entries.truncate(args.limit.unwrap_or(usize::MAX));
    if let Some(file) = &args.plot {
        return plot(&entries, args, file, context);
    }
    if args.json {
        let document = ManuallyDrop::new(entries.iter().map(|e| to_json(e, lookups)).collect());
        context.print_document(&document)?;
        return Ok(Status::Success);
    }
    let chosen = columns.as_deref().unwrap_or(USUAL);
    if args.csv {
        let all: Vec<_> = FIELDS.iter().map(|(name, _)| (*name, Column::KEEP)).collect();
        let chosen = columns.as_deref().unwrap_or(&all);
        context.print(table(&entries, chosen, For::Programs, lookups).csv())?;
        return Ok(Status::Success);
    }
    let mut table = table(&entries, chosen, For::People, lookups);
    if args.md {
        context.print(table.markdown())?;
    } else {
        let left_out = context.width.map(|width| table.fit(width)).unwrap_or_default();
        context.print(table.terminal(context.color))?;
        if !left_out.is_empty() {
            context.note(&format!("columns hidden, the terminal is too narrow: {}", left_out.join(", ")));
        }
    }
    if table.columns.iter().any(|c| c.cells.iter().any(|cell| cell.ends_with(MARK))) {
        context.note("* corrected; `zoo show NAME` says why, `--as-published` what the page says");
    }
    Ok(Status::Success)
}

/// What is said when no model is chosen, with names like the one that was asked for.
fn nothing(args: &Args, registry: &Registry) -> String {
    let none = format!("none of {} models", registry.models().len());
    let near = match (&args.pattern, &args.query) {
        (Some(pattern), None) => match registry.resolve(pattern) {
            Err(RegistryError::Unknown { near, .. }) if near.is_empty() => None,
            other => other.err().and_then(|e| e.hint()),
        },
        _ => None,
    };
    near.map_or_else(|| none.clone(), |hint| format!("{none}; {hint}"))
}

/// `--columns`, each kept however narrow the terminal is.
fn columns(names: &[String]) -> Result<Vec<(&'static str, u8)>> {
    let mut chosen = Vec::new();
    for name in names {
        match field(name.trim()) {
            Ok(field) => chosen.push((field, Column::KEEP)),
            Err(_) if name == "all" => chosen.extend(FIELDS.iter().map(|(field, _)| (*field, Column::KEEP))),
            Err(hint) => return Err(Error::usage(format!("`{name}` is not a column: {hint}"))),
        }
    }
    Ok(chosen)
}

fn plot(entries: &[&Entry], args: &Args, file: &std::path::Path, context: &Context) -> Result<Status> {
    if file.extension().is_none_or(|e| e != "svg") {
        return Err(Error::usage(format!(
            "`{}` does not end in `.svg`, which is what is drawn",
            file.display()
        )));
    }
    let point = |e: &&Entry| {
        let cost = if args.plot_by == Cost::Params { e.params.map(|n| n.0) } else { e.flops.map(|n| n.0) };
        let x = cost.filter(|n| *n > 0)? as f64;
        Some(Point { name: e.name.clone(), x, y: e.claim.as_ref()?.top1.value })
    };
    let points: Vec<_> = entries.iter().filter_map(point).collect();
    let title = if args.plot_by == Cost::Params { "parameters" } else { "floating point operations" };
    crate::fs::write_atomic(file, svg(&points, title).as_bytes())?;
    context.note(&format!("{} models drawn into `{}`", points.len(), file.display()));
    Ok(Status::Success)
}
