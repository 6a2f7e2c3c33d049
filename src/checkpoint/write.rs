//! The safetensors writer. In: an open checkpoint. Out: the bytes that Python's
//! `safetensors.torch.save_file(contiguous clones, metadata={"format": "pt"})` would write, streamed.
//! Called by `zoo convert` and by the store.

use std::collections::HashMap;
use std::io::{self, Write};

use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256 as Hasher};

use super::Checkpoint;
use super::digest::tensors_sha256;
use super::error::{Error, Fault, Place, Result};
use super::tensor::Tensor;
use crate::hash::Sha256;

/// What to write beside the tensors, and what to compute on the way.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `__metadata__` of the header. More than one entry is written in no promised order.
    pub metadata: HashMap<String, String>,
    /// Compute the output's digest.
    pub sha256: bool,
    /// Compute every tensor's digest, and `tensors_sha256`.
    pub tensors_sha256: bool,
}

impl Default for Options {
    fn default() -> Self {
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        Options { metadata, sha256: true, tensors_sha256: true }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// The output's digest, if asked for.
    pub sha256: Option<Sha256>,
    /// The digest of the tensors, if asked for.
    pub tensors_sha256: Option<Sha256>,
}

/// The order in which tensors are written: by falling alignment of their type, then by name.
pub fn order(checkpoint: &Checkpoint) -> Result<Vec<(&Tensor, safetensors::Dtype)>> {
    let mut list = Vec::with_capacity(checkpoint.tensors.len());
    for tensor in &checkpoint.tensors {
        let Some(dtype) = tensor.dtype.safetensors() else {
            let problem = format!("{} cannot be written as safetensors", tensor.dtype);
            return Err(checkpoint.fault(Fault::unsupported(Place::tensor(&tensor.name), problem)));
        };
        list.push((tensor, dtype));
    }
    list.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.name.cmp(&b.name)));
    Ok(list)
}

/// The length prefix and the padded header of a file with these tensors, in this order.
///
/// # Errors
/// What safetensors' own code refuses.
pub fn header(
    checkpoint: &Checkpoint,
    order: &[(&Tensor, safetensors::Dtype)],
    metadata: &HashMap<String, String>,
) -> Result<Vec<u8>> {
    let refuse = |problem: String| checkpoint.fault(Fault::malformed(Place::whole(), problem));
    let mut at = 0;
    let mut infos = Vec::with_capacity(order.len());
    for (tensor, dtype) in order {
        let end = at + tensor.nbytes();
        infos.push((
            tensor.name.clone(),
            TensorInfo { dtype: *dtype, shape: tensor.shape.clone(), data_offsets: (at, end) },
        ));
        at = end;
    }
    let metadata = (!metadata.is_empty()).then(|| metadata.clone());
    let metadata = Metadata::new(metadata, infos).map_err(|e| refuse(e.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|e| refuse(e.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() as u64 > super::safe::LONGEST {
        return Err(refuse(format!("a header of {} bytes, where safetensors allows 100 MB", json.len())));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok(bytes)
}

/// Writes all tensors.
///
/// # Errors
/// A type that safetensors does not have; a storage that cannot be read; a write that fails (as an error of
/// `target`, which is only named).
pub fn safetensors(
    checkpoint: &Checkpoint,
    target: &std::path::Path,
    out: &mut dyn Write,
    options: &Options,
) -> Result<Written> {
    let order = order(checkpoint)?;
    let header = header(checkpoint, &order, &options.metadata)?;
    let mut out = Output { out, hasher: options.sha256.then(Hasher::new), bytes: 0, failed: None };
    let failed = |source: io::Error| {
        Error::File(crate::fs::Error { action: "write", path: target.to_owned(), source })
    };
    out.put(&header).map_err(failed)?;
    let mut digests = Vec::new();
    for (tensor, _) in &order {
        let mut hasher = options.tensors_sha256.then(Hasher::new);
        let result = checkpoint.stream(tensor, &mut |piece| {
            if let Some(hasher) = &mut hasher {
                hasher.update(piece);
            }
            out.put(piece)
        });
        if let Some(source) = out.failed.take() {
            return Err(failed(source));
        }
        result?;
        digests.extend(hasher.map(|h| (*tensor, Sha256::from_hasher(h))));
    }
    Ok(Written {
        bytes: out.bytes,
        sha256: out.hasher.map(Sha256::from_hasher),
        tensors_sha256: options.tensors_sha256.then(|| tensors_sha256(digests)),
    })
}

/// Counts, hashes and remembers whose fault a failure was.
struct Output<'a> {
    out: &'a mut dyn Write,
    hasher: Option<Hasher>,
    bytes: u64,
    failed: Option<io::Error>,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(e) = self.out.write_all(bytes) {
            let kind = e.kind();
            self.failed = Some(e);
            return Err(kind.into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
