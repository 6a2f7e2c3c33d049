//! Networks: the [`graph`] vocabulary and its readers.
//!
//! `describe` says what a graph is (names, shapes, parameters, multiply-adds), `reference` runs it with
//! plain candle operations and nothing folded (the truth), `plan` runs it fast. An architecture file
//! knows none of them.

pub mod graph;
pub mod weights;
