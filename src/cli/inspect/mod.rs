//! `zoo inspect WHAT`: what is inside a checkpoint: a file, a model of the registry, or an address; or in a repository of the
//! hub. What is not here is read by a few Range requests; the weights stay where they are.

mod json;
mod repository;
mod text;

use super::convert::Reading;
use super::input_source::InputSource;
use super::{Context, Status};
use crate::checkpoint::{Checkpoint, Stats, Tensor, tensors_sha256};
use crate::error::{Error, Result};
use crate::hash::Sha256;

/// Arguments of `zoo inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint file, a model's name, an https: address, hf:ORG/REPO@REV/FILE, or hf:ORG/REPO[@REV] for what is in it
    #[arg(value_name = "WHAT")]
    what: String,
    /// Hash every tensor's bytes (files only)
    #[arg(long)]
    sha256: bool,
    /// Range, mean and non-finite values of every tensor (files only)
    #[arg(long)]
    stats: bool,
    /// Histogram of every tensor's values (files only)
    #[arg(long)]
    hist: bool,
    /// Show a tree of modules with their sizes
    #[arg(long, conflicts_with = "sizes")]
    tree: bool,
    /// Sum sizes by the first N parts of the names
    #[arg(long, value_name = "N")]
    sizes: Option<usize>,
    #[command(flatten)]
    reading: Reading,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether every byte is read.
    fn reads_values(&self) -> bool {
        self.sha256 || self.stats || self.hist
    }
}

/// How many parts a histogram has: as many as a line has room for beside the name.
const HISTOGRAM_BINS: usize = 24;

/// All that was asked about one tensor.
struct Row<'a> {
    tensor: &'a Tensor,
    sha256: Option<Sha256>,
    stats: Option<Stats>,
    histogram: Option<Vec<u64>>,
}

/// All that was asked.
struct Report<'a> {
    what: &'a str,
    checkpoint: &'a Checkpoint,
    rows: Vec<Row<'a>>,
    tensors_sha256: Option<Sha256>,
    elements: usize,
    bytes: usize,
}

/// Inspects.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let input = InputSource::of(&args.what, context)?;
    if let (InputSource::Repository(repo), false, None) = (&input, args.tree, args.sizes)
        && !args.reads_values()
    {
        return repository::print(&context.store()?.repository(repo)?, args.json, context);
    }
    let checkpoint = input.checkpoint(context, &args.reading.options())?;
    if args.reads_values() && checkpoint.is_remote() {
        return Err(Error::usage(format!(
            "`--sha256`, `--stats` and `--hist` read every byte, and `{}` is not here: fetch it first",
            args.what
        )));
    }
    let report = report(args, &checkpoint)?;
    match (args.json, args.tree, args.sizes) {
        (true, ..) => context.println(format!("{:#}", json::value(&report)))?,
        (false, true, _) => text::sizes(&report, None, context)?,
        (false, false, Some(depth)) => text::sizes(&report, Some(depth), context)?,
        (false, false, None) => text::table(&report, context)?,
    }
    if !args.json {
        super::convert::notes(&checkpoint, context);
    }
    Ok(Status::Success)
}

fn report<'a>(args: &'a Args, checkpoint: &'a Checkpoint) -> Result<Report<'a>> {
    let tensors = checkpoint.tensors();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let digests = if args.sha256 { Some(checkpoint.tensor_digests(threads)?) } else { None };
    let mut rows = Vec::with_capacity(tensors.len());
    for (at, tensor) in tensors.iter().enumerate() {
        let stats = if args.stats || args.hist { checkpoint.stats(tensor)? } else { None };
        let histogram = match stats.as_ref().filter(|_| args.hist) {
            Some(stats) => Some(checkpoint.histogram(tensor, stats, HISTOGRAM_BINS)?),
            None => None,
        };
        let sha256 = digests.as_ref().and_then(|d| d.get(at).copied());
        rows.push(Row { tensor, sha256, stats, histogram });
    }
    Ok(Report {
        what: &args.what,
        checkpoint,
        rows,
        tensors_sha256: digests.map(|d| tensors_sha256(tensors.iter().zip(d))),
        elements: tensors.iter().map(Tensor::elements).sum(),
        bytes: tensors.iter().map(Tensor::nbytes).sum(),
    })
}
