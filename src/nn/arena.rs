//! Where activations lie: values that are never alive together share memory.
//!
//! In: how long each value lives (the first and last layer that touch it) and how large it is. Out: a
//! place for each, and the size of the arena. Largest first, each at the lowest place that is free for
//! its whole life. Called by the engines (`plan`, `cuda`).

/// A value's need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// First layer that touches it.
    pub(crate) first: usize,
    /// Last layer that touches it.
    pub(crate) last: usize,
    /// Float32 values.
    pub(crate) len: usize,
}

/// The offset of each need, and the values in all.
pub(crate) fn place(needs: &[Need], align: usize) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&i| needs.get(i).map(|n| (std::cmp::Reverse(n.len), n.first)));
    let mut placed: Vec<(Need, usize)> = Vec::with_capacity(needs.len());
    let mut offsets = vec![0; needs.len()];
    let mut total = 0;
    for i in order {
        let (Some(need), Some(offset)) = (needs.get(i), offsets.get_mut(i)) else { continue };
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(other, _)| other.first <= need.last && need.first <= other.last)
            .map(|(other, at)| (*at, at + other.len.next_multiple_of(align)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if at + need.len <= start {
                break;
            }
            at = at.max(end);
        }
        *offset = at;
        placed.push((*need, at));
        total = total.max(at + need.len.next_multiple_of(align));
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_alive_together_never_share(
            needs in prop::collection::vec((0usize..20, 0usize..6, 0usize..500), 0..40)
        ) {
            let needs: Vec<Need> =
                needs.into_iter().map(|(first, life, len)| Need { first, last: first + life, len }).collect();
            let (offsets, total) = place(&needs, 16);
            for (i, a) in needs.iter().enumerate() {
                prop_assert!(offsets[i] % 16 == 0 && offsets[i] + a.len <= total);
                for (j, b) in needs.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                    prop_assert!(!together || apart || a.len == 0 || b.len == 0);
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_two_neighbours() {
        let needs: Vec<Need> = (0..10).map(|i| Need { first: i, last: i + 1, len: 100 }).collect();
        assert_eq!(place(&needs, 4).1, 200);
    }
}
