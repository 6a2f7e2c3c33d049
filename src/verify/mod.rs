//! Verification: run a model over labelled images and judge its published claim.

pub mod stats;
