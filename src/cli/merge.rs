//! `zoo merge PART…`: the reports of shards to the report of the whole.

use std::path::PathBuf;

use super::reports::Written;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::render::verdict_html::Thumbnails;
use crate::verify::gates::Baseline;
use crate::verify::merge::Part;
use crate::verify::{Report, merge};

/// Arguments of `zoo merge`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Reports of `zoo verify --shard I/N --report PART.json`
    #[arg(required = true, value_name = "PART")]
    parts: Vec<PathBuf>,
    /// The earlier report that the parts were gated against
    #[arg(long, value_name = "OLD.json")]
    baseline: Option<PathBuf>,
    #[command(flatten)]
    written: Written,
}

/// Reads the parts, joins and judges.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let outputs = args.written.outputs()?;
    let mut parts = Vec::with_capacity(args.parts.len());
    for path in &args.parts {
        parts.push(Part { name: path.display().to_string(), report: Report::open(path)? });
    }
    let asked = parts.first().and_then(|p| p.report.run.gates.baseline_sha256);
    let baseline = match (&args.baseline, asked) {
        (None, None) => None,
        (None, Some(sha256)) => {
            return Err(Error::usage(format!("the parts' gates need `--baseline` (SHA-256 {sha256})")));
        }
        (Some(path), asked) => {
            let (baseline, sha256) = Baseline::open(path)?;
            if asked != Some(sha256) {
                let said = asked.map_or_else(|| "none".into(), |a| a.to_string());
                let path = path.display();
                return Err(Error::usage(format!(
                    "`{path}` has SHA-256 {sha256}, and the parts' baseline is {said}"
                )));
            }
            Some(baseline)
        }
    };
    let report = merge(&parts, baseline.as_ref())?;
    outputs.write(&report, &Thumbnails::new())?;
    args.written.print(&report, context)
}
