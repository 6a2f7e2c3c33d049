//! The images to train on and those to measure with, and what their classes are called.
//!
//! In: folders (or any layout that `verify` reads). Out: [`Data`]. The classes are those of the training images, in
//! timm's order of folder names: numbers in them count as numbers. Called by `zoo finetune`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::dataset::layout::{self, Listing};
use crate::dataset::{self, Classes, Dataset, RawLabel, is_system};
use crate::fs;
use crate::registry::DatasetEntry;

/// Folders of a dataset that hold the training images, and those to measure with.
const TRAIN: [&str; 2] = ["train", "training"];
const VAL: [&str; 4] = ["val", "validation", "valid", "test"];

/// Classes that a message lists.
const MAX_LISTED: usize = 12;

/// Which images are measured with.
#[derive(Clone, Debug, PartialEq)]
pub enum Holdout {
    /// Those of another folder.
    Folder(PathBuf),
    /// A fraction of every class, drawn by the seed.
    Fraction(f64),
}

/// Images and their classes.
#[derive(Debug)]
pub struct Data {
    /// What the classes are called, by index.
    pub classes: Vec<String>,
    /// The images, one or two sets of them.
    pub sets: Vec<Dataset>,
    /// Those to train on.
    pub train: Vec<ImageIndex>,
    /// Those to measure with; none of them is trained on.
    pub val: Vec<ImageIndex>,
}

/// An image: its set, and its place in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageIndex {
    /// In [`Data::sets`].
    pub set: usize,
    /// In the set's items.
    pub item: usize,
}

impl Data {
    /// Looks at the images below `place`: class folders, or `train` and `val` with class folders in them. `entry` says
    /// how labels are read; where nothing says which images to measure with, a fifth of each class is.
    ///
    /// # Errors
    /// No images, one class, a class without images, images of a class that is not trained on.
    pub fn open(place: &Path, holdout: Option<&Holdout>, seed: u64, entry: &DatasetEntry) -> Result<Self> {
        let inside = |names: &[&str]| names.iter().map(|name| place.join(name)).find(|path| path.is_dir());
        let root = inside(&TRAIN).unwrap_or_else(|| place.to_owned());
        let beside = inside(&VAL).filter(|_| root != place).map(Holdout::Folder);
        let holdout = holdout.cloned().or(beside).unwrap_or(Holdout::Fraction(0.2));
        let listing = layout::list(&root, entry)?;
        let classes = names(&listing);
        refuse_empty(&root, &listing, &classes)?;
        let place = root.display().to_string();
        match classes.as_slice() {
            [] => return Err(dataset::Error::Empty { place, layout: listing.layout }.into()),
            [class] => return Err(Error::OneClass { place, class: class.clone() }),
            _ => {}
        }
        let train = labelled(listing, &classes, entry)?;
        let all = |set: usize, images: &Dataset| -> Vec<ImageIndex> {
            (0..images.items.len()).map(|item| ImageIndex { set, item }).collect()
        };
        match holdout {
            Holdout::Folder(folder) => {
                let val = labelled(layout::list(&folder, entry)?, &classes, entry)?;
                let (train_places, val_places) = (all(0, &train), all(1, &val));
                Ok(Data { classes, sets: vec![train, val], train: train_places, val: val_places })
            }
            Holdout::Fraction(fraction) => {
                let places = all(0, &train);
                let mut data = Data { classes, sets: vec![train], train: Vec::new(), val: Vec::new() };
                (data.train, data.val) = data.split(&places, fraction, seed);
                Ok(data)
            }
        }
    }

