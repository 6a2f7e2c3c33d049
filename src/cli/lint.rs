//! `zoo lint [PAGE…]`: the rules over pages, or over the built-in registry.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Context, Status};
use crate::error::{Class, Classify, Error, Result};
use crate::lint::{self, AddressState, Addresses, Allowed, Finding, LintContext, Page, RULES, Severity};
use crate::registry::format::Index;
use crate::registry::pages;
use crate::render::lint::{explanation, github, summary, text, to_json};
use crate::render::safe;
use crate::render::sarif::sarif;
use crate::store::Head;

/// Arguments of `zoo lint`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pages, YAML or JSON files, cards, folders of them, model-indexes; without any, and without
    /// `--registry`: the built-in registry, as corrected
    #[arg(value_name = "PAGE")]
    pages: Vec<PathBuf>,
    /// The built-in pages as published, corrections not applied
    #[arg(long)]
    as_published: bool,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Short for `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Lowest severity to print [default: warning for text, else info]
    #[arg(long, value_enum, value_name = "LEVEL")]
    severity: Option<SeverityArg>,
    /// Suppress a rule for this run, with the reason: Z025='our mirror has no TLS'; repeatable
    #[arg(long, value_name = "RULE=REASON")]
    allow: Vec<String>,
    /// Print what was suppressed too, and why
    #[arg(long)]
    suppressed: bool,
    /// Also ask each address for its head: which weights are gone, moved, or of another length than the page says
    #[arg(long)]
    online: bool,
    /// Explain a rule, by its number or its name
    #[arg(long, value_name = "RULE", conflicts_with = "pages")]
    explain: Option<String>,
    /// List the rules
    #[arg(long, conflicts_with_all = ["pages", "explain"])]
    rules: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line each
    Text,
    /// An array of objects
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// GitHub's workflow commands
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SeverityArg {
    /// Everything
    Info,
    /// Warnings and errors
    Warning,
    /// Errors
    Error,
}

impl From<SeverityArg> for Severity {
    fn from(level: SeverityArg) -> Self {
        match level {
            SeverityArg::Info => Severity::Info,
            SeverityArg::Warning => Severity::Warning,
            SeverityArg::Error => Severity::Error,
        }
    }
}

/// Checks, prints, and answers no where there is an error.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let format = if args.json { Format::Json } else { args.format };
    if let Some(rule) = &args.explain {
        let rule = lint::find(rule).map_err(Error::usage)?;
        context.print(explanation(rule, context.width))?;
        return Ok(Status::Success);
    }
    if args.rules {
        return rules(format, context);
    }
    let allowed = args.allow.iter().map(|a| a.parse::<Allowed>().map_err(Error::usage));
    let allowed = allowed.collect::<Result<Vec<_>>>()?;
    let known = lint::known()?;
    let (index, prose) = subject(args, context)?;
    let mut subject = LintContext::new(&index, &prose, &known);
    let mut unasked = None;
    if args.online {
        let (addresses, unknown) = ask(&subject, context)?;
        subject = subject.with_addresses(addresses);
        unasked = unknown;
    }
    let report = lint::lint(&subject, &allowed);
    let least = args.severity.map_or_else(
        || if format == Format::Text { Severity::Warning } else { Severity::Info },
        Severity::from,
    );
    let shown: Vec<&Finding> = report.findings.iter().filter(|f| f.rule.severity >= least).collect();
    match format {
        Format::Text => context.print(text(&shown, context.width, context.color))?,
        Format::Json => context.print_json(&to_json(&shown))?,
        Format::Sarif => context.print_json(&sarif(&report, &shown))?,
        Format::Github => context.print(github(&shown))?,
    }
    if args.suppressed && format == Format::Text {
        for suppressed in &report.suppressed {
            context.print(text(&[&suppressed.finding], context.width, context.color))?;
            context.println(safe::terminal(&format!("    suppressed: {}", suppressed.reason)).as_bytes())?;
        }
    }
    context.flush()?;
    context.note(&summary(&report));
    let hidden = report.findings.len() - shown.len();
    if hidden > 0 {
        context.note(&format!("{hidden} of lower severity not printed; `--severity info` prints all"));
    }
    // That nobody answered is no answer about the pages.
    match unasked {
        Some(error) => Err(error.into()),
        None => Ok(if report.count(Severity::Error) > 0 { Status::No } else { Status::Success }),
    }
}

/// Nobody could be asked.
#[derive(Debug, thiserror::Error)]
#[error("none of {addresses} addresses could be asked; the first: {reason}")]
struct NobodyAnswers {
    addresses: usize,
    reason: String,
}

impl Classify for NobodyAnswers {
    fn class(&self) -> Class {
        Class::World
    }

    fn hint(&self) -> Option<String> {
        Some("check the network and the proxy variables".into())
    }
}

/// What the addresses answer; those that could not be asked are named, and where that is all of them it is an error.
fn ask(subject: &LintContext<'_>, context: &Context) -> Result<(Addresses, Option<NobodyAnswers>)> {
    let (mut known, mut unknown) = (Addresses::new(), Vec::new());
    for (address, head) in context.store()?.heads(&lint::addresses(subject))? {
        match head {
            Head::Found { bytes, moved_to } => {
                drop(known.insert(address, AddressState::Found { bytes, moved_to }))
            }
            Head::Gone(words) => drop(known.insert(address, AddressState::Gone(words))),
            Head::Unknown(reason) => unknown.push((address, reason)),
        }
    }
    for (address, reason) in unknown.iter().take(MAX_UNKNOWN_SHOWN) {
        context.note(&format!("{address}: {reason}"));
    }
    let asked = known.len();
    let more = unknown.len().saturating_sub(MAX_UNKNOWN_SHOWN);
    let more = if more > 0 { format!(", {more} of them not shown") } else { String::new() };
    context.note(&format!("{asked} addresses answered, {} did not say{more}", unknown.len()));
    let first = unknown.first().filter(|_| asked == 0);
    let nobody = first.map(|(_, reason)| NobodyAnswers { addresses: unknown.len(), reason: reason.clone() });
    Ok((known, nobody))
}

/// So many addresses that could not be asked are shown, each with the reason.
const MAX_UNKNOWN_SHOWN: usize = 20;

/// What is checked: the pages given and the user's registries, else the built-in one.
fn subject(args: &Args, context: &Context) -> Result<(Index, Vec<Page>)> {
    let mut whole = Index::default();
    let mut prose = Vec::new();
    let given = args.pages.iter().chain(&context.globals.registry);
    let mut any = false;
    for path in given {
        any = true;
        pages::append(&mut whole, pages::source(path)?);
        for page in markdown(path)? {
            let bytes = crate::fs::read(&page, crate::registry::import::MAX_PAGE)?;
            // What is no UTF-8 was refused, with its place, by the reader of pages.
            if let Ok(text) = String::from_utf8(bytes) {
                prose.push(Page { file: page.display().to_string(), text });
            }
        }
    }
    match (any, args.as_published) {
        (true, _) => Ok((whole, prose)),
        (false, true) => Ok((pages::builtin()?, prose)),
        (false, false) => Ok((pages::corrected()?, prose)),
    }
}

/// The Markdown pages that a path means: itself, or those of a folder.
fn markdown(path: &Path) -> Result<Vec<PathBuf>> {
    let is_page = |p: &PathBuf| p.extension().is_some_and(|e| e == "md" || e == "mdx");
    let all = match crate::fs::metadata(path)?.is_dir() {
        true => crate::fs::list(path)?,
        false => vec![path.to_owned()],
    };
    Ok(all.into_iter().filter(|p| is_page(p) && p.is_file()).collect())
}

fn rules(format: Format, context: &mut Context) -> Result<Status> {
    if format == Format::Json {
        let one = |r: &lint::Rule| {
            json!({"id": r.id, "name": r.name, "severity": r.severity.name(), "summary": r.summary,
                "explanation": r.explanation})
        };
        context.print_json(&RULES.iter().map(one).collect::<Vec<_>>())?;
        return Ok(Status::Success);
    }
    for rule in RULES {
        context.println(format!(
            "{}  {:<7}  {:<24}  {}",
            rule.id,
            rule.severity.name(),
            rule.name,
            rule.summary
        ))?;
    }
    Ok(Status::Success)
}
