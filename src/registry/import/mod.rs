//! Taking pages in: from a documentation page, bare YAML or JSON, a whole model-index, or a Hugging Face
//! model card, to the one form that the registry keeps.
//!
//! In: paths. Out: a [`format::Index`] and its document; [`facts`] adds what the pages leave out, and
//! [`check`] tells what differs from the registry. Called by `zoo import`.

mod card;
pub mod check;
pub mod eval_results;
pub mod facts;

#[cfg(test)]
mod tests;

use std::path::Path;

use super::format::{self, Index};
use super::tree::{Malformed, Problem, ProblemKind};
use crate::error::Result;

/// The largest single page.
pub const MAX_PAGE: u64 = 16 << 20;

/// Reads a page, a card, evaluations (`.eval_results/*.yaml`), a repository with a card and evaluations, or a
/// model-index file or folder with all it refers to.
///
/// # Errors
/// The file cannot be read, or is of no kind that has metadata. What is wrong inside is in the index.
pub fn read(path: &Path) -> Result<Index> {
    let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if crate::fs::metadata(path)?.is_dir() {
        return match eval_results::is_in(path) && !format::has_root(path) {
            true => repository(path),
            false => format::load(path),
        };
    }
    if let Some(index) = eval_results::file(path, MAX_PAGE)? {
        return Ok(index);
    }
    if matches!(kind, "md" | "mdx") {
        let bytes = crate::fs::read(path, MAX_PAGE)?;
        match card::read(&path.display().to_string(), &bytes) {
            Ok(None) => {}
            Ok(Some(index)) => return Ok(index),
            Err(Malformed { problems }) => return Ok(Index { problems, ..Index::default() }),
        }
    }
    format::load(path)
}

/// A repository of the hub, its card and its evaluations.
fn repository(folder: &Path) -> Result<Index> {
    let card = folder.join("README.md");
    let mut index = if card.is_file() { read(&card)? } else { Index::default() };
    index.problems = index.problems.iter().filter(|p| p.kind != ProblemKind::NoMetadata).cloned().collect();
    eval_results::add(folder, MAX_PAGE, &mut index)?;
    Ok(index)
}

/// The same of a documentation page, with what it says beside its metadata: the BibTeX of its fenced blocks and the
/// prose before its first section ([`super::citation::add_prose`]). A hub's card is its front matter.
///
/// # Errors
/// As [`read`].
pub fn read_whole(path: &Path) -> Result<Index> {
    let mut index = read(path)?;
    let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let is_card = index.models.iter().any(|model| model.own.field("Card").is_some());
    if matches!(kind, "md" | "mdx") && !is_card && !crate::fs::metadata(path)?.is_dir() {
        let text = crate::fs::read(path, MAX_PAGE)?;
        let text = String::from_utf8_lossy(&text);
        for mistake in super::citation::add_prose(&mut index, &text) {
            let message = format!(
                "BibTeX in line {}, column {}, that does not parse is left out: {}",
                mistake.line, mistake.column, mistake.message
            );
            index.problems.push(Problem::of(&path.display().to_string(), message).warning());
        }
    }
    Ok(index)
}

/// The same from bytes, as a file of that name would be read; it may not refer to other files.
///
/// # Errors
/// [`Malformed`], when the front matter of a card is no YAML.
pub fn read_bytes(name: &str, bytes: &[u8]) -> std::result::Result<Index, Malformed> {
    if let Some(index) = eval_results::of_bytes(Path::new(name), bytes) {
        return Ok(index);
    }
    let is_page = name.ends_with(".md") || name.ends_with(".mdx");
    match if is_page { card::read(name, bytes)? } else { None } {
        Some(index) => Ok(index),
        None => Ok(format::page(name, bytes)),
    }
}
