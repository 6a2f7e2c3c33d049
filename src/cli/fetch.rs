//! `zoo fetch NAME…`: download, check, convert, keep.

use std::path::{Path, PathBuf};

use super::existing::refuse_existing;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::fs;
use crate::registry::{Entry, Registry};
use crate::store::{Fetched, Lock, Pin, Request, Store, Weights};

/// Arguments of `zoo fetch`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models, as `zoo list` names them
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
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

/// What one entry's fetch came to.
struct FetchedEntry {
    source: Fetched,
    converted: Option<Weights>,
}

/// A line of the output.
#[derive(Debug, serde::Serialize)]
struct Row {
    name: String,
    url: String,
    path: PathBuf,
    bytes: u64,
    sha256: crate::Sha256,
    strength: String,
    tensors_sha256: Option<crate::Sha256>,
    status: String,
}

/// Files at once: enough to hide a server's latency, few enough to be polite.
const MAX_PARALLEL: usize = 4;

/// Fetches every name, then says where the files are.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    let entries = args.names.iter().map(|n| Ok(registry.resolve(n)?)).collect::<Result<Vec<_>>>()?;
    if let (Some(folder), false, false) = (&args.to, args.force, args.mirror_layout) {
        for entry in &entries {
            refuse_existing(&folder.join(handed_out(args.format, entry)), args.force)?;
        }
    }
    let store = context.store()?;
    let results = all(&entries, |entry| get(args, &store, entry));
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for (entry, result) in entries.iter().zip(results) {
        match result.and_then(|got| place(args, entry, got)) {
            Ok(row) => rows.push(row),
            Err(error) => failed.push(error),
        }
    }
    if args.json {
        context.print_json(&rows)?
    } else {
        for row in &rows {
            context.println(row.path.display().to_string())?;
        }
    }
    for row in &rows {
        context.note(&format!("{}: {}, {}", row.name, row.status, row.strength));
    }
    context.flush()?;
    match failed.len() {
        0 => Ok(Status::Success),
        1 => Err(failed.swap_remove(0)),
        _ => Err(Error::several(failed)),
    }
}

/// Runs `work` on every entry, a few at a time; results in the order of the entries.
fn all<T: Send>(entries: &[&Entry], work: impl Fn(&Entry) -> T + Sync) -> Vec<T> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match entries.get(at) {
                Some(entry) => done.push((at, work(entry))),
                None => return done,
            }
        }
    };
    let mut results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..MAX_PARALLEL.min(entries.len())).map(|_| scope.spawn(worker)).collect();
        let joined = threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        joined.flatten().collect::<Vec<_>>()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn get(args: &Args, store: &Store, entry: &Entry) -> Result<FetchedEntry> {
    match (args.format, args.mirror_layout) {
        (Format::Safetensors, false) => {
            let weights = store.weights(&Request::of(entry))?;
            Ok(FetchedEntry { source: weights.source.clone(), converted: Some(weights) })
        }
        _ => Ok(FetchedEntry { source: store.fetch(&Request::of(entry))?, converted: None }),
    }
}

/// What the source calls its file.
fn file_name(entry: &Entry) -> String {
    entry.sources.first().map_or_else(|| entry.name.clone(), |s| s.file_name().to_owned())
}

/// What the file is called in a folder of the user's.
fn handed_out(format: Format, entry: &Entry) -> String {
    match format {
        Format::Safetensors => format!("{}.safetensors", entry.name),
        Format::Pth => file_name(entry),
    }
}

/// Copies the file to where it is wanted.
fn place(args: &Args, entry: &Entry, got: FetchedEntry) -> Result<Row> {
    let FetchedEntry { source, converted } = got;
    let kept = converted.as_ref().map_or(&source.path, |w| &w.safetensors);
    let path = match (&args.to, args.mirror_layout) {
        (None, _) => kept.clone(),
        (Some(folder), true) => mirror(folder, entry, &source)?,
        (Some(folder), false) => {
            fs::create_dir_all(folder)?;
            let path = folder.join(handed_out(args.format, entry));
            copy(kept, &path, args.force)?;
            path
        }
    };
    Ok(Row {
        name: entry.name.clone(),
        url: source.url,
        path,
        bytes: source.bytes,
        sha256: source.sha256,
        strength: source.strength.to_string(),
        tensors_sha256: converted.map(|w| w.tensors_sha256),
        status: source.status.to_string(),
    })
}

/// Adds a file to a folder that other machines use as a mirror.
fn mirror(folder: &Path, entry: &Entry, fetched: &Fetched) -> Result<PathBuf> {
    let files = folder.join("files");
    fs::create_dir_all(&files)?;
    let path = files.join(fetched.sha256.to_string());
    copy(&fetched.path, &path, true)?;
    let link = folder.join(file_name(entry));
    if !link.exists() {
        let target = Path::new("files").join(fetched.sha256.to_string());
        fs::symlink(&target, &link)?;
    }
    let pin = Pin { sha256: fetched.sha256, bytes: fetched.bytes };
    if let Some(source) = entry.sources.first() {
        Lock::pin(&folder.join("zoo.lock"), &source.0, pin)?;
    }
    Ok(path)
}

fn copy(from: &Path, to: &Path, force: bool) -> Result<()> {
    let mut file = fs::AtomicFile::create(to)?;
    // Reflinked where the file system can.
    std::io::copy(&mut fs::open(from)?, file.file()).map_err(fs::at("write", to))?;
    Ok(file.commit(force)?)
}
