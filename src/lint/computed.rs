//! What an architecture says about an entry: exact parameters and multiply-adds at the entry's size.
//!
//! In: an [`Entry`]. Out: [`Computed`], or nothing where zoo does not know the architecture. Called by the
//! rules and by `zoo list`.

use crate::nn::describe::describe;
use crate::registry::Entry;

/// Facts of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of convolutions and linear layers, for one image of the entry's size.
    pub macs: u64,
}

/// The facts of an entry's architecture with a thousand classes.
pub fn computed(entry: &Entry) -> Option<Computed> {
    let graph = crate::arch::build(entry.zoo.arch.as_deref()?, 1000).ok()?;
    let size = entry.image_size?;
    let described = describe(&graph, [1, 3, size.height, size.width]).ok()?;
    Some(Computed { params: described.params, macs: described.macs })
}

/// Only the multiply-adds.
pub fn macs(entry: &Entry) -> Option<u64> {
    computed(entry).map(|c| c.macs)
}
