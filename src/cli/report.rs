//! `zoo report F`: renders a report again.

use std::path::PathBuf;

use super::reports::{Outputs, status};
use super::{Context, Status};
use crate::error::Result;
use crate::render::verdict;
use crate::render::verdict_html::Thumbnails;
use crate::verify::Report;

/// Arguments of `zoo report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A report of `zoo verify` or `zoo merge`
    file: PathBuf,
    /// Print only what two equal runs have in common, to compare reports byte for byte
    #[arg(long, conflicts_with = "json")]
    canonical: bool,
    /// Write it in another form: .json, .json.gz, .html, .md, .xml (JUnit) or .sarif; repeatable
    #[arg(long, short = 'o', value_name = "FILE")]
    report: Vec<PathBuf>,
    /// Exit 5 where the verdict is `consistent` or `no-claim`
    #[arg(long)]
    strict: bool,
    /// Overwrite reports that exist
    #[arg(long)]
    force: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Reads and renders. The exit code is that of the verdicts, except for `--canonical`.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let outputs = Outputs::new(&args.report, args.force)?;
    let report = Report::open(&args.file)?;
    outputs.write(&report, &Thumbnails::new())?;
    if args.canonical {
        context.print(report.canonical())?;
        return Ok(Status::Success);
    }
    match args.json {
        true => context.print(crate::render::safe::json(&report.to_json()).as_ref())?,
        false => context.print(verdict::terminal(&report, context.width, context.color))?,
    }
    Ok(status(&report, args.strict))
}
