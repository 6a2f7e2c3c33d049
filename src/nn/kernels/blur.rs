//! A binomial filter over every channel by itself: the anti-aliasing in front of a stride.
//!
//! In: an NHWC map. Out: an NHWC map. Along a row first, then down the rows. Called by `nn::plan`.

#![allow(unsafe_code)]

use std::ops::Range;

use super::memory::{Dst, Src};
use super::simd::{Kernel, Simd};

/// The most taps along a side; longer filters run by their definition ([`super::plain::blur`]).
pub const MAX_TAPS: usize = 8;

/// A filter over windows that are all inside the map.
#[derive(Clone, Copy)]
pub struct Blur<'a> {
    /// The input map.
    pub input: Src<'a>,
    /// `[height, width]` of the input.
    pub input_size: [usize; 2],
    /// Taps along either side, [`MAX_TAPS`] at most.
    pub taps: usize,
    /// Pixels from an output to the next.
    pub stride: usize,
    /// The output map.
    pub output: Dst<'a>,
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
    /// Vectors in a pixel of either.
    pub vectors: usize,
}

/// The output rows that one thread computes.
pub struct BlurPart<'a> {
    blur: Blur<'a>,
    rows: Range<usize>,
}

impl<'a> Blur<'a> {
    /// Some of the output's rows.
    pub fn part(self, rows: Range<usize>) -> BlurPart<'a> {
        BlurPart { blur: self, rows }
    }

    /// The taps' weights, which add up to one.
    fn weights(&self) -> [f32; MAX_TAPS] {
        let mut weights = [0.0; MAX_TAPS];
        // The binomials of `taps - 1`, exact in float32, over the power of two that they add up to.
        let mut binomial = 0.5f32.powi(self.taps.saturating_sub(1) as i32);
        for (k, weight) in weights.iter_mut().take(self.taps).enumerate() {
            *weight = binomial;
            binomial *= (self.taps - 1 - k) as f32 / (k + 1) as f32;
        }
        weights
    }
}

impl Kernel for BlurPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let b = &self.blur;
        let ([ih, iw], [oh, ow]) = (b.input_size, b.output_size);
        let pixel = b.vectors * S::LANES;
        assert!(b.taps <= MAX_TAPS && self.rows.end <= oh);
        assert!(b.input.len() >= ih * iw * pixel && b.output.len() >= oh * ow * pixel);
        let last = |outputs: usize| outputs.saturating_sub(1) * b.stride + b.taps;
        assert!(oh == 0 || ow == 0 || (last(oh) <= ih && last(ow) <= iw));
        let weights = b.weights();
        for y in self.rows {
            for x in 0..ow {
                let from = (y * b.stride * iw + x * b.stride) * pixel;
                for v in 0..b.vectors {
                    let mut sum = s.splat(0.0);
                    for ky in 0..b.taps {
                        let mut row = s.splat(0.0);
                        for kx in 0..b.taps {
                            let at = from + (ky * iw + kx) * pixel + v * S::LANES;
                            // SAFETY: the last window of either side ends inside the map, which has all its pixels.
                            let value = unsafe { s.load(b.input.ptr().add(at)) };
                            row = s.fma(value, s.splat(weights[kx]), row);
                        }
                        sum = s.fma(row, s.splat(weights[ky]), sum);
                    }
                    // SAFETY: the output has all its pixels.
                    unsafe { s.store(b.output.ptr().add((y * ow + x) * pixel + v * S::LANES), sum) };
                }
            }
        }
    }
}
