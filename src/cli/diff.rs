//! `zoo diff A B`: whether two checkpoints hold the same tensors, and where not.

use std::path::PathBuf;

use super::convert::Reading;
use super::{Context, Status};
use crate::checkpoint::rename::{efficientnet_pytorch, is_efficientnet_pytorch};
use crate::checkpoint::{Checkpoint, Diff, What, diff};
use crate::error::Result;
use crate::render::safe;

/// Arguments of `zoo diff`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint of any format
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Another
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Compares; exit 1 when they differ.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let mut a = Checkpoint::open_with(&args.a, &args.reading.options())?;
    let mut b = Checkpoint::open_with(&args.b, &args.reading.options())?;
    if rename(&mut a, &b)? || rename(&mut b, &a)? {
        context.note("note: names of `efficientnet_pytorch` compared as timm's");
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = diff(&a, &b, threads)?;
    match args.json {
        true => json(&found, context)?,
        false => text(&found, context)?,
    }
    if found.is_empty() {
        context.note(&format!("equal: {} tensors, bit for bit", a.tensors().len()));
    }
    Ok(if found.is_empty() { Status::Success } else { Status::No })
}

/// Gives `one` the other's names where only `one` has those of `efficientnet_pytorch`.
fn rename(one: &mut Checkpoint, other: &Checkpoint) -> Result<bool> {
    let names = |c: &Checkpoint| c.tensors().iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    let is_old = |names: &[String]| is_efficientnet_pytorch(names.iter().map(String::as_str));
    let (from, to) = (names(one), names(other));
    if !is_old(&from) || is_old(&to) {
        return Ok(false);
    }
    let pairs = efficientnet_pytorch(from.iter().map(String::as_str), to.iter().map(String::as_str))?;
    one.rename(&pairs)?;
    Ok(true)
}

fn json(found: &Diff, context: &mut Context) -> Result<()> {
    let value = serde_json::json!({
        "schema": "zoo.diff/1",
        "equal": found.is_empty(),
        "only_a": found.only_a,
        "only_b": found.only_b,
        "different": found.different,
    });
    context.println(format!("{value:#}"))
}

fn text(found: &Diff, context: &mut Context) -> Result<()> {
    for (which, names) in [("A", &found.only_a), ("B", &found.only_b)] {
        for name in names {
            context.println(format!("only in {which}: {}", safe::terminal(name)))?;
        }
    }
    for difference in &found.different {
        let name = safe::terminal(&difference.name);
        let what = match difference.what {
            What::Shape => "shape",
            What::Dtype => "dtype",
            What::Values => "values",
        };
        let abs = difference.max_abs.map(|v| format!(", at most {v:e} apart")).unwrap_or_default();
        let ulp = difference.max_ulp.map(|v| format!(", {v} ulp")).unwrap_or_default();
        context.println(format!("{what} differ: {name}{abs}{ulp}"))?;
    }
    Ok(())
}
