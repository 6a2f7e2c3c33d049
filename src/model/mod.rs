//! From a name to a network ready to run: entry, checked weights, graph, engine, preprocessing.
//!
//! In: a registry entry and a store (or a weights file of the user's). Out: a [`Model`], which `predict`,
//! `features`, `bench` and `verify` run. Weights are checked against the architecture both ways before
//! anything is computed.
//!
//! ```no_run
//! use zoo::model::{EngineKind, Loader, guesses};
//! let registry = zoo::registry::Registry::builtin()?;
//! let store = zoo::store::Store::open(zoo::store::Options::from_env())?;
//! let loader = Loader { store: &store, engine: EngineKind::default(), weights: None };
//! let model = loader.load(registry.resolve("tf_efficientnet_b0_ns")?)?;
//! let logits = model.predictor()?.file(&std::fs::read("dog.jpg")?)?;
//! for guess in guesses(&logits, 5) {
//!     println!("{} {:.3}", model.label(guess.index).map_or("", |l| l.words), guess.prob);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bench;
mod engine;
mod error;
mod load;
mod mapped;
mod names;
mod predict;
mod predictor;

pub use bench::{Bench, Latency, LayerTime};
pub use engine::{Engine, EngineKind, Runner};
pub use error::Error;
pub use load::{Fit, Loader, Model, Prepared, Provenance, fit};
pub use names::{Renamed, name_as};
pub use predict::{Guess, guesses};
pub use predictor::Predictor;

/// Classes that an architecture is built with before its weights are seen.
pub const CLASSES: usize = 1000;
