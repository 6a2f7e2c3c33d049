//! Depthwise convolution of one panel of channels, with bias, activation and the mean that
//! squeeze-excite wants, in one pass.
//!
//! In: a panel's map inside a border of zeros ([`Border`]), so that no tap needs a test. Out: the panel's
//! channels of an NHWC map. The input is loaded once for each row of the window and used for all outputs
//! of a tile that it reaches. The mean adds a row's outputs first, then rows: its order depends on the
//! map's shape only.

#![allow(unsafe_code)]

use crate::nn::graph::Activation;

use super::conv::{Taps, share};
use super::math::activate;
use super::memory::{Dst, Src};
use super::simd::{Kernel, PANEL, Simd};

/// The bordered copy of one panel that [`Depthwise`] reads: `rows` by `columns` pixels of one panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Border {
    /// Rows with border.
    pub(crate) rows: usize,
    /// Columns with border.
    pub(crate) columns: usize,
    /// `[top, left]` border.
    pub(crate) pad: [usize; 2],
    /// `[height, width]` inside.
    pub(crate) inside: [usize; 2],
}

impl Border {
    /// The border that a window needs round an input for an output of some size.
    pub(crate) fn new(input: [usize; 2], output: [usize; 2], taps: &Taps) -> Self {
        let side = |i: usize| {
            let reach =
                output[i].saturating_sub(1) * taps.stride[i] + (taps.kernel[i] - 1) * taps.dilation[i] + 1;
            reach.max(taps.pad[i] + input[i])
        };
        Border { rows: side(0), columns: side(1), pad: taps.pad, inside: input }
    }

    /// Values of a panel of `vectors` vectors.
    pub(crate) fn len(&self, vectors: usize, lanes: usize) -> usize {
        self.rows * self.columns * vectors * lanes
    }

    /// Where the first pixel inside is, in pixels.
    pub(crate) fn origin(&self) -> usize {
        self.pad[0] * self.columns + self.pad[1]
    }

    /// Zeroes the border of a panel whose pixels have `width` values, and leaves the inside alone.
    pub(crate) fn clear(&self, panel: Dst<'_>, width: usize) {
        let panel = panel.part(0, self.rows * self.columns * width);
        let zero = |start: usize, end: usize| {
            let part = panel.part(start * width, (end - start) * width);
            // SAFETY: `part` checked the range; the scratch panel is this thread's own.
            unsafe { part.ptr().write_bytes(0, part.len()) }
        };
        let [h, w] = self.inside;
        zero(0, self.pad[0] * self.columns);
        for y in self.pad[0]..self.pad[0] + h {
            let row = y * self.columns;
            zero(row, row + self.pad[1]);
            zero(row + self.pad[1] + w, row + self.columns);
        }
        zero((self.pad[0] + h) * self.columns, self.rows * self.columns);
    }

    /// Copies a panel's channels of an NHWC map into the inside.
    pub(crate) fn fill(&self, map: Src<'_>, pitch: usize, panel: Dst<'_>, width: usize) {
        let [h, w] = self.inside;
        if h * w == 0 {
            return;
        }
        let map = map.part(0, (h * w - 1) * pitch + width);
        let panel = panel.part(0, self.rows * self.columns * width);
        for y in 0..h {
            let to = (self.origin() + y * self.columns) * width;
            for x in 0..w {
                // SAFETY: both views were checked to hold all pixels; they are different memory, one an
                // activation of the pass and one this thread's scratch.
                unsafe {
                    let from = map.ptr().add((y * w + x) * pitch);
                    std::ptr::copy_nonoverlapping(from, panel.ptr().add(to + x * width), width);
                }
            }
        }
    }
}

/// One panel of a depthwise convolution.
#[derive(Clone, Copy)]
pub(crate) struct Depthwise<'a> {
    /// The bordered panel.
    pub(crate) input: Src<'a>,
    /// Its geometry.
    pub(crate) border: Border,
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
    /// Where the mean of the panel's outputs goes.
    pub(crate) mean: Option<Dst<'a>>,
}

impl Kernel for Depthwise<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.vectors * S::LANES;
        let [oh, ow] = self.output_size;
        let pixels = oh * ow;
        let needs = Border::new(self.border.inside, self.output_size, &self.taps);
        assert!(
            self.vectors <= PANEL && needs.rows <= self.border.rows && needs.columns <= self.border.columns
        );
        assert!(self.input.len() >= self.border.len(self.vectors, S::LANES));
        assert!(self.weights.len() >= self.taps.count() * width && self.bias.len() >= width);
        assert!(pixels == 0 || self.output.len() >= (pixels - 1) * self.output_pitch + width);
        assert!(self.mean.is_none_or(|m| m.len() >= width));
        let square = |k: usize, stride: usize| {
            self.taps.kernel == [k; 2] && self.taps.stride == [stride; 2] && self.taps.dilation == [1; 2]
        };
        if square(3, 1) {
            self.map::<S, 3, 1>(s);
        } else if square(3, 2) {
            self.map::<S, 3, 2>(s);
        } else if square(5, 1) {
            self.map::<S, 5, 1>(s);
        } else if square(5, 2) {
            self.map::<S, 5, 2>(s);
        } else if square(7, 1) {
            self.map::<S, 7, 1>(s);
        } else if square(7, 2) {
            self.map::<S, 7, 2>(s);
        } else {
            self.map::<S, 0, 0>(s);
        }
    }
}

