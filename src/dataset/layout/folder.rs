//! One folder a class (torchvision's ImageFolder), named by synset, by class index, or by class name.
//!
//! Class folders may stand in a `val` or `validation` folder. Folders inside a class folder are searched,
//! as torchvision does.

use std::path::{Path, PathBuf};

use super::{Found, Listing, RawLabel, files, is_image};
use crate::dataset::error::{Error, Result};
use crate::fs;
use crate::registry::{DatasetEntry, LabelRule};

/// Folders inside folders that are followed; more is a loop of links.
const MAX_DEPTH: usize = 8;

/// Whether a name is a WordNet id: `n` and eight digits.
pub(super) fn is_synset(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name.bytes().skip(1).all(|b| b.is_ascii_digit())
}

fn is_index(name: &str) -> bool {
    !name.is_empty() && name.len() <= 5 && name.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a name says which class it is by itself: a synset or a class index.
pub(super) fn is_class_name(name: &str) -> bool {
    is_synset(name) || is_index(name)
}

/// Whether a folder is that of a class, or by its name holds such.
pub(super) fn is_class_folder(path: &Path) -> bool {
    let name = name_of(path);
    is_class_name(&name) || name == "val" || name == "validation"
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads class folders.
pub(super) fn list(place: &Path, entry: &DatasetEntry) -> Result<Listing> {
    let inside = fs::list(place)?;
    let visible = |p: &&PathBuf| !name_of(p).starts_with('.');
    let folders: Vec<_> = inside.iter().filter(visible).filter(|p| p.is_dir()).collect();
    for name in ["val", "validation"] {
        if let Some(inner) = folders.iter().find(|f| name_of(f) == name)
            && !folders.iter().any(|f| is_synset(&name_of(f)) || is_index(&name_of(f)))
        {
            return list(inner, entry);
        }
    }
    let shown = place.display().to_string();
    let images = inside.iter().filter(visible).filter(|p| p.is_file() && is_image(p));
    let images: Vec<_> = images.cloned().collect();
    if !images.is_empty() && entry.labels == LabelRule::NumberInFileName {
        let label =
            |path: &Path| LabelRule::number(&name_of(path)).map_or(RawLabel::Unlabelled, RawLabel::Index);
        return Ok(files("class index in the file name", shown, images, label));
    }
    if folders.is_empty() {
        return Err(match images.len() {
            0 => Error::Empty { place: shown, layout: "one folder a class" },
            n => Error::NoLayout {
                place: shown,
                found: format!("{n} images side by side, and nothing that tells their classes"),
            },
        });
    }
    let by_index = folders.iter().all(|f| is_index(&name_of(f)));
    let by_synset = folders.iter().all(|f| is_synset(&name_of(f)));
    let layout = match (by_synset, by_index) {
        (true, _) => "folders by synset",
        (_, true) => "folders by class index",
        _ => "folders by class name",
    };
    let (mut paths, mut labels) = (Vec::new(), Vec::new());
    for folder in folders {
        let name = name_of(folder);
        let label = match name.parse() {
            Ok(index) if by_index => RawLabel::Index(index),
            _ => RawLabel::Name(name),
        };
        let before = paths.len();
        collect(folder, 0, &mut paths)?;
        labels.resize(labels.len() + paths.len() - before, label);
    }
    let mut listing = files(layout, shown, paths, |_| RawLabel::Unlabelled);
    for (Found { label, .. }, found) in listing.found.iter_mut().zip(labels) {
        *label = found;
    }
    Ok(listing)
}

fn collect(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<()> {
    for path in fs::list(folder)? {
        if name_of(&path).starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                collect(&path, depth + 1, into)?;
            }
        } else if is_image(&path) {
            into.push(path);
        }
    }
    Ok(())
}
