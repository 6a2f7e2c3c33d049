//! A checkpoint's tensors as a network's weights: float32 views of the mapped file wherever they lie there
//! as such, converted copies elsewhere.
//!
//! In: an open [`Checkpoint`], its tensors already under the network's names. Out: [`Weights`]. Called by
//! `model`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use crate::nn::weights::{View, Weights};
use safetensors::Dtype as Safe;

use crate::checkpoint::{self, Checkpoint, Dtype};

/// A checkpoint that a network can be loaded from.
#[derive(Debug)]
pub struct Mapped {
    checkpoint: Checkpoint,
    by_name: HashMap<String, usize>,
}

impl Mapped {
    /// Opens a checkpoint and reads what says where its tensors are.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open(path: &Path) -> checkpoint::Result<Self> {
        Checkpoint::open(path).map(Self::new)
    }

    /// Takes an open checkpoint.
    pub fn new(checkpoint: Checkpoint) -> Self {
        let named = checkpoint.tensors().iter().enumerate().map(|(i, t)| (t.name.clone(), i));
        let by_name = named.collect();
        Mapped { checkpoint, by_name }
    }

    /// The checkpoint back.
    pub fn into_checkpoint(self) -> Checkpoint {
        self.checkpoint
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl Weights for Mapped {
    /// `None` for a name that is not there, a tensor that is no float, and one that cannot be read.
    fn get(&self, name: &str) -> Option<View<'_>> {
        let tensor = self.checkpoint.tensors().get(*self.by_name.get(name)?)?;
        let values = float32(self.checkpoint.bytes(tensor).ok()?, tensor.dtype)?;
        Some(View { shape: Cow::Borrowed(&tensor.shape), values })
    }

    fn release_pages(&self) {
        self.checkpoint.forget();
    }

    fn names(&self) -> Vec<(String, Vec<usize>)> {
        let mut names: Vec<_> =
            self.checkpoint.tensors().iter().map(|t| (t.name.clone(), t.shape.clone())).collect();
        names.sort();
        names
    }
}

/// Little-endian elements as float32; half precision is widened, double rounded once.
fn float32(bytes: Cow<'_, [u8]>, dtype: Dtype) -> Option<Cow<'_, [f32]>> {
    fn each<const N: usize>(bytes: &[u8], to: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|&e| to(e)).collect()
    }
    if let (Dtype::Safe(Safe::F32), Cow::Borrowed(bytes)) = (dtype, &bytes)
        && let (true, Ok(values)) = (cfg!(target_endian = "little"), bytemuck::try_cast_slice(bytes))
    {
        return Some(Cow::Borrowed(values));
    }
    Some(Cow::Owned(match dtype {
        Dtype::Safe(Safe::F32) => each(&bytes, f32::from_le_bytes),
        Dtype::Safe(Safe::F16) => each(&bytes, |e| half::f16::from_le_bytes(e).to_f32()),
        Dtype::Safe(Safe::BF16) => each(&bytes, |e| half::bf16::from_le_bytes(e).to_f32()),
        // The one rounding that loading a double checkpoint into a float network has in torch, too.
        #[allow(clippy::cast_possible_truncation)]
        Dtype::Safe(Safe::F64) => each(&bytes, |e| f64::from_le_bytes(e) as f32),
        _ => return None,
    }))
}
