//! Tables of weights by what they are for. Photos of a data set share a few sizes, so a table is seldom made
//! anew.

use std::sync::Arc;

use super::taps::{Filter, FilterTaps};

/// Tables kept, the most recently used first; beyond them the oldest go. ImageNet's commonest sizes need
/// about half.
const MAX_CACHED: usize = 32;

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) from: usize,
    pub(super) to: usize,
    /// First output, and the one after the last.
    pub(super) window: (usize, usize),
    pub(super) filter: Filter,
}

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Cache {
    tables: Vec<(Axis, Arc<FilterTaps>)>,
}

impl Cache {
    /// The table for an axis, made if it is not here.
    pub(super) fn weights(&mut self, axis: Axis) -> Arc<FilterTaps> {
        let entry = match self.tables.iter().position(|(a, _)| *a == axis) {
            Some(at) => self.tables.remove(at),
            None => {
                let Axis { from, to, window: (start, end), filter } = axis;
                (axis, Arc::new(FilterTaps::new(from, to, start..end, filter)))
            }
        };
        let weights = Arc::clone(&entry.1);
        self.tables.insert(0, entry);
        self.tables.truncate(MAX_CACHED);
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go() {
        let mut cache = Cache::default();
        let axis = |from| Axis { from, to: 4, window: (0, 4), filter: Filter::Bicubic };
        let first = cache.weights(axis(1));
        for from in 2..=MAX_CACHED {
            cache.weights(axis(from));
        }
        assert!(Arc::ptr_eq(&first, &cache.weights(axis(1))), "still here, and now the newest");
        cache.weights(axis(1000));
        assert!(Arc::ptr_eq(&first, &cache.weights(axis(1))));
        assert_eq!(cache.tables.len(), MAX_CACHED);
        assert!(!cache.tables.iter().any(|(a, _)| a.from == 2), "the oldest went");
    }
}
