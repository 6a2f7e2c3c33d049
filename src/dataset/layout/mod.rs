//! What a folder or an archive holds: images, and what the layout says about their classes.
//!
//! In: a path and the dataset's entry. Out: a [`Listing`], which [`super::Dataset::new`] gives ids and
//! class indices. A new layout is a new file here and a line in [`list`].

mod archive;
mod flat;
mod folder;
mod matlab;
mod parquet;
mod table;
mod tar;
#[cfg(test)]
mod tests;
mod validation;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use super::error::{Error, Result};
use super::id::validation_number;
use crate::hash::Sha256;
use crate::registry::DatasetEntry;

/// The largest image file that is read.
pub const MAX_IMAGE: u64 = 256 << 20;

/// What a layout says about an image's class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawLabel {
    /// A class index.
    Index(usize),
    /// Any of these class indices is right.
    Any(Vec<usize>),
    /// A synset, or the class's name.
    Name(String),
    /// Nothing.
    Unlabelled,
}

impl RawLabel {
    /// What a text says: a class index, a name, or nothing.
    fn of_text(text: &str) -> Self {
        match text.trim() {
            "" => RawLabel::Unlabelled,
            text => text.parse().map_or_else(|_| RawLabel::Name(text.to_owned()), RawLabel::Index),
        }
    }
}

/// An image in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path or member name: ids are made from its last part, and messages show it.
    pub path: String,
    /// What is said about its class.
    pub label: RawLabel,
}

/// The bytes of images, by their number in a listing.
pub trait Images: Send + Sync {
    /// One file's bytes.
    fn bytes(&self, index: usize) -> crate::Result<Vec<u8>>;

    /// One file's size in bytes.
    fn size(&self, index: usize) -> crate::Result<u64> {
        Ok(self.bytes(index)?.len() as u64)
    }

    /// Changes when an image does, as far as that can be seen without reading them all.
    fn fingerprint(&self) -> crate::Result<Sha256>;
}

/// What a layout holds.
pub struct Listing {
    /// How it was read, such as `folders by synset`.
    pub layout: &'static str,
    /// The folder or archive, for messages.
    pub place: String,
    /// Every image; its position is its number in `images`.
    pub found: Vec<Found>,
    /// Their bytes.
    pub images: Box<dyn Images>,
}

/// Reads what is at a path in whichever layout it is.
///
/// # Errors
/// [`Error::NoLayout`] where nothing fits; what the layout's own reader says.
pub fn list(place: &Path, entry: &DatasetEntry) -> Result<Listing> {
    let shown = place.display().to_string();
    if !crate::fs::metadata(place)?.is_dir() {
        return match extension(place).as_str() {
            "tar" => tar::list(&[place.to_owned()], shown, place.parent().unwrap_or(Path::new("."))),
            "parquet" => parquet::list(&[place.to_owned()], shown),
            "csv" => table::list(place),
            _ => Err(Error::NoLayout { place: shown, found: "a file of an unknown kind".into() }),
        };
    }
    let inside = crate::fs::list(place)?;
    // Class folders count first: archives beside them are what they were unpacked from.
    if inside.iter().any(|p| p.is_dir() && folder::is_class_folder(p)) {
        return folder::list(place, entry);
    }
    let of_kind = |folder: &[PathBuf], kind: &str| -> Vec<PathBuf> {
        folder.iter().filter(|p| extension(p) == kind && p.is_file()).cloned().collect()
    };
    // Hugging Face keeps the files of all splits in `data`.
    let data = place.join("data");
    let data = if data.is_dir() { crate::fs::list(&data)? } else { Vec::new() };
    for folder in [&inside, &data] {
        let tables = validation_split(of_kind(folder, "parquet"));
        if !tables.is_empty() {
            return parquet::list(&tables, shown);
        }
        let tars = validation_split(of_kind(folder, "tar"));
        if !tars.is_empty() {
            return tar::list(&tars, shown, place);
        }
    }
    let images: Vec<_> = inside.iter().filter(|p| is_image(p) && p.is_file()).cloned().collect();
    let name = |p: &PathBuf| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !images.is_empty() && images.iter().all(|p| validation_number(&name(p)).is_some()) {
        return flat::list(place, images);
    }
    match of_kind(&inside, "csv").as_slice() {
        [table] => table::list(table),
        [] => folder::list(place, entry),
        // Several tables, of which one is Kaggle's for the validation images.
        tables => match tables.iter().find(|t| name(t) == "LOC_val_solution.csv") {
            Some(table) => table::list(table),
            None => folder::list(place, entry),
        },
    }
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Of files that are named by split (`train-00000-of-00294.parquet`), those of the validation split.
fn validation_split(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let of_split = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        (name.contains("val"), name.contains("train") || name.contains("test"))
    };
    let split = files.iter().any(|f| of_split(f).0) && files.iter().any(|f| of_split(f).1);
    files.into_iter().filter(|f| !split || of_split(f).0).collect()
}

/// Single files as a listing.
pub fn files(
    layout: &'static str,
    place: String,
    paths: Vec<PathBuf>,
    label: impl Fn(&Path) -> RawLabel,
) -> Listing {
    let found = paths.iter().map(|p| Found { path: p.display().to_string(), label: label(p) }).collect();
    Listing { layout, place, found, images: Box::new(Files(paths)) }
}

/// Whether a file's name is that of an image: torchvision's list, so that none is dropped unseen.
pub fn is_image(path: &Path) -> bool {
    const KNOWN: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|e| KNOWN.contains(&e.as_str()))
}

struct Files(Vec<PathBuf>);

impl Images for Files {
    fn bytes(&self, index: usize) -> crate::Result<Vec<u8>> {
        let path = self.0.get(index).map_or(Path::new(""), PathBuf::as_path);
        Ok(crate::fs::read(path, MAX_IMAGE)?)
    }

    fn size(&self, index: usize) -> crate::Result<u64> {
        let path = self.0.get(index).map_or(Path::new(""), PathBuf::as_path);
        Ok(crate::fs::metadata(path)?.len())
    }

    fn fingerprint(&self) -> crate::Result<Sha256> {
        let mut hasher = Hasher::new();
        for path in &self.0 {
            stamp(&mut hasher, path)?;
        }
        Ok(Sha256::from_hasher(hasher))
    }
}

/// Takes a file's name, size and time of change into a fingerprint.
pub fn stamp(hasher: &mut Hasher, path: &Path) -> Result<()> {
    let seen = crate::fs::metadata(path)?;
    let since = seen.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let since = since.map_or(0, |d| d.as_nanos());
    let text = format!("{}\0{}\0{since}\n", path.display(), seen.len());
    hasher.update(text);
    Ok(())
}
