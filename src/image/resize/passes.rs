//! The two passes of the resize in plain Rust: the meaning, which the vector code must equal. In: a plane and
//! the weights of one axis. Out: the pixels of the window, rounded to bytes as Pillow rounds between passes.

use std::ops::Range;

use super::Plane;
use super::weights::{PRECISION_BITS, Weights};

/// Half, in fixed point: what rounding starts from.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Pillow's `clip8`. The weights of a pixel add up to one within rounding and their magnitudes to less than
/// two, so the sum stays within 32 bits.
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Filters along rows: a row of outputs for each of `rows`.
pub(super) fn horizontal(source: Plane<'_>, rows: Range<usize>, weights: &Weights) -> Vec<u8> {
    let reach = weights.reach();
    let mut out = Vec::with_capacity(3 * rows.len() * weights.spans.len());
    for y in rows {
        let (row, _) = source.row(y, reach.clone()).as_chunks::<3>();
        for (first, values) in weights.iter() {
            let mut sums = [HALF; 3];
            for (pixel, &weight) in row.iter().skip(first - reach.start).zip(values) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(weight));
                }
            }
            out.extend(sums.map(clip));
        }
    }
    out
}

/// Filters along columns: a row of outputs for each span of `weights`.
pub(super) fn vertical(source: Plane<'_>, columns: Range<usize>, weights: &Weights) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * columns.len() * weights.spans.len());
    let mut sums = vec![HALF; 3 * columns.len()];
    for (first, values) in weights.iter() {
        sums.fill(HALF);
        for (y, &weight) in (first..).zip(values) {
            for (sum, &sample) in sums.iter_mut().zip(source.row(y, columns.clone())) {
                *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(weight));
            }
        }
        out.extend(sums.iter().map(|&sum| clip(sum)));
    }
    out
}
