//! `zoo fetch --dry-run`: what would be fetched, what is here, and whether there is room.

use crate::cli::progress::bytes;
use crate::cli::{Context, Status};
use crate::error::Result;
use crate::render::safe;
use crate::store::{DownloadPlan, Here};

/// Prints a plan.
///
/// # Errors
/// No room for what is missing, after it has been printed.
pub(super) fn print(plan: &DownloadPlan, json: bool, context: &mut Context) -> Result<Status> {
    if json {
        context.print_json(&to_json(plan))?;
    } else {
        let mut table = tabled::builder::Builder::new();
        table.push_record(["NAME", "SIZE", "HERE", "MISSING", "URL"]);
        let size = |n: Option<u64>| n.map_or_else(|| "unknown".to_owned(), bytes);
        for file in &plan.files {
            let cells = [
                file.name.clone(),
                size(file.bytes),
                here(file.here).to_owned(),
                size(file.missing),
                file.url.clone(),
            ];
            table.push_record(cells.map(|cell| safe::terminal(&cell).into_owned()));
        }
        let mut table = table.build();
        table.with(tabled::settings::Style::blank());
        for line in table.to_string().lines() {
            context.println(line.trim_end())?;
        }
    }
    context.flush()?;
    let unknown = match plan.unknown {
        0 => String::new(),
        n => format!(", {n} of unknown size"),
    };
    let (all, missing) = (bytes(plan.bytes), bytes(plan.missing));
    context.note(&format!("{} files, {all}{unknown}; {missing} missing", plan.files.len()));
    for room in &plan.rooms {
        let free =
            room.free.map_or_else(|| "free space unknown".to_owned(), |n| format!("{} free", bytes(n)));
        context.note(&format!("{}: {} needed, {free}", room.folder.display(), bytes(room.needed)));
    }
    plan.fits()?;
    Ok(Status::Success)
}

fn here(here: Here) -> &'static str {
    match here {
        Here::Cached => "yes",
        Here::Partial => "partly",
        Here::OtherCache => "other cache",
        Here::No => "no",
    }
}

fn to_json(plan: &DownloadPlan) -> serde_json::Value {
    serde_json::json!({
        "schema": "zoo.fetch.plan/1",
        "files": plan.files,
        "bytes": plan.bytes,
        "missing": plan.missing,
        "unknown": plan.unknown,
        "rooms": plan.rooms,
        "fits": plan.fits().is_ok(),
    })
}
