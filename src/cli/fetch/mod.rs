//! `zoo fetch NAME…`: download, check, convert, keep; one file or many.

mod copies;
mod plan;

use std::path::PathBuf;

use super::existing::refuse_existing;
use super::selection::Selection;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::fs;
use crate::registry::{Entry, Registry};
use crate::store::{
    self, Batch, Event, Fetched, Here, Options, Pin, Prefer, Request, Store, StoredWeights, Use,
};
use copies::{copy, handed_out, mirror};

/// Arguments of `zoo fetch`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Also put the files into this folder
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Which file to return: converted, or as downloaded
    #[arg(long, value_enum, default_value_t = Format::Safetensors)]
    format: Format,
    /// Lay DIR out as a mirror for `--mirror file:DIR`: files as downloaded, named by their SHA-256, links by file name and a zoo.lock
    #[arg(long, requires = "to")]
    mirror_layout: bool,
    /// Overwrite files in DIR
    #[arg(long, requires = "to")]
    force: bool,
    /// Which file to ask for first, where the hub has one of the same weights [default: the one that is here, else the page's]
    #[arg(long, value_enum, value_name = "PLACE")]
    prefer: Option<Preferred>,
    /// Where the page's file cannot be had, take the hub's although nothing is on record of its tensors; every report then says that the page's own file was not seen
    #[arg(long)]
    accept_hub: bool,
    /// Files at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Attempt the other files when one fails, and list those that failed
    #[arg(long)]
    keep_going: bool,
    /// Only say what would be fetched, what is here already, and whether there is room
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which of a model's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Converted: tensors only, nothing executable
    Safetensors,
    /// As it came
    Pth,
}

/// Which of the two places of a model's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Preferred {
    /// The repository of the hub that has the same weights
    Hub,
    /// Where the model's page says
    Page,
}

/// What one entry's fetch came to.
struct FetchedEntry {
    source: Fetched,
    converted: Option<StoredWeights>,
}

/// A line of the output: of a file that could not be had, only `name`, `status` and `error`.
#[derive(Debug, Default, serde::Serialize)]
struct Row {
    name: String,
    url: Option<String>,
    path: Option<PathBuf>,
    bytes: Option<u64>,
    sha256: Option<crate::Sha256>,
    strength: Option<String>,
    tensors_sha256: Option<crate::Sha256>,
    page_file: Option<&'static str>,
    status: String,
    error: Option<String>,
}

/// Fetches every model, then says where the files are.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    let store = Store::open(Options {
        prefer: match args.prefer {
            None => Prefer::Either,
            Some(Preferred::Hub) => Prefer::Hub,
            Some(Preferred::Page) => Prefer::Page,
        },
        accept_hub: args.accept_hub,
        ..context.store_options()?
    })?;
    let entries = if context.globals.locked && args.selection.is_empty() {
        args.selection.locked(&registry, &store, context)?
    } else {
        args.selection.entries(&registry, context)?
    };
    if let (Some(folder), false, false) = (&args.to, args.force, args.mirror_layout) {
        for entry in &entries {
            refuse_existing(&folder.join(handed_out(args.format, entry)), args.force)?;
        }
    }
    let requests: Vec<_> = entries.iter().map(|e| Request::of(e)).collect();
    let purpose = Use { converted: args.converts(), copied_to: args.to.as_deref() };
    if args.dry_run {
        return plan::print(&store.plan(&requests, purpose)?, args.json, context);
    }
    if requests.len() > 1 {
        announce(&store, &requests, purpose, context)?;
    }
    let batch = Batch { jobs: args.jobs.into(), keep_going: args.keep_going };
    let work = |at: usize, request: &Request| match entries.get(at) {
        Some(entry) => get(args, &store, request).and_then(|got| place(args, &store, entry, request, got)),
        None => Err(Error::usage("a request without an entry")),
    };
    let results = store.each(&requests, batch, work);
    finish(args, &entries, results, context)
}

