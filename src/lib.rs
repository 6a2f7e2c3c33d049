//! zoo: a checked registry of pretrained vision models.
//!
//! A number on a model page is a claim; zoo turns it into a checked fact. Data flows one way:
//!
//! ```text
//! registry -> store -> checkpoint -> arch -> nn -> verify -> render
//!  claims     files     tensors     graph   runs   ^         tables, JSON, cards, pages
//!                              dataset -> image ---+  (decode, resize, crop, normalise)
//! ```
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`registry`] | the typed model-index: entries, collections, queries |
//! | [`store`] | where files are: sources, hashes, the cache |
//! | [`checkpoint`] | `.pth`, `.npz`, `.safetensors`: read, inspect, scan, convert |
//! | [`arch`] | one file per timm model file: config table, blocks, graph |
//! | [`nn`] | the graph and its readers |
//! | [`image`] | decode, Pillow-exact resize, crop, normalise |
//! | [`dataset`] | labelled images: layouts, ids, subsets |
//! | [`model`] | name to ready network with its preprocessing |
//! | [`lint`] | rules over the registry |
//! | [`finetune`] | a new classifier on a frozen network |
//! | [`verify`] | run, statistics, verdict |
//! | [`render`] | tables, JSON, escaping |
//! | [`cli`] | one file a verb: parse, call the library, print |

pub mod cli;

pub use zoo_library::{arch, dataset, finetune, lint, model, render, store, verify};
pub use zoo_library::{checkpoint, error, fs, hash, image, nn, registry};

pub use error::{Class, Classify, Error, Result};
pub use hash::Sha256;
pub use model::Network;
