//! `zoo diff A B`: whether two checkpoints hold the same tensors, and where not. Of what is not on this machine the headers
//! are read, and no values.

use super::convert::Reading;
use super::input_source::InputSource;
use super::{Context, Status};
use crate::checkpoint::rename::{efficientnet_pytorch, is_efficientnet_pytorch};
use crate::checkpoint::{Checkpoint, Diff, What, diff, diff_headers};
use crate::error::Result;
use crate::render::safe;

/// Arguments of `zoo diff`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint of any format: a file, a model's name, an https: address, hf:ORG/REPO[@REV][/FILE]
    #[arg(value_name = "A")]
    a: String,
    /// Another
    #[arg(value_name = "B")]
    b: String,
    /// Compare names, shapes and types only; of what is not on this machine nothing else is compared
    #[arg(long)]
    headers: bool,
    #[command(flatten)]
    reading: Reading,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Compares; exit 1 when they differ, 5 when values would have to be compared that are not here.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let open = |what: &str| InputSource::of(what, context)?.checkpoint(context, &args.reading.options());
    let (mut a, mut b) = (open(&args.a)?, open(&args.b)?);
    if rename(&mut a, &b)? || rename(&mut b, &a)? {
        context.note("note: names of `efficientnet_pytorch` compared as timm's");
    }
    let headers = args.headers || a.is_remote() || b.is_remote();
    let found = if headers {
        diff_headers(&a, &b)
    } else {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        diff(&a, &b, threads)?
    };
    if args.json {
        json(&found, headers, context)?
    } else {
        text(&found, context)?
    }
    if !found.is_empty() {
        return Ok(Status::No);
    }
    let tensors = a.tensors().len();
    if !headers {
        context.note(&format!("equal: {tensors} tensors, bit for bit"));
        return Ok(Status::Success);
    }
    context.note(&format!("names, shapes and types are equal: {tensors} tensors; values were not compared"));
    if args.headers {
        return Ok(Status::Success);
    }
    context.note("fetch both to compare values; `--headers` asks for no more than headers (exit 0)");
    Ok(Status::Undecided)
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

fn json(found: &Diff, headers: bool, context: &mut Context) -> Result<()> {
    // Equal headers leave open whether the values are.
    let equal = (!headers || !found.is_empty()).then_some(found.is_empty());
    let value = serde_json::json!({
        "schema": "zoo.diff/1",
        "equal": equal,
        "compared": if headers { "headers" } else { "values" },
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
