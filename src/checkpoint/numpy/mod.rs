//! What numpy writes: `.npy`, `.npz`, and arrays inside pickles.

pub(super) mod dtype;
pub(super) mod files;
mod literal;
pub(super) mod npy;
pub(super) mod pickled;
