//! Why an image could not be used. Returned by [`super::decode`], [`super::open`] and [`super::Preprocess`];
//! read by predict and verify, which add the image's name with [`Error::of`].

use crate::error::{Class, Classify};

/// An image that cannot be read, or cannot be prepared for a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Any of the others, in an image whose name is known.
    #[error("image `{name}`: {source}")]
    In {
        /// Path or id.
        name: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The file could not be read at all.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// A file of no bytes.
    #[error("the file is empty")]
    Empty,
    /// The first bytes are those of no format that zoo reads.
    #[error("not an image that zoo reads: it begins with `{head}`")]
    UnknownFormat {
        /// The first bytes, in hex.
        head: String,
    },
    /// A format that others read.
    #[error("zoo does not read {format}")]
    ForeignFormat {
        /// Such as `AVIF`.
        format: &'static str,
    },
    /// A kind of a format whose pixels zoo could not promise to be Pillow's.
    #[error("{format} with {what} is not supported")]
    Unsupported {
        /// Such as `PNG`.
        format: &'static str,
        /// Such as `12-bit samples`.
        what: String,
    },
    /// The data ends before the last row: Pillow refuses it too (`LOAD_TRUNCATED_IMAGES` is off there).
    #[error("{format} data is truncated: it ends {place}")]
    Truncated {
        /// Such as `JPEG`.
        format: &'static str,
        /// Such as `before row 17 of 375`.
        place: String,
    },
    /// The data breaks the format's rules.
    #[error("broken {format} data: {message}")]
    Corrupt {
        /// Such as `JPEG`.
        format: &'static str,
        /// The decoder's own words.
        message: String,
    },
    /// More than [`super::MAX_PIXELS`] pixels, or a side longer than [`super::MAX_SIDE`]: refused before
    /// anything is allocated.
    #[error(
        "{width}×{height} pixels are too many: at most {} and {} a side are read",
        super::MAX_PIXELS,
        super::MAX_SIDE
    )]
    TooLarge {
        /// Pixels.
        width: u64,
        /// Pixels.
        height: u64,
    },
    /// timm's arithmetic gives a side of no pixels, as it does for extreme aspect ratios.
    #[error("{width}×{height} pixels would be resized to {to_width}×{to_height}")]
    Vanishes {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// Pixels.
        to_width: usize,
        /// Pixels.
        to_height: usize,
    },
    /// The caller's buffer does not fit the model's input.
    #[error("a buffer of {found} floats for an image of {expected}")]
    Buffer {
        /// Floats.
        expected: usize,
        /// Floats.
        found: usize,
    },
    /// The entry does not say how images are prepared.
    #[error("model `{model}` ({origin}) does not say its `{key}`")]
    NotSaid {
        /// The entry's name.
        model: String,
        /// The file that the entry is from.
        origin: String,
        /// The key that is missing.
        key: &'static str,
    },
    /// The entry says something that no image can be prepared with.
    #[error("model `{model}` ({origin}): `{key}` is {found}, expected {expected}")]
    OutOfRange {
        /// The entry's name.
        model: String,
        /// The file that the entry is from.
        origin: String,
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
}

impl Error {
    /// The same error, saying which image it is about.
    pub fn of(self, name: impl Into<String>) -> Self {
        match self {
            named @ (Error::In { .. } | Error::File(_)) => named,
            source => Error::In { name: name.into(), source: Box::new(source) },
        }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::File(e) => e.class(),
            Error::In { source, .. } => source.class(),
            _ => Class::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::File(e) => e.hint(),
            Error::In { source, .. } => source.hint(),
            Error::UnknownFormat { .. } => {
                Some("zoo reads JPEG, PNG, BMP, GIF, WebP, TIFF, PPM, PGM and PBM".into())
            }
            Error::Unsupported { .. } | Error::ForeignFormat { .. } => {
                Some("save it as PNG with 8 bits a channel".into())
            }
            Error::NotSaid { .. } => Some("add it to the entry's `zoo:` section or its `Metadata`".into()),
            _ => None,
        }
    }
}
