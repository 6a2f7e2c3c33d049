//! Neighbouring outputs of a depthwise convolution, in one row or in two: the inner part of [`super::depthwise`].
//!
//! In: a convolution that was checked against its views. Out: sums, with a light activation applied, in the output.

#![allow(unsafe_code)]

use super::depthwise::Depthwise;
use super::math::{activate, is_transcendental};
use super::simd::Simd;
use super::tile::{begin, put};

impl Depthwise<'_> {
    /// `N` neighbouring outputs of row `y` and those below them: what both need is loaded once. Each is summed in the order
    /// of [`Depthwise::tile`].
    #[inline(always)]
    pub(super) fn pair<S: Simd, const STRIDE: usize, const NV: usize, const N: usize>(
        &self,
        s: S,
        y: usize,
        x: usize,
        totals: &mut [[S::V; NV]; 2],
    ) {
        if N > S::TILE_WIDTHS[1] {
            return; // A tile that `rows` never asks for: not compiled.
        }
        let width = NV * S::LANES;
        let t = &self.taps;
        let row = self.ring.columns * width;
        let ([kh, kw], [sy, _]) = (t.kernel, t.stride);
        let right = if STRIDE > 0 { STRIDE } else { t.stride[1] };
        let [_, ow] = self.output_size;
        // SAFETY: `run` checked the views; slots are below the ring's, which holds all rows that two outputs look at, and
        // its border reaches as far as the taps of the last output.
        unsafe {
            let input = self.input.ptr().add(x * right * width);
            let output = self.output.ptr().add((y * ow + x) * self.output_pitch);
            if self.ahead {
                for i in 0..N {
                    s.prefetch_all(output.wrapping_add((2 * ow + i) * self.output_pitch), width);
                    s.prefetch_all(output.wrapping_add((3 * ow + i) * self.output_pitch), width);
                }
            }
            let mut upper: [[S::V; NV]; N] = begin(s, self.bias.ptr());
            let mut lower = upper;
            let mut slot = y * sy % self.ring.slots;
            let mut weights = self.weights.ptr();
            let back = kw * width * sy;
            for line in 0..kh + sy {
                let mut from = input.add(slot * row);
                slot = if slot + 1 == self.ring.slots { 0 } else { slot + 1 };
                for _ in 0..kw {
                    from = s.black_box_ptr(from);
                    if line < sy {
                        taps_of_one(s, from, weights, right, &mut upper);
                    } else if line < kh {
                        let (mut w, mut w2) = ([s.splat(0.0); NV], [s.splat(0.0); NV]);
                        for v in 0..NV {
                            w[v] = s.load(weights.add(v * S::LANES));
                            w2[v] = s.load(weights.wrapping_sub(back).add(v * S::LANES));
                        }
                        for i in 0..N {
                            for v in 0..NV {
                                let value = s.load(from.add((i * right * NV + v) * S::LANES));
                                upper[i][v] = s.fma(value, w[v], upper[i][v]);
                                lower[i][v] = s.fma(value, w2[v], lower[i][v]);
                            }
                        }
                    } else {
                        taps_of_one(s, from, weights.wrapping_sub(back), right, &mut lower);
                    }
                    weights = weights.wrapping_add(width);
                    from = from.add(t.dilation[1] * width);
                }
            }
            self.put(s, output, upper, &mut totals[0]);
            self.put(s, output.add(ow * self.output_pitch), lower, &mut totals[1]);
        }
    }

    /// `N` neighbouring outputs of one row; their sums are added to `total`, from left to right.
    #[inline(always)]
    pub(super) fn tile<S: Simd, const STRIDE: usize, const NV: usize, const N: usize>(
        &self,
        s: S,
        y: usize,
        x: usize,
        total: &mut [S::V; NV],
    ) {
        if N > S::TILE_WIDTHS[0] {
            return; // As above.
        }
        let width = NV * S::LANES;
        let t = &self.taps;
        let row = self.ring.columns * width;
        let slots = self.ring.slots;
        let ([kh, kw], [dy, dx]) = (t.kernel, t.dilation);
        let right = if STRIDE > 0 { STRIDE } else { t.stride[1] };
        // SAFETY: `run` checked the views; slots are below the ring's, and its border reaches as far as the
        // taps of the last output.
        unsafe {
            let input = self.input.ptr().add(x * right * width);
            let mut weights = self.weights.ptr();
            let mut sums: [[S::V; NV]; N] = begin(s, self.bias.ptr());
            let [_, ow] = self.output_size;
            let output = self.output.ptr().add((y * ow + x) * self.output_pitch);
            if self.ahead {
                for i in 0..N {
                    // The outputs below: each is a line of its own, and the cache is to have it by the next row.
                    s.prefetch_all(output.wrapping_add((ow + i) * self.output_pitch), width);
                }
            }
            let mut slot = y * t.stride[0] % slots;
            for _ in 0..kh {
                let mut from = input.add(slot * row);
                for _ in 0..kw {
                    // Neighbouring taps load the same values; kept for each other, they would be spilled.
                    from = s.black_box_ptr(from);
                    taps_of_one(s, from, weights, right, &mut sums);
                    weights = weights.add(width);
                    from = from.add(dx * width);
                }
                slot += dy;
                if slot >= slots {
                    slot -= slots;
                }
            }
            self.put(s, output, sums, total);
        }
    }

    /// Stores finished sums, the first at `output`, and adds them to `total` from left to right, unless a heavy activation is
    /// to come.
    ///
    /// # Safety
    /// `output` and the pixels right of it are writable for the panel.
    #[inline(always)]
    unsafe fn put<S: Simd, const NV: usize, const N: usize>(
        &self,
        s: S,
        output: *mut f32,
        sums: [[S::V; NV]; N],
        total: &mut [S::V; NV],
    ) {
        let mut sums = sums;
        activate(s, self.activation, &mut sums);
        // SAFETY: as the caller vouches.
        unsafe {
            let mut to = [output; N];
            for i in 0..N {
                to[i] = output.add(i * self.output_pitch);
            }
            put(s, &to, &sums);
        }
        if !is_transcendental(self.activation) {
            for sum in &sums {
                for v in 0..NV {
                    total[v] = s.add(total[v], sum[v]);
                }
            }
        }
    }
}

/// One tap of `N` neighbouring outputs.
///
/// # Safety
/// `weights` is readable for the panel, `from` for it at each output's distance.
#[inline(always)]
unsafe fn taps_of_one<S: Simd, const NV: usize, const N: usize>(
    s: S,
    from: *const f32,
    weights: *const f32,
    right: usize,
    sums: &mut [[S::V; NV]; N],
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut w = [s.splat(0.0); NV];
        for v in 0..NV {
            w[v] = s.load(weights.add(v * S::LANES));
        }
        for i in 0..N {
            for v in 0..NV {
                let value = s.load(from.add((i * right * NV + v) * S::LANES));
                sums[i][v] = s.fma(value, w[v], sums[i][v]);
            }
        }
    }
}
