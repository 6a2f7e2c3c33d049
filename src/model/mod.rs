//! From a name to a network ready to run: entry, checked weights, graph, engine, preprocessing.
//!
//! In: a registry entry and a store (or a weights file of the user's). Out: a [`Model`], which `predict`,
//! `features`, `bench` and `verify` run. Weights are checked against the architecture both ways before
//! anything is computed.

mod engine;
mod error;
mod load;
mod names;
mod predict;

pub use engine::{Engine, EngineKind, Runner};
pub use error::Error;
pub use load::{Loader, Model, Prepared, Provenance};
pub use names::{Renamed, name_as};
pub use predict::{Guess, Prediction, guesses};
