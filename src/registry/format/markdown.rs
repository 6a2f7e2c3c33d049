//! Where a Markdown page keeps its YAML: in its front matter, or in HTML comments.
//!
//! In: the text of a `.md` or `.mdx` file. Out: the byte ranges, with their places. Comments inside fenced
//! or indented code are text to be shown, not metadata, as every Markdown reader has it.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::registry::tree::Origin;

/// A part of the page.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// Its text.
    pub text: &'a str,
    /// Where it begins in the page.
    pub origin: Origin,
}

/// A position in the page that only moves forward, so that places cost one pass over it.
#[derive(Default)]
struct Cursor {
    at: usize,
    line: usize,
    line_start: usize,
}

impl Cursor {
    fn block<'a>(&mut self, page: &'a str, file: &Arc<str>, range: Range<usize>) -> Block<'a> {
        for (i, _) in page.get(self.at..range.start).unwrap_or_default().match_indices('\n') {
            self.line += 1;
            self.line_start = self.at + i + 1;
        }
        self.at = range.start;
        Block {
            text: page.get(range.clone()).unwrap_or_default(),
            origin: Origin {
                file: file.clone(),
                line: self.line,
                column: page.get(self.line_start..range.start).map_or(0, |t| t.chars().count()),
                offset: range.start,
            },
        }
    }
}

/// Front matter as Hugging Face's hub and its Python library find it (`REGEX_YAML_BLOCK`): a line `---`, with
/// nothing but blank space before it, up to the next one. Lines end with CR, LF or both. (The hub allows no
/// blank behind the first mark; zoo does.)
static FRONT_MATTER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(\s*---[ \t]*(?:\r\n|\r|\n))([\s\S]*?)(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\r|\n|$)").ok()
});

/// The YAML in the front matter of a page, where it has some. A byte order mark before it does not count.
pub fn front_matter<'a>(page: &'a str, file: &Arc<str>) -> Option<Block<'a>> {
    let mark = if page.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let block = FRONT_MATTER.as_ref()?.captures(page.get(mark..)?)?.get(2)?;
    Some(Cursor::default().block(page, file, mark + block.start()..mark + block.end()))
}

/// The insides of the HTML comments, in order.
pub fn comments<'a>(page: &'a str, file: &Arc<str>) -> Vec<Block<'a>> {
    let mut found = Vec::new();
    let mut cursor = Cursor::default();
    let mut fence: Option<&str> = None;
    let mut behind = 0;
    let mut blank_before = true;
    for (start, line) in lines(page) {
        let mut from = start;
        let mut ticks = 0;
        let end = start + line.len();
        if behind > start {
            // The line begins inside a comment; something may follow it.
            if behind >= end {
                continue;
            }
            from = behind;
        } else {
            let text = line.trim_end();
            let marks = text.trim_start();
            let is_code =
                fence.is_none() && blank_before && (text.starts_with("    ") || text.starts_with('\t'));
            // An indented block goes on after blank lines and ends with the next line of text.
            blank_before = text.trim().is_empty() || is_code;
            match fence {
                Some(open) => {
                    let closes = marks.starts_with(open) && marks.trim_matches(['`', '~']).is_empty();
                    fence = if closes { None } else { fence };
                    continue;
                }
                None => fence = fence_of(marks),
            }
            if fence.is_some() || is_code {
                continue;
            }
        }
        while let Some(open) = page.get(from..end).and_then(|l| l.find("<!--")) {
            let open = from + open;
            // Behind an odd number of backticks it is inside a code span.
            ticks += page.get(from..open).unwrap_or_default().matches('`').count();
            if ticks % 2 == 1 {
                from = open + 4;
                continue;
            }
            let inside = open + 4;
            let Some((length, mark)) = close(page.get(inside..).unwrap_or_default()) else { return found };
            found.push(cursor.block(page, file, inside..inside + length));
            behind = inside + length + mark;
            from = behind;
            if behind >= end {
                break;
            }
        }
    }
    found
}

