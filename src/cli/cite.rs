//! `zoo cite NAME…`: the papers behind models or collections, for a citation manager or for people.

use super::{Context, Status};
use crate::error::{Class, Classify, Result};
use crate::registry::bibtex::Mistake;
use crate::registry::citation::{self, Reference};
use crate::registry::{Registry, pages};
use crate::render::{cite, safe};

/// Arguments of `zoo cite`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models or collections
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Bibtex, value_name = "FORMAT")]
    format: Format,
    /// An array of `{name, title, url, bibtex}`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// A form of citations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Entries as their pages have them; none twice, no key twice
    Bibtex,
    /// Citation Style Language's JSON, as Zotero, Pandoc and CiteProc read it
    CslJson,
    /// A line a paper
    Text,
}

/// A model of which no paper is known.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names no paper, so there is nothing to cite")]
struct NoPaper(String);

impl Classify for NoPaper {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// A page whose BibTeX is none.
#[derive(Debug, thiserror::Error)]
#[error("the citation of `{name}`, line {}, column {}: {}", mistake.line, mistake.column, mistake.message)]
struct NoBibtex {
    name: String,
    mistake: Mistake,
}

impl Classify for NoBibtex {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("mend the page's `Citation`; `zoo lint` checks it".into())
    }
}

/// What is known of the papers behind a name.
struct Cited {
    name: String,
    title: Option<String>,
    url: Option<String>,
    references: Vec<Reference>,
}

/// Prints the papers, each once.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    context.warn(registry.warnings());
    let cited = args.names.iter().map(|name| find(name, &registry, context)).collect::<Result<Vec<_>>>()?;
    if args.json {
        let one = |cited: &Cited| {
            let all = |r: &Reference| r.entry.text.clone();
            let bibtex = cited.references.iter().map(all).collect::<Vec<_>>().join("\n\n");
            serde_json::json!({"name": cited.name, "title": cited.title, "url": cited.url, "bibtex": bibtex})
        };
        context.print_json(&cited.iter().map(one).collect::<Vec<_>>())?;
        return Ok(Status::Success);
    }
    let references = cite::distinct(cited.into_iter().flat_map(|cited| cited.references).collect());
    match args.format {
        Format::CslJson => context.print_json(&references.iter().map(cite::csl_json).collect::<Vec<_>>())?,
        Format::Bibtex => {
            let texts: Vec<_> = references.into_iter().map(|r| printable(&r.entry.text)).collect();
            context.println(texts.join("\n\n"))?;
        }
        Format::Text => {
            for reference in &references {
                context.println(safe::terminal(&cite::text(reference)).as_bytes())?;
            }
        }
    }
    Ok(Status::Success)
}

/// The papers of a model or a collection: of its page's BibTeX, else what its title and address make.
fn find(name: &str, registry: &Registry, context: &Context) -> Result<Cited> {
    // Models of one collection share its paper, and then its name is the key.
    let (known, entry) = match (registry.resolve(name), registry.collection(name)) {
        (Ok(entry), _) => (entry.name.as_str(), Some(entry)),
        (Err(_), Some(collection)) => (collection.name, collection.models.first().copied()),
        (Err(unknown), None) => return Err(unknown.into()),
    };
    let paper = entry.and_then(|entry| entry.paper.clone()).unwrap_or_default();
    let record = entry.map(|entry| pages::record(entry, &context.globals.registry)).transpose()?.flatten();
    let own = record.as_ref().and_then(|record| citation::text(&record.full()));
    let made = || cite::bibtex(known, paper.title.as_deref(), paper.url.as_deref());
    let text = own.or_else(made).ok_or_else(|| NoPaper(name.to_owned()))?;
    let wrong = |mistake| NoBibtex { name: name.to_owned(), mistake };
    let references = citation::references(&text).map_err(wrong)?;
    Ok(Cited { name: known.to_owned(), title: paper.title, url: paper.url, references })
}

/// Lines of which none acts on a terminal.
fn printable(text: &str) -> String {
    text.lines().map(safe::terminal).collect::<Vec<_>>().join("\n")
}
