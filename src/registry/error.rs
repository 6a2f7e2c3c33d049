//! What can be wrong with a registry: files that cannot be used, and questions that have no answer. Made by
//! [`super::Registry`]; shown by the command line.

use super::tree::Malformed;
use crate::error::{Class, Classify};

/// A registry that cannot be read, or a name it does not have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files with problems, every one of them.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The compiled registry in this binary is not what this version reads.
    #[error("the registry that this binary carries cannot be read: {0}")]
    Compiled(#[from] serde_json::Error),
    /// A file of datasets or corrections in this binary is not what this version reads.
    #[error("`{path}`, which this binary carries, cannot be read: {error}")]
    Embedded {
        /// The file, below `registry/`.
        path: String,
        /// What is wrong, and where.
        error: serde_yaml::Error,
    },
    /// The file could not be read at all.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// No entry is called that.
    #[error("no {what} is called `{name}`")]
    Unknown {
        /// `model`, `dataset` or `collection`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// The nearest names there are, nearest first.
        near: Vec<String>,
    },
    /// A collection, where one of its models was wanted.
    #[error("`{name}` is a collection, not a model")]
    Collection {
        /// What was asked for.
        name: String,
        /// The names of its models.
        models: Vec<String>,
    },
    /// A pattern of names that is none.
    #[error("{reason}")]
    Pattern {
        /// What is wrong with it.
        reason: String,
    },
    /// Several entries are meant by one name.
    #[error("`{name}` could be any of: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Names that mean just one.
        candidates: Vec<String>,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::File(e) => e.class(),
            Error::Pattern { .. } => Class::Usage,
            Error::Malformed(_)
            | Error::Compiled(_)
            | Error::Embedded { .. }
            | Error::Unknown { .. }
            | Error::Collection { .. }
            | Error::Ambiguous { .. } => Class::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Unknown { what, near, .. } if near.is_empty() => Some(match *what {
                "dataset" => "`zoo dataset list` prints the names".into(),
                _ => "`zoo list` prints the names".into(),
            }),
            Error::Unknown { near, .. } => {
                let near: Vec<_> = near.iter().map(|n| format!("`{n}`")).collect();
                Some(format!("did you mean {}?", near.join(" or ")))
            }
            Error::Collection { models, .. } => {
                const MAX_SHOWN: usize = 12;
                let names: Vec<_> = models.iter().take(MAX_SHOWN).map(|n| format!("`{n}`")).collect();
                let more = if models.len() > MAX_SHOWN { " and others" } else { "" };
                Some(format!("its models are {}{more}", names.join(", ")))
            }
            Error::Ambiguous { .. } => Some("say which, by one of these names".into()),
            Error::File(e) => e.hint(),
            Error::Malformed(_) | Error::Compiled(_) | Error::Embedded { .. } | Error::Pattern { .. } => None,
        }
    }
}

/// What the registry returns.
pub type Result<T> = std::result::Result<T, Error>;
