//! Writes a checkpoint as safetensors, without running any of its pickle code.
//!
//! ```text
//! cargo run --release --example convert -- model.pth model.safetensors
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::path::Path;

use zoo::checkpoint::{Checkpoint, write};
use zoo::fs::AtomicFile;

/// Converts `from` into `to`, which must not exist yet; says how many tensors there are, and their digest.
///
/// # Errors
/// A file that is no checkpoint, or names code; an output that exists.
pub fn convert(from: &Path, to: &Path) -> zoo::Result<(usize, zoo::Sha256)> {
    let checkpoint = Checkpoint::open(from)?;
    // Until all is written and synced, `to` does not exist.
    let mut file = AtomicFile::create(to)?;
    write::safetensors(&checkpoint, to, write::Output::File(file.file()), &write::Options::default())?;
    file.commit(false)?;
    Ok((checkpoint.tensors().len(), checkpoint.tensors_sha256()?))
}

fn main() -> zoo::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else {
        return Err(zoo::Error::usage("convert IN OUT.safetensors"));
    };
    let (tensors, sha256) = convert(from.as_ref(), to.as_ref())?;
    println!("{tensors} tensors, tensors_sha256 {sha256}");
    Ok(())
}
