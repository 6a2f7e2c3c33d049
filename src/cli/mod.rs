//! The command line: one file a verb. A verb parses its arguments into meaningful types, calls the
//! library and prints what came back; the exit code is chosen here and nowhere else.

mod bench;
mod cache;
mod card;
mod chosen;
mod cite;
mod compare;
mod completions;
mod compute;
mod context;
mod convert;
mod counter;
mod dataset;
mod deferred;
mod device;
mod diff;
mod doctor;
mod environment;
mod existing;
mod features;
mod fetch;
mod finetune;
mod golden;
mod help;
mod import;
mod input_source;
mod inspect;
mod interrupt;
mod lint;
mod list;
mod lock;
mod man;
mod merge;
mod naming;
mod page;
mod predict;
mod progress;
mod quantity;
mod report;
mod reports;
mod scan;
mod selection;
mod show;
mod totals;
mod verify;
mod verify_progress;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use context::{Context, Globals, ProgressMode};

use crate::error::{Error, Result};
use deferred::Deferred;

/// zoo: pretrained vision models whose metadata is checked.
#[derive(Debug, Parser)]
#[command(name = "zoo", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done or yes, 1 the answer is no, 2 usage, 3 bad input, \
    4 network, disk or permissions, 5 undecided, 130 interrupted")]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List models as a table, JSON, CSV or Markdown
    List(Deferred<list::Args>),
    /// Compare models side by side, with the differences marked
    Compare(Deferred<compare::Args>),
    /// Print everything known about a model
    Show(Deferred<show::Args>),
    /// Print BibTeX for the papers of models
    Cite(Deferred<cite::Args>),
    /// Download weights, check them, keep them
    Fetch(Deferred<fetch::Args>),
    /// Pin the weights of models in a lock file, or check one
    Lock(Deferred<lock::Args>),
    /// Classify images
    Predict(Deferred<predict::Args>),
    /// Embeddings and feature maps of images
    Features(Deferred<features::Args>),
    /// Train a new classifier on a model's features
    Finetune(Deferred<finetune::Args>),
    /// Run models over labelled images and judge their published accuracy
    Verify(Deferred<verify::Args>),
    /// Join the reports of shards
    Merge(Deferred<merge::Args>),
    /// Render a report in another format
    Report(Deferred<report::Args>),
    /// Record timm's logits, for `zoo verify --dataset golden`
    Golden(Deferred<golden::Args>),
    /// List, remember, check and fetch labelled images
    Dataset(Deferred<dataset::Args>),
    /// Measure how fast a model runs on this machine
    Bench(Deferred<bench::Args>),
    /// List, check and tidy what has been downloaded
    Cache(Deferred<cache::Args>),
    /// Report what this machine has and what is missing
    Doctor(Deferred<doctor::Args>),
    /// Write a checkpoint as safetensors, without running any of it
    Convert(Deferred<convert::Args>),
    /// List what is inside a checkpoint
    Inspect(Deferred<inspect::Args>),
    /// Compare two checkpoints, tensor by tensor
    Diff(Deferred<diff::Args>),
    /// Write man pages of all commands
    Man(Deferred<man::Args>),
    /// List what loading a checkpoint would import and call
    Scan(Deferred<scan::Args>),
    /// Print a shell's completion script
    Completions(Deferred<completions::Args>),
    /// Import documentation pages, YAML, JSON, Hugging Face cards, `.eval_results` and model-indexes
    Import(Deferred<import::Args>),
    /// Check pages, or the built-in registry, by rule
    Lint(Deferred<lint::Args>),
    /// Write a documentation page of a collection or a model
    Page(Deferred<page::Args>),
    /// Write a Hugging Face model card
    Card(Deferred<card::Args>),
    /// Help on a command; `zoo help env` lists the environment variables
    Help(Deferred<help::Args>),
}

/// How a command that could do its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done, or the answer is yes: 0.
    Success,
    /// The answer is no: contradicted, gate failed, files differ, scan found something: 1.
    No,
    /// Undecided under `--strict`, or golden level `unknown`: 5.
    Undecided,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(match status {
            Status::Success => 0,
            Status::No => 1,
            Status::Undecided => 5,
        })
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // clap prints help to stdout and mistakes to stderr; a closed pipe is no reason to fail.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let mut context = Context::new(cli.globals);
    let result = dispatch(cli.command, &mut context).and_then(|status| {
        context.flush()?;
        Ok(status)
    });
    match result {
        Ok(status) => status.into(),
        Err(e) if context.pipe_closed() => {
            drop(e);
            ExitCode::SUCCESS
        }
        Err(e) => report(&e),
    }
}

fn dispatch(command: Command, context: &mut Context) -> Result<Status> {
    match command {
        Command::Cite(args) => cite::run(&args.0, context),
        Command::Help(args) => help::run(&args.0, context),
        Command::Bench(args) => bench::run(&args.0, context),
        Command::Compare(args) => compare::run(&args.0, context),
        Command::List(args) => list::run(&args.0, context),
        Command::Show(args) => show::run(&args.0, context),
        Command::Fetch(args) => fetch::run(&args.0, context),
        Command::Lock(args) => lock::run(&args.0, context),
        Command::Predict(args) => predict::run(&args.0, context),
        Command::Features(args) => features::run(&args.0, context),
        Command::Finetune(args) => finetune::run(&args.0, context),
        Command::Verify(args) => verify::run(&args.0, context),
        Command::Merge(args) => merge::run(&args.0, context),
        Command::Golden(args) => golden::run(&args.0, context),
        Command::Report(args) => report::run(&args.0, context),
        Command::Dataset(args) => dataset::run(&args.0, context),
        Command::Cache(args) => cache::run(&args.0, context),
        Command::Doctor(args) => doctor::run(&args.0, context),
        Command::Convert(args) => convert::run(&args.0, context),
        Command::Inspect(args) => inspect::run(&args.0, context),
        Command::Diff(args) => diff::run(&args.0, context),
        Command::Man(args) => man::run(&args.0, context),
        Command::Scan(args) => scan::run(&args.0, context),
        Command::Completions(args) => completions::run(&args.0, context),
        Command::Lint(args) => lint::run(&args.0, context),
        Command::Page(args) => page::run(&args.0, context),
        Command::Card(args) => card::run(&args.0, context),
        Command::Import(args) => import::run(&args.0, context),
    }
}

/// Prints an error and its hint to stderr and picks the exit code of its class.
fn report(error: &Error) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let text = error.to_string();
    let lines: Vec<_> = text.lines().map(crate::render::safe::terminal).collect();
    let _ = writeln!(stderr, "error: {}", lines.join("\n  "));
    if let Some(hint) = error.hint() {
        let lines: Vec<_> = hint.lines().map(crate::render::safe::terminal).collect();
        let _ = writeln!(stderr, "hint: {}", lines.join("\n  "));
    }
    ExitCode::from(error.class().exit_code())
}
