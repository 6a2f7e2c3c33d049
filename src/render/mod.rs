//! How results reach a sink: tables, JSON, and one escaping function a sink.

pub mod safe;
pub mod tree;
