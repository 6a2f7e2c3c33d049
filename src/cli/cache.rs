//! `zoo cache ls|du|verify|gc|rm|path`: what has been downloaded, whether it is still whole, and tidying.

use std::time::Duration;

use clap::Subcommand;

use super::progress::bytes;
use super::{Context, Status, quantity};
use crate::error::Result;
use crate::render::safe;
use crate::store::{Item, ItemKind, Repaired, Store, Tidy};

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
    /// What takes how much: each model's files, the largest first, and what else lies in the cache's folder
    Du {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Hash every file again; exit 1 when one is damaged
    Verify {
        /// Remove what is damaged, and fetch or convert it again; exit 1 when that could not be done
        #[arg(long)]
        repair: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove interrupted downloads and other leftovers, what was not used for long, and what exceeds a size; pinned digests stay
    Gc {
        /// Also remove what was not used for so long, and only leftovers as old as that
        #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
        older_than: Option<Duration>,
        /// Also remove what was not used for longest, until no more than this is left
        #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
        max_size: Option<u64>,
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
        Command::Du { json } => usage(context, &store, *json),
        Command::Gc { older_than, max_size, sources, dry_run, json } => {
            let tidy = Tidy { sources: *sources, older_than: *older_than, max_size: *max_size };
            let items = store.garbage(&tidy)?;
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
        table.push_record(cells.map(|cell| safe::terminal(&cell).into_owned()));
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

/// A time without use, for people.
fn ago(seconds: Option<u64>) -> String {
    match seconds {
        None => String::new(),
        Some(s) if s < 3600 => "now".to_owned(),
        Some(s) if s < 2 * 86_400 => format!("{} h", s / 3600),
        Some(s) => format!("{} d", s / 86_400),
    }
}

fn usage(context: &mut Context, store: &Store, json: bool) -> Result<Status> {
    let (models, items, others, free) =
        (store.usage()?, store.inventory()?, store.others()?, store.free_space());
    let kinds =
        [ItemKind::File, ItemKind::Set, ItemKind::Derived, ItemKind::Partial, ItemKind::Scratch].map(|of| {
            let sizes = items.iter().filter(|i| i.kind == of).map(|i| i.bytes);
            (kind(of), sizes.clone().count(), sizes.sum::<u64>())
        });
    let total: u64 = kinds.iter().map(|k| k.2).sum();
    if json {
        let kinds: Vec<_> = kinds
            .iter()
            .map(|(kind, items, bytes)| serde_json::json!({"kind": kind, "items": items, "bytes": bytes}))
            .collect();
        let others: Vec<_> =
            others.iter().map(|(path, bytes)| serde_json::json!({"path": path, "bytes": bytes})).collect();
        context.print_json(&serde_json::json!({
            "schema": "zoo.cache.du/1", "home": store.home(), "bytes": total, "free": free,
            "models": models, "kinds": kinds, "others": others,
        }))?;
        return Ok(Status::Success);
    }
    let mut table = tabled::builder::Builder::new();
    table.push_record(["NAME", "SOURCE", "CONVERTED", "TOTAL", "UNUSED FOR"]);
    for row in &models {
        let digest = row.sha256.to_string();
        let name = if row.names.is_empty() {
            digest.get(..12).unwrap_or_default().to_owned()
        } else {
            row.names.join(" ")
        };
        let sum = bytes(row.source + row.derived);
        table.push_record([
            safe::terminal(&name).into_owned(),
            bytes(row.source),
            bytes(row.derived),
            sum,
            ago(row.unused_for),
        ]);
    }
    let mut table = table.build();
    table.with(tabled::settings::Style::blank());
    if !models.is_empty() {
        for line in table.to_string().lines() {
            context.println(line.trim_end())?;
        }
    }
    let several = kinds
        .iter()
        .filter(|k| k.1 > 0)
        .map(|(kind, items, size)| format!("{items} {kind} {}", bytes(*size)));
    let sum = several.collect::<Vec<_>>().join(", ");
    context.println(format!("{} in all{}{sum}", bytes(total), if sum.is_empty() { "" } else { ": " }))?;
    for (path, size) in &others {
        context
            .println(safe::terminal(&format!("beside it: {} {}", bytes(*size), path.display())).as_ref())?;
    }
    if let Some(free) = free {
        context.note(&format!("{} free in {}", bytes(free), store.home().display()));
    }
    Ok(Status::Success)
}

fn kind(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::File => "file",
        ItemKind::Set => "set",
        ItemKind::Derived => "derived",
        ItemKind::Partial => "partial",
        ItemKind::Scratch => "scratch",
    }
}

fn verify(context: &mut Context, store: &Store, repair: bool, json: bool) -> Result<Status> {
    let mut damaged = Vec::new();
    let mut whole = 0;
    // Files come before what is converted from them.
    for item in store.inventory()? {
        if store.is_whole(&item)? { whole += 1 } else { damaged.push(item) }
    }
    let mut repaired = Vec::new();
    for item in damaged.iter().filter(|_| repair) {
        repaired.push(store.repair(item)?);
    }
    let outcome = |at: usize| repaired.get(at).map(|&r| outcome(r));
    if json {
        let mut rows = serde_json::to_value(&damaged).unwrap_or_default();
        for (at, row) in rows.as_array_mut().into_iter().flatten().enumerate() {
            if let (Some(outcome), Some(row)) = (outcome(at), row.as_object_mut()) {
                row.insert("repaired".to_owned(), outcome.into());
            }
        }
        context.print_json(&rows)?;
    } else {
        for (at, item) in damaged.iter().enumerate() {
            let outcome = outcome(at).map(|o| format!(": {o}")).unwrap_or_default();
            context.println(safe::terminal(&format!("damaged {}{outcome}", item.path.display())).as_ref())?;
        }
    }
    let gone = repaired.iter().filter(|r| **r == Repaired::Removed).count();
    let again = repaired.len() - gone;
    let what =
        if repaired.is_empty() { String::new() } else { format!(": {again} made whole, {gone} removed") };
    context.note(&format!("{whole} whole, {} damaged{what}", damaged.len()));
    let sound = damaged.is_empty() || (repair && gone == 0);
    Ok(if sound { Status::Success } else { Status::No })
}

fn outcome(repaired: Repaired) -> &'static str {
    match repaired {
        Repaired::Fetched => "fetched again",
        Repaired::Converted => "converted again",
        Repaired::Removed => "removed",
    }
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
