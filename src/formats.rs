//! What zoo reads and writes: model-indexes and pages, checkpoints, images. The public crate `zoo` offers it all.
//!
//! The modules lie where the map of the public crate says; they are a crate of their own so that a change of what
//! stands above them does not build them again.

pub mod checkpoint;
pub mod fs;
pub mod image;
pub mod registry;

pub use zoo_common::{beside, error, hash};

pub use error::{Class, Classify, Error, Result};
pub use hash::Sha256;
