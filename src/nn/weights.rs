//! Where a network's tensors come from: a map from state-dict name to float32 values.
//!
//! Implemented by the mapped safetensors of the cache, by seeded stand-ins and by plain maps; read by
//! `nn::reference` and `nn::plan`.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A tensor's shape and its values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct View<'a> {
    /// Dimensions.
    pub shape: Cow<'a, [usize]>,
    /// Row-major float32 values.
    pub values: Cow<'a, [f32]>,
}

/// A state dict with float values.
pub trait Weights: Send + Sync {
    /// The tensor of that name.
    fn get(&self, name: &str) -> Option<View<'_>>;

    /// Every name and shape, sorted by name.
    fn names(&self) -> Vec<(String, Vec<usize>)>;

    /// All values were copied that were asked for until now: memory that can be had again, such as a mapped
    /// file's, may be given back.
    fn release_pages(&self) {}

    /// Why a tensor that is there cannot be used, such as its type; `None` where it can.
    fn unusable(&self, _name: &str) -> Option<String> {
        None
    }
}

/// A state dict in memory.
pub type StateDict = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Weights for StateDict {
    fn get(&self, name: &str) -> Option<View<'_>> {
        let (shape, values) = BTreeMap::get(self, name)?;
        Some(View { shape: Cow::Borrowed(shape), values: Cow::Borrowed(values) })
    }

    fn names(&self) -> Vec<(String, Vec<usize>)> {
        self.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect()
    }
}
