//! `zoo golden record NAME`, and `zoo verify --dataset golden`: timm's logits on record, and the comparison with
//! them.

use std::path::{Path, PathBuf};

use super::{Context, Status};
use crate::error::{Error, Result};
use crate::model::{EngineKind, Loader};
use crate::registry::{Entry, Registry};
use crate::render::golden_script::script;
use crate::render::safe;
use crate::render::table::{Column, Table};
use crate::store::{Request, Store};
use crate::verify::golden::{Checked, Level, Record, SCHEMA, check};

/// Arguments of `zoo golden`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print the script that asks timm for a model's logits; with --from, take what it printed
    Record {
        /// The model, as `zoo list` names it
        name: String,
        /// Weights instead of the entry's
        #[arg(long, value_name = "FILE")]
        weights: Option<PathBuf>,
        /// What the script printed
        #[arg(long, value_name = "OUT.json")]
        from: Option<PathBuf>,
    },
}

/// Prints the script, or takes its output.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let Verb::Record { name, weights, from } = &args.verb;
    let registry = Registry::open(&context.globals.registry)?;
    let entry = registry.resolve(name)?;
    let store = context.store()?;
    let loader = Loader { store: &store, engine: EngineKind::default(), weights: weights.as_deref() };
    let model = loader.prepare(entry)?;
    let tensors_sha256 = model.provenance().tensors_sha256;
    if let Some(from) = from {
        let kept = Record::open(from, tensors_sha256)?.keep(store.home())?;
        context.note(&format!("kept as `{}`; `zoo verify {name} --dataset golden` compares", kept.display()));
        return Ok(Status::Success);
    }
    let arch = entry.zoo.arch.as_deref().unwrap_or_default();
    let file = format!("{}.timm.safetensors", entry.name.replace(['/', '\\'], "_"));
    let size = model.preprocess().size.height;
    context.print(script(arch, model.classes(), &file, tensors_sha256, size))?;
    let from = safe::shell(&model.provenance().path.display().to_string()).into_owned();
    context.note(&format!("first: zoo convert {from} --arch {arch} -o {file}"));
    context.note(&format!("then: python script.py > out.json && zoo golden record {name} --from out.json"));
    Ok(Status::Success)
}

/// Compares models with what is on record; `unknown` is exit 5, another result than timm's exit 1.
pub(super) fn verify(
    entries: &[&Entry],
    engine: EngineKind,
    weights: Option<&Path>,
    store: &Store,
    json: bool,
    context: &mut Context,
) -> Result<Status> {
    let loader = Loader { store, engine, weights };
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries {
        let here = weights.is_some() || store.cached_file(&Request::of(entry))?.is_some();
        results.push(check(entry, &loader, store.home(), here)?);
    }
    match json {
        true => {
            context.print_json(&serde_json::json!({"schema": SCHEMA, "results": results}))?;
        }
        false => print(&results, context)?,
    }
    if results.iter().any(|r| r.agrees == Some(false)) {
        return Ok(Status::No);
    }
    match results.iter().any(|r| r.level == Level::Unknown) {
        true => Ok(Status::Undecided),
        false => Ok(Status::Success),
    }
}

fn print(results: &[Checked], context: &mut Context) -> Result<()> {
    let columns = vec![
        Column::text("model", Column::KEEP),
        Column::text("level", Column::KEEP),
        Column::number("size", 2),
        Column::text("logits", Column::KEEP),
        Column::text("instructions", 1),
    ];
    let mut table = Table { columns };
    for result in results {
        let said = match (result.agrees, result.distance) {
            (Some(agrees), Some(distance)) => {
                let verdict = if agrees { "timm's" } else { "NOT timm's" };
                format!("{verdict}: {distance:.1e} σ apart, {:.0e} allowed", result.tolerance)
            }
            _ => "nothing on record".into(),
        };
        let size = result.size.map(|s| s.to_string()).unwrap_or_default();
        let isa = result.isa.clone().unwrap_or_default();
        table.push([result.model.clone(), result.level.name().to_owned(), size, said, isa]);
    }
    if let Some(width) = context.width {
        table.fit(width);
    }
    context.print(table.terminal(context.color))?;
    if let Some(unknown) = results.iter().find(|r| r.level == Level::Unknown) {
        context
            .note(&format!("`zoo golden record {}` says how to put timm's logits on record", unknown.model));
    }
    Ok(())
}

/// What `--dataset golden` cannot be asked with.
pub(super) fn refuse(asked: &[(&str, bool)]) -> Result<()> {
    match asked.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            Err(Error::usage(format!("`--dataset golden` has no images, so not with `{option}`")))
        }
        None => Ok(()),
    }
}
