//! What zoo does with what it has read: stores files, builds networks, runs and verifies them, and renders what came
//! out. The public crate `zoo` offers it all.
//!
//! The modules lie where the map of the public crate says; they are a crate of their own so that a change of a verb
//! does not build them again.

pub mod arch;
pub mod dataset;
pub mod finetune;
pub mod lint;
pub mod model;
pub mod render;
pub mod store;
pub mod verify;

pub use zoo_formats::{beside, error, hash};
pub use zoo_formats::{checkpoint, fs, image, registry};
pub use zoo_nn as nn;

pub use error::{Class, Classify, Error, Result};
pub use hash::Sha256;
