//! Digests of tensors: of each one's contiguous little-endian bytes, and `tensors_sha256` over all of them.
//! Called by `inspect --sha256`, the writer and the store.

use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256 as Hasher};

use super::Checkpoint;
use super::error::Result;
use super::tensor::Tensor;
use crate::hash::Sha256;

impl Checkpoint {
    /// The digest of one tensor's bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn tensor_sha256(&self, tensor: &Tensor) -> Result<Sha256> {
        let mut hasher = Hasher::new();
        self.stream(tensor, &mut |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        Ok(Sha256::from_hasher(hasher))
    }

    /// The digests of all tensors, in their order, computed on up to `threads` threads.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn tensor_digests(&self, threads: usize) -> Result<Vec<Sha256>> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Sha256)>> {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(tensor) = self.tensors.get(index) else { return Ok(done) };
                done.push((index, self.tensor_sha256(tensor)?));
            }
        };
        let mut digests: Vec<(usize, Sha256)> = if threads > 1 {
            let parts: Vec<_> = std::thread::scope(|scope| {
                let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                handles
                    .into_iter()
                    .map(|h| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                    .collect()
            });
            parts.into_iter().collect::<Result<Vec<_>>>()?.concat()
        } else {
            work()?
        };
        digests.sort_by_key(|&(index, _)| index);
        Ok(digests.into_iter().map(|(_, digest)| digest).collect())
    }

    /// The one digest of all tensors under the names that they have now, computed on every core.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn tensors_sha256(&self) -> Result<Sha256> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(tensors_sha256(self.tensors.iter().zip(self.tensor_digests(threads)?)))
    }
}

/// One digest for a set of tensors, whatever file format or order they are in: SHA-256 of the lines
/// `sha256-of-bytes SP dtype SP shape SP name LF`, sorted by the UTF-8 bytes of the name; the shape as
/// `[3,4]`, the name as a JSON string.
pub fn tensors_sha256<'a>(tensors: impl IntoIterator<Item = (&'a Tensor, Sha256)>) -> Sha256 {
    let mut digests = Digests::default();
    for (tensor, digest) in tensors {
        digests.add(&tensor.name, &tensor.dtype.to_string(), &tensor.shape, digest);
    }
    digests.finish()
}

/// The lines of [`tensors_sha256`], gathered one by one.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// Name and line.
    lines: Vec<(String, String)>,
}

impl Digests {
    pub(super) fn add(&mut self, name: &str, dtype: &str, shape: &[usize], digest: Sha256) {
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let line = format!("{digest} {dtype} [{shape}] {}\n", serde_json::Value::from(name));
        self.lines.push((name.to_owned(), line));
    }

    pub(super) fn finish(mut self) -> Sha256 {
        self.lines.sort();
        let mut hasher = Hasher::new();
        self.lines.iter().for_each(|(_, line)| hasher.update(line));
        Sha256::from_hasher(hasher)
    }
}
