//! Depthwise convolution of one panel of channels, with bias, activation and the sum behind the mean that
//! squeeze-excite wants, in one pass.
//!
//! In: some rows of the panel's map in a [`Ring`], inside a border of zeros, so that no tap needs a test.
//! Out: the panel's channels of some rows of an NHWC map. A ring is small enough to stay in the nearest
//! caches while a whole map of expanded activations passes through it. The input is loaded once for each
//! row of the window and used for all outputs of a tile that it reaches, in two rows where there are registers enough
//! ([`Simd::TWO_ROWS`]): one load for two products, where loads are what takes longest. The sum adds a row's outputs
//! first, then rows: its order depends on the map's shape only.

#![allow(unsafe_code)]

use std::ops::Range;

use crate::activation::Activation;

use super::conv::Taps;
use super::math::{apply_activation_and_sum, apply_activation_in_place, is_transcendental};
use super::memory::{Dst, Src};
use super::ring::Ring;
use super::simd::{self, Kernel, Simd};
use super::split_even;
use super::tile::{of_height, of_width};

/// One panel of a depthwise convolution.
#[derive(Clone, Copy)]
pub struct Depthwise<'a> {
    /// The panel's ring, which holds all that `rows` need.
    pub input: Src<'a>,
    /// Its geometry.
    pub ring: Ring,
    /// First and last but one row of the output that are made.
    pub rows: [usize; 2],
    /// The window.
    pub taps: Taps,
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
    /// The panel's weights, tap by tap.
    pub weights: Src<'a>,
    /// The panel's bias.
    pub bias: Src<'a>,
    /// The output map, from the panel's first channel on.
    pub output: Dst<'a>,
    /// Values from an output pixel to the next.
    pub output_pitch: usize,
    /// Vectors in the panel.
    pub vectors: usize,
    /// Applied to a finished sum.
    pub activation: Option<Activation>,
    /// Whether nobody has asked for the output's lines yet.
    pub ahead: bool,
    /// What the sum of the panel's outputs is added to.
    pub sum: Option<Dst<'a>>,
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
            1 if S::CONSTANT_STRIDES => self.map::<S, 1>(s),
            2 if S::CONSTANT_STRIDES => self.map::<S, 2>(s),
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
        let [first, end] = self.rows;
        let transcendental = is_transcendental(self.activation);
        let mut sum = [s.splat(0.0); NV];
        if let Some(from) = self.sum {
            for v in 0..NV {
                // SAFETY: `run` checked that the sum has room for every vector of the panel.
                sum[v] = unsafe { s.load(from.ptr().add(v * S::LANES)) };
            }
        }
        let mut y = first;
        while y < end {
            let two = S::TWO_ROWS && self.shares_rows() && y + 1 < end;
            let tiles = ow.div_ceil(S::TILE_WIDTHS[usize::from(two)]);
            let mut total = [[s.splat(0.0); NV]; 2];
            let mut sums = [[0f32; MAX_PANEL_LEN]; 2];
            let rows = y..y + 1 + usize::from(two);
            let mut raw = 0;
            for tile in 0..tiles {
                let xs = split_even(ow, tiles, tile);
                if transcendental && xs.end - raw > ACTIVATION_BATCH {
                    self.apply_activation_in_place::<S, NV>(s, rows.clone(), raw..xs.start, &mut sums);
                    raw = xs.start;
                }
                let x = xs.start;
                if two {
                    of_height!(xs.len(), N => self.pair::<S, STRIDE, NV, N>(s, y, x, &mut total));
                } else {
                    of_height!(xs.len(), N => self.tile::<S, STRIDE, NV, N>(s, y, x, &mut total[0]));
                }
            }
            if transcendental {
                self.apply_activation_in_place::<S, NV>(s, rows.clone(), raw..ow, &mut sums);
            }
            for (total, sums) in total.iter().zip(&sums).take(rows.len()) {
                for v in 0..NV {
                    // SAFETY: there is room for the widest panel.
                    let reworked = unsafe { s.load(sums.as_ptr().add(v * S::LANES)) };
                    sum[v] = s.add(sum[v], if transcendental { reworked } else { total[v] });
                }
            }
            y = rows.end;
        }
        if let Some(to) = self.sum {
            for v in 0..NV {
                // SAFETY: as above.
                unsafe { s.store(to.ptr().add(v * S::LANES), sum[v]) }
            }
        }
    }

    /// Whether an output and the one below it look at rows that lie one after another, some of them the same.
    #[inline(always)]
    fn shares_rows(&self) -> bool {
        self.taps.dilation[0] == 1 && self.taps.stride[0] < self.taps.kernel[0]
    }

    /// A heavy activation of some columns of one row or two, and each row's sum of what it gives, from left to right.
    #[inline(always)]
    fn apply_activation_in_place<S: Simd, const NV: usize>(
        &self,
        s: S,
        rows: Range<usize>,
        columns: Range<usize>,
        sums: &mut [[f32; MAX_PANEL_LEN]; 2],
    ) {
        let [_, ow] = self.output_size;
        let count = columns.len().min(ACTIVATION_BATCH);
        for (y, sum) in rows.zip(sums) {
            let mut places = [self.output.ptr(); ACTIVATION_BATCH];
            // SAFETY: the columns are inside the output, which `run` checked; the sum has room for the widest panel.
            unsafe {
                for (i, place) in places[..count].iter_mut().enumerate() {
                    *place = place.add((y * ow + columns.start + i) * self.output_pitch);
                }
                match self.activation.filter(|_| self.sum.is_some()) {
                    Some(activation) => {
                        apply_activation_and_sum(s, activation, &places[..count], NV, sum.as_mut_ptr());
                    }
                    None => apply_activation_in_place(s, self.activation, &places[..count], NV),
                }
            }
        }
    }
}

/// Outputs to which a heavy activation is applied together.
const ACTIVATION_BATCH: usize = 32;

/// Values of the widest panel.
const MAX_PANEL_LEN: usize = 16 * simd::MAX_PANEL_VECTORS;