impl Depthwise<'_> {
    /// The whole panel; `K` and `STRIDE` are 0 for a window that has no code of its own.
    #[inline(always)]
    fn map<S: Simd, const K: usize, const STRIDE: usize>(&self, s: S) {
        let [oh, ow] = self.output_size;
        let tiles = ow.div_ceil(8);
        let mut mean = [s.splat(0.0); PANEL];
        for y in 0..oh {
            for v in 0..self.vectors {
                let mut row = s.splat(0.0);
                for tile in 0..tiles {
                    let xs = share(ow, tiles, tile);
                    let x = xs.start;
                    let sum = match xs.len() {
                        1 => self.tile::<S, K, STRIDE, 1>(s, y, x, v),
                        2 => self.tile::<S, K, STRIDE, 2>(s, y, x, v),
                        3 => self.tile::<S, K, STRIDE, 3>(s, y, x, v),
                        4 => self.tile::<S, K, STRIDE, 4>(s, y, x, v),
                        5 => self.tile::<S, K, STRIDE, 5>(s, y, x, v),
                        6 => self.tile::<S, K, STRIDE, 6>(s, y, x, v),
                        7 => self.tile::<S, K, STRIDE, 7>(s, y, x, v),
                        _ => self.tile::<S, K, STRIDE, 8>(s, y, x, v),
                    };
                    row = s.add(row, sum);
                }
                mean[v] = s.add(mean[v], row);
            }
        }
        if let Some(to) = self.mean {
            let scale = s.splat(1.0 / (oh * ow) as f32);
            for v in 0..self.vectors {
                // SAFETY: `run` checked that the mean has room for every vector of the panel.
                unsafe { s.store(to.ptr().add(v * S::LANES), s.mul(mean[v], scale)) }
            }
        }
    }

    /// `N` neighbouring outputs of one row and vector; returns their sum.
    #[inline(always)]
    fn tile<S: Simd, const K: usize, const STRIDE: usize, const N: usize>(
        &self,
        s: S,
        y: usize,
        x: usize,
        v: usize,
    ) -> S::V {
        let width = self.vectors * S::LANES;
        let t = &self.taps;
        // SAFETY: `run` checked the views; the border reaches as far as the taps of the last output.
        unsafe {
            let corner = y * t.stride[0] * self.border.columns + x * t.stride[1];
            let input = self.input.ptr().add(corner * width + v * S::LANES);
            let weights = self.weights.ptr().add(v * S::LANES);
            let mut sums = [s.load(self.bias.ptr().add(v * S::LANES)); N];
            if K > 0 {
                for ky in 0..K {
                    let input = input.add(ky * self.border.columns * width);
                    let weights = weights.add(ky * K * width);
                    let mut w = [s.splat(0.0); K];
                    for kx in 0..K {
                        w[kx] = s.load(weights.add(kx * width));
                    }
                    for column in 0..(N - 1) * STRIDE + K {
                        let value = s.load(input.add(column * width));
                        for i in 0..N {
                            let kx = column.wrapping_sub(i * STRIDE);
                            if kx < K {
                                sums[i] = s.fma(value, w[kx], sums[i]);
                            }
                        }
                    }
                }
            } else {
                for ky in 0..t.kernel[0] {
                    for kx in 0..t.kernel[1] {
                        let w = s.load(weights.add((ky * t.kernel[1] + kx) * width));
                        let pixel = ky * t.dilation[0] * self.border.columns + kx * t.dilation[1];
                        for i in 0..N {
                            let value = s.load(input.add((pixel + i * t.stride[1]) * width));
                            sums[i] = s.fma(value, w, sums[i]);
                        }
                    }
                }
            }
            activate(s, self.activation, std::array::from_mut(&mut sums));
            let [_, ow] = self.output_size;
            let output = self.output.ptr().add((y * ow + x) * self.output_pitch + v * S::LANES);
            let mut total = s.splat(0.0);
            for i in 0..N {
                s.store(output.add(i * self.output_pitch), sums[i]);
                total = s.add(total, sums[i]);
            }
            total
        }
    }
}
