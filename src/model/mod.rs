//! From a name to a network ready to run: entry or sidecar, checked weights, graph, engine, preprocessing.
//!
//! In: a [`ModelSpec`] (of a registry entry, of a `.safetensors` with its sidecar, or put together by the caller) and a
//! store. Out: a [`Model`], which `predict` and `verify` run. Weights are checked against the architecture both ways before
//! anything is computed.
//!
//! | file | what it does |
//! | --- | --- |
//! | `spec`, `labels`, `hub_folder` | what a model is, as data: of an entry, a sidecar, a folder as timm saves it |
//! | `load`, `mapped`, `names` | its weights: had, checked, named, bound to the graph |
//! | `engine`, `network` | what computes, as a candle module |
//! | `extract` | features of many pictures |
//! | `features` | what a network has before its classifier: levels, channels, reductions |
//! | `runner`, `pipeline` | batches of prepared images, what runs them, and the threads that do both |
//! | `predictor`, `predict` | pictures to logits, logits to guesses |
//! | `select` | which entries are meant where none is named |
//! | `bench` | how fast it is here |
//!
//! ```no_run
//! # use zoo_library as zoo;
//! use zoo::model::{EngineKind, Loader, ModelSpec, guesses};
//! let registry = zoo::registry::Registry::builtin()?;
//! let store = zoo::store::Store::open(zoo::store::Options::from_env())?;
//! let loader = Loader { store: &store, engine: EngineKind::default() };
//! let model = loader.load(&ModelSpec::of(registry.resolve("tf_efficientnet_b0_ns")?)?)?;
//! let logits = model.predictor()?.file(&std::fs::read("dog.jpg")?)?;
//! for guess in guesses(&logits, 5) {
//!     println!("{} {:.3}", model.labels().name(guess.index), guess.prob);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bench;
mod engine;
mod error;
mod extract;
mod features;
mod hub_folder;
mod labels;
mod load;
mod mapped;
mod names;
mod network;
mod pipeline;
mod predict;
mod predictor;
mod runner;
mod select;
mod spec;

use crate::registry::Entry;

pub use bench::{Bench, Latency, LayerTime};
pub use engine::{EngineInfo, EngineKind};
pub use error::Error;
pub(crate) use extract::finite;
pub use extract::{ExtractOptions, Extracted, Picture, extract};
pub use features::{FeatureInfo, FeatureLevel, feature_info};
pub use labels::{Label, Labels};
pub use load::{BoundWeights, Loader, Model, Prepared, Provenance, bind_weights};
pub use mapped::Mapped;
pub use names::{Renamed, name_as};
pub use network::Network;
pub use pipeline::{Job, Share, ThreadTime, run_images};
pub use predict::{Guess, guesses};
pub use predictor::Predictor;
pub use runner::{InputBuffer, Runner};
pub use select::{buildable, stored};
pub use spec::{ModelSpec, SIDECAR_SCHEMA, WeightsSource};

/// Multiply-adds of an entry's architecture at the entry's size, where zoo knows both.
pub fn macs(entry: &Entry) -> Option<u64> {
    let size = entry.image_size?;
    crate::arch::facts(entry.zoo.arch.as_deref()?, [size.height, size.width]).map(|f| f.macs)
}
