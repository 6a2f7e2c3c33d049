//! Several safetensors files and the index that says which tensor is in which, as Hugging Face's libraries
//! write and read them: `NAME-00001-of-00003.safetensors` and `NAME.safetensors.index.json`.

use std::path::{Path, PathBuf};

use super::layout::{self, Planned, WriteLayout};
use super::{Options, Output, Written, copy, named};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::error::Result;
use crate::fs::{self, AtomicFile};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharded {
    /// The index.
    pub index: PathBuf,
    /// The shards and what is in each, in order.
    pub shards: Vec<(PathBuf, Written)>,
}

/// Writes shards of at most `limit` bytes of tensors each; a tensor that is larger has one to itself. They
/// take their names once all are written, the index last.
///
/// # Errors
/// As [`super::safetensors`]; with `overwrite` false, a file that exists.
pub fn shards(
    checkpoint: &Checkpoint,
    target: &Path,
    limit: u64,
    overwrite: bool,
    options: &Options,
) -> Result<Sharded> {
    let plan = WriteLayout::of(checkpoint, options)?;
    let parts = split(&plan.tensors, limit);
    let mut waiting = Vec::with_capacity(parts.len());
    let mut map = std::collections::BTreeMap::new();
    for (number, tensors) in parts.iter().enumerate() {
        let path = shard(target, number + 1, parts.len());
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        map.extend(tensors.iter().map(|t| (t.tensor.name.as_str(), name.clone())));
        let mut file = AtomicFile::create(&path)?;
        let header = layout::header(checkpoint, tensors, &plan.metadata)?;
        let copier = copy::Copier::new(checkpoint, Output::File(file.file()), options);
        let mut written = copier.all(&header, tensors).map_err(|e| named(e, &path))?;
        if number == 0 {
            written.removed = plan.removed.clone();
        }
        waiting.push((path, file, written));
    }
    let total: u64 = plan.tensors.iter().map(|t| t.bytes as u64).sum();
    let text = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
    let index = with_added_extension(target, "index.json");
    let mut file = AtomicFile::create(&index)?;
    std::io::Write::write_all(file.file(), format!("{text:#}\n").as_bytes())
        .map_err(fs::at("write", &index))?;
    let mut shards = Vec::with_capacity(waiting.len());
    for (path, file, written) in waiting {
        file.commit(overwrite)?;
        shards.push((path, written));
    }
    file.commit(overwrite)?;
    Ok(Sharded { index, shards })
}

/// Consecutive tensors, as many as fit.
fn split<'a>(tensors: &[Planned<'a>], limit: u64) -> Vec<Vec<Planned<'a>>> {
    let mut parts: Vec<Vec<Planned<'a>>> = vec![Vec::new()];
    let mut filled = 0;
    for &planned in tensors {
        let bytes = planned.bytes as u64;
        if filled > 0 && filled + bytes > limit {
            parts.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(part) = parts.last_mut() {
            part.push(planned);
        }
    }
    parts
}

/// `a.safetensors` → `a-00001-of-00003.safetensors`.
fn shard(target: &Path, number: usize, of: usize) -> PathBuf {
    let stem = target.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    target.with_file_name(format!("{stem}-{number:05}-of-{of:05}.safetensors"))
}

fn with_added_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    PathBuf::from(name)
}
