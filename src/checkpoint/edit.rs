//! Changes to an open checkpoint before it is loaded or written: names, shapes, rows, values.
//!
//! In: names of tensors. Out: the same checkpoint, its tensors other views of their storages; only
//! [`Checkpoint::take_magnitudes`] makes new values, in memory. Called by `model` for files whose names or layout
//! differ from the network's, and by `zoo convert`.

use safetensors::Dtype as Safe;

use super::tensor::{At, Storage, contiguous_strides};
use super::{Checkpoint, Dtype, FilePosition, FormatError, Result};

impl Checkpoint {
    /// Gives every tensor another name: pairs of old and new, each old name once.
    ///
    /// # Errors
    /// Two tensors that would have one name.
    pub fn rename(&mut self, pairs: &[(String, String)]) -> Result<()> {
        let new: std::collections::HashMap<&str, &str> =
            pairs.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
        let mut seen = std::collections::HashSet::new();
        let names: Vec<String> = self
            .tensors
            .iter()
            .map(|t| new.get(t.name.as_str()).map_or_else(|| t.name.clone(), |n| (*n).to_owned()))
            .collect();
        for (tensor, name) in self.tensors.iter().zip(&names) {
            if !seen.insert(name.as_str()) {
                let place = FilePosition::tensor(&tensor.name);
                let fault = FormatError::ambiguous(
                    place,
                    format!("would be renamed to `{name}`, which another tensor is"),
                );
                return Err(self.fault(fault));
            }
        }
        self.tensors.iter_mut().zip(names).for_each(|(tensor, name)| tensor.name = name);
        Ok(())
    }

    /// Leaves out tensors by their names.
    pub fn remove(&mut self, names: &std::collections::HashSet<&str>) {
        self.tensors.retain(|t| !names.contains(t.name.as_str()));
    }

    /// Gives a tensor another shape that differs from its own in dimensions of one at the end only, as a linear
    /// layer's `[1280, 960]` and a 1×1 convolution's `[1280, 960, 1, 1]` do. Whether it did.
    pub fn pad_shape(&mut self, name: &str, shape: &[usize]) -> bool {
        let trimmed = |shape: &[usize]| {
            let end = shape.iter().rposition(|&d| d != 1).map_or(0, |at| at + 1);
            shape.get(..end).unwrap_or_default().to_vec()
        };
        let Some(tensor) = self.tensors.iter_mut().find(|t| t.name == name) else { return false };
        // Packed types count their last dimension in halves.
        if tensor.shape == shape || trimmed(&tensor.shape) != trimmed(shape) || tensor.dtype.bits() < 8 {
            return false;
        }
        tensor.strides.truncate(shape.len());
        tensor.strides.resize(shape.len(), 1);
        tensor.shape = shape.to_vec();
        true
    }

    /// Reorders a tensor's dimensions, as `torch.Tensor.permute` does: the `i`th of the result is `order[i]` of the
    /// file's. Only shape and strides change. Whether it did: not where the order is none of the tensor's dimensions.
    pub fn permute(&mut self, name: &str, order: &[usize]) -> bool {
        let Some(tensor) = self.tensors.iter_mut().find(|t| t.name == name) else { return false };
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        // Packed types count their last dimension in halves.
        if !sorted.iter().copied().eq(0..tensor.shape.len()) || tensor.dtype.bits() < 8 {
            return false;
        }
        let permuted = |of: &[usize]| order.iter().filter_map(|&i| of.get(i).copied()).collect::<Vec<_>>();
        (tensor.shape, tensor.strides) = (permuted(&tensor.shape), permuted(&tensor.strides));
        true
    }

    /// Leaves out the first `rows` rows of a tensor: only shape and offset change. Whether it did: not where there are no
    /// more than so many.
    pub fn skip_rows(&mut self, name: &str, rows: usize) -> bool {
        let Some(tensor) = self.tensors.iter_mut().find(|t| t.name == name) else { return false };
        let (Some(first), Some(stride)) = (tensor.shape.first_mut(), tensor.strides.first()) else {
            return false;
        };
        // Of types packed two to a byte the only dimension is counted in halves.
        if *first <= rows || tensor.dtype.bits() < 8 {
            return false;
        }
        *first -= rows;
        tensor.offset += rows * stride;
        true
    }

    /// Makes a tensor's values their magnitudes plus a constant, rounded as torch rounds `v.abs().add(plus)`. Whether it
    /// did: only of a floating tensor of that shape.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub fn take_magnitudes(&mut self, name: &str, shape: &[usize], plus: f64) -> Result<bool> {
        let Some(tensor) = self.tensors.iter().find(|t| t.name == name && t.shape == shape) else {
            return Ok(false);
        };
        let bytes = self.bytes(tensor)?;
        // torch adds in float32 to what is narrower, and rounds again.
        #[allow(clippy::cast_possible_truncation, reason = "the constant as float32")]
        let single = |v: f32| v.abs() + plus as f32;
        fn each<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> [u8; N]) -> Vec<u8> {
            bytes.as_chunks().0.iter().flat_map(|&e| of(e)).collect()
        }
        let values = match tensor.dtype {
            Dtype::Safe(Safe::F64) => each(&bytes, |e| (f64::from_le_bytes(e).abs() + plus).to_le_bytes()),
            Dtype::Safe(Safe::F32) => each(&bytes, |e| single(f32::from_le_bytes(e)).to_le_bytes()),
            Dtype::Safe(Safe::F16) => each(&bytes, |e| {
                half::f16::from_f32(single(half::f16::from_le_bytes(e).to_f32())).to_le_bytes()
            }),
            Dtype::Safe(Safe::BF16) => each(&bytes, |e| {
                half::bf16::from_f32(single(half::bf16::from_le_bytes(e).to_f32())).to_le_bytes()
            }),
            _ => return Ok(false),
        };
        let storage = self.storages.len();
        let len = values.len() as u64;
        self.storages.push(Storage { len, swap: None, crc: None, at: At::Memory(values.into()) });
        if let Some(tensor) = self.tensors.iter_mut().find(|t| t.name == name) {
            tensor.strides = contiguous_strides(&tensor.shape);
            (tensor.storage, tensor.offset, tensor.conj, tensor.neg) = (storage, 0, false, false);
        }
        Ok(true)
    }
}
