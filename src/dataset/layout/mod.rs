//! What a folder or an archive holds: images, and what the layout says about their classes.
//!
//! In: a path and the dataset's entry. Out: a [`Listing`], which [`super::Dataset::new`] gives ids and
//! class indices. A new layout is a new file here and a line in [`list`].
//!
//! | file | what it reads |
//! | --- | --- |
//! | `folder` | one folder a class |
//! | `flat` | validation images side by side, with `truth`: the devkit's labels (`matlab` reads its `meta.mat`) |
//! | `table` | CSV, `metadata.jsonl` and lists, beside their images |
//! | `tar`, `archive` | the official tar, WebDataset shards, packed class folders |
//! | `parquet` | Hugging Face's tables; `features` is what they say their numbers stand for |
//! | `files` | images that are files of their own |
//! | `names` | what names of files, splits, shards and columns say: one rule for all of these |

mod archive;
mod features;
pub(super) mod files;
mod flat;
mod folder;
mod matlab;
mod names;
mod parquet;
mod table;
mod tar;
#[cfg(test)]
mod tests;
mod truth;

use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::label::{RawLabel, validation_number};
use crate::hash::Sha256;
use crate::registry::{DatasetEntry, LabelRule};
pub(crate) use names::is_system;
use names::{Split, extension, is_image, name_of};
use truth::Truth;

/// The largest image file that is read.
pub const MAX_IMAGE: u64 = 256 << 20;

/// Folders within folders that are gone into to find where a dataset lies.
const MAX_DEPTH: usize = 6;

/// Folders that hold a dataset's files and say nothing of themselves, in the order they are looked into.
const CONTAINERS: [&str; 6] = ["data", "default", "images", "ILSVRC", "Data", "CLS-LOC"];

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
    fn bytes(&self, index: usize) -> Result<Vec<u8>>;

    /// One file's size in bytes.
    fn size(&self, index: usize) -> Result<u64> {
        Ok(self.bytes(index)?.len() as u64)
    }

    /// Changes when an image does, as far as that can be seen without reading them all.
    fn fingerprint(&self) -> Result<Sha256>;
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
    /// What a user should know: what is missing, what was left out and why.
    pub notes: Vec<String>,
}

impl Listing {
    fn new(layout: &'static str, place: String, found: Vec<Found>, images: impl Images + 'static) -> Self {
        Listing { layout, place, found, images: Box::new(images), notes: Vec::new() }
    }
}

/// Reads what is at a path in whichever layout it is.
///
/// # Errors
/// [`Error::NoLayout`] where nothing fits; what the layout's own reader says.
pub fn list(place: &Path, entry: &DatasetEntry) -> Result<Listing> {
    let shown = place.display().to_string();
    if crate::fs::metadata(place)?.is_dir() {
        let nothing = || Error::Empty { place: shown, layout: "one folder a class" };
        return in_folder(place, place, entry, 0)?.ok_or_else(nothing);
    }
    let folder = place.parent().unwrap_or(Path::new("."));
    match extension(place).as_str() {
        "parquet" => parquet::list(&[place.to_owned()], shown, folder),
        "csv" | "tsv" | "jsonl" | "txt" => table::Table::read(place, folder)?.list(folder),
        _ if is_tar(place) => tar::list(&[place.to_owned()], shown, folder),
        "arrow" => Err(Error::NoLayout {
            place: shown,
            found: "an Arrow file, as `save_to_disk` writes them: write it with `to_parquet`".into(),
        }),
        _ => Err(Error::NoLayout { place: shown, found: "a file of an unknown kind".into() }),
    }
}

/// Whether a file is a tar by its name, packed or not.
fn is_tar(path: &Path) -> bool {
    let name = name_of(path).to_ascii_lowercase();
    [".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"]
        .iter()
        .any(|e| name.ends_with(e))
}

