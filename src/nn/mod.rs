//! Networks: the [`graph`] vocabulary and its readers.
//!
//! `describe` says what a graph is (names, shapes, parameters, multiply-adds), `reference` runs it with
//! plain candle operations and nothing folded (the truth), `plan` runs it fast on the CPU, `cuda` on a card. An architecture file
//! knows none of them. Values come as [`weights::Weights`]: from a file, drawn from a seed (`seeded`), or a map; `load` says whether they fit.

#![deny(
    clippy::wildcard_enum_match_arm,
    reason = "the compiler names every reader that a new operation needs"
)]

mod arena;
pub mod cuda;
pub mod describe;
mod fold;
pub mod graph;
pub mod load;
mod lower;
pub mod plan;
pub mod reference;
pub mod seeded;
pub mod weights;

pub use zoo_kernels as kernels;
