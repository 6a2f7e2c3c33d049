//! From a dataset's name to its images: where the user says they are, where they were remembered, or
//! fetched by the store where that is allowed.
//!
//! Called by every verb that reads a dataset.

use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::label::RawLabel;
use super::{Classes, Dataset, DatasetPaths, layout};
use crate::registry::{DatasetEntry, LabelRule};
use crate::store::{Request, Store};

/// Where to look for a dataset, in this order.
pub struct SearchLocations<'a> {
    /// `--data-dir`.
    pub given: Option<&'a Path>,
    /// What was remembered.
    pub paths: &'a DatasetPaths,
    /// Where it can be fetched from and kept.
    pub store: &'a Store,
}

/// Opens a dataset.
///
/// # Errors
/// [`Error::NotConfigured`] when nobody knows where it is; what is wrong with it otherwise.
pub fn open(entry: &DatasetEntry, places: &SearchLocations<'_>, classes: &Classes) -> Result<Dataset> {
    let listing = match places.given.or_else(|| places.paths.get(&entry.name)) {
        Some(place) => layout::list(place, entry)?,
        None if !entry.sources.is_empty() => fetch(entry, places.store)?,
        None => {
            let (name, how_to_get) = (entry.name.clone(), entry.how_to_get.clone());
            return Err(Error::NotConfigured { name, how_to_get });
        }
    };
    Dataset::new(entry, listing, classes)
}

/// Brings a dataset of single files, checked one by one against the registry.
fn fetch(entry: &DatasetEntry, store: &Store) -> Result<layout::Listing> {
    let mut paths = Vec::new();
    let mut expected = std::collections::BTreeMap::new();
    for source in &entry.sources {
        let request = Request::of_set(&entry.name, source);
        expected.extend(source.files.iter().filter_map(|f| Some((f.name().to_owned(), f.sha256?))));
        for file in store.fetch_set(&request)?.files {
            if let Some(expected) = expected.remove(&file.name).filter(|e| *e != file.sha256) {
                let (path, found) = (file.path.display().to_string(), file.sha256.to_string());
                return Err(Error::WrongFile { path, expected, found });
            }
            paths.push(file.path);
        }
    }
    if let Some((path, expected)) = expected.pop_first() {
        return Err(Error::WrongFile { path, expected, found: "nothing: it is missing".into() });
    }
    let label = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let label = match entry.labels {
            LabelRule::NumberInFileName => LabelRule::number(&name).map(RawLabel::Index),
            LabelRule::Synset => None,
        };
        let label = label.unwrap_or_else(|| RawLabel::Missing("its name does not tell its class".into()));
        (path, label)
    };
    let files = paths.into_iter().map(label).collect();
    Ok(layout::files::listing("files of a package", entry.name.clone(), files))
}
