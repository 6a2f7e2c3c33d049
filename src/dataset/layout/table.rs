//! A CSV of path and label: `path,label` with or without a heading, paths relative to the file's folder. Also
//! Kaggle's `LOC_val_solution.csv`, whose rows name an image and list its boxes.

use std::path::{Path, PathBuf};

use super::folder::is_synset;
use super::{Found, Listing, RawLabel, files, is_image};
use crate::dataset::error::{Error, Result};

/// The largest table that is read.
const MAX_TABLE: u64 = 1 << 30;

/// Where Kaggle keeps the images, seen from the table.
const KAGGLE: [&str; 2] = [".", "ILSVRC/Data/CLS-LOC/val"];

/// Reads a table.
pub(super) fn list(path: &Path) -> Result<Listing> {
    let bytes = crate::fs::read(path, MAX_TABLE)?;
    let place = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..]);
    let (mut paths, mut labels) = (Vec::new(), Vec::new());
    for (i, row) in reader.records().enumerate() {
        let bad = |line: usize, found: String| Error::BadLabels {
            path: place.clone(),
            line,
            found,
            expected: "a path and a label (class index, synset or class name)".into(),
        };
        let row = row.map_err(|e| bad(e.position().map_or(i + 1, |p| p.line() as usize), e.to_string()))?;
        let line = row.position().map_or(i + 1, |p| p.line() as usize);
        let (Some(image), Some(label)) = (row.get(0), row.get(1)) else {
            return Err(bad(line, format!("{} columns", row.len())));
        };
        let (image, label) = (image.trim(), label.trim());
        // A heading names no image.
        if i == 0 && !is_image(Path::new(image)) && locate(folder, image).is_none() {
            continue;
        }
        let Some(found) = locate(folder, image) else {
            return Err(bad(line, format!("`{image}`, and there is no such file")));
        };
        paths.push(found);
        // Kaggle: `n03995372 85 1 499 272`, the class first and then its box, more boxes following.
        let boxed = label.split_whitespace().next().filter(|first| is_synset(first));
        let label = boxed.unwrap_or(label);
        labels.push(RawLabel::of_text(label));
    }
    let mut listing = files("a table of paths and labels", place, paths, |_| RawLabel::Unlabelled);
    for (Found { label, .. }, read) in listing.found.iter_mut().zip(labels) {
        *label = read;
    }
    Ok(listing)
}

/// The image that a row means: its path, or for Kaggle's names without an extension the validation folder's.
fn locate(folder: &Path, image: &str) -> Option<PathBuf> {
    if image.is_empty() {
        return None;
    }
    if is_image(Path::new(image)) {
        return Some(folder.join(image)).filter(|p| p.is_file());
    }
    KAGGLE.iter().map(|k| folder.join(k).join(format!("{image}.JPEG"))).find(|p| p.is_file())
}
