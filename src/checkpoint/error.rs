//! What can be wrong with a checkpoint, and where. Made by the readers; turned into exit codes at the
//! edge, where every malformed, hostile or unsupported file is class `BadInput`.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Class, Classify};

/// Where in a file something is: a member of an archive, a byte, a tensor; whatever of it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePosition {
    /// The archive member; none where the file is no archive.
    pub member: Option<String>,
    /// Byte of the member, or of the file.
    pub offset: Option<u64>,
    /// The tensor's name.
    pub tensor: Option<String>,
}

impl FilePosition {
    /// Nowhere in particular.
    pub fn whole() -> Self {
        FilePosition::default()
    }

    /// A byte of the file.
    pub fn byte(offset: u64) -> Self {
        FilePosition { offset: Some(offset), ..FilePosition::default() }
    }

    /// An archive's member.
    pub fn member(name: impl Into<String>) -> Self {
        FilePosition { member: Some(name.into()), ..FilePosition::default() }
    }

    /// A tensor.
    pub fn tensor(name: impl Into<String>) -> Self {
        FilePosition { tensor: Some(name.into()), ..FilePosition::default() }
    }

    /// The same place, known to be inside a member.
    pub fn within(mut self, member: &str) -> Self {
        self.member.get_or_insert_with(|| member.to_owned());
        self
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tensor) = &self.tensor {
            write!(f, ", tensor `{}`", shortened(tensor))?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        if let Some(member) = &self.member {
            write!(f, "{} `{}`", if self.offset.is_some() { " of" } else { ", member" }, shortened(member))?;
        }
        Ok(())
    }
}

/// At most 200 characters of a name that may be millions long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or("")),
        None => text.to_owned(),
    }
}

/// The ways in which bytes are not a checkpoint that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatErrorKind {
    /// It breaks its format's rules, or ends early.
    Malformed,
    /// Two readers could see two different things in it.
    Ambiguous,
    /// It asks for more memory or work than what it holds justifies.
    Excessive,
    /// It is understood, but nothing that can be converted: complex128, quantised, sparse …
    Unsupported,
    /// It is well formed, and holds no state dict, or several.
    NoTensors,
    /// What was read has a name that the output's format cannot hold.
    Name,
}

/// What a reader found, before the file's name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// Which way it is wrong.
    pub kind: FormatErrorKind,
    /// Where.
    pub place: FilePosition,
    /// What: expected and found.
    pub problem: String,
}

impl FormatError {
    /// Breaks the format's rules.
    pub fn malformed(place: FilePosition, problem: impl Into<String>) -> Self {
        FormatError { kind: FormatErrorKind::Malformed, place, problem: problem.into() }
    }

    /// Could be read in two ways.
    pub fn ambiguous(place: FilePosition, problem: impl Into<String>) -> Self {
        FormatError { kind: FormatErrorKind::Ambiguous, place, problem: problem.into() }
    }

    /// Asks for too much.
    pub fn excessive(place: FilePosition, problem: impl Into<String>) -> Self {
        FormatError { kind: FormatErrorKind::Excessive, place, problem: problem.into() }
    }

    /// Understood, but not convertible.
    pub fn unsupported(place: FilePosition, problem: impl Into<String>) -> Self {
        FormatError { kind: FormatErrorKind::Unsupported, place, problem: problem.into() }
    }

    /// Well formed, without a state dict.
    pub fn no_tensors(problem: impl Into<String>) -> Self {
        FormatError {
            kind: FormatErrorKind::NoTensors,
            place: FilePosition::whole(),
            problem: problem.into(),
        }
    }

    /// The same fault, known to be inside a member.
    pub(super) fn within(mut self, member: &str) -> Self {
        self.place = self.place.within(member);
        self
    }

    /// The same fault, of a tensor.
    pub(super) fn of_tensor(mut self, name: &str) -> Self {
        self.place.tensor.get_or_insert_with(|| name.to_owned());
        self
    }
}

/// What a reader failed of, before the file's name is put to it.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The file system said no.
    Io(std::io::Error),
    /// Broken, ambiguous, excessive or unsupported.
    Format(FormatError),
    /// Code is named: the first few imports.
    Code(String),
    /// Parts were not looked into: the first few.
    Unscanned(String),
    /// Something else, and what to do about it.
    NotACheckpoint(String, Option<String>),
    /// The chosen part is not there; what could have been.
    NoSuchKey { key: String, found: Vec<String> },
}

impl From<std::io::Error> for ReadError {
    fn from(e: std::io::Error) -> Self {
        ReadError::Io(e)
    }
}

impl From<FormatError> for ReadError {
    fn from(fault: FormatError) -> Self {
        ReadError::Format(fault)
    }
}

impl ReadError {
    /// The error, of this file.
    pub(super) fn at(self, path: &std::path::Path) -> Error {
        let path = path.to_owned();
        match self {
            ReadError::Io(source) => Error::File(crate::fs::Error { action: "read", path, source }),
            ReadError::Format(fault) => Error::Format { path, fault },
            ReadError::Code(imports) => Error::Code { path, imports },
            ReadError::Unscanned(parts) => Error::Unscanned { path, parts },
            ReadError::NotACheckpoint(what, hint) => Error::NotACheckpoint { path, what, hint },
            ReadError::NoSuchKey { key, found } => Error::NoSuchKey { path, key, found },
        }
    }
}

/// Reading, converting or comparing a checkpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// No checkpoint at all, but something that is recognised.
    #[error("`{}` is not a checkpoint: {what}", path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Broken, ambiguous, excessive or unsupported.
    #[error("`{}`{}: {}", path.display(), fault.place, fault.problem)]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        fault: FormatError,
    },
    /// Its pickle names code that zoo does not know to be inert.
    #[error("`{}` names code that loading it would run or import: {imports}", path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// The first few of the imports, each with its offset.
        imports: String,
    },
    /// It has parts that were not looked into, where code may be.
    #[error("`{}` has parts that were not looked into: {parts}", path.display())]
    Unscanned {
        /// The file.
        path: PathBuf,
        /// The first few of them, each with its place.
        parts: String,
    },
    /// The chosen part is not there.
    #[error("`{}` has no `{key}`; {}", path.display(), listed(found))]
    NoSuchKey {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        key: String,
        /// What could have been.
        found: Vec<String>,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::File(e) => e.class(),
            _ => Class::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::File(e) => e.hint(),
            Error::NotACheckpoint { hint, .. } => hint.clone(),
            Error::Code { .. } | Error::Unscanned { .. } => Some(
                "`zoo scan` lists every import and what was not looked into; `--allow-opaque` keeps the tensors and drops what they build; \
                 nothing of it is ever run"
                    .into(),
            ),
            Error::Format { fault, .. } if fault.kind == FormatErrorKind::Unsupported => {
                Some("`--allow-opaque` drops what cannot be written".into())
            }
            Error::Format { .. } | Error::NoSuchKey { .. } => None,
        }
    }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() {
        "nothing has a name there".to_owned()
    } else {
        format!("it has {}", found.join(", "))
    }
}

/// What this module's public functions return.
pub type Result<T> = std::result::Result<T, Error>;
