//! Checkpoints: read, inspect, scan, convert, without ever running pickle code.
//!
//! ```text
//! source -> sniff -> reader (torch, numpy, safe) -> Checkpoint -> write, diff, rename
//!  bytes               pickle machine, archive        tensors as views of storages
//! ```
//!
//! [`Checkpoint::open`] reads only what says where tensors are: the pickles, an archive's directory, a
//! header. The elements stay in the file until [`Checkpoint::stream`] or [`Checkpoint::bytes`] asks.

mod archive;
mod diff;
mod digest;
mod dtype;
mod edit;
mod error;
mod format;
mod inflate;
mod map;
mod numpy;
mod open;
pub mod pickle;
mod read;
pub mod rename;
mod safe;
pub mod scan;
mod shards;
mod sniff;
mod source;
mod state_dict;
mod stats;
mod storages;
mod tarball;
mod tensor;
mod torch;
mod values;
pub mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use diff::{Diff, Difference, What, diff, diff_headers};
pub use digest::tensors_sha256;
pub use dtype::Dtype;
pub use error::{Error, FilePosition, FormatError, FormatErrorKind, Result};
pub use format::Format;
pub use open::Options;
pub use source::{LocalFile, Source};
pub use stats::Stats;
pub use tensor::{Storage, Tensor};

/// An open checkpoint.
pub struct Checkpoint {
    path: PathBuf,
    format: Format,
    sources: Vec<Box<dyn Source>>,
    tensors: Vec<Tensor>,
    storages: Vec<Storage>,
    details: Details,
    spill: inflate::Spill,
}

/// What a checkpoint says beside its tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// safetensors' `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The keys that lead to the state dict inside a training checkpoint, outermost first.
    pub unwrapped: Vec<String>,
    /// Averaged weights were taken, as timm takes them first: the key of the others.
    pub averaged_before: Option<String>,
    /// What every name began with, and was cut off.
    pub stripped: Option<String>,
    /// Tensors left out because no dense format holds them (only with [`Options::allow_opaque`]): name, kind.
    pub refused: Vec<(String, String)>,
    /// Values that hold tensors and were left out: keys, how many tensors.
    pub left_out_tensors: Vec<(String, u64)>,
    /// Values that are no tensors (epoch, optimizer …): name, shortened value.
    pub left_out: Vec<(String, String)>,
    /// Imports outside the known set that were let pass with [`Options::allow_opaque`].
    pub opaque: Vec<String>,
}

impl Checkpoint {
    /// Gives back the memory of what was read of mapped files; it is read again where it is asked for again.
    pub fn forget(&self) {
        for source in &self.sources {
            source.forget();
        }
    }

    /// Opens a checkpoint with the default options.
    ///
    /// # Errors
    /// A file that is missing, no checkpoint, malformed, ambiguous, or that names code.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &Options::default())
    }

    /// Opens a checkpoint.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; and a key that is not there.
    pub fn open_with(path: &Path, options: &Options) -> Result<Self> {
        open::path(path, options)
    }

    /// Opens a checkpoint that is no local file (the store reads URLs so). `name` is used in messages.
    ///
    /// # Errors
    /// As [`Checkpoint::open_with`].
    pub fn from_source(name: &Path, source: Box<dyn Source>, options: &Options) -> Result<Self> {
        open::source(name, source, options)
    }

    /// Whether its bytes are on another machine, and reading tensors would fetch them.
    pub fn is_remote(&self) -> bool {
        self.sources.iter().any(|source| source.is_remote())
    }

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format it turned out to be.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its tensors, in the file's own order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// A tensor by its name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|t| t.name == name)
    }

    /// What tensors are views of.
    pub fn storages(&self) -> &[Storage] {
        &self.storages
    }

    /// What it says beside its tensors.
    pub fn details(&self) -> &Details {
        &self.details
    }

    fn fault(&self, fault: FormatError) -> Error {
        Error::Format { path: self.path.clone(), fault }
    }

    fn unreadable(&self, source: std::io::Error) -> Error {
        Error::File(crate::fs::Error { action: "read", path: self.path.clone(), source })
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("path", &self.path)
            .field("format", &self.format)
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}
