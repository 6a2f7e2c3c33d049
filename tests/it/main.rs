//! All integration tests, in one binary. Each module runs the real `zoo` or the public library.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod allocations;
mod arch;
mod bench;
mod cards;
mod checkpoints;
mod compat;
mod convert;
mod datasets;
mod eval_results;
mod examples;
mod features;
mod file_names;
mod foreign_pages;
mod forms;
mod fuzz;
mod fuzz_pages;
mod goldens;
mod hostile;
mod hostile_pages;
mod images;
mod layers;
mod lint;
mod lite0;
mod logits;
mod model_index;
mod names;
mod network;
mod operations;
mod plan;
mod predict;
mod promises;
mod readers;
mod registry;
mod scans;
mod schemas;
mod sidecar;
mod snapshots;
mod store;
mod support;
mod verify;
mod verify_refusals;
mod wheels;
mod yaml_documents;
