//! One folder a class (torchvision's ImageFolder), named by synset, by class index, or by class name. Folders inside a
//! class folder are searched, as torchvision does.

use std::path::{Path, PathBuf};

use super::names::{is_image, is_system, name_of};
use super::{Listing, files};
use crate::dataset::error::{Error, Result};
use crate::dataset::label::{RawLabel, is_index, is_synset};
use crate::fs;

/// Folders inside folders that are followed; more is a loop of links.
const MAX_DEPTH: usize = 8;

/// Whether a folder's name says which class it is by itself: a synset, alone or with words, or a class index.
pub(super) fn is_class_name(name: &str) -> bool {
    is_synset(name) || is_index(name) || name.get(..9).is_some_and(is_synset)
}

/// What is in a folder, without what systems leave there.
pub(super) fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut inside = fs::list(folder)?;
    inside.retain(|path| !is_system(&name_of(path)));
    Ok(inside)
}

/// Reads class folders.
pub(super) fn list(place: &Path, folders: &[PathBuf]) -> Result<Listing> {
    let shown = place.display().to_string();
    let names: Vec<String> = folders.iter().map(|folder| name_of(folder)).collect();
    let all = |is: fn(&str) -> bool| names.iter().all(|name| is(name));
    let layout = match (all(is_synset), all(is_index)) {
        (true, _) => "folders by synset",
        (_, true) => "folders by class index",
        _ => "folders by class name",
    };
    if folders.is_empty() {
        return Err(Error::Empty { place: shown, layout: "one folder a class" });
    }
    let mut images = Vec::new();
    for (folder, name) in folders.iter().zip(names) {
        let mut paths = Vec::new();
        collect(folder, 0, &mut paths)?;
        images.extend(paths.into_iter().map(|path| (path, RawLabel::Text(name.clone()))));
    }
    Ok(files::listing(layout, shown, images))
}

fn collect(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<()> {
    for path in visible(folder)? {
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
