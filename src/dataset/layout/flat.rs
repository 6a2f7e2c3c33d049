//! `ILSVRC2012_val_00000001.JPEG` … side by side in one folder, as the official tar unpacks, with the devkit's
//! ground truth near them.

use std::path::{Path, PathBuf};

use super::names::name_of;
use super::truth::Truth;
use super::{Listing, files};
use crate::dataset::error::Result;

/// Reads such a folder.
pub(super) fn list(place: &Path, images: Vec<PathBuf>, truth: &Truth) -> Result<Listing> {
    let label = |path: PathBuf| truth.label(&name_of(&path)).map(|label| (path, label));
    let images = images.into_iter().map(label).collect::<Result<_>>()?;
    Ok(files::listing("flat, with the devkit's labels", place.display().to_string(), images))
}