impl Args {
    /// Whether the files are converted as they arrive.
    fn converts(&self) -> bool {
        self.format == Format::Safetensors && !self.mirror_layout
    }
}

/// Before many files come: how many and how large, and a warning where they may not fit. It is no more than a warning, since
/// a file system may compress, share or free what the numbers cannot tell.
fn announce(store: &Store, requests: &[Request], purpose: Use<'_>, context: &Context) -> Result<()> {
    let plan = store.plan(requests, purpose)?;
    let coming = plan.files.iter().filter(|f| f.here != Here::Cached).filter_map(|f| f.bytes);
    store.tell(Event::Planned { files: plan.files.len(), bytes: coming.fold(0, u64::saturating_add) });
    if let Err(error) = plan.fits() {
        context.note(&format!("warning: {error}"));
    }
    Ok(())
}

fn get(args: &Args, store: &Store, request: &Request) -> Result<FetchedEntry> {
    if args.converts() {
        let weights = store.weights(request)?;
        Ok(FetchedEntry { source: weights.source.clone(), converted: Some(weights) })
    } else {
        Ok(FetchedEntry { source: store.fetch(request)?, converted: None })
    }
}

/// Copies the file to where it is wanted.
fn place(args: &Args, store: &Store, entry: &Entry, request: &Request, got: FetchedEntry) -> Result<Row> {
    let FetchedEntry { source, converted } = got;
    let mut tensors_sha256 = converted.as_ref().map(|w| w.tensors_sha256);
    let kept = converted.as_ref().map_or(&source.path, |w| &w.safetensors);
    let path = match (&args.to, args.mirror_layout) {
        (None, _) => kept.clone(),
        (Some(folder), true) => {
            let pin = match store.pin(request, &source) {
                // A file that is no checkpoint is one of a mirror's all the same.
                Err(store::Error::Unreadable { .. }) => {
                    Pin::new(source.sha256, source.bytes).named(&entry.name)
                }
                pin => pin?,
            };
            tensors_sha256 = pin.tensors_sha256;
            mirror(folder, entry, &source, pin)?
        }
        (Some(folder), false) => {
            fs::create_dir_all(folder)?;
            let path = folder.join(handed_out(args.format, entry));
            copy(kept, &path, args.force)?;
            path
        }
    };
    Ok(Row {
        name: entry.name.clone(),
        url: Some(source.url),
        path: Some(path),
        bytes: Some(source.bytes),
        sha256: Some(source.sha256),
        strength: Some(source.strength.to_string()),
        tensors_sha256,
        page_file: Some(source.page_file.name()),
        status: source.status.to_string(),
        error: None,
    })
}

/// Prints what came, and returns what did not.
fn finish(
    args: &Args,
    entries: &[&Entry],
    results: Vec<Option<Result<Row>>>,
    context: &mut Context,
) -> Result<Status> {
    let (mut rows, mut failed, mut left) = (Vec::new(), Vec::new(), 0);
    for (entry, result) in entries.iter().zip(results) {
        match result {
            Some(Ok(row)) => rows.push(row),
            Some(Err(error)) => {
                if args.keep_going {
                    let (name, status) = (entry.name.clone(), "failed".to_owned());
                    rows.push(Row { name, status, error: Some(error.to_string()), ..Row::default() });
                }
                failed.push(error);
            }
            None => left += 1,
        }
    }
    if args.json {
        context.print_json(&rows)?
    } else {
        for path in rows.iter().filter_map(|row| row.path.as_ref()) {
            context.println(path.display().to_string())?;
        }
    }
    for row in &rows {
        if let Some(strength) = &row.strength {
            context.note(&format!("{}: {}, {strength}", row.name, row.status));
        }
    }
    context.flush()?;
    if left > 0 {
        context.note(&format!("{left} more were not begun; `--keep-going` attempts all"));
    }
    match failed.len() {
        0 => Ok(Status::Success),
        1 => Err(failed.swap_remove(0)),
        _ => Err(Error::several(failed)),
    }
}
