//! What a folder or an archive holds: images, and what the layout says about their classes.
//!
//! In: a path and the dataset's entry. Out: a [`Listing`], which [`super::Dataset::new`] gives ids and
//! class indices. A new layout is a new file here and a line in [`list`].

mod folder;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use super::error::{Error, Result};
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
    let is_folder = crate::fs::metadata(place)?.is_dir();
    if is_folder {
        return folder::list(place, entry);
    }
    Err(Error::NoLayout { place: place.display().to_string(), found: "a file of an unknown kind".into() })
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
