//! The typed registry: what pages claim about models.
//!
//! In: `registry/models/*.yaml` (embedded) and the user's own pages. Out: [`Entry`] values that the
//! store, the model loader, the linter and the renderers read.

mod entry;

pub use entry::{
    Accuracy, Claim, CropMode, Entry, ImageSize, Interpolation, Metric, ModelResult, Source, ZooFacts,
};
