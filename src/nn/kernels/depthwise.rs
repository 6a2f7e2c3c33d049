//! Depthwise convolution of one panel of channels, with bias, activation and the sum behind the mean that
//! squeeze-excite wants, in one pass.
//!
//! In: some rows of the panel's map in a [`Ring`], inside a border of zeros, so that no tap needs a test.
//! Out: the panel's channels of some rows of an NHWC map. A ring is small enough to stay in the nearest
//! caches while a whole map of expanded activations passes through it. The input is loaded once for each
//! row of the window and used for all outputs of a tile that it reaches. The sum adds a row's outputs
//! first, then rows: its order depends on the map's shape only.

#![allow(unsafe_code)]

use crate::nn::graph::Activation;

use super::conv::{Taps, share};
use super::math::{activate, is_heavy, rework, rework_and_sum};
use super::memory::{Dst, Src};
use super::ring::Ring;
use super::simd::{self, Kernel, Simd};
use super::tile::{begin, of_width, put};

/// One panel of a depthwise convolution.
#[derive(Clone, Copy)]
pub(crate) struct Depthwise<'a> {
    /// The panel's ring, which holds all that `rows` need.
    pub(crate) input: Src<'a>,
    /// Its geometry.
    pub(crate) ring: Ring,
    /// First and last but one row of the output that are made.
    pub(crate) rows: [usize; 2],
    /// The window.
    pub(crate) taps: Taps,
    /// `[height, width]` of the output.
    pub(crate) output_size: [usize; 2],
    /// The panel's weights, tap by tap.
    pub(crate) weights: Src<'a>,
    /// The panel's bias.
    pub(crate) bias: Src<'a>,
    /// The output map, from the panel's first channel on.
    pub(crate) output: Dst<'a>,
    /// Values from an output pixel to the next.
    pub(crate) output_pitch: usize,
    /// Vectors in the panel.
    pub(crate) vectors: usize,
    /// Applied to a finished sum.
    pub(crate) activation: Option<Activation>,
    /// Whether nobody has asked for the output's lines yet.
    pub(crate) ahead: bool,
    /// What the sum of the panel's outputs is added to.
    pub(crate) sum: Option<Dst<'a>>,
}

impl Kernel for Depthwise<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.vectors * S::LANES;
        let [oh, ow] = self.output_size;
        let pixels = oh * ow;
        let [first, end] = self.rows;
        let needs = Ring::new(self.ring.inside, self.output_size, &self.taps, S::PANEL * S::LANES);
        assert!(self.vectors <= S::PANEL && needs == self.ring && first < end && end <= oh);
        assert!(end - first <= self.ring.band);
        assert!(self.input.len() >= self.ring.len(width));
        assert!(self.weights.len() >= self.taps.count() * width && self.bias.len() >= width);
        assert!(self.output.len() >= (pixels - 1) * self.output_pitch + width);
        assert!(self.sum.is_none_or(|m| m.len() >= width));
        match self.taps.stride[1] {
            1 => self.map::<S, 1>(s),
            2 => self.map::<S, 2>(s),
            _ => self.map::<S, 0>(s),
        }
    }
}

