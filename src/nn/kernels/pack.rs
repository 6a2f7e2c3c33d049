//! Weights in the order in which kernels read them.
//!
//! In: weights in torch's order. Out: panels. A panel is so many vectors of output channels wide as the instruction
//! set's tiles are ([`super::simd::Simd::PANEL`]), or one less, and holds, input by input, the weights of its outputs
//! side by side, so a tile reads it front to back. Called once, when a plan is made.

use std::ops::Range;

use super::Isa;
use super::split_even;

/// Vectors that `outputs` channels fill.
pub fn vectors(outputs: usize, lanes: usize) -> usize {
    outputs.div_ceil(lanes)
}

/// Panels that so many vectors are cut into, none wider than `widest`.
pub fn panels(vectors: usize, widest: usize) -> usize {
    vectors.div_ceil(widest)
}

/// The vectors of a panel: all panels are as wide as each other or one vector narrower, so that none is left with one
/// vector alone, which a tile would be slow for.
pub fn panel(vectors: usize, widest: usize, index: usize) -> Range<usize> {
    split_even(vectors, panels(vectors, widest), index)
}

/// Values of the packed form of `[outputs, depth]` weights.
pub fn packed_len(outputs: usize, depth: usize, lanes: usize) -> usize {
    vectors(outputs, lanes) * lanes * depth
}

/// Packs a matrix whose element for output `o` and input `d` is `weight(d)(o)`, so that what depends on the input alone is
/// worked out once; outputs beyond the last are zeros.
pub fn pack<Row: Fn(usize) -> f32>(
    outputs: usize,
    depth: usize,
    isa: Isa,
    to: &mut impl Extend<f32>,
    weight: impl Fn(usize) -> Row,
) {
    let lanes = isa.lanes();
    let vectors = vectors(outputs, lanes);
    for index in 0..panels(vectors, isa.panel()) {
        let panel = panel(vectors, isa.panel(), index);
        for d in 0..depth {
            let (channels, weight) = (panel.start * lanes..panel.end * lanes, weight(d));
            to.extend(channels.map(|o| if o < outputs { weight(o) } else { 0.0 }));
        }
    }
}

/// A vector per output channel (a bias), filled up to whole vectors.
pub fn pad(values: &[f32], lanes: usize, to: &mut impl Extend<f32>) {
    let whole = vectors(values.len(), lanes) * lanes;
    to.extend(values.iter().copied().chain(std::iter::repeat_n(0.0, whole - values.len())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_follow_each_other_and_differ_by_one_vector_at_most() {
        for (vectors, widest) in (1..60).flat_map(|v| (1..4).map(move |w| (v, w))) {
            let all: Vec<_> = (0..panels(vectors, widest)).map(|i| panel(vectors, widest, i)).collect();
            assert_eq!(all.iter().cloned().flatten().collect::<Vec<_>>(), (0..vectors).collect::<Vec<_>>());
            let (least, most) = (all.iter().map(Range::len).min(), all.iter().map(Range::len).max());
            assert!(most <= Some(widest) && most.zip(least).is_some_and(|(most, least)| most - least <= 1));
        }
    }
}
