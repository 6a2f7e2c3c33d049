//! `zoo inspect WHAT`: what is inside a checkpoint: a file, a model of the registry, or an address. The
//! last two are read by a few Range requests; the weights stay where they are.

mod json;
mod text;

use std::path::{Path, PathBuf};

use super::convert::Reading;
use super::{Context, Status};
use crate::checkpoint::{Checkpoint, Stats, Tensor, tensors_sha256};
use crate::error::{Error, Result};
use crate::hash::{HashPrefix, Sha256};
use crate::registry::{Registry, Source};
use crate::store::{Location, Request};

/// Arguments of `zoo inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint file, a model's name, or an https: address
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
    let checkpoint = open(args, context)?;
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

/// A path that exists is a file; then an address; then a model's name.
fn open(args: &Args, context: &Context) -> Result<Checkpoint> {
    let options = args.reading.options();
    let path = Path::new(&args.what);
    let looks_like_a_path = path.components().count() > 1 || path.extension().is_some();
    let is_address = args.what.contains("://") || args.what.starts_with("hf:");
    let request = match (path.exists(), is_address) {
        (true, _) => return Ok(Checkpoint::open_with(path, &options)?),
        (false, true) => address(&args.what),
        (false, false) => match Registry::open(&context.globals.registry)?.resolve(&args.what) {
            Ok(entry) => Request::of(entry),
            // What was meant for a file is answered as one.
            Err(_) if looks_like_a_path => return Ok(Checkpoint::open_with(path, &options)?),
            Err(error) => return Err(error.into()),
        },
    };
    let store = context.store()?;
    if let Some(fetched) = store.cached_file(&request)? {
        return Ok(Checkpoint::open_with(&fetched.path, &options)?);
    }
    for source in &request.sources {
        if let Location::File(path) = Location::parse(&source.0)? {
            return Ok(Checkpoint::open_with(&path, &options)?);
        }
    }
    if args.sha256 || args.stats || args.hist {
        return Err(Error::usage(format!(
            "`--sha256`, `--stats` and `--hist` read every byte, and `{}` is not here: fetch it first",
            args.what
        )));
    }
    let remote = store.remote(&request)?;
    let name = PathBuf::from(remote.url());
    Ok(Checkpoint::from_source(&name, Box::new(remote), &options)?)
}

fn address(text: &str) -> Request {
    let source = Source(text.to_owned());
    let prefix = HashPrefix::from_file_name(source.file_name());
    Request { name: source.file_name().to_owned(), sources: vec![source], prefix, ..Request::default() }
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
