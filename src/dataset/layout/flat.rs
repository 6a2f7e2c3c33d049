//! `ILSVRC2012_val_00000001.JPEG` … side by side in one folder, as the official tar unpacks, with the devkit's
//! ground truth near them.

use std::path::{Path, PathBuf};

use super::validation::Truth;
use super::{Found, Listing, files};
use crate::dataset::error::Result;

/// Reads such a folder.
pub(super) fn list(place: &Path, images: Vec<PathBuf>) -> Result<Listing> {
    let shown = place.display().to_string();
    let truth = Truth::near(place)?.ok_or_else(|| Truth::missing(&shown))?;
    let mut listing = files("flat, with the devkit's labels", shown, images, |_| super::RawLabel::Unlabelled);
    for Found { path, label } in &mut listing.found {
        *label = truth.label(path.rsplit(['/', '\\']).next().unwrap_or(path))?;
    }
    Ok(listing)
}
