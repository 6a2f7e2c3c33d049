//! `zoo lock NAME…`: what a project pins, written to a file; `--check`: whether such a file still says what the registry does.

use std::path::{Path, PathBuf};

use super::existing::refuse_existing;
use super::selection::Selection;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::fs;
use crate::registry::{Entry, Registry};
use crate::render::safe;
use crate::store::{
    Batch, Event, Lock, LockProblem, Options, PageFile, Pin, Prefer, Request, Store, check_lock,
};

/// Arguments of `zoo lock`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// The lock file [default: standard output; with `--check`: that of `--lock`, else zoo.lock]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also fetch and pin the hub's file of the same weights, so that it may be taken where the page's cannot be had
    #[arg(long, conflicts_with = "check")]
    with_hub: bool,
    /// Write nothing; exit 1 where the lock is not what the registry and the names given here make of it
    #[arg(long)]
    check: bool,
    /// Overwrite a lock that exists
    #[arg(long, conflicts_with = "check")]
    force: bool,
    /// Files at once, where they must be fetched
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Print JSON: the lock, or what is wrong with it
    #[arg(long)]
    json: bool,
}

/// Pins what was named; what is not on record is fetched.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    if args.check {
        return check(args, &registry, context);
    }
    let entries = args.selection.entries(&registry, context)?;
    args.output.iter().try_for_each(|path| refuse_existing(path, args.force))?;
    let store = context.store()?;
    let hub = match args.with_hub {
        true => Some(Store::open(Options { prefer: Prefer::Hub, ..context.store_options()? })?),
        false => None,
    };
    let requests: Vec<_> = entries.iter().map(|e| Request::of(e)).collect();
    let batch = Batch { jobs: args.jobs.into(), keep_going: false };
    let results = store.each(&requests, batch, |_, request| pins(&store, hub.as_ref(), request));
    let (mut lock, mut failed) = (Lock::default(), Vec::new());
    for result in results.into_iter().flatten() {
        match result {
            Ok(pins) => pins.into_iter().for_each(|(source, pin)| lock.insert(&source, pin)),
            Err(error) => failed.push(error),
        }
    }
    match failed.len() {
        0 => {}
        1 => return Err(failed.swap_remove(0)),
        _ => return Err(Error::several(failed)),
    }
    match &args.output {
        Some(path) => {
            write(path, &lock, args.force)?;
            context.note(&format!("{}: {} pinned", path.display(), files(&lock)));
            if args.json {
                context.print(safe::json(&lock.text()).as_ref())?
            } else {
                context.println(path.display().to_string())?
            }
        }
        None => context.print(safe::json(&lock.text()).as_ref())?,
    }
    Ok(Status::Success)
}

/// What is pinned of a model: from the record where that says all, else from the file.
fn pins(store: &Store, hub: Option<&Store>, request: &Request) -> Result<Vec<(String, Pin)>> {
    let mut pins = store.pins_on_record(request)?;
    let has =
        |pins: &[(String, Pin)], of_hub: bool| pins.iter().any(|(_, pin)| pin.instead_of.is_some() == of_hub);
    if !has(&pins, false) {
        let file = store.fetch(request)?;
        pins.push((file.source.clone(), store.pin(request, &file)?));
    }
    if let Some(hub) = hub.filter(|_| request.hub.is_some() && !has(&pins, true)) {
        // The page's tensors are on record by now: the hub's are compared with them.
        let file = hub.fetch(request)?;
        if file.page_file == PageFile::Seen {
            let text = "the hub's file could not be had, and is not pinned";
            store.tell(Event::Note { name: &request.name, text });
        }
        pins.push((file.source.clone(), hub.pin(request, &file)?));
    }
    Ok(pins)
}

fn write(path: &Path, lock: &Lock, force: bool) -> Result<()> {
    let mut file = fs::AtomicFile::create(path)?;
    std::io::Write::write_all(file.file(), lock.text().as_bytes()).map_err(fs::at("write", path))?;
    Ok(file.commit(force)?)
}

/// `1 file`, `2 files`.
fn files(lock: &Lock) -> String {
    match lock.pins().count() {
        1 => "1 file".into(),
        n => format!("{n} files"),
    }
}

/// Whether a lock is what it would be if it were written now, as far as that is known without fetching.
fn check(args: &Args, registry: &Registry, context: &mut Context) -> Result<Status> {
    // A lock that is named by `--lock`, as it is everywhere else, is meant where no other is.
    let named = args.output.as_ref().or(context.globals.lock.first());
    let path = named.cloned().unwrap_or_else(|| PathBuf::from("zoo.lock"));
    // What is checked is no word on what is right.
    context.globals.lock.retain(|lock| *lock != path);
    let lock = Lock::open(&path)?;
    let named: Option<Vec<&Entry>> =
        if args.selection.is_empty() { None } else { Some(args.selection.entries(registry, context)?) };
    let store = context.store()?;
    let problems = check_lock(&store, &lock, registry, named.as_deref())?;
    if args.json {
        context.print_json(&serde_json::json!({
            "schema": "zoo.lock.check/1",
            "file": path.display().to_string(),
            "version": lock.version(),
            "files": lock.pins().count(),
            "problems": problems,
        }))?;
    } else {
        for LockProblem { message, .. } in &problems {
            context.println(safe::terminal(&format!("{}: {message}", path.display())).as_bytes())?;
        }
    }
    context.flush()?;
    context.note(&match problems.len() {
        0 => format!("{}: {}, as the registry has them", path.display(), files(&lock)),
        n => format!("{n} problems; `zoo lock NAME… -o {} --force` writes it anew", path.display()),
    });
    Ok(if problems.is_empty() { Status::Success } else { Status::No })
}
