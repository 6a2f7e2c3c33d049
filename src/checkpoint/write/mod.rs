//! Writers. In: an open checkpoint. Out: safetensors, byte for byte those of Python's
//! `safetensors.torch.save_file(contiguous clones, metadata={"format": "pt"})`, whole or in shards; or a
//! zip `.pth`. Called by `zoo convert` and by the store.
//!
//! | file | what it does |
//! | --- | --- |
//! | `layout` | which tensors, in which order and type, under which header |
//! | `copy` | a tensor's bytes into the output: inside the kernel, or through the hashes |
//! | `narrow` | float16 and bfloat16 |
//! | `dedupe` | which names of tied tensors to leave out |
//! | `shards` | several files and their index |
//! | `pth` | torch's zip format |

mod copy;
mod dedupe;
mod layout;
mod narrow;
mod pth;
mod shards;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

pub use narrow::Narrow;
pub use pth::pth;
pub use shards::{Sharded, shards};

use super::Checkpoint;
use super::error::{Error, Result};
use crate::hash::Sha256;

/// What to write, and what to compute on the way.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `__metadata__` of the header.
    pub metadata: BTreeMap<String, String>,
    /// Compute the output's digest.
    pub sha256: bool,
    /// Compute every tensor's digest, and `tensors_sha256`.
    pub tensors_sha256: bool,
    /// Write floating tensors in this type.
    pub narrow: Option<Narrow>,
    /// Write tied tensors once, as `save_model` does; the names left out go into the metadata.
    pub dedupe: bool,
}

impl Default for Options {
    fn default() -> Self {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        Options { metadata, sha256: true, tensors_sha256: true, narrow: None, dedupe: false }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// The output's digest, if asked for.
    pub sha256: Option<Sha256>,
    /// The digest of the tensors as written, if asked for.
    pub tensors_sha256: Option<Sha256>,
    /// Names left out, each with the name that holds the same bytes.
    pub removed: Vec<(String, String)>,
    /// Tensors with finite values that became infinite in the narrower type, and how many.
    pub overflowed: Vec<(String, u64)>,
}

/// Where output goes.
pub enum Output<'a> {
    /// A file: whole tensors are copied inside the kernel where nothing has to look at their bytes.
    File(&'a mut File),
    /// Anything else.
    Stream(&'a mut dyn Write),
}

/// Writes all tensors as safetensors into what will be `target`.
///
/// # Errors
/// A type that safetensors does not have; a storage that cannot be read or whose checksum is wrong; a write
/// that fails (as an error of `target`, which is only named).
pub fn safetensors(
    checkpoint: &Checkpoint,
    target: &Path,
    output: Output<'_>,
    options: &Options,
) -> Result<Written> {
    let plan = layout::WriteLayout::of(checkpoint, options)?;
    let header = layout::header(checkpoint, &plan.tensors, &plan.metadata)?;
    let copier = copy::Copier::new(checkpoint, output, options);
    let mut written = copier.all(&header, &plan.tensors).map_err(|e| named(e, target))?;
    written.removed = plan.removed;
    Ok(written)
}

/// Gives the output's errors the output's name.
fn named(error: copy::CopyError, target: &Path) -> Error {
    match error {
        copy::CopyError::Output(source) => {
            Error::File(crate::fs::Error { action: "write", path: target.to_owned(), source })
        }
        copy::CopyError::Input(error) => error,
    }
}
