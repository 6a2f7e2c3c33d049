//! The weights of Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` (`Resample.c`): for each output
//! pixel of an axis, the first input pixel and the fixed-point weight of each. Made once per pair of sizes,
//! used by the passes.

// What only vector code reads.
#![cfg_attr(any(not(target_arch = "x86_64"), feature = "portable"), allow(dead_code))]

use std::f64::consts::PI;
use std::ops::Range;

/// Bits after the point of a weight: Pillow's `PRECISION_BITS`, 32 less 8 for the sample and 2 for overshoot.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// A resampling filter with a support, antialiased when shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::image) enum Filter {
    Bilinear,
    Bicubic,
    Lanczos,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// Pillow's expressions, term by term: another order of the operations would round otherwise.
    fn weight(self, x: f64) -> f64 {
        match self {
            Filter::Bilinear => {
                let x = x.abs();
                if x < 1.0 { 1.0 - x } else { 0.0 }
            }
            Filter::Bicubic => {
                const A: f64 = -0.5;
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Filter::Lanczos => {
                if (-3.0..3.0).contains(&x) {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

/// Two neighbouring weights, each split so that its parts are 16-bit factors: `high * 2^15 + low`, with
/// `0 <= low < 2^15`. Layout: high, high, low, low.
pub(super) type Pair = [i16; 4];

/// Bits of the low part of a [`Pair`].
pub(super) const LOW_BITS: u32 = 15;

/// Pairs come in twos, so that the horizontal pass can take four pixels at a time.
const PAIRS_AT_ONCE: usize = 2;

/// The weights of the input pixels for a window of an axis's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilterTaps {
    /// The first input pixel of each output pixel, and how many it reads.
    spans: Vec<(u32, u32)>,
    /// `taps` numbers for each output pixel; zero past its span.
    values: Vec<i32>,
    /// `values` again, `taps / 2` pairs for each output pixel.
    pairs: Vec<Pair>,
    /// Numbers kept for an output pixel: the longest span, rounded up to a multiple of four.
    taps: usize,
}

impl FilterTaps {
    /// For the outputs `window` of an axis that goes from `from` pixels to `to`. Neither may be 0, nor `from`
    /// above [`crate::image::MAX_SIDE`], so that Pillow's `float` holds it.
    pub(super) fn new(from: usize, to: usize, window: Range<usize>, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let inverse = 1.0 / filter_scale;
        let span = |center: f64| {
            // C's conversion cuts toward zero, and so does `as`; negative ends are clamped.
            let first = ((center - support + 0.5) as i64).max(0);
            let end = ((center + support + 0.5) as i64).min(from as i64);
            (first, end.max(first))
        };
        let center = |output: usize| (output as f64 + 0.5) * scale;
        let spans: Vec<_> = window
            .clone()
            .map(|output| span(center(output)))
            .map(|(first, end)| (first as u32, (end - first) as u32))
            .collect();
        let longest = spans.iter().map(|s| s.1 as usize).max().unwrap_or(0);
        let taps = longest.next_multiple_of(2 * PAIRS_AT_ONCE);
        let mut values = Vec::with_capacity(taps * spans.len());
        let mut exact = Vec::with_capacity(longest);
        for output in window {
            let center = center(output);
            let (first, end) = span(center);
            exact.clear();
            exact.extend((first..end).map(|i| filter.weight((i as f64 - center + 0.5) * inverse)));
            let sum: f64 = exact.iter().sum();
            values.extend(exact.iter().map(|w| fixed(if sum != 0.0 { w / sum } else { *w })));
            values.resize(values.len() + taps - exact.len(), 0);
        }
        let split = |&[a, b]: &[i32; 2]| {
            let (high, low) = (|w: i32| (w >> LOW_BITS) as i16, |w: i32| (w & ((1 << LOW_BITS) - 1)) as i16);
            [high(a), high(b), low(a), low(b)]
        };
        let pairs = values.as_chunks::<2>().0.iter().map(split).collect();
        FilterTaps { spans, values, pairs, taps }
    }

    /// Output pixels.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Each output's first input pixel and weights.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        // `max(1)`: a window without outputs has no taps either, and chunks of 0 are an error.
        self.spans.iter().zip(self.values.chunks_exact(self.taps.max(1))).map(|(&(first, n), row)| {
            let n = n as usize;
            (first as usize, row.get(..n).unwrap_or(row))
        })
    }

    /// Each output's first input pixel, how many it reads, and its pairs: an even number of them, those past
    /// the span zero.
    pub(super) fn paired(&self) -> impl Iterator<Item = (usize, usize, &[Pair])> {
        let rows = self.pairs.chunks_exact((self.taps / 2).max(1));
        self.spans.iter().zip(rows).map(|(&(first, n), row)| {
            let n = n as usize;
            let pairs = n.div_ceil(2 * PAIRS_AT_ONCE) * PAIRS_AT_ONCE;
            (first as usize, n, row.get(..pairs).unwrap_or(row))
        })
    }

    /// The input pixels that have a weight.
    pub(super) fn reach(&self) -> Range<usize> {
        let first = self.spans.iter().map(|s| s.0).min().unwrap_or(0);
        let end = self.spans.iter().map(|s| s.0 + s.1).max().unwrap_or(0);
        first as usize..end as usize
    }

    /// Where [`FilterTaps::paired`] ends: past [`FilterTaps::reach`] by the pixels whose weight is only padding.
    pub(super) fn padded_end(&self) -> usize {
        self.paired().map(|(first, _, pairs)| first + 2 * pairs.len()).max().unwrap_or(0)
    }
}

/// Rounds half away from zero, as Pillow does.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_the_weights_of_the_whole() {
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for (from, to) in [(500, 341), (10, 33), (7, 1), (1, 5), (600, 600)] {
                let whole = FilterTaps::new(from, to, 0..to, filter);
                let window = to / 3..to - to / 4;
                let part = FilterTaps::new(from, to, window.clone(), filter);
                let expected: Vec<_> = whole.iter().skip(window.start).take(window.len()).collect();
                assert_eq!(part.iter().collect::<Vec<_>>(), expected, "{filter:?} {from} to {to}");
            }
        }
    }

    #[test]
    fn pairs_are_the_same_weights() {
        for (from, to) in [(500, 341), (3, 200), (9000, 7)] {
            let weights = FilterTaps::new(from, to, 0..to, Filter::Lanczos);
            for ((first, values), (start, n, pairs)) in weights.iter().zip(weights.paired()) {
                assert_eq!((first, values.len()), (start, n));
                let join = |high: i16, low: i16| (i32::from(high) << LOW_BITS) + i32::from(low);
                let joined: Vec<_> =
                    pairs.iter().flat_map(|p| [join(p[0], p[2]), join(p[1], p[3])]).collect();
                assert_eq!(&joined[..n], values);
                assert!(joined[n..].iter().all(|&w| w == 0));
            }
        }
    }

    #[test]
    fn weights_add_up_to_one() {
        let weights = FilterTaps::new(500, 341, 0..341, Filter::Bicubic);
        for (_, row) in weights.iter() {
            let sum: i32 = row.iter().sum();
            assert!((sum - (1 << PRECISION_BITS)).abs() <= row.len() as i32);
        }
    }
}
