//! What only a page's prose has: citations in BibTeX, and links to files beside it. Metadata may have
//! citations too.

use std::path::Path;

use super::context::{LintContext, Model, Page};
use super::rule::Sink;
use crate::registry::bibtex;
use crate::registry::citation::{self, Reference};
use crate::registry::format::markdown::fenced;
use crate::registry::tree::{Problem, Value, View};

pub(super) fn citations(page: &Page, sink: &mut Sink) {
    for block in fenced(&page.text).0.iter().filter(|block| block.is_bibtex()) {
        if let Err(mistake) = bibtex::entries(&block.body) {
            let message = format!("BibTeX that does not parse: {}", mistake.message);
            let line = block.body.lines().nth(mistake.line - 1).unwrap_or_default().trim().to_owned();
            sink.line(page, block.line + mistake.line - 1, mistake.column, message).expected(line, "BibTeX");
        }
    }
}

/// What collections and models say themselves, each once, with the model where it is one's.
fn said<'a>(context: &'a LintContext<'_>) -> impl Iterator<Item = (View<'a>, Option<&'a Model<'a>>)> {
    let collections = context.index.collections.iter().map(|record| (record.own(), None));
    collections.chain(context.models.iter().map(|model| (model.record.own(), Some(model))))
}

/// Citations among the metadata of models and collections.
pub(super) fn citation(context: &LintContext<'_>, sink: &mut Sink) {
    for (view, model) in said(context) {
        for value in citation::texts(&view) {
            let text = value.text().unwrap_or_default();
            if let Err(mistake) = bibtex::entries(text) {
                let message = format!("BibTeX that does not parse: {}", mistake.message);
                let line = text.lines().nth(mistake.line - 1).unwrap_or_default().trim();
                sink.problem(&Problem::here(&value, message).expected(line, "BibTeX"), model);
            }
        }
    }
}

/// Papers whose number on arXiv is not of their year.
pub(super) fn citation_year(context: &LintContext<'_>, sink: &mut Sink) {
    for (view, model) in said(context) {
        for value in citation::texts(&view) {
            for entry in bibtex::readable(value.text().unwrap_or_default()).0 {
                let reference = Reference::of(entry);
                if let Some(message) = reference.disagreement() {
                    let message = format!("`{}`: {message}", reference.entry.key);
                    sink.problem(&Problem::here(&value, message), model);
                }
            }
        }
    }
}

/// Sites that are gone, and what became of them.
const CLOSED_SITES: [(&str, &str); 2] = [
    ("paperswithcode.com", "closed in July 2025; arXiv has the papers"),
    ("rwightman.github.io", "moved: https://huggingface.co/docs/timm has timm's documentation"),
];

/// Addresses on sites that are gone, in any value of a model or a collection.
pub(super) fn closed_site(context: &LintContext<'_>, sink: &mut Sink) {
    for (view, model) in said(context) {
        walk(&view, &mut |value| {
            let Some(text) = value.text() else { return };
            for (site, became) in CLOSED_SITES {
                if host(text).is_some_and(|host| host == site || host.ends_with(&format!(".{site}"))) {
                    let message = format!("an address on {site}, which {became}");
                    sink.problem(
                        &Problem::here(value, message).expected(text, "an address that answers"),
                        model,
                    );
                }
            }
        });
    }
}

/// The host of a text that is an address, in lower case.
fn host(text: &str) -> Option<String> {
    let rest = text.trim().split_once("://")?.1;
    let end = rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len());
    let host = rest.get(..end)?.rsplit('@').next()?;
    Some(host.split(':').next()?.to_lowercase())
}

/// Every value in a tree that is neither a mapping nor a list.
fn walk(view: &View<'_>, visit: &mut impl FnMut(&View<'_>)) {
    if view.node().mapping().is_some() {
        view.entries().for_each(|(_, value)| walk(&value, visit));
    } else if matches!(view.node().value, Value::Sequence(_)) {
        view.items().for_each(|value| walk(&value, visit));
    } else {
        visit(view);
    }
}

/// The targets of a line's links: `[text](target)`, `![text](target)`, `src="target"`.
fn targets(line: &str) -> impl Iterator<Item = (usize, &str)> {
    ["](", "src=\"", "href=\""].into_iter().flat_map(move |mark| {
        line.match_indices(mark).filter_map(move |(at, _)| {
            let start = at + mark.len();
            let rest = line.get(start..)?;
            let target = rest.get(..rest.find([')', '"', ' ', '>'])?)?.trim_start_matches('<');
            Some((line.get(..start)?.chars().count() + 1, target))
        })
    })
}

/// Links to files that are not there. A target without an extension is a site's address, not a file.
pub(super) fn links(page: &Page, sink: &mut Sink) {
    let folder = Path::new(&page.file).parent().unwrap_or(Path::new(""));
    for (line, text) in fenced(&page.text).1 {
        for (column, target) in targets(text) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            let is_file = Path::new(path).extension().is_some_and(|e| {
                e.len() <= 5 && e.to_str().is_some_and(|e| e.chars().all(char::is_alphanumeric))
            });
            if path.is_empty()
                || !is_file
                || path.starts_with('/')
                || path.contains(':')
                || path.contains(['{', '%', '\0'])
            {
                continue;
            }
            if crate::fs::metadata(&folder.join(path)).is_err() {
                sink.line(page, line, column, "a link to a file that is not there").found(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_from_addresses_only() {
        assert_eq!(host("https://PapersWithCode.com/paper/x").as_deref(), Some("paperswithcode.com"));
        assert_eq!(host("http://a@b.org:80/x?y").as_deref(), Some("b.org"));
        assert_eq!(host("see paperswithcode.com"), None);
    }

    #[test]
    fn targets_have_their_columns() {
        let found: Vec<_> = targets("é [a](b.md) ![c](<d.png>) <img src=\"e.svg\">").collect();
        assert_eq!(found, [(7, "b.md"), (18, "d.png"), (37, "e.svg")]);
    }
}
