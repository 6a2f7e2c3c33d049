//! Weights in the order in which kernels read them.
//!
//! In: weights in torch's order. Out: panels. A panel is [`PANEL`] vectors of output channels wide (the
//! last may be one) and holds, input by input, the weights of its outputs side by side, so a tile reads
//! it front to back. Called once, when a plan is made.

use super::simd::PANEL;

/// Vectors that `outputs` channels fill.
pub(crate) fn vectors(outputs: usize, lanes: usize) -> usize {
    outputs.div_ceil(lanes)
}

/// Values of the packed form of `[outputs, depth]` weights.
pub(crate) fn packed_len(outputs: usize, depth: usize, lanes: usize) -> usize {
    vectors(outputs, lanes) * lanes * depth
}

/// Packs a matrix whose element for output `o` and input `d` is `weight(o, d)`; outputs beyond the last
/// are zeros.
pub(crate) fn pack(
    outputs: usize,
    depth: usize,
    lanes: usize,
    to: &mut Vec<f32>,
    weight: impl Fn(usize, usize) -> f32,
) {
    let vectors = vectors(outputs, lanes);
    for first in (0..vectors).step_by(PANEL) {
        let width = PANEL.min(vectors - first) * lanes;
        for d in 0..depth {
            for o in first * lanes..first * lanes + width {
                to.push(if o < outputs { weight(o, d) } else { 0.0 });
            }
        }
    }
}

/// A vector per output channel (a bias), filled up to whole vectors.
pub(crate) fn pad(values: &[f32], lanes: usize, to: &mut Vec<f32>) {
    to.extend_from_slice(values);
    to.resize(to.len() + vectors(values.len(), lanes) * lanes - values.len(), 0.0);
}
