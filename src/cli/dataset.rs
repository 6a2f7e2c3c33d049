//! `zoo dataset list|show|add|check|fetch`: which labelled images there are, and where.

use std::path::{Path, PathBuf};

use super::{Context, Status};
use crate::dataset::{self, Classes, Dataset, DatasetPaths, SearchLocations, check};
use crate::error::Result;
use crate::registry::{DatasetEntry, Registry};
use crate::render::safe;
use crate::render::table::{Column, Table};
use crate::store::Store;

/// Arguments of `zoo dataset`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The datasets that zoo knows
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One dataset: its classes, population, licence, and how to get it
    Show {
        /// The dataset
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remember where a dataset is
    Add {
        /// The dataset
        name: String,
        /// A folder or an archive
        dir: PathBuf,
    },
    /// Check whether the files are the dataset: count, names, labels
    Check {
        /// The dataset
        name: String,
        /// Where it is, instead of the remembered place
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a dataset that may be downloaded
    Fetch {
        /// The dataset
        name: String,
    },
}

/// Does what was asked.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    match &args.verb {
        Verb::List { json } => list(&registry, *json, context),
        Verb::Show { name, json } => show(registry.dataset(name)?, *json, context),
        Verb::Add { name, dir } => {
            let entry = registry.dataset(name)?;
            let store = context.store()?;
            let mut paths = DatasetPaths::open(store.home())?;
            // What cannot be read now would not be read later.
            let found = open(entry, Some(dir), &paths, &store)?;
            let at = paths.add(name, dir)?;
            let (images, layout) = (found.items.len(), found.layout);
            found.notes.iter().for_each(|note| context.note(note));
            context.note(&format!("{name}: {images} images, {layout}, remembered at `{}`", at.display()));
            Ok(Status::Success)
        }
        Verb::Check { name, data_dir, json } => {
            let entry = registry.dataset(name)?;
            let store = context.store()?;
            let paths = DatasetPaths::open(store.home())?;
            let report = check::check(&open(entry, data_dir.as_deref(), &paths, &store)?)?;
            if *json {
                context.print_json(&report)?;
            } else {
                for line in report.lines() {
                    context.println(safe::terminal(&line).as_ref())?;
                }
            }
            Ok(if report.is_the_dataset() { Status::Success } else { Status::No })
        }
        Verb::Fetch { name } => {
            let entry = registry.dataset(name)?;
            let store = context.store()?;
            let found = open(entry, None, &DatasetPaths::default(), &store)?;
            for item in &found.items {
                context.println(safe::terminal(&item.path).as_ref())?;
            }
            Ok(Status::Success)
        }
    }
}

fn open(entry: &DatasetEntry, given: Option<&Path>, paths: &DatasetPaths, store: &Store) -> Result<Dataset> {
    Ok(dataset::open(entry, &SearchLocations { given, paths, store }, &Classes::imagenet())?)
}

fn list(registry: &Registry, json: bool, context: &mut Context) -> Result<Status> {
    let store = context.store()?;
    let paths = DatasetPaths::open(store.home())?;
    let place = |entry: &DatasetEntry| match (paths.get(&entry.name), entry.sources.is_empty()) {
        (Some(place), _) => place.display().to_string(),
        (None, false) => "fetched by zoo".into(),
        (None, true) => "not known: `zoo dataset show` says how to get it".into(),
    };
    if json {
        let rows: Vec<_> = registry
            .datasets()
            .iter()
            .map(|d| {
                let (relation, at) = (d.relation.name(), paths.get(&d.name));
                serde_json::json!({"name": d.name, "task": d.task, "classes": d.classes,
                    "population": d.population, "relation": relation, "licence": d.licence, "place": at})
            })
            .collect();
        context.print_json(&rows)?;
        return Ok(Status::Success);
    }
    let columns = vec![
        Column::text("name", Column::KEEP),
        Column::number("classes", 3),
        Column::text("of ImageNet's", 4),
        Column::text("where", Column::KEEP),
    ];
    let mut table = Table { columns };
    for entry in registry.datasets() {
        let relation = entry.relation.name().to_owned();
        table.push([entry.name.clone(), entry.classes.to_string(), relation, place(entry)]);
    }
    if let Some(width) = context.width {
        table.fit(width);
    }
    context.print(table.terminal(context.color))?;
    Ok(Status::Success)
}

fn show(entry: &DatasetEntry, json: bool, context: &mut Context) -> Result<Status> {
    if json {
        context.print_json(entry)?;
        return Ok(Status::Success);
    }
    let population = entry.population.as_ref().map_or("-".into(), |p| format!("{} ({} images)", p.name, p.n));
    let rows = [
        ("name", entry.name.clone()),
        ("task", entry.task.clone()),
        ("classes", entry.classes.to_string()),
        ("population", population),
        ("relation", entry.relation.name().to_owned()),
        ("licence", entry.licence.clone().unwrap_or_else(|| "-".into())),
        ("layouts", entry.layouts.join(", ")),
    ];
    for (key, value) in rows {
        context.println(format!("{key:<11} {}", safe::terminal(&value)))?;
    }
    context.println("")?;
    for line in entry.how_to_get.lines() {
        context.println(safe::terminal(line).as_ref())?;
    }
    Ok(Status::Success)
}
