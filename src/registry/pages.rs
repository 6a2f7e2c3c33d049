//! The registry as its pages say it: positioned trees, for whoever needs more than the typed entries.
//!
//! In: the embedded pages and the user's `--registry` sources. Out: [`Index`] values. Called by `import
//! --check`, `page`, `card` and `show --yaml`.

use std::path::Path;

use super::entry::Entry;
use super::format::{self, Index, Record};
use super::import;
use super::tree::{Problem, ProblemKind, Problems};
use crate::error::Result;

/// The built-in pages as one index.
///
/// # Errors
/// A page is malformed, which a test keeps from happening.
pub fn builtin() -> Result<Index> {
    let mut whole = Index::default();
    for file in super::EMBEDDED.get_dir("models").into_iter().flat_map(|d| d.files()) {
        append(&mut whole, format::page(&file.path().to_string_lossy(), file.contents()));
    }
    Ok(whole.checked()?)
}

/// The built-in pages with the corrections in place.
///
/// # Errors
/// A page is malformed, or a correction no longer applies; a test keeps both from happening.
pub fn corrected() -> Result<Index> {
    let mut index = builtin()?;
    let mut problems = Problems::new();
    let corrections = super::compiled::corrections()?;
    super::corrections::apply(&corrections, &mut index, &mut problems);
    problems.into_result()?;
    Ok(index)
}

/// One source of the user's: a page, a model-index file or folder, or a folder of pages, evaluations or both.
///
/// # Errors
/// A file cannot be read. What is wrong inside is in [`Index::problems`].
pub fn source(path: &Path) -> Result<Index> {
    let is_folder = crate::fs::metadata(path)?.is_dir();
    if !is_folder || format::has_root(path) || import::eval_results::is_named(path) {
        return import::read(path);
    }
    let mut whole = Index::default();
    for file in crate::fs::list(path)? {
        let kind = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !matches!(kind, "yaml" | "yml" | "json" | "md" | "mdx") {
            continue;
        }
        match import::read(&file) {
            Ok(mut page) => {
                page.problems = of_a_folder(page.problems, matches!(kind, "md" | "mdx"));
                append(&mut whole, page);
            }
            // One page that cannot be read does not cost the others.
            Err(e) => whole.problems.push(Problem::of(&file.display().to_string(), e.to_string())),
        }
    }
    import::eval_results::add(path, import::MAX_PAGE, &mut whole)?;
    Ok(whole)
}

/// A page without metadata, among others in a folder, is nothing to mention; another file without is no error.
fn of_a_folder(problems: Problems, is_markdown: bool) -> Problems {
    let mut kept = Problems::new();
    for problem in &problems {
        match problem.kind {
            ProblemKind::NoMetadata if is_markdown => {}
            ProblemKind::NoMetadata => kept.push(problem.clone().warning()),
            _ => kept.push(problem.clone()),
        }
    }
    kept
}

/// What its page says of an entry, all of it: of a built-in one only its own page is read.
///
/// # Errors
/// A file cannot be read or is malformed.
pub fn record(entry: &Entry, extra: &[impl AsRef<Path>]) -> Result<Option<Record>> {
    let own = super::EMBEDDED.get_file(&entry.origin).filter(|_| !entry.added);
    let index = match own {
        Some(file) => format::page(&entry.origin, file.contents()).checked()?,
        None => with(extra)?,
    };
    let same = |m: &Record| entry.is_of(m);
    let in_collection = |m: &Record| m.collections().next() == entry.collection.as_deref();
    let mut found: Vec<_> = index.models.into_iter().filter(same).collect();
    let at = found.iter().position(in_collection).unwrap_or(0);
    Ok((at < found.len()).then(|| found.swap_remove(at)))
}

/// The built-in pages and the user's, whose models and collections shadow those of the same name.
///
/// # Errors
/// A file cannot be read or is malformed.
pub fn with(extra: &[impl AsRef<Path>]) -> Result<Index> {
    shadowed(builtin()?, extra)
}

/// The same with the corrections in place.
///
/// # Errors
/// As [`with`] and [`corrected`].
pub fn with_corrected(extra: &[impl AsRef<Path>]) -> Result<Index> {
    shadowed(corrected()?, extra)
}

fn shadowed(mut whole: Index, extra: &[impl AsRef<Path>]) -> Result<Index> {
    for path in extra {
        let added = source(path.as_ref())?.usable()?;
        whole.models.retain(|old| added.models.iter().all(|new| new.name() != old.name()));
        whole.collections.retain(|old| added.collections.iter().all(|new| new.name() != old.name()));
        append(&mut whole, added);
    }
    Ok(whole)
}

/// Puts one index behind another.
pub fn append(whole: &mut Index, more: Index) {
    whole.models.extend(more.models);
    whole.collections.extend(more.collections);
    whole.library = more.library.or(whole.library.take());
    for (key, value) in more.others {
        if key != "Type" && whole.others.iter().all(|(k, _)| *k != key) {
            whole.others.push((key, value));
        }
    }
    whole.problems.extend(more.problems);
}
