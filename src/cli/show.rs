//! `zoo show NAME`: one entry whole, or with `--tree` its network.

use super::{Context, Status};
use crate::error::{Class, Classify, Result};
use crate::nn::describe::{Description, describe};
use crate::registry::{Entry, Registry};
use crate::render::entry::{short_bytes, short_count, to_json};
use crate::render::{safe, tree};

/// Arguments of `zoo show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    name: String,
    /// Its network: modules, shapes, parameters and multiply-adds; NAME may be an architecture too
    #[arg(long)]
    tree: bool,
    /// How many levels of modules `--tree` shows; all without it
    #[arg(long, value_name = "N", requires = "tree")]
    depth: Option<usize>,
    /// A JSON object, as `zoo list --json` has it
    #[arg(long)]
    json: bool,
}

/// An entry whose network is not known.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names no architecture, so it has no tree")]
struct NoArchitecture(String);

impl Classify for NoArchitecture {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// Prints the entry.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    if args.tree {
        let described = network(&registry, &args.name)?;
        match args.json {
            true => print_json(&tree::json(&described), context)?,
            false => context.print(tree::text(&described, args.depth))?,
        }
        return Ok(Status::Success);
    }
    let entry = registry.resolve(&args.name)?;
    if args.json {
        print_json(&to_json(entry), context)?;
        return Ok(Status::Success);
    }
    let lines = lines(entry);
    let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in lines {
        context.println(format!("{key:width$}  {}", safe::terminal(&value)))?;
    }
    Ok(Status::Success)
}

fn print_json(value: &serde_json::Value, context: &mut Context) -> Result<()> {
    let document = serde_json::to_string_pretty(value).unwrap_or_default();
    context.println(safe::json(&document).as_ref())
}

/// The network of an entry at the entry's size, or of an architecture at 224 pixels.
fn network(registry: &Registry, name: &str) -> Result<Description> {
    let (arch, [height, width]) = match registry.resolve(name) {
        Ok(entry) => {
            let arch = entry.zoo.arch.clone().ok_or_else(|| NoArchitecture(entry.name.clone()))?;
            (arch, entry.image_size.map_or([224, 224], |s| [s.height, s.width]))
        }
        Err(_) if crate::arch::names().contains(&name) => (name.to_owned(), [224, 224]),
        Err(unknown) => return Err(unknown.into()),
    };
    let graph = crate::arch::build(&arch, 1000)?;
    Ok(describe(&graph, [1, 3, height, width])?)
}

/// What is known, in reading order.
fn lines(entry: &Entry) -> Vec<(&'static str, String)> {
    let claim = entry.claim.as_ref();
    let triple = |t: Option<[f32; 3]>| t.map(|t| t.map(|x| x.to_string()).join(", "));
    let exactly = |n: u64| format!("{n} ({})", short_count(n));
    let zoo = &entry.zoo;
    let all = [
        ("name", Some(entry.name.clone())),
        ("collection", entry.collection.clone()),
        ("architecture", zoo.arch.clone()),
        ("top-1", claim.map(|c| format!("{} %", c.top1))),
        ("top-5", claim.and_then(|c| c.top5.as_ref()).map(|a| format!("{a} %"))),
        ("parameters", zoo.params.or(entry.params).map(exactly)),
        ("flops", entry.flops.map(exactly)),
        ("image size", entry.image_size.map(|s| s.to_string())),
        ("crop", entry.crop_pct.map(|c| c.to_string())),
        ("interpolation", entry.interpolation.map(|i| i.name().to_owned())),
        ("mean", triple(zoo.mean)),
        ("std", triple(zoo.std)),
        ("licence", zoo.licence.clone()),
        ("file size", entry.file_size.map(|n| format!("{n} bytes ({})", short_bytes(n)))),
        ("sha256", zoo.sha256.map(|h| h.to_string())),
        ("hash prefix", entry.hash_prefix().map(|p| p.as_str().to_owned())),
    ];
    let mut lines: Vec<_> = all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    lines.extend(entry.sources.iter().map(|s| ("weights", s.to_string())));
    lines.push(("from", entry.origin.clone()));
    lines
}
