//! Which tensors are written, in which order and type, and the header that says so. Called by the
//! safetensors writers.

use std::collections::{BTreeMap, HashMap, HashSet};

use safetensors::tensor::{Metadata, TensorInfo};

use super::{Narrow, Options, dedupe};
use crate::checkpoint::error::{FilePosition, FormatError, FormatErrorKind, Result};
use crate::checkpoint::tensor::Tensor;
use crate::checkpoint::values::Number;
use crate::checkpoint::{Checkpoint, safe};

/// The key of a header that no tensor can have.
const METADATA: &str = "__metadata__";

/// A tensor as it will be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned<'a> {
    pub(super) tensor: &'a Tensor,
    pub(super) dtype: safetensors::Dtype,
    /// Bytes in the output.
    pub(super) bytes: usize,
}

/// All of it.
pub(super) struct WriteLayout<'a> {
    /// In the order of the output: by falling alignment of their type, then by name.
    pub(super) tensors: Vec<Planned<'a>>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) removed: Vec<(String, String)>,
}

impl<'a> WriteLayout<'a> {
    /// # Errors
    /// A type that safetensors does not have.
    pub(super) fn of(checkpoint: &'a Checkpoint, options: &Options) -> Result<Self> {
        let removed = if options.dedupe { dedupe::removed(checkpoint) } else { Vec::new() };
        let gone: HashSet<&str> = removed.iter().map(|(name, _)| name.as_str()).collect();
        if checkpoint.tensors.is_empty() {
            return Err(
                checkpoint.fault(FormatError::no_tensors("holds no tensors: there is nothing to write"))
            );
        }
        let mut tensors = Vec::with_capacity(checkpoint.tensors.len());
        for tensor in checkpoint.tensors.iter().filter(|t| !gone.contains(t.name.as_str())) {
            if tensor.name == METADATA {
                let problem = "safetensors keeps this name for its own use: give it another with `--rename`";
                let place = FilePosition::tensor(&tensor.name);
                return Err(checkpoint.fault(FormatError {
                    kind: FormatErrorKind::Name,
                    place,
                    problem: problem.to_owned(),
                }));
            }
            let Some(own) = tensor.dtype.safetensors() else {
                let problem = format!("{} cannot be written as safetensors", tensor.dtype);
                return Err(
                    checkpoint.fault(FormatError::unsupported(FilePosition::tensor(&tensor.name), problem))
                );
            };
            let narrowed = options.narrow.filter(|_| Number::of(tensor.dtype).is_some_and(Narrow::takes));
            let (dtype, bytes) = match narrowed {
                Some(narrow) => (narrow.dtype(), tensor.elements() * 2),
                None => (own, tensor.nbytes()),
            };
            tensors.push(Planned { tensor, dtype, bytes });
        }
        tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.tensor.name.cmp(&b.tensor.name)));
        let mut metadata = options.metadata.clone();
        for (name, kept) in &removed {
            metadata.entry(name.clone()).or_insert_with(|| kept.clone());
        }
        Ok(WriteLayout { tensors, metadata, removed })
    }
}

/// The length prefix and the padded header of a file with these tensors, in this order. Metadata are
/// written sorted: the reference writes several in no particular order.
///
/// # Errors
/// What safetensors' own code refuses.
pub(super) fn header(
    checkpoint: &Checkpoint,
    tensors: &[Planned<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let refuse = |problem: String| checkpoint.fault(FormatError::malformed(FilePosition::whole(), problem));
    let mut at = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for planned in tensors {
        let end = at + planned.bytes;
        let shape = planned.tensor.shape.clone();
        let info = TensorInfo { dtype: planned.dtype, shape, data_offsets: (at, end) };
        infos.push((planned.tensor.name.clone(), info));
        at = end;
    }
    let none: Option<HashMap<String, String>> = None;
    let infos = Metadata::new(none, infos).map_err(|e| refuse(e.to_string()))?;
    let mut json = serde_json::to_string(&infos).map_err(|e| refuse(e.to_string()))?;
    if !metadata.is_empty() {
        let metadata = serde_json::to_string(metadata).map_err(|e| refuse(e.to_string()))?;
        let comma = if tensors.is_empty() { "" } else { "," };
        json.insert_str(1, &format!("\"{METADATA}\":{metadata}{comma}"));
    }
    let mut json = json.into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() as u64 > safe::MAX_HEADER_LEN {
        return Err(refuse(format!("a header of {} bytes, where safetensors allows 100 MB", json.len())));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok(bytes)
}