/// Fenced code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// The line of its first line, from 1.
    pub line: usize,
    /// What stands after the fence, in lower case: the language.
    pub info: String,
    /// The code, each line with its end.
    pub body: String,
}

impl Fenced {
    /// Whether it is marked as BibTeX.
    pub fn is_bibtex(&self) -> bool {
        self.info.split(|c: char| !c.is_alphanumeric()).any(|word| word == "bibtex")
    }
}

/// Fenced code, and the lines outside it with their numbers.
pub fn fenced(text: &str) -> (Vec<Fenced>, Vec<(usize, &str)>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    let mut open: Option<(&str, Fenced)> = None;
    for (at, line) in text.lines().enumerate() {
        let marks = line.trim_start();
        let length = marks.len() - marks.trim_start_matches(['`', '~']).len();
        let fence = marks.get(..length).filter(|_| length >= 3);
        match (&mut open, fence) {
            (Some((opened, _)), Some(fence)) if fence.starts_with(*opened) && marks.len() == length => {
                blocks.extend(open.take().map(|(_, block)| block));
            }
            (Some((_, block)), _) => {
                block.body.push_str(line);
                block.body.push('\n');
            }
            (None, Some(fence)) => {
                let info = marks.get(length..).unwrap_or_default().trim().to_lowercase();
                open = Some((fence, Fenced { line: at + 2, info, body: String::new() }));
            }
            (None, None) => prose.push((at + 1, line)),
        }
    }
    (blocks, prose)
}

/// The prose between a page's title and its first section, without comments; nothing where there is none.
pub fn introduction(page: &str) -> Option<String> {
    let heading = |line: &str| line.trim_start_matches('#').len() < line.len() && line.starts_with('#');
    let mut lines = page.lines().skip_while(|line| !line.starts_with("# "));
    lines.next()?;
    let mut kept = String::new();
    for line in lines.take_while(|line| !heading(line)) {
        kept.push_str(line.trim_end());
        kept.push('\n');
    }
    // Comments are metadata, or nobody's to read.
    while let Some(start) = kept.find("<!--") {
        let rest = kept.get(start + 4..).unwrap_or_default();
        let end = close(rest).map_or(kept.len(), |(length, mark)| start + 4 + length + mark);
        kept.replace_range(start..end, "");
    }
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// The backticks or tildes that open fenced code.
fn fence_of(marks: &str) -> Option<&str> {
    ['`', '~'].iter().find_map(|mark| {
        let length = marks.len() - marks.trim_start_matches(*mark).len();
        let info = marks.get(length..).unwrap_or_default();
        (length >= 3 && !(*mark == '`' && info.contains('`'))).then(|| marks.get(..length)).flatten()
    })
}

/// Where a comment ends, and the length of the mark that ends it.
fn close(text: &str) -> Option<(usize, usize)> {
    let marks = text.match_indices("--").map(|(at, _)| at).flat_map(|at| [at, at + 1]);
    marks.into_iter().find_map(|at| {
        let rest = text.get(at..)?;
        ["-->", "--!>"].iter().find(|mark| rest.starts_with(**mark)).map(|mark| (at, mark.len()))
    })
}

/// The lines of a text with their offsets, line ends included.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_told_from_prose() {
        let (blocks, prose) = fenced("a\n```BibTeX\n@x\n```\nb\n~~~\n```\n~~~\n");
        let block = |line, info: &str, body: &str| Fenced { line, info: info.into(), body: body.into() };
        assert_eq!(blocks, [block(3, "bibtex", "@x\n"), block(7, "", "```\n")]);
        assert_eq!(prose, [(1, "a"), (5, "b")]);
    }

    #[test]
    fn an_introduction_ends_at_the_first_section() {
        let page = "---\nx: 1\n---\n# T\n\n**A** is\nb. <!-- c\nd --> e\n\n1. f\n\n## How\ng\n";
        assert_eq!(introduction(page).as_deref(), Some("**A** is\nb.  e\n\n1. f"));
        assert_eq!(introduction("# T\n\n<!--\nModels: []\n-->\n\n## x\n"), None);
        assert_eq!(introduction("no title"), None);
    }
}
