//! What an architecture says about an entry: exact parameters and multiply-adds at the entry's size.
//!
//! In: an [`Entry`], or an architecture's name and a size. Out: [`Computed`], or nothing where zoo does not
//! know the architecture. Called by the rules and by `zoo list`.

use std::collections::{HashMap, HashSet};

use crate::nn::describe::describe;
use crate::nn::graph::Graph;
use crate::registry::Entry;

/// Facts of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of convolutions and linear layers, for one image of the entry's size.
    pub macs: u64,
}

/// The facts of an entry's architecture with a thousand classes.
pub fn computed(entry: &Entry) -> Option<Computed> {
    let graph = crate::arch::build(entry.zoo.arch.as_deref()?, 1000).ok()?;
    let size = entry.image_size?;
    of(&graph, [size.height, size.width])
}

/// Only the multiply-adds.
pub fn macs(entry: &Entry) -> Option<u64> {
    computed(entry).map(|c| c.macs)
}

fn of(graph: &Graph, [height, width]: [usize; 2]) -> Option<Computed> {
    let described = describe(graph, [1, 3, height, width]).ok()?;
    Some(Computed { params: described.params, macs: described.macs })
}

/// So many pairs of architecture and size are computed, and no more: thousands of models of a hostile page
/// must not cost a description each.
const PAIRS: usize = 4096;

/// The facts of many entries, each architecture built once and each pair of architecture and size once.
#[derive(Debug, Default)]
pub(super) struct Architectures {
    names: Option<HashSet<&'static str>>,
    graphs: HashMap<String, Option<Graph>>,
    computed: HashMap<(String, [usize; 2]), Option<Computed>>,
}

impl Architectures {
    pub(super) fn get(&mut self, arch: &str, side: [usize; 2]) -> Option<Computed> {
        // Asking for an unknown one costs a search for names like it.
        let names = self.names.get_or_insert_with(|| crate::arch::names().into_iter().collect());
        if !names.contains(arch) {
            return None;
        }
        let key = (arch.to_owned(), side);
        if let Some(done) = self.computed.get(&key) {
            return *done;
        }
        if self.computed.len() >= PAIRS {
            return None;
        }
        let graph = self.graphs.entry(arch.to_owned()).or_insert_with(|| crate::arch::build(arch, 1000).ok());
        let computed = graph.as_ref().and_then(|g| of(g, side));
        self.computed.insert(key, computed);
        computed
    }
}