impl Depthwise<'_> {
    /// All rows; `STRIDE` is 0 for one that has no code of its own. Taps are a loop: the stride alone
    /// decides the distances that are part of the instructions.
    #[inline(always)]
    fn map<S: Simd, const STRIDE: usize>(&self, s: S) {
        of_width!(S, self.vectors, NV => self.rows::<S, STRIDE, NV>(s));
    }

    #[inline(always)]
    fn rows<S: Simd, const STRIDE: usize, const NV: usize>(&self, s: S) {
        let [_, ow] = self.output_size;
        let tiles = ow.div_ceil(WIDEST);
        let [first, end] = self.rows;
        let mut sum = [s.splat(0.0); NV];
        if let Some(from) = self.sum {
            for v in 0..NV {
                // SAFETY: `run` checked that the sum has room for every vector of the panel.
                sum[v] = unsafe { s.load(from.ptr().add(v * S::LANES)) };
            }
        }
        for y in first..end {
            let mut row = [s.splat(0.0); NV];
            for tile in 0..tiles {
                let xs = share(ow, tiles, tile);
                let x = xs.start;
                match xs.len() {
                    1 => self.tile::<S, STRIDE, NV, 1>(s, y, x, &mut row),
                    2 => self.tile::<S, STRIDE, NV, 2>(s, y, x, &mut row),
                    3 => self.tile::<S, STRIDE, NV, 3>(s, y, x, &mut row),
                    4 => self.tile::<S, STRIDE, NV, 4>(s, y, x, &mut row),
                    5 => self.tile::<S, STRIDE, NV, 5>(s, y, x, &mut row),
                    6 => self.tile::<S, STRIDE, NV, 6>(s, y, x, &mut row),
                    _ => self.tile::<S, STRIDE, NV, 7>(s, y, x, &mut row),
                }
            }
            if is_heavy(self.activation) {
                self.rework_row::<S, NV>(s, y, &mut row);
            }
            for v in 0..NV {
                sum[v] = s.add(sum[v], row[v]);
            }
        }
        if let Some(to) = self.sum {
            for v in 0..NV {
                // SAFETY: as above.
                unsafe { s.store(to.ptr().add(v * S::LANES), sum[v]) }
            }
        }
    }

    /// `N` neighbouring outputs of one row; their sums are added to `total`, from left to right.
    #[inline(always)]
    fn tile<S: Simd, const STRIDE: usize, const NV: usize, const N: usize>(
        &self,
        s: S,
        y: usize,
        x: usize,
        total: &mut [S::V; NV],
    ) {
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
                    from = s.opaque(from);
                    let mut w = [s.splat(0.0); NV];
                    for v in 0..NV {
                        w[v] = s.load(weights.add(v * S::LANES));
                    }
                    for i in 0..N {
                        for v in 0..NV {
                            let value = s.load(from.add(i * right * width + v * S::LANES));
                            sums[i][v] = s.fma(value, w[v], sums[i][v]);
                        }
                    }
                    weights = weights.add(width);
                    from = from.add(dx * width);
                }
                slot += dy;
                if slot >= slots {
                    slot -= slots;
                }
            }
            let mut to = [output; N];
            for i in 0..N {
                to[i] = output.add(i * self.output_pitch);
            }
            activate(s, self.activation, &mut sums);
            put(s, &to, &sums);
            if !is_heavy(self.activation) {
                for sum in &sums {
                    for v in 0..NV {
                        total[v] = s.add(total[v], sum[v]);
                    }
                }
            }
        }
    }

    /// A heavy activation of row `y`, and the sum of what it gives, from left to right.
    #[inline(always)]
    fn rework_row<S: Simd, const NV: usize>(&self, s: S, y: usize, total: &mut [S::V; NV]) {
        let [_, ow] = self.output_size;
        let mut sum = [0f32; WIDEST_PANEL];
        for first in (0..ow).step_by(BATCH) {
            let count = BATCH.min(ow - first);
            // SAFETY: the row is inside the output, which `run` checked.
            unsafe {
                let mut places = [self.output.ptr(); BATCH];
                for (i, place) in places[..count].iter_mut().enumerate() {
                    *place = self.output.ptr().add((y * ow + first + i) * self.output_pitch);
                }
                match self.activation.filter(|_| self.sum.is_some()) {
                    Some(activation) => {
                        rework_and_sum(s, activation, &places[..count], NV, sum.as_mut_ptr());
                    }
                    None => rework(s, self.activation, &places[..count], NV),
                }
            }
        }
        for v in 0..NV {
            // SAFETY: the sum has room for the widest panel.
            total[v] = s.add(total[v], unsafe { s.load(sum.as_ptr().add(v * S::LANES)) });
        }
    }
}

/// Outputs to which a heavy activation is applied together.
const BATCH: usize = 32;

/// Values of the widest panel.
const WIDEST_PANEL: usize = 16 * simd::WIDEST;

/// Outputs of the widest tile: with two vectors each, fourteen sums and two weights fill AVX2's registers,
/// and EfficientNets' maps at 224 pixels are seven wide, or twice, four times ….
const WIDEST: usize = 7;
