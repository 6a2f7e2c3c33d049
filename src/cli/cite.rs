//! `zoo cite NAME…`: BibTeX of the papers behind models or collections.

use super::{Context, Status};
use crate::error::{Class, Classify, Result};
use crate::registry::Registry;
use crate::render::cite;

/// Arguments of `zoo cite`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models or collections
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// An array of `{name, title, url, bibtex}`
    #[arg(long)]
    json: bool,
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

/// Prints an entry each; a paper that several share is printed once.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    context.warn(registry.warnings());
    let mut cited = Vec::new();
    for name in &args.names {
        // Models of one collection share its paper, and then its name is the key.
        let (key, paper) = match (registry.resolve(name), registry.collection(name)) {
            (Ok(entry), _) => (entry.name.as_str(), entry.paper.as_ref()),
            (Err(_), Some(collection)) => (collection.name, collection.paper),
            (Err(unknown), None) => return Err(unknown.into()),
        };
        let (title, url) = (paper.and_then(|p| p.title.as_deref()), paper.and_then(|p| p.url.as_deref()));
        let text = cite::bibtex(key, title, url).ok_or_else(|| NoPaper(name.clone()))?;
        let twice = |(_, t, u, _): &(&str, _, _, String)| (*t, *u) == (title, url);
        if args.json || !cited.iter().any(twice) {
            cited.push((key, title, url, text));
        }
    }
    if args.json {
        let one = |(name, title, url, bibtex): &(&str, Option<&str>, Option<&str>, String)| serde_json::json!({"name": name, "title": title, "url": url, "bibtex": bibtex});
        context.print_json(&cited.iter().map(one).collect::<Vec<_>>())?;
        return Ok(Status::Success);
    }
    let texts: Vec<_> = cited.into_iter().map(|(.., text)| text).collect();
    context.println(texts.join("\n\n"))?;
    Ok(Status::Success)
}
