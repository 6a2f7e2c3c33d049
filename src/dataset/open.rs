//! From a dataset's name to its images: where the user says they are, where they were remembered, or
//! fetched by the store where that is allowed.
//!
//! Called by every verb that reads a dataset.

use std::path::Path;

use super::error::{Error, Result};
use super::{Classes, Dataset, Homes, layout};
use crate::registry::{DatasetEntry, LabelRule};
use crate::store::{Request, Store};

/// Where to look for a dataset, in this order.
pub struct Places<'a> {
    /// `--data-dir`.
    pub given: Option<&'a Path>,
    /// What was remembered.
    pub homes: &'a Homes,
    /// Where it can be fetched from and kept.
    pub store: &'a Store,
}

/// Opens a dataset.
///
/// # Errors
/// [`Error::NotConfigured`] when nobody knows where it is; what is wrong with it otherwise.
pub fn open(entry: &DatasetEntry, places: &Places<'_>, classes: &Classes) -> Result<Dataset> {
    let listing = match places.given.or_else(|| places.homes.get(&entry.name)) {
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
    let label = |path: &Path| match entry.labels {
        LabelRule::NumberInFileName => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            LabelRule::number(&name).map_or(layout::RawLabel::Unlabelled, layout::RawLabel::Index)
        }
        LabelRule::Synset => layout::RawLabel::Unlabelled,
    };
    Ok(layout::files("files of a package", entry.name.clone(), paths, label))
}
