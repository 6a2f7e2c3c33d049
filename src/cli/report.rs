//! `zoo report F`: renders a report again.

use std::path::PathBuf;

use super::reports::Written;
use super::{Context, Status};
use crate::error::Result;
use crate::render::verdict_html::Thumbnails;
use crate::verify::Report;

/// Arguments of `zoo report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A report of `zoo verify` or `zoo merge`
    file: PathBuf,
    /// Print only what is the same in equal runs, to compare reports byte for byte
    #[arg(long, conflicts_with = "json")]
    canonical: bool,
    #[command(flatten)]
    written: Written,
}

/// Reads and renders. The exit code is that of the verdicts, except for `--canonical`.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let outputs = args.written.outputs()?;
    let report = Report::open(&args.file)?;
    outputs.write(&report, &Thumbnails::new())?;
    if args.canonical {
        context.print(report.canonical())?;
        return Ok(Status::Success);
    }
    args.written.print(&report, context)
}
