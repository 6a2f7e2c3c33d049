//! The two passes of the resize in plain Rust: the meaning, which the vector code must equal. In: a plane and
//! the weights of one axis. Out: the pixels of the window, rounded to bytes as Pillow rounds between passes.

use std::ops::Range;

use super::Plane;
use super::taps::{FilterTaps, PRECISION_BITS};

/// Half, in fixed point: what rounding starts from.
pub(super) const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Pillow's `clip8`. The weights of a pixel add up to one within rounding and their magnitudes to less than
/// two, so the sum stays within 32 bits.
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Filters along rows: a row of `weights.len()` outputs for each of `rows`.
pub(super) fn horizontal(source: Plane<'_>, rows: Range<usize>, weights: &FilterTaps, out: &mut [u8]) {
    let reach = weights.reach();
    for (y, to) in rows.zip(out.chunks_exact_mut(3 * weights.len())) {
        let (from, _) = source.row(y, reach.clone()).as_chunks::<3>();
        for ((first, values), to) in weights.iter().zip(to.as_chunks_mut::<3>().0) {
            let mut sums = [HALF; 3];
            for (pixel, &weight) in from.iter().skip(first - reach.start).zip(values) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(weight));
                }
            }
            *to = sums.map(clip);
        }
    }
}

/// Filters along columns: a row of the window `columns` for each of `weights`' outputs.
pub(super) fn vertical(source: Plane<'_>, columns: Range<usize>, weights: &FilterTaps, out: &mut [u8]) {
    /// Sums that are kept at a time.
    const BLOCK: usize = 256;
    for ((first, values), to) in weights.iter().zip(out.chunks_exact_mut(3 * columns.len())) {
        for (start, to) in (0..).step_by(BLOCK).zip(to.chunks_mut(BLOCK)) {
            let mut sums = [HALF; BLOCK];
            for (y, &weight) in (first..).zip(values) {
                let samples = source.row(y, columns.clone()).get(start..).unwrap_or_default();
                for (sum, &sample) in sums.iter_mut().zip(samples) {
                    *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(weight));
                }
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = clip(sum);
            }
        }
    }
}
