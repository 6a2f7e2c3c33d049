//! `zoo scan WHAT…`: what loading checkpoints would import and call. In: files, folders, addresses, repositories of the hub.
//! Out: what was found in each, on standard output and in reports.

use std::path::{Path, PathBuf};

use super::existing::refuse_output;
use super::input_source::{InputSource, at_address, source};
use super::{Context, Status};
use crate::checkpoint::scan::{self, Answer, Scan};
use crate::checkpoint::{LocalFile, Source};
use crate::error::{Class, Classify, Error, Result};
use crate::fs;
use crate::render::safe;
use crate::render::scan::{File, Outcome, files_to_json, lines, sarif, summary, to_json};
use crate::store::HubRepo;

/// Arguments of `zoo scan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Checkpoints, or any files with pickles in them, here or at an https: or hf: address; of a folder and of hf:ORG/REPO[@REV], every file
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    /// Write a report: .sarif or .json; repeatable
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// Replace reports that exist
    #[arg(long, requires = "report")]
    force: bool,
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

/// A folder with no file to scan.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` has no files in it")]
struct Empty(String);

impl Classify for Empty {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// A file to scan, or the reason why it is not.
type Found = (InputSource, Option<String>);

/// The form of a report, by its ending.
#[derive(Clone, Copy)]
enum Form {
    Sarif,
    Json,
}

/// Scans.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let reports = reports(args)?;
    if let ([what], true) = (args.what.as_slice(), reports.is_empty())
        && !Path::new(what).is_dir()
        && HubRepo::parse(what).is_none()
    {
        return one(&InputSource::of(what, context)?, args.json, context);
    }
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for what in &args.what {
        let is_dir = Path::new(what).is_dir();
        let found = match InputSource::of(what, context)? {
            InputSource::Local(path) if is_dir => below(&path)?,
            InputSource::Repository(repo) => in_repository(&repo, context)?,
            one => vec![(one, None)],
        };
        if found.is_empty() {
            errors.push(Empty(what.clone()).into());
        }
        for (input, skipped) in found {
            let in_folder = is_dir || HubRepo::parse(what).is_some();
            let outcome = match skipped {
                Some(why) => Outcome::Scanned(left_out(why)),
                None => outcome(&input, in_folder, context, &mut errors),
            };
            let file = File { path: input.to_string(), outcome };
            if !args.json {
                print(&file, context)?;
            }
            files.push(file);
        }
    }
    if args.json {
        // One file that was named is one object, as without a report.
        match (args.what.as_slice(), files.as_slice()) {
            ([what], [File { outcome: Outcome::Scanned(scan), .. }])
                if !Path::new(what).is_dir() && HubRepo::parse(what).is_none() =>
            {
                context.print_json(&to_json(scan))?;
            }
            _ => context.print_json(&files_to_json(&files))?,
        }
    } else {
        context.println(safe::terminal(&tally(&files)).as_ref())?;
    }
    for (path, form) in reports {
        let document = match form {
            Form::Sarif => sarif(&files),
            Form::Json => files_to_json(&files),
        };
        let document = serde_json::to_string_pretty(&document).unwrap_or_default();
        fs::write_atomic(path, format!("{}\n", safe::json(&document)).as_bytes())?;
    }
    context.flush()?;
    if !errors.is_empty() {
        return Err(if errors.len() == 1 { errors.remove(0) } else { Error::several(errors) });
    }
    let known = |file: &File| match &file.outcome {
        Outcome::Scanned(scan) => scan.answer == Answer::Known,
        Outcome::Inert(_) | Outcome::Failed(_) => true,
    };
    Ok(if files.iter().all(known) { Status::Success } else { Status::No })
}

/// A single file: all its imports, and its error as every verb gives it.
fn one(input: &InputSource, json: bool, context: &mut Context) -> Result<Status> {
    let (path, source) = opened(input, context)?;
    let scan = scan::scan_source(&path, source)?;
    if json {
        context.print_json(&to_json(&scan))?;
    } else {
        for line in lines(&scan, true) {
            context.println(safe::terminal(&line).as_ref())?;
        }
        context.println(summary(&scan))?;
    }
    if let Some(error) = malformed(&path, &scan) {
        context.flush()?;
        return Err(error);
    }
    Ok(if scan.answer == Answer::Known { Status::Success } else { Status::No })
}

fn malformed(path: &Path, scan: &Scan) -> Option<Error> {
    let fault = scan.problems.first()?;
    Some(Malformed { path: path.to_owned(), problem: format!("{}{}", fault.problem, fault.place) }.into())
}

