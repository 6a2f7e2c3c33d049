//! What can be wrong with a registry: problems inside a file, each with its place, and questions that have
//! no answer. Made by the readers and by [`super::Registry`]; shown by the command line.

use std::fmt;

use crate::error::{Class, Classify};

/// One thing wrong in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as given.
    pub file: String,
    /// Counted from 1; 0 where it is not known.
    pub line: usize,
    /// In characters, counted from 1; 0 where it is not known.
    pub column: usize,
    /// Where in the document, such as `Models[0].Metadata.FLOPs`.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What is allowed there.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": ")?;
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

/// A registry that cannot be read, or a name it does not have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files with problems, every one of them.
    #[error("{}", Listed(.0))]
    Malformed(Vec<Problem>),
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
    /// Several entries are meant by one name.
    #[error("`{name}` could be any of: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Names that mean just one.
        candidates: Vec<String>,
    },
}

/// Problems, one a line.
struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [one] => one.fmt(f),
            many => {
                write!(f, "{} problems in the registry's files", many.len())?;
                many.iter().try_for_each(|p| write!(f, "\n{p}"))
            }
        }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::File(e) => e.class(),
            Error::Malformed(_) | Error::Unknown { .. } | Error::Ambiguous { .. } => Class::BadInput,
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
            Error::Ambiguous { .. } => Some("say which: COLLECTION/NAME".into()),
            Error::File(e) => e.hint(),
            Error::Malformed(_) => None,
        }
    }
}

/// What the registry returns.
pub type Result<T> = std::result::Result<T, Error>;
