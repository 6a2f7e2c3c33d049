//! The built-in registry in the form that a cold `zoo list` reads: typed entries as JSON, corrections
//! applied.
//!
//! Reading the 64 YAML pages takes longer than all the rest of `zoo list`, so `registry/compiled.json` is
//! made from them once, and a test holds that it is what they say. After editing anything in `registry/`:
//! `ZOO_BLESS=1 cargo test --release --lib compiled`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::corrections::Corrections;
use super::entry::{Claim, Entry};
use super::tree::Problems;
use super::{DatasetEntry, EMBEDDED, Error, Registry, Result, corrections, pages, typed};

#[derive(Deserialize)]
struct Compiled {
    models: Vec<Entry>,
    datasets: Vec<DatasetEntry>,
    /// Each text of evidence once.
    evidence: Vec<BTreeMap<String, String>>,
    /// Which of them is each model's, and its published form's.
    evidence_of: Vec<(usize, Option<usize>)>,
}

impl Compiled {
    fn read(text: &str) -> serde_json::Result<Self> {
        let mut whole: Compiled = serde_json::from_str(text)?;
        let shared: Vec<_> = std::mem::take(&mut whole.evidence).into_iter().map(Arc::new).collect();
        let evidence = |at: &usize| shared.get(*at).cloned().unwrap_or_default();
        for (model, (own, published)) in whole.models.iter_mut().zip(&whole.evidence_of) {
            model.zoo.evidence = evidence(own);
            if let Some((page, at)) = model.published.as_mut().zip(published.as_ref()) {
                page.zoo.evidence = evidence(at);
            }
        }
        Ok(whole)
    }
}

/// The registry that this binary carries.
pub(super) fn embedded() -> Result<Registry> {
    let file = EMBEDDED.get_file("compiled.json");
    let text = file.and_then(|f| f.contents_utf8()).unwrap_or_default();
    let Compiled { models, datasets, .. } = Compiled::read(text)?;
    Ok(Registry { models, datasets, warnings: Problems::new() })
}

/// The same from the pages, datasets and corrections, strictly: any problem is an error.
///
/// # Errors
/// [`super::tree::Malformed`] with every problem of every file.
pub fn from_pages() -> crate::error::Result<Registry> {
    let mut problems = Problems::new();
    let mut index = pages::builtin()?;
    let published = typed(&index, &mut problems);
    let corrections = corrections()?;
    corrections::apply(&corrections, &mut index, &mut problems);
    let mut models = typed(&index, &mut problems);
    for (entry, published) in models.iter_mut().zip(published) {
        let page = published.paper.as_ref().and_then(|paper| paper.url.clone());
        if let Some(paper) = entry.paper.as_mut().filter(|paper| paper.url != page) {
            paper.published_url = page;
        }
        let of_it = corrections.models.iter().filter(|c| c.model == entry.name);
        entry.corrections = of_it.cloned().collect();
        if entry.corrections.is_empty() {
            continue;
        }
        let top1 = |claim: &Option<Claim>| claim.as_ref().map(|c| c.top1.clone());
        let page = top1(&published.claim);
        let differs = page != top1(&entry.claim);
        if let Some(claim) = entry.claim.as_mut().filter(|_| differs) {
            claim.published_top1 = page;
        }
        entry.published = Some(Box::new(published));
    }
    let mut datasets = Vec::new();
    for file in EMBEDDED.get_dir("datasets").into_iter().flat_map(|d| d.files()) {
        datasets.push(embedded_yaml::<DatasetEntry>(&file.path().to_string_lossy())?);
    }
    problems.into_result()?;
    Ok(Registry { models, datasets, warnings: Problems::new() })
}

/// What is known to be wrong on the pages.
pub(super) fn corrections() -> Result<Corrections> {
    embedded_yaml("corrections.yaml")
}

/// A typed file of ours. It is trusted: the first mistake ends it, and no place in it need be known later.
fn embedded_yaml<T: DeserializeOwned>(path: &str) -> Result<T> {
    let bytes = EMBEDDED.get_file(path).map(include_dir::File::contents).unwrap_or_default();
    serde_yaml::from_slice(bytes).map_err(|error| Error::Embedded { path: path.to_owned(), error })
}

/// The compiled form, an entry a line, so that a change shows as one.
///
/// # Errors
/// None that an entry can cause.
pub fn write(registry: &Registry) -> Result<String> {
    fn lines<T: Serialize>(entries: &[T]) -> Result<String> {
        let lines: std::result::Result<Vec<_>, _> = entries.iter().map(serde_json::to_string).collect();
        Ok(lines?.join(",\n"))
    }
    let mut evidence: Vec<&BTreeMap<String, String>> = Vec::new();
    let mut evidence_of = Vec::with_capacity(registry.models.len());
    for entry in &registry.models {
        let own = index(&mut evidence, entry);
        let published = entry.published.as_deref().map(|page| index(&mut evidence, page));
        evidence_of.push((own, published));
    }
    let (models, datasets) = (lines(&registry.models)?, lines(&registry.datasets)?);
    let (evidence, evidence_of) = (lines(&evidence)?, serde_json::to_string(&evidence_of)?);
    Ok(format!(
        "{{\"evidence\":[\n{evidence}\n],\"evidence_of\":{evidence_of},\n\"models\":[\n{models}\n],\"datasets\":[\n{datasets}\n]}}\n"
    ))
}

/// The place of an entry's evidence in the table, where it is put if it is new.
fn index<'a>(evidence: &mut Vec<&'a BTreeMap<String, String>>, entry: &'a Entry) -> usize {
    let own = &*entry.zoo.evidence;
    evidence.iter().position(|e| *e == own).unwrap_or_else(|| {
        evidence.push(own);
        evidence.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_registry_is_what_the_pages_say() {
        let wanted = write(&from_pages().unwrap()).unwrap();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../registry/compiled.json");
        if std::env::var_os("ZOO_BLESS").is_some() {
            crate::fs::write_atomic(&path, wanted.as_bytes()).unwrap();
        }
        let there = crate::fs::read(&path, 16 << 20).unwrap();
        assert!(
            there == wanted.as_bytes(),
            "registry/compiled.json is stale: run this test with ZOO_BLESS=1"
        );
        // What was written reads back as the same entries.
        let back = Compiled::read(std::str::from_utf8(&there).unwrap()).unwrap();
        assert_eq!(back.models, from_pages().unwrap().models);
    }
}