    /// Parts some images: the first `fraction` of each class in the order of the seed are the second part. A class keeps
    /// an image in the first.
    pub(super) fn split(
        &self,
        places: &[ImageIndex],
        fraction: f64,
        seed: u64,
    ) -> (Vec<ImageIndex>, Vec<ImageIndex>) {
        let key = |place: &ImageIndex| {
            let set = self.sets.get(place.set)?;
            let item = set.items.get(place.item)?;
            Some((dataset::order(seed, &set.name, &item.id), item.id.clone()))
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for class in 0..self.classes.len() {
            let mut own: Vec<ImageIndex> =
                places.iter().copied().filter(|place| self.class(*place) == Some(class)).collect();
            own.sort_by_cached_key(key);
            let held = ((own.len() as f64 * fraction).round() as usize).min(own.len().saturating_sub(1));
            second.extend(own.drain(..held));
            first.extend(own);
        }
        first.sort_unstable();
        second.sort_unstable();
        (first, second)
    }

    /// An image's class.
    pub(super) fn class(&self, place: ImageIndex) -> Option<usize> {
        self.sets.get(place.set)?.items.get(place.item)?.labels.first().copied()
    }

    /// Where an image is, for messages.
    pub(super) fn path(&self, place: ImageIndex) -> String {
        let item = self.sets.get(place.set).and_then(|set| set.items.get(place.item));
        item.map_or_else(String::new, |item| item.path.clone())
    }
}

/// What a layout calls a class.
fn name_of(label: &RawLabel) -> Option<String> {
    match label {
        RawLabel::Text(text) => Some(text.clone()),
        RawLabel::Listed(list, at) => list.names.get(*at).cloned(),
        RawLabel::Index(index) => Some(index.to_string()),
        RawLabel::Any(labels) => labels.first().and_then(name_of),
        RawLabel::Unlabelled | RawLabel::Missing(_) => None,
    }
}

/// The classes that occur, each once, in timm's order.
fn names(listing: &Listing) -> Vec<String> {
    let found: BTreeSet<String> = listing.found.iter().filter_map(|image| name_of(&image.label)).collect();
    let mut names: Vec<String> = found.into_iter().collect();
    names.sort_by_cached_key(|name| natural_key(name));
    names
}

/// timm's `natural_key`: a name's runs of digits as numbers, the rest in lower case.
fn natural_key(name: &str) -> Vec<(u8, u128, String)> {
    let mut parts: Vec<(u8, u128, String)> = Vec::new();
    for c in name.to_lowercase().chars() {
        let kind = u8::from(!c.is_ascii_digit());
        match parts.last_mut() {
            Some((last, _, text)) if *last == kind => text.push(c),
            _ => parts.push((kind, 0, c.to_string())),
        }
    }
    for (kind, number, text) in &mut parts {
        if *kind == 0 {
            *number = text.parse().unwrap_or(u128::MAX);
        }
    }
    parts
}

/// A class folder in which there is nothing.
fn refuse_empty(root: &Path, listing: &Listing, classes: &[String]) -> Result<()> {
    if !listing.layout.starts_with("folders") {
        return Ok(());
    }
    for folder in fs::list(root)?.into_iter().filter(|path| path.is_dir()) {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_system(&name) && !name.starts_with("__") && !classes.contains(&name) {
            return Err(Error::EmptyClass { place: root.display().to_string(), class: name });
        }
    }
    Ok(())
}

/// The images of a listing with the positions of their classes.
fn labelled(mut listing: Listing, classes: &[String], entry: &DatasetEntry) -> Result<Dataset> {
    for image in &mut listing.found {
        let Some(name) = name_of(&image.label) else { continue };
        let Some(index) = classes.iter().position(|class| *class == name) else {
            let mut known = classes.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
            if classes.len() > MAX_LISTED {
                known.push_str(&format!(" and {} more", classes.len() - MAX_LISTED));
            }
            return Err(Error::OtherClass { path: image.path.clone(), class: name, known });
        };
        image.label = RawLabel::Index(index);
    }
    Ok(Dataset::new(entry, listing, &Classes::named(classes))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Classify;
    use crate::registry::Registry;

    fn open(root: &Path, holdout: Option<&Holdout>) -> Result<Data> {
        let registry = Registry::builtin().unwrap();
        Data::open(root, holdout, 0, registry.dataset("folder").unwrap())
    }

    fn write(root: &Path, paths: &[&str]) {
        for path in paths {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_atomic(&path, b"").unwrap();
        }
    }

    #[test]
    fn classes_are_in_timms_order_and_a_fifth_of_each_is_held_out() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["10", "2", "b", "A"] {
            for at in 0..10 {
                write(dir.path(), &[&format!("{class}/{at}.png")]);
            }
        }
        let data = open(dir.path(), None).unwrap();
        assert_eq!(data.classes, ["2", "10", "A", "b"]);
        assert_eq!((data.train.len(), data.val.len()), (32, 8));
        for class in 0..4 {
            assert_eq!(data.val.iter().filter(|p| data.class(**p) == Some(class)).count(), 2);
        }
        assert!(data.val.iter().all(|place| !data.train.contains(place)));
        let of = |place: &ImageIndex| {
            data.path(*place).contains(&format!("/{}/", data.classes[data.class(*place).unwrap()]))
        };
        assert!(data.train.iter().chain(&data.val).all(of));
        // Another seed, another split; the same seed, the same.
        let registry = Registry::builtin().unwrap();
        let again =
            |seed| Data::open(dir.path(), None, seed, registry.dataset("folder").unwrap()).unwrap().val;
        assert_eq!(again(0), data.val);
        assert_ne!(again(1), data.val);
    }

    #[test]
    fn train_and_val_folders_are_what_they_say() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &["train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png", "val/b/5.png"]);
        let data = open(dir.path(), None).unwrap();
        assert_eq!((data.train.len(), data.val.len()), (2, 3));
        assert_eq!(data.val.iter().map(|p| data.class(*p).unwrap()).collect::<Vec<_>>(), [0, 1, 1]);
        write(dir.path(), &["val/c/6.png"]);
        let error = open(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains("`c`") && error.contains("(a, b)"), "{error}");
    }

    #[test]
    fn what_cannot_be_trained_on_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, &["one/a/1.png", "empty/a/1.png", "empty/b/notes.txt", "none/x/notes.txt"]);
        for (place, said) in
            [("one", "one class, `a`"), ("empty", "`b`"), ("none", "no images"), ("gone", "gone")]
        {
            let error = open(&root.join(place), None).unwrap_err();
            assert!(error.to_string().contains(said), "{place}: {error}");
            assert_eq!(error.class(), crate::Class::BadInput, "{place}");
        }
    }
}
