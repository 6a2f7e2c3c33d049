//! What can be wrong with a dataset: not there, not what it says, or not for this model. Shown by the
//! command line; exit codes follow from the class.

use crate::error::{Class, Classify};

/// A dataset that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody said where it is, and it cannot be fetched.
    #[error(
        "where is `{name}`? no folder is known for it\n\n{how_to_get}\n\n\
        `zoo dataset add {name} DIR` remembers where it is; `--data-dir DIR` says it once\n\
        to try zoo without it: `--dataset sample` (20 labelled images, fetched by itself)"
    )]
    NotConfigured {
        /// The dataset.
        name: String,
        /// What a person has to do, from the registry.
        how_to_get: String,
    },
    /// There is no image.
    #[error("no images in `{place}` ({layout})")]
    Empty {
        /// The folder or archive.
        place: String,
        /// How it was read.
        layout: &'static str,
    },
    /// Nothing is known that looks like this.
    #[error("`{place}` is in no layout that zoo knows: {found}")]
    NoLayout {
        /// The folder or archive.
        place: String,
        /// What is there.
        found: String,
    },
    /// A label that names no class.
    #[error("`{path}`: {found} is not a class of {of}{}", listed("; near it: ", near))]
    UnknownClass {
        /// The image or folder.
        path: String,
        /// The label, as found.
        found: String,
        /// What it should be one of.
        of: String,
        /// Classes that are called nearly so.
        near: Vec<String>,
    },
    /// A label that names several classes.
    #[error("`{path}`: {found} names several classes{}", listed(": ", of))]
    AmbiguousClass {
        /// The image or folder.
        path: String,
        /// The label, as found.
        found: String,
        /// The classes.
        of: Vec<String>,
    },
    /// No image has a label.
    #[error("none of the {images} images in `{place}` has a label: {reason}")]
    NoLabels {
        /// The folder or archive.
        place: String,
        /// How many.
        images: usize,
        /// Why the first has none.
        reason: String,
    },
    /// One image that is not there: no reason to give up the others.
    #[error("`{path}` cannot be read: {reason}")]
    NoImage {
        /// The image.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Labels that cannot be read.
    #[error("labels in `{path}`, line {line}: found {found}, expected {expected}")]
    BadLabels {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// An archive or table that cannot be read.
    #[error("`{path}` cannot be read: {reason}")]
    BadArchive {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Two images of one id.
    #[error("two images have the id `{id}`: `{first}` and `{second}`")]
    Duplicate {
        /// The id.
        id: String,
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// More images were asked for than there are.
    #[error("a subset of {asked} images was asked for, and `{name}` has {there} here")]
    SubsetTooLarge {
        /// The dataset.
        name: String,
        /// `--subset`.
        asked: u64,
        /// Images found.
        there: u64,
    },
    /// An id of a subset file that is not there.
    #[error("`{id}` of the subset file is not in `{name}`")]
    NotInDataset {
        /// The dataset.
        name: String,
        /// The id.
        id: String,
    },
    /// Labels of another number of classes than the model has.
    #[error("`{name}` has {there} classes and the model has {expected}")]
    WrongClasses {
        /// The dataset.
        name: String,
        /// Classes of the dataset.
        there: usize,
        /// Classes of the model.
        expected: usize,
    },
    /// An image that the set of labels does not speak of.
    #[error("`{path}` has no ReaL label: they are known by the number in `ILSVRC2012_val_…`")]
    NoLabelSet {
        /// The image.
        path: String,
    },
    /// A file of a fetched set is not the registry's.
    #[error("`{path}` has SHA-256 {found}, and the registry says {expected}")]
    WrongFile {
        /// The file.
        path: String,
        /// The registry's.
        expected: crate::Sha256,
        /// The file's; none where it is missing.
        found: String,
    },
    /// The file of remembered folders is broken.
    #[error("`{path}` does not say where datasets are: {reason}")]
    BadPaths {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// Fetching failed.
    #[error(transparent)]
    Store(Box<crate::store::Error>),
}

impl Error {
    /// Whether it is about one image, which the others do not depend on: `--on-bad-image` says what becomes of it.
    pub fn is_of_one_image(&self) -> bool {
        match self {
            Error::NoImage { .. } => true,
            Error::File(error) => Error::is_absence(error),
            _ => false,
        }
    }

    /// Whether a file is not there for us, rather than a disk or network in trouble.
    pub(super) fn is_absence(error: &crate::fs::Error) -> bool {
        use std::io::ErrorKind;
        // A loop of links has a kind of its own only in later versions of Rust.
        const LOOP: i32 = 40;
        matches!(
            error.source.kind(),
            ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::IsADirectory
                | ErrorKind::NotADirectory
                | ErrorKind::InvalidData
        ) || error.source.raw_os_error() == Some(LOOP)
    }
}

/// Some names after a word, or nothing.
fn listed(before: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{before}{}", names.join(", ")) }
}

impl From<crate::store::Error> for Error {
    fn from(error: crate::store::Error) -> Self {
        Error::Store(Box::new(error))
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::File(e) => e.class(),
            Error::Store(e) => e.class(),
            _ => Class::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Error::File(e) => return e.hint(),
            Error::Store(e) => return e.hint(),
            Error::NoLayout { .. } => {
                "zoo reads one folder per class (named by synset, class index or class \
                name), the official tar, flat `ILSVRC2012_val_*.JPEG` with the devkit, parquet, WebDataset \
                tars, and a CSV of path,label"
                    .into()
            }
            Error::UnknownClass { .. } => {
                "labels are matched by synset (`n01440764`), by the class's name or names \
                (`tench, Tinca tinca`), or by class index (`0`)"
                    .into()
            }
            Error::AmbiguousClass { .. } => "name it by its synset".into(),
            Error::NoLabels { .. } => {
                "the labels of test sets are not published: take the validation split".into()
            }
            Error::NoImage { .. } => {
                "`--on-bad-image wrong` counts it as wrong, `--on-bad-image skip` leaves it out".into()
            }
            Error::Duplicate { .. } => "remove one of them, or name them apart".into(),
            Error::Empty { .. } => {
                "images are .jpg, .jpeg, .png and the like, in one folder per class".into()
            }
            _ => return None,
        })
    }
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;
