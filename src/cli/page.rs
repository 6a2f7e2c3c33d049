//! `zoo page COLLECTION|NAME`: a documentation page, which `zoo import` takes in again.

use std::path::PathBuf;

use super::{Context, Status};
use crate::error::Result;
use crate::registry::format::{Index, Record};
use crate::registry::tree::same_field;
use crate::registry::{Entry, Registry, pages};
use crate::render::{page, safe};

/// Arguments of `zoo page`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A collection, or one model
    #[arg(value_name = "COLLECTION|NAME")]
    name: String,
    /// Your own Jinja template, escaped according to its extension (.md, .html, .xml, else text)
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Print the values passed to the template, as JSON
    #[arg(long, conflicts_with = "template")]
    json: bool,
}

/// Prints the page.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    let index = pages::with(&context.globals.registry)?;
    let values = match collection(&index, &args.name) {
        Some(collection) => {
            let title = collection.name().unwrap_or_default();
            let of = |record: &&Record| record.collections().any(|c| c == title);
            let models: Vec<_> =
                index.models.iter().filter(of).filter_map(|r| Some((r, entry(&registry, r)?))).collect();
            page::values(title, Some(collection), &models)
        }
        None => {
            let entry = registry.resolve(&args.name)?;
            let record = record(&index, entry);
            let collection = entry.collection.as_deref().and_then(|name| index.collection(name));
            let models: Vec<_> = record.into_iter().map(|record| (record, entry)).collect();
            page::values(&entry.name, collection, &models)
        }
    };
    match args.json {
        true => context.println(safe::json(&values.to_string()).as_bytes())?,
        false => context.print(page::page(&values, args.template.as_deref())?)?,
    }
    Ok(Status::Success)
}

/// The collection of that name: exactly, or in another case.
fn collection<'a>(index: &'a Index, name: &str) -> Option<&'a Record> {
    let forgiving = || index.collections.iter().find(|c| c.name().is_some_and(|n| same_field(n, name)));
    index.collection(name).or_else(forgiving)
}

fn entry<'a>(registry: &'a Registry, record: &Record) -> Option<&'a Entry> {
    let models = registry.models();
    let in_collection = |e: &&Entry| record.collections().any(|c| Some(c) == e.collection.as_deref());
    models
        .iter()
        .filter(|e| e.is_of(record))
        .find(in_collection)
        .or_else(|| models.iter().find(|e| e.is_of(record)))
}

/// The page's own words about an entry.
pub(super) fn record<'a>(index: &'a Index, entry: &Entry) -> Option<&'a Record> {
    let same = |r: &&Record| entry.is_of(r);
    let in_collection = |r: &&Record| r.collections().any(|c| Some(c) == entry.collection.as_deref());
    index.models.iter().filter(same).find(in_collection).or_else(|| index.models.iter().find(same))
}
