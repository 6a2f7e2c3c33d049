//! `zoo cache ls|verify|gc|rm|path`: what has been downloaded, whether it is still whole, and tidying.

use clap::Subcommand;

use super::progress::bytes;
use super::{Context, Status};
use crate::error::Result;
use crate::store::{Item, Kind, Store};

/// Arguments of `zoo cache`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is in the cache
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Hash every file again; exit 1 when one is damaged
    Verify {
        /// Remove what is damaged
        #[arg(long)]
        repair: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove interrupted downloads and other leftovers
    Gc {
        /// Also remove downloads that have been converted
        #[arg(long)]
        sources: bool,
        /// Only report what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a model's files; its pinned digest stays
    Rm {
        /// Model names, file names, or at least eight digits of a SHA-256
        #[arg(required = true)]
        names: Vec<String>,
        /// Only report what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the cache's folder, or the path of a model's file
    Path {
        /// A model name, a file name, or at least eight digits of a SHA-256
        name: Option<String>,
    },
}

/// Runs one of them.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let store = context.store()?;
    match &args.command {
        Command::Ls { json } => print(context, &store.inventory()?, *json),
        Command::Verify { repair, json } => verify(context, &store, *repair, *json),
        Command::Gc { sources, dry_run, json } => {
            let items = store.garbage(*sources)?;
            remove(context, &store, &items, *dry_run, *json)
        }
        Command::Rm { names, dry_run, json } => {
            let mut items = Vec::new();
            for name in names {
                items.extend(store.find(name)?);
            }
            items.sort_by(|a, b| a.path.cmp(&b.path));
            items.dedup_by(|a, b| a.path == b.path);
            remove(context, &store, &items, *dry_run, *json)
        }
        Command::Path { name: None } => {
            context.println(store.home().display().to_string())?;
            Ok(Status::Success)
        }
        Command::Path { name: Some(name) } => {
            for item in store.find(name)? {
                context.println(item.path.display().to_string())?;
            }
            Ok(Status::Success)
        }
    }
}

fn print(context: &mut Context, items: &[Item], json: bool) -> Result<Status> {
    if json {
        context.print_json(&items)?;
        return Ok(Status::Success);
    }
    let mut table = tabled::builder::Builder::new();
    table.push_record(["KIND", "NAME", "SIZE", "SHA-256", "SOURCE"]);
    for item in items {
        let digest = item.sha256.map(|s| s.to_string()).unwrap_or_default();
        let name = item.record.as_ref().map(|r| r.names.join(" ")).unwrap_or_default();
        let source = item.record.as_ref().map(|r| r.source.clone()).unwrap_or_default();
        let digest = digest.get(..12).unwrap_or_default().to_owned();
        let cells = [kind(item.kind).to_owned(), name, bytes(item.bytes), digest, source];
        table.push_record(cells.map(|cell| crate::render::safe::terminal(&cell).into_owned()));
    }
    let mut table = table.build();
    table.with(tabled::settings::Style::blank());
    if !items.is_empty() {
        for line in table.to_string().lines() {
            context.println(line.trim_end())?;
        }
    }
    let total = items.iter().map(|i| i.bytes).sum();
    context.note(&format!("{} items, {}", items.len(), bytes(total)));
    Ok(Status::Success)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Set => "set",
        Kind::Derived => "derived",
        Kind::Partial => "partial",
        Kind::Scratch => "scratch",
    }
}

fn verify(context: &mut Context, store: &Store, repair: bool, json: bool) -> Result<Status> {
    let mut damaged = Vec::new();
    let mut whole = 0;
    for item in store.inventory()? {
        if store.is_whole(&item)? { whole += 1 } else { damaged.push(item) }
    }
    if json {
        context.print_json(&damaged)?;
    }
    for item in &damaged {
        if !json {
            context.println(format!("damaged {}", item.path.display()))?;
        }
        if repair {
            store.remove(item)?;
        }
    }
    let what = if repair && !damaged.is_empty() { " and removed" } else { "" };
    context.note(&format!("{whole} whole, {} damaged{what}", damaged.len()));
    Ok(if damaged.is_empty() { Status::Success } else { Status::No })
}

fn remove(context: &mut Context, store: &Store, items: &[Item], dry: bool, json: bool) -> Result<Status> {
    if !dry {
        for item in items {
            store.remove(item)?;
        }
    }
    if json {
        context.print_json(&items)?
    } else {
        for item in items {
            context.println(item.path.display().to_string())?;
        }
    }
    let total = items.iter().map(|i| i.bytes).sum();
    let verb = if dry { "would remove" } else { "removed" };
    context.note(&format!("{verb} {} items, {}", items.len(), bytes(total)));
    Ok(Status::Success)
}
