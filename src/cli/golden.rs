//! `zoo golden record NAME`, and `zoo verify --dataset golden`: timm's logits on record, and the comparison with
//! them.

use std::path::PathBuf;

use super::chosen::Chosen;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::model::{EngineKind, Loader, ModelSpec};
use crate::registry::Registry;
use crate::render::golden_script::script;
use crate::render::safe;
use crate::render::table::{Column, Table};
use crate::store::{Request, Store};
use crate::verify::golden::{Checked, GoldenLevel, GoldenModel, GoldenRecord, SCHEMA, check};

/// Arguments of `zoo golden`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print the script that asks timm for a model's logits; with --from, record its output
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
    let spec = ModelSpec::of(entry)?;
    let spec = weights.iter().fold(spec, |spec, path| spec.with_weights(path));
    let model = Loader { store: &store, engine: EngineKind::default() }.prepare(&spec)?;
    let tensors_sha256 = model.provenance().tensors_sha256;
    if let Some(from) = from {
        let kept = GoldenRecord::open(from, tensors_sha256)?.keep(store.home())?;
        context.note(&format!("kept as `{}`; `zoo verify {name} --dataset golden` compares", kept.display()));
        return Ok(Status::Success);
    }
    let arch = &spec.arch;
    let file = format!("{}.timm.safetensors", entry.name.replace(['/', '\\'], "_"));
    let size = model.preprocess().size.height;
    context.print(script(arch, model.labels().len(), &file, tensors_sha256, size))?;
    let from = safe::shell(&model.provenance().path.display().to_string()).into_owned();
    context.note(&format!("first: zoo convert {from} --arch {arch} -o {file}"));
    context.note(&format!("then: python script.py > out.json && zoo golden record {name} --from out.json"));
    Ok(Status::Success)
}

/// Compares models with what is on record; `unknown` is exit 5, another result than timm's exit 1.
pub(super) fn verify(
    models: Vec<Chosen<'_>>,
    engine: EngineKind,
    store: &Store,
    json: bool,
    context: &mut Context,
) -> Result<Status> {
    let loader = Loader { store, engine };
    let mut results: Vec<Checked> = Vec::with_capacity(models.len());
    for model in &models {
        let (arch, here) = match model {
            Chosen::Entry(entry, weights) => {
                let here = weights.is_some() || store.cached_file(&Request::of(entry))?.is_some();
                (entry.zoo.arch.as_deref(), here)
            }
            Chosen::File(spec) => (Some(spec.arch.as_str()), true),
        };
        let spec = if here { Some(model.spec()?) } else { None };
        // Entries of one architecture without weights here are one comparison.
        let same = |r: &&Checked| r.level == GoldenLevel::Architecture && arch == Some(r.arch.as_str());
        if let Some(known) = results.iter().find(same).filter(|_| spec.is_none()) {
            let known = Checked { model: model.name().to_owned(), ..known.clone() };
            results.push(known);
            continue;
        }
        results.push(check(&GoldenModel { name: model.name(), arch, spec }, &loader, store.home())?);
    }
    if json {
        context.print_json(&serde_json::json!({"schema": SCHEMA, "results": results}))?;
    } else {
        print(&results, context)?;
    }
    if results.iter().any(|r| r.agrees == Some(false)) {
        return Ok(Status::No);
    }
    let unknown = results.iter().any(|r| r.level == GoldenLevel::Unknown);
    Ok(if unknown { Status::Undecided } else { Status::Success })
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
    if let Some(unknown) = results.iter().find(|r| r.level == GoldenLevel::Unknown) {
        context
            .note(&format!("`zoo golden record {}` says how to put timm's logits on record", unknown.model));
    }
    Ok(())
}

/// What `--dataset golden` cannot be asked with.
pub(super) fn refuse(given: &[&str]) -> Result<()> {
    match given.first() {
        Some(option) => {
            Err(Error::usage(format!("`--dataset golden` has no images, so not with `{option}`")))
        }
        None => Ok(()),
    }
}
