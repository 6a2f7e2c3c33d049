//! How results reach a sink: tables, JSON, and one escaping function a sink.

pub mod entry;
pub mod safe;
pub mod table;
pub mod tree;
