//! Files a verification is written to, by their extension; and what its exit code is. Shared by `zoo verify`,
//! `zoo merge` and `zoo report`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::existing::refuse_output;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::fs;
use crate::render::verdict_html::Thumbnails;
use crate::render::{safe, verdict, verdict_ci, verdict_html};
use crate::verify::Report;
use crate::verify::report::ModelResult;
use crate::verify::stats::Verdict;

/// What `zoo merge` and `zoo report` have in common: how a report is written out.
#[derive(Debug, clap::Args)]
pub(super) struct Written {
    /// Write the report: .json, .json.gz, .html, .md, .xml (JUnit) or .sarif; repeatable
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

impl Written {
    /// The files that were asked for, looked at before anything else is done.
    pub(super) fn outputs(&self) -> Result<Outputs> {
        Outputs::new(&self.report, self.force)
    }

    /// Prints a report that has been written, and says what it amounts to.
    pub(super) fn print(&self, report: &Report, context: &mut Context) -> Result<Status> {
        print(report, self.json, context)?;
        Ok(status(report, self.strict))
    }
}

/// Prints a report as JSON, or as a table with its remarks.
pub(super) fn print(report: &Report, json: bool, context: &mut Context) -> Result<()> {
    if json {
        context.print(safe::json(&report.to_json()).as_ref())
    } else {
        context.print(verdict::terminal(report, context.width, context.color))
    }
}

/// A kind of report file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReportFormat {
    Json,
    JsonGz,
    Html,
    Markdown,
    Junit,
    Sarif,
}

/// Extensions and what they ask for; a longer one comes before one that it ends in.
const FORMATS: [(&str, ReportFormat); 6] = [
    (".json.gz", ReportFormat::JsonGz),
    (".json", ReportFormat::Json),
    (".html", ReportFormat::Html),
    (".md", ReportFormat::Markdown),
    (".xml", ReportFormat::Junit),
    (".sarif", ReportFormat::Sarif),
];

/// Report files that were asked for, known to be writable in kind before anything is run.
#[derive(Debug, Default)]
pub(super) struct Outputs(Vec<(PathBuf, ReportFormat)>);

impl Outputs {
    /// Looks at the names: an extension that means nothing, or a file that exists, is refused.
    pub(super) fn new(paths: &[PathBuf], force: bool) -> Result<Self> {
        let mut outputs = Vec::new();
        for path in paths {
            let kind = kind(path).ok_or_else(|| {
                let known = FORMATS.map(|(end, _)| end).join(", ");
                Error::usage(format!(
                    "`{}`: the extension says the kind of report; known are {known}",
                    path.display()
                ))
            })?;
            refuse_output(path, force)?;
            outputs.push((path.clone(), kind));
        }
        Ok(Outputs(outputs))
    }

    /// Whether one of them shows pictures.
    pub(super) fn has_pictures(&self) -> bool {
        self.0.iter().any(|(_, kind)| *kind == ReportFormat::Html)
    }

    /// Writes them all, with small pictures where there are some.
    pub(super) fn write(&self, report: &Report, thumbnails: &Thumbnails) -> Result<()> {
        for (path, kind) in &self.0 {
            let bytes = match kind {
                ReportFormat::Json => report.to_json().into_bytes(),
                ReportFormat::JsonGz => {
                    let mut packed =
                        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                    packed.write_all(report.to_json().as_bytes()).map_err(fs::at("compress", path))?;
                    packed.finish().map_err(fs::at("compress", path))?
                }
                ReportFormat::Html => verdict_html::html(report, thumbnails)?.into_bytes(),
                ReportFormat::Markdown => verdict::markdown(report).into_bytes(),
                ReportFormat::Junit => verdict_ci::junit(report).into_bytes(),
                ReportFormat::Sarif => verdict_ci::sarif(report).into_bytes(),
            };
            fs::write_atomic(path, &bytes)?;
        }
        Ok(())
    }
}

fn kind(path: &Path) -> Option<ReportFormat> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    FORMATS.into_iter().find(|(end, _)| name.ends_with(end) && name.len() > end.len()).map(|(_, kind)| kind)
}

/// What the results amount to: a contradiction or a failed gate is no; under `strict` what is undecided is so.
/// On a board of several models a contradiction counts when it is one by Holm's p-value too.
pub(super) fn status(report: &Report, strict: bool) -> Status {
    // A part is judged when it is merged.
    if report.host.shard.is_some() {
        return Status::Success;
    }
    let contradicted = |r: &ModelResult| {
        r.verdict == Verdict::Contradicted && r.holm_p.is_none_or(|p| p <= 1.0 - r.confidence + 1e-12)
    };
    let gate_failed = |r: &ModelResult| r.gates.iter().any(|g| !g.passed);
    if report.results.iter().any(|r| contradicted(r) || gate_failed(r)) {
        return Status::No;
    }
    let open = |r: &ModelResult| matches!(r.verdict, Verdict::Consistent | Verdict::NoClaim);
    if strict && report.results.iter().any(open) { Status::Undecided } else { Status::Success }
}
