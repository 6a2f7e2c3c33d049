//! `zoo show NAME`: one entry whole.

use super::{Context, Status};
use crate::error::Result;
use crate::registry::{Entry, Registry};
use crate::render::entry::{short_bytes, short_count, to_json};
use crate::render::safe;

/// Arguments of `zoo show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    name: String,
    /// A JSON object, as `zoo list --json` has it
    #[arg(long)]
    json: bool,
}

/// Prints the entry.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    let entry = registry.resolve(&args.name)?;
    if args.json {
        let document = serde_json::to_string_pretty(&to_json(entry)).unwrap_or_default();
        context.println(safe::json(&document).as_ref())?;
        return Ok(Status::Success);
    }
    let lines = lines(entry);
    let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in lines {
        context.println(format!("{key:width$}  {}", safe::terminal(&value)))?;
    }
    Ok(Status::Success)
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
