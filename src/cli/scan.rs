//! `zoo scan F`: what loading a checkpoint would import and call.

use std::path::PathBuf;

use super::{Context, Status};
use crate::checkpoint::scan::{self, Answer};
use crate::error::{Class, Classify, Result};
use crate::render::safe;

/// Arguments of `zoo scan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A checkpoint, or any file with pickles in it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A file that breaks its format's rules: exit code 3, after everything was printed.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is malformed: {problem}", path.display())]
struct Malformed {
    path: PathBuf,
    problem: String,
}

impl Classify for Malformed {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// Scans.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let scan = scan::scan(&args.file)?;
    if args.json {
        let imports: Vec<_> = scan
            .imports
            .iter()
            .map(|found| {
                serde_json::json!({
                    "module": found.import.module,
                    "name": found.import.name,
                    "offset": found.import.offset,
                    "member": found.member,
                    "verdict": found.import.verdict.name(),
                    "effect": found.import.effect(),
                })
            })
            .collect();
        let problems: Vec<_> = scan
            .problems
            .iter()
            .map(|p| serde_json::json!({"offset": p.place.offset, "member": p.place.member, "message": p.problem}))
            .collect();
        let value = serde_json::json!({
            "schema": "zoo.scan/1",
            "format": scan.format.map(scan::Format::name),
            "verdict": scan.answer.name(),
            "imports": imports,
            "problems": problems,
        });
        context.println(format!("{value:#}"))?;
    } else {
        for found in &scan.imports {
            let member = found.member.as_ref().map(|m| format!("{m}:")).unwrap_or_default();
            let line = format!(
                "{:9} {}  at {member}{}: {}",
                found.import.verdict.name(),
                found.import.path(),
                found.import.offset,
                found.import.effect()
            );
            context.println(safe::terminal(&line).as_ref())?;
        }
        for problem in &scan.problems {
            let line = format!(
                "problem  {}: {}",
                problem.place.to_string().trim_start_matches(", "),
                problem.problem
            );
            context.println(safe::terminal(&line).as_ref())?;
        }
        let format = scan.format.map_or("unknown format", scan::Format::name);
        let answer = match scan.answer {
            Answer::Known => "nothing outside the known set",
            Answer::Unknown => "it names something unknown",
            Answer::Dangerous => "it names something dangerous",
            Answer::Malformed => "it is malformed",
        };
        context.println(format!("{format}: {answer}"))?;
    }
    match (scan.answer, scan.problems.into_iter().next()) {
        (Answer::Known, _) => Ok(Status::Success),
        (Answer::Malformed, Some(fault)) => {
            context.flush()?;
            let problem = format!("{}{}", fault.problem, fault.place);
            Err(Malformed { path: args.file.clone(), problem }.into())
        }
        _ => Ok(Status::No),
    }
}
