//! Where datasets are on this machine, as `zoo dataset add` was told: `datasets.json` in the store's home.
//!
//! In: a name and a folder. Out: the folder, next time. Called by `open` and `zoo dataset`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// Where datasets are on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetPaths {
    file: PathBuf,
    places: BTreeMap<String, PathBuf>,
}

impl DatasetPaths {
    /// Reads what was remembered in a home; nothing yet is no error.
    ///
    /// # Errors
    /// A file that cannot be read or is broken.
    pub fn open(home: &Path) -> Result<Self> {
        let file = home.join("datasets.json");
        if !file.exists() {
            return Ok(DatasetPaths { file, places: BTreeMap::new() });
        }
        let bytes = crate::fs::read(&file, 1 << 20)?;
        let places = serde_json::from_slice(&bytes)
            .map_err(|e| Error::BadPaths { path: file.display().to_string(), reason: e.to_string() })?;
        Ok(DatasetPaths { file, places })
    }

    /// Where a dataset is.
    pub fn get(&self, name: &str) -> Option<&Path> {
        self.places.get(name).map(PathBuf::as_path)
    }

    /// Remembers a place, absolute from now on.
    ///
    /// # Errors
    /// A place that is not there; a home that cannot be written.
    pub fn add(&mut self, name: &str, place: &Path) -> Result<PathBuf> {
        crate::fs::metadata(place)?;
        let place = std::path::absolute(place).map_err(crate::fs::at("find", place))?;
        self.places.insert(name.to_owned(), place.clone());
        let text = serde_json::to_vec_pretty(&self.places)
            .map_err(|e| Error::BadPaths { path: self.file.display().to_string(), reason: e.to_string() })?;
        if let Some(folder) = self.file.parent() {
            crate::fs::create_dir_all(folder)?;
        }
        crate::fs::write_atomic(&self.file, &text)?;
        Ok(place)
    }
}
