//! `zoo import FILE…`: pages, cards and model-indexes in, zoo's form out; or what differs from the
//! registry.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::existing::refuse_existing;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::registry::format::{Index, document, to_json};
use crate::registry::import::check::{Difference, differences};
use crate::registry::import::{self, facts::Facts};
use crate::registry::pages;
use crate::registry::tree::{Malformed, Problems, Schema, to_yaml};
use crate::render::safe;

/// Arguments of `zoo import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Documentation pages (.md, .mdx), YAML or JSON, Hugging Face model cards, `.eval_results`, repositories, model-index folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write one YAML file for each input into this folder, instead of one document to stdout
    #[arg(short, long, value_name = "DIR", conflicts_with = "check")]
    output: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long, requires = "output")]
    force: bool,
    /// Add facts that the pages leave out, from a CSV, to each entry's `zoo` section
    #[arg(long, value_name = "CSV")]
    facts: Option<PathBuf>,
    /// Report what differs from the registry; exit 1 if anything does
    #[arg(long)]
    check: bool,
    /// Print JSON instead of YAML or lines
    #[arg(long)]
    json: bool,
}

/// Reads the pages; writes, prints or compares them.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let outputs = args.output.as_deref().map(|dir| outputs(&args.files, dir, args.force)).transpose()?;
    let mut pages = Vec::new();
    let mut problems = Problems::new();
    for file in &args.files {
        let mut index = import::read_whole(file)?;
        problems.extend(std::mem::take(&mut index.problems));
        pages.push(index);
    }
    // All that is wrong with all of the files, and then nothing is written.
    if problems.has_errors() {
        return Err(Malformed { problems }.into());
    }
    // Values that are not of their key's type are taken as they are, and reported.
    for page in &pages {
        let models = page.models.iter().enumerate();
        models.for_each(|(at, model)| problems.extend(crate::registry::entry(page, model, at).1));
    }
    context.warn(&problems);
    if let Some(path) = &args.facts {
        let facts = Facts::read(path)?;
        for page in &mut pages {
            for unknown in facts.apply(page)? {
                context.note(&format!("warning: no row for `{unknown}` in `{}`", path.display()));
            }
        }
    }
    match outputs {
        Some(outputs) => write(&pages, &outputs, args, context),
        None if args.check => check(&together(pages), args.json, context),
        None => {
            let whole = document(&together(pages));
            match args.json {
                true => context.println(safe::json(&to_json(&whole, Schema::Core).to_string()).as_bytes())?,
                false => context.print(to_yaml(&whole))?,
            }
            Ok(Status::Success)
        }
    }
}

fn together(pages: Vec<Index>) -> Index {
    let mut whole = Index::default();
    pages.into_iter().for_each(|page| pages::append(&mut whole, page));
    whole
}

/// Where each input goes: `DIR/STEM.yaml`, where a folder's stem is its name.
fn outputs(files: &[PathBuf], dir: &Path, force: bool) -> Result<Vec<PathBuf>> {
    let mut seen = HashSet::new();
    let mut outputs = Vec::new();
    for file in files {
        let stem = file.file_stem().or_else(|| file.components().next_back().map(|c| c.as_os_str()));
        let mut name = stem.unwrap_or_default().to_owned();
        name.push(".yaml");
        let output = dir.join(name);
        if !seen.insert(output.clone()) {
            return Err(Error::usage(format!("two inputs would be written to `{}`", output.display())));
        }
        refuse_existing(&output, force)?;
        outputs.push(output);
    }
    Ok(outputs)
}

fn write(pages: &[Index], outputs: &[PathBuf], args: &Args, context: &mut Context) -> Result<Status> {
    if let Some(dir) = &args.output {
        crate::fs::create_dir_all(dir)?;
    }
    let mut written = Vec::new();
    for (page, output) in pages.iter().zip(outputs) {
        crate::fs::write_atomic(output, to_yaml(&document(page)).as_bytes())?;
        written.push(json!({"path": output.display().to_string(), "models": page.models.len()}));
        if !args.json {
            context.println(safe::terminal(&output.display().to_string()).as_bytes())?;
        }
    }
    if args.json {
        context.println(safe::json(&serde_json::Value::Array(written).to_string()).as_bytes())?;
    }
    Ok(Status::Success)
}

fn check(page: &Index, as_json: bool, context: &mut Context) -> Result<Status> {
    let registry = pages::with(&context.globals.registry)?;
    let found = differences(&registry, page);
    if as_json {
        let rows: Vec<_> = found
            .iter()
            .map(|d| json!({"model": d.model, "path": d.path, "registry": d.registry, "page": d.page}))
            .collect();
        context.println(safe::json(&serde_json::Value::Array(rows).to_string()).as_bytes())?;
    } else {
        for difference in &found {
            context.println(safe::terminal(&line(difference)).as_bytes())?;
        }
        let same = if found.is_empty() { "nothing differs" } else { "they differ" };
        context.note(&format!("{} models compared with the registry: {same}", page.models.len()));
    }
    Ok(if found.is_empty() { Status::Success } else { Status::No })
}

/// `MODEL: PATH: page VALUE, registry VALUE`.
fn line(difference: &Difference) -> String {
    let Difference { model, path, registry, page } = difference;
    if path.is_empty() && registry.is_none() {
        return format!("{model}: not in the registry");
    }
    let side = |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".into(), |v| v.to_string());
    format!("{model}: {path}: page has {}, registry has {}", side(page), side(registry))
}