/// Looks for each layout in a folder, then in those inside that may hold the validation images. `top` is the folder
/// that was given.
fn in_folder(folder: &Path, top: &Path, entry: &DatasetEntry, depth: usize) -> Result<Option<Listing>> {
    let inside = folder::visible(folder)?;
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = inside.into_iter().partition(|p| p.is_dir());
    let shown = || folder.display().to_string();
    // Class folders count first: archives beside them are what they were unpacked from.
    if folders.iter().any(|f| folder::is_class_name(&name_of(f))) {
        return folder::list(folder, &folders).map(Some);
    }
    let of_kind =
        |is: &dyn Fn(&Path) -> bool| names::of_one_split(files.iter().filter(|p| is(p)).cloned().collect());
    let with_shards = |mut listing: Listing, files: &[PathBuf]| {
        let missing = names::missing_shards(files);
        if let Some(first) = missing.first() {
            let (n, of) = (missing.len(), missing.len() + files.len());
            listing.notes.push(format!(
                "`{first}` is missing in `{}` ({n} of {of} shards are): its images are left out",
                folder.display()
            ));
        }
        listing
    };
    let tables = of_kind(&|p| extension(p) == "parquet");
    if !tables.is_empty() {
        return parquet::list(&tables, shown(), top).map(|listing| Some(with_shards(listing, &tables)));
    }
    let tars = |packed: bool| {
        let tars = of_kind(&|p| is_tar(p) && !truth::is_devkit(p) && (extension(p) != "tar") == packed);
        let list = || tar::list(&tars, shown(), top).map(|listing| Some(with_shards(listing, &tars)));
        if tars.is_empty() { Ok(None) } else { list() }
    };
    if let Some(listing) = tars(false)? {
        return Ok(Some(listing));
    }
    let images: Vec<PathBuf> = files.iter().filter(|p| is_image(p)).cloned().collect();
    let mut unlabelled = None;
    if !images.is_empty() && images.iter().all(|p| validation_number(&name_of(p)).is_some()) {
        match Truth::near(folder, top)? {
            Some(truth) => return flat::list(folder, images, &truth).map(Some),
            None => unlabelled = Some(Truth::missing(&shown())),
        }
    }
    // Class folders of the validation split count before tables too, which may be of all splits.
    for inner in folders.iter().filter(|f| Split::of_folder(&name_of(f)) == Some(Split::Validation)) {
        if depth < MAX_DEPTH && has_class_folders(inner)? {
            return in_folder(inner, top, entry, depth + 1);
        }
    }
    let mut misses = None;
    if let Some(path) = table_near(folder, top, &files, !images.is_empty())? {
        match table::Table::read(&path, top)?.list(folder) {
            Ok(listing) => return Ok(Some(listing)),
            // It is of other images: there may be another layout.
            Err(error @ Error::BadLabels { .. }) => misses = Some(error),
            Err(error) => return Err(error),
        }
    }
    if !images.is_empty() && entry.labels == LabelRule::NumberInFileName {
        let label = |path: PathBuf| {
            let number = LabelRule::number(&name_of(&path));
            let none = || RawLabel::Missing("its name ends in no number".into());
            (path, number.map_or_else(none, RawLabel::Index))
        };
        let images = images.into_iter().map(label).collect();
        return Ok(Some(files::listing("class index in the file name", shown(), images)));
    }
    if depth < MAX_DEPTH {
        for inner in leading_inside(&folders)? {
            if let Some(listing) = in_folder(inner, top, entry, depth + 1)? {
                return Ok(Some(listing));
            }
        }
    }
    if let Some(listing) = tars(true)? {
        return Ok(Some(listing));
    }
    if let Some(error) = unlabelled.or(misses) {
        return Err(error);
    }
    if depth == 0 && folders.is_empty() && !images.is_empty() {
        let found = format!("{} images side by side, and nothing that tells their classes", images.len());
        return Err(Error::NoLayout { place: shown(), found });
    }
    let named = folder::list(folder, &folders);
    match named {
        Ok(listing) if !listing.found.is_empty() => Ok(Some(listing)),
        _ if depth > 0 => Ok(None),
        named => named.map(Some),
    }
}

/// The table of a folder; for images side by side also of those above, up to the one above `top`.
fn table_near(folder: &Path, top: &Path, files: &[PathBuf], has_images: bool) -> Result<Option<PathBuf>> {
    if let Some(path) = table::of_folder(files) {
        return Ok(Some(path.clone()));
    }
    for above in folder.ancestors().skip(1).take_while(|above| has_images && Some(*above) != top.parent()) {
        if let Some(path) = table::of_folder(&folder::visible(above)?) {
            return Ok(Some(path.clone()));
        }
    }
    match top.parent().filter(|above| has_images && above.is_dir()) {
        Some(above) => Ok(table::of_folder(&folder::visible(above)?).cloned()),
        None => Ok(None),
    }
}

/// Whether a folder is one of class folders, whatever these are called.
fn has_class_folders(folder: &Path) -> Result<bool> {
    let inside = folder::visible(folder)?;
    let names: Vec<String> = inside.iter().filter(|p| p.is_dir()).map(|p| name_of(p)).collect();
    let plain = |name: &String| Split::of_folder(name).is_none() && !CONTAINERS.contains(&name.as_str());
    Ok(!names.is_empty() && names.iter().all(plain))
}

/// The folders inside that may hold the validation images, in the order to look: of that split, of the test split,
/// containers; else the only one that looks like a dataset's.
fn leading_inside(folders: &[PathBuf]) -> Result<Vec<&PathBuf>> {
    let of_split = |split| folders.iter().filter(move |f| Split::of_folder(&name_of(f)) == Some(split));
    let mut leading: Vec<&PathBuf> = of_split(Split::Validation).collect();
    leading.extend(of_split(Split::Test));
    leading.extend(CONTAINERS.iter().flat_map(|name| folders.iter().filter(move |f| name_of(f) == *name)));
    if leading.is_empty() {
        let mut telling = Vec::new();
        for folder in folders.iter().filter(|f| Split::of_folder(&name_of(f)) != Some(Split::Train)) {
            if folder::visible(folder)?.iter().any(|inside| tells_of_dataset(inside)) {
                telling.push(folder);
            }
        }
        if let [only] = *telling {
            leading.push(only);
        }
    }
    Ok(leading)
}

/// Whether what is inside a folder shows that it is no class's folder: class folders, splits, tables or archives.
fn tells_of_dataset(inside: &Path) -> bool {
    let name = name_of(inside);
    if inside.is_dir() {
        folder::is_class_name(&name)
            || Split::of_folder(&name).is_some()
            || CONTAINERS.contains(&name.as_str())
    } else {
        extension(inside) == "parquet" || is_tar(inside)
    }
}