/// Scans one of several. In a folder, what is no checkpoint and holds nothing that runs is no error.
fn outcome(input: &InputSource, in_folder: bool, context: &Context, errors: &mut Vec<Error>) -> Outcome {
    let (path, source) = match opened(input, context) {
        Ok(opened) => opened,
        Err(e) => {
            let text = e.to_string();
            errors.push(e);
            return Outcome::Failed(text);
        }
    };
    // Asked before the source is handed over, of its first bytes.
    let inert = in_folder && scan::is_inert_source(&path, source.as_ref());
    match scan::scan_source(&path, source) {
        Ok(scan) => {
            errors.extend(malformed(&path, &scan));
            Outcome::Scanned(scan)
        }
        Err(crate::checkpoint::Error::NotACheckpoint { what, .. }) if in_folder => {
            let what = what.strip_prefix("it is ").unwrap_or(&what).to_owned();
            if inert { Outcome::Inert(what) } else { Outcome::Scanned(left_out(what)) }
        }
        Err(e) => {
            let text = e.to_string();
            errors.push(e.into());
            Outcome::Failed(text)
        }
    }
}

/// The bytes of one file.
fn opened(input: &InputSource, context: &Context) -> Result<(PathBuf, Box<dyn Source>)> {
    match input {
        InputSource::Local(path) => Ok((path.clone(), Box::new(LocalFile::open(path, true)?))),
        InputSource::Remote(request) => source(&context.store()?, request, true),
        InputSource::Repository(repo) => {
            let repository = context.store()?.repository(repo)?;
            let request = at_address(&repository.source(repository.checkpoint()?));
            source(&context.store()?, &request, true)
        }
    }
}

/// Every file of a repository.
fn in_repository(repo: &HubRepo, context: &Context) -> Result<Vec<Found>> {
    let repository = context.store()?.repository(repo)?;
    let file = |file| (InputSource::Remote(Box::new(at_address(&repository.source(file)))), None);
    Ok(repository.files.iter().map(file).collect())
}

/// A file that was not looked into.
fn left_out(reason: String) -> Scan {
    let unscanned = vec![scan::Unscanned { member: None, offset: 0, reason }];
    Scan { format: None, answer: Answer::Unknown, imports: Vec::new(), unscanned, problems: Vec::new() }
}

fn print(file: &File, context: &mut Context) -> Result<()> {
    let (said, more) = match &file.outcome {
        Outcome::Scanned(scan) => (summary(scan), lines(scan, false)),
        Outcome::Inert(what) => (format!("not a checkpoint: {what}"), Vec::new()),
        Outcome::Failed(why) => (format!("not scanned: {why}"), Vec::new()),
    };
    context.println(safe::terminal(&format!("{}: {said}", file.path)).as_ref())?;
    for line in more {
        context.println(safe::terminal(&format!("  {line}")).as_ref())?;
    }
    Ok(())
}

/// `3 files: 1 known, 1 dangerous, 1 not a checkpoint`.
fn tally(files: &[File]) -> String {
    let count = |fits: &dyn Fn(&Outcome) -> bool| files.iter().filter(|f| fits(&f.outcome)).count();
    let answers = [Answer::Known, Answer::Unknown, Answer::Dangerous, Answer::Malformed].map(|answer| {
        let n = count(&|o| matches!(o, Outcome::Scanned(scan) if scan.answer == answer));
        (n, answer.name())
    });
    let others = [
        (count(&|o| matches!(o, Outcome::Inert(_))), "not a checkpoint"),
        (count(&|o| matches!(o, Outcome::Failed(_))), "not scanned"),
    ];
    let parts =
        answers.into_iter().chain(others).filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
    let noun = if files.len() == 1 { "file" } else { "files" };
    format!("{} {noun}: {}", files.len(), parts.collect::<Vec<_>>().join(", "))
}

/// The files of a folder and below, in the order of their paths. What is not followed or opened comes with a reason.
fn below(folder: &Path) -> Result<Vec<Found>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::list(&folder)? {
            let kind = std::fs::symlink_metadata(&path).map_err(fs::at("look at", &path))?.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.push((path, None));
            } else if kind.is_symlink() && path.is_file() {
                // The Hugging Face cache is links to files.
                files.push((path, None));
            } else {
                let what = if kind.is_symlink() { "a link that leads to no file" } else { "no regular file" };
                files.push((path, Some(what.to_owned())));
            }
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(path, why)| (InputSource::Local(path), why)).collect())
}

fn reports(args: &Args) -> Result<Vec<(&Path, Form)>> {
    let mut reports = Vec::new();
    for path in &args.report {
        let form = match path.extension().and_then(|e| e.to_str()) {
            Some("sarif") => Form::Sarif,
            Some("json") => Form::Json,
            _ => {
                let message = format!("`{}`: a report of `zoo scan` ends in .sarif or .json", path.display());
                return Err(Error::usage(message));
            }
        };
        refuse_output(path, args.force)?;
        reports.push((path.as_path(), form));
    }
    Ok(reports)
}
