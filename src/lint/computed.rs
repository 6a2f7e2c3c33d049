//! The facts of the architectures of many entries, each computed once.
//!
//! In: an architecture's name and a size. Out: its [`Facts`], or nothing where zoo does not know the architecture. Called by
//! the rules.

use std::collections::{HashMap, HashSet};

use crate::arch::facts::{DEFAULT_CLASSES, Facts, of_graph};
use crate::nn::graph::Graph;

/// So many pairs of architecture and size are computed, and no more: thousands of models of a hostile page
/// must not cost a description each.
const PAIRS: usize = 4096;

/// The facts of many entries, each architecture built once and each pair of architecture and size once.
#[derive(Debug, Default)]
pub(super) struct Architectures {
    names: Option<HashSet<&'static str>>,
    graphs: HashMap<String, Option<Graph>>,
    computed: HashMap<(String, [usize; 2]), Option<Facts>>,
}

impl Architectures {
    pub(super) fn get(&mut self, arch: &str, side: [usize; 2]) -> Option<Facts> {
        if let Some(facts) = crate::arch::recorded(arch, side) {
            return Some(facts);
        }
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
        let graph = self
            .graphs
            .entry(arch.to_owned())
            .or_insert_with(|| crate::arch::build(arch, DEFAULT_CLASSES).ok());
        let computed = graph.as_ref().and_then(|g| of_graph(g, side));
        self.computed.insert(key, computed);
        computed
    }
}
