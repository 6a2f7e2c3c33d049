//! What only a page's prose has: citations in BibTeX, and links to files beside it. Metadata may have
//! citations too.

use std::path::Path;

use super::bibtex;
use super::rule::Sink;
use super::subject::{Model, Page, Subject};
use crate::registry::tree::{View, same_field};

/// Fenced code: the line of its first line, what stands behind the fence, and the code.
type Block = (usize, String, String);

/// Fenced code, and the lines outside it with their numbers.
fn parts(text: &str) -> (Vec<Block>, Vec<(usize, &str)>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    let mut open: Option<(&str, String, usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let marks = line.trim_start();
        let length = marks.len() - marks.trim_start_matches(['`', '~']).len();
        let fence = marks.get(..length).filter(|_| length >= 3);
        match (&mut open, fence) {
            (Some((opened, info, first, body)), Some(fence))
                if fence.starts_with(*opened) && marks.len() == length =>
            {
                blocks.push((*first, std::mem::take(info), std::mem::take(body)));
                open = None;
            }
            (Some((.., body)), _) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, Some(fence)) => {
                let info = marks.get(length..).unwrap_or_default().trim().to_lowercase();
                open = Some((fence, info, at + 2, String::new()));
            }
            (None, None) => prose.push((at + 1, line)),
        }
    }
    (blocks, prose)
}

pub(super) fn citations(page: &Page, sink: &mut Sink) {
    for (first, info, body) in parts(&page.text).0 {
        if !info.split(|c: char| !c.is_alphanumeric()).any(|word| word == "bibtex") {
            continue;
        }
        if let Err(mistake) = bibtex::entries(&body) {
            let message = format!("BibTeX that does not parse: {}", mistake.message);
            let line = body.lines().nth(mistake.line - 1).unwrap_or_default().trim().to_owned();
            sink.line(page, first + mistake.line - 1, mistake.column, message).expected(line, "BibTeX");
        }
    }
}

/// Citations among the metadata of a model, its collections included.
pub(super) fn citation(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    let parts = [Some(model.view.clone()), model.view.field("Paper"), model.view.field("Metadata")];
    for (key, value) in parts.iter().flatten().flat_map(View::entries) {
        let is_citation = ["BibTeX", "Citation", "Cite"].iter().any(|k| same_field(key.text(), k));
        let Some(text) = value.text().filter(|t| is_citation && t.contains('@')) else { continue };
        if let Err(mistake) = bibtex::entries(text) {
            let message = format!("BibTeX that does not parse: {}", mistake.message);
            let line = text.lines().nth(mistake.line - 1).unwrap_or_default().trim();
            sink.at(&value, model, message).expected(line, "BibTeX");
        }
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
    for (line, text) in parts(&page.text).1 {
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
    fn fences_are_told_from_prose() {
        let (blocks, prose) = parts("a\n```BibTeX\n@x\n```\nb\n~~~\n```\n~~~\n");
        assert_eq!(blocks, [(3, "bibtex".into(), "@x\n".into()), (7, String::new(), "```\n".into())]);
        assert_eq!(prose, [(1, "a"), (5, "b")]);
    }

    #[test]
    fn targets_have_their_columns() {
        let found: Vec<_> = targets("é [a](b.md) ![c](<d.png>) <img src=\"e.svg\">").collect();
        assert_eq!(found, [(7, "b.md"), (18, "d.png"), (37, "e.svg")]);
    }
}
