//! The first convolution, straight from the image's planes.
//!
//! In: an image (CHW), packed weights in torch's order of taps (channel, row, column). Out: an NHWC map. An
//! image has too few channels to fill a vector, so [`Planes`] puts a border of zeros around each of its planes
//! once, and a tile reads every tap of a window at a fixed distance from the window's first value: nothing is
//! gathered. The order of every sum is that of the taps, from the bias on.

#![allow(unsafe_code)]

use std::ops::Range;

use crate::activation::Activation;

use super::conv::Taps;
use super::math::{apply_activation_in_place, is_transcendental};
use super::memory::{Dst, Src};
use super::pack::{panel, panels};
use super::simd::{Kernel, Simd};
use super::split_even;
use super::tile::{Epilogue, begin, finish, of_height, of_width};

/// An image's planes inside a border of zeros that reaches as far as the windows do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    channels: usize,
    /// `[height, width]` of the image.
    inside: [usize; 2],
    /// `[top, left]`.
    pad: [usize; 2],
    /// `[height, width]` with border.
    size: [usize; 2],
}

impl Planes {
    /// What a window needs of an image `[channels, height, width]` for an output of some size.
    pub fn new(image: [usize; 3], output: [usize; 2], taps: &Taps) -> Self {
        let [channels, height, width] = image;
        let size = |i: usize, inside: usize| {
            let last = output[i].saturating_sub(1) * taps.stride[i];
            (last + (taps.kernel[i] - 1) * taps.dilation[i] + 1).max(taps.pad[i] + inside)
        };
        Planes { channels, inside: [height, width], pad: taps.pad, size: [size(0, height), size(1, width)] }
    }

    /// Values of all planes.
    pub fn len(&self) -> usize {
        self.rows() * self.size[1]
    }

    /// Rows of all planes.
    pub fn rows(&self) -> usize {
        self.channels * self.size[0]
    }

    /// From a row to the next.
    pub fn pitch(&self) -> usize {
        self.size[1]
    }

    /// How far each tap of a window is from the first value of its first plane, in torch's order.
    pub fn places(&self, taps: &Taps) -> Vec<usize> {
        let [kh, kw] = taps.kernel;
        let tap = |c: usize, y: usize, x: usize| {
            (c * self.size[0] + y * taps.dilation[0]) * self.size[1] + x * taps.dilation[1]
        };
        let rows = (0..self.channels).flat_map(|c| (0..kh).map(move |y| (c, y)));
        rows.flat_map(|(c, y)| (0..kw).map(move |x| tap(c, y, x))).collect()
    }

    /// Makes some of the rows of all planes.
    ///
    /// # Panics
    /// Where the image or the planes are too small.
    pub fn fill(&self, image: Src<'_>, planes: Dst<'_>, rows: Range<usize>) {
        let [height, width] = self.inside;
        for row in rows {
            let to = planes.part(row * self.size[1], self.size[1]);
            let (channel, y) = (row / self.size[0], (row % self.size[0]).wrapping_sub(self.pad[0]));
            // A row above the border wraps round to a huge number.
            if y >= height {
                to.zero();
                continue;
            }
            let right = self.pad[1] + width;
            to.part(0, self.pad[1]).zero();
            to.part(self.pad[1], width).scatter(image.part((channel * height + y) * width, width), 1);
            to.part(right, self.size[1] - right).zero();
        }
    }
}

/// One row of the output.
#[derive(Clone, Copy)]
pub struct Stem<'a> {
    /// The planes from the first value of the row's first window on.
    pub planes: Src<'a>,
    /// [`Planes::places`].
    pub places: &'a [usize],
    /// Values from a window to the next.
    pub stride: usize,
    /// Outputs in the row.
    pub columns: usize,
    /// Panels.
    pub weights: Src<'a>,
    /// One value an output channel, whole vectors.
    pub bias: Src<'a>,
    /// The row, its pixels whole vectors.
    pub output: Dst<'a>,
    /// Vectors of output channels.
    pub vectors: usize,
    /// Applied to a finished sum.
    pub activation: Option<Activation>,
}

/// Outputs to which a heavy activation is applied together.
const ACTIVATION_BATCH: usize = 48;

impl Kernel for Stem<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pitch = self.vectors * S::LANES;
        let furthest = self.places.iter().max().copied().unwrap_or(0);
        assert!(self.columns > 0 && self.planes.len() > furthest + (self.columns - 1) * self.stride);
        assert!(self.weights.len() >= pitch * self.places.len() && self.bias.len() >= pitch);
        assert!(self.output.len() >= self.columns * pitch);
        for index in 0..panels(self.vectors, S::PANEL) {
            let panel = panel(self.vectors, S::PANEL, index);
            let channel = panel.start * S::LANES;
            of_width!(S, panel.len(), NV => match self.stride {
                2 => self.row_block::<S, 2, NV>(s, channel),
                _ => self.row_block::<S, 0, NV>(s, channel),
            });
        }
    }
}

impl Stem<'_> {
    /// One panel of the row, in tiles of nearly equal width; `STRIDE` is 0 for one that has no code of its own.
    #[inline(always)]
    fn row_block<S: Simd, const STRIDE: usize, const NV: usize>(&self, s: S, channel: usize) {
        let pitch = self.vectors * S::LANES;
        let tiles = self.columns.div_ceil(S::ROWS[NV - 1]);
        for tile in 0..tiles {
            let xs = split_even(self.columns, tiles, tile);
            of_height!(xs.len(), MR => self.tile::<S, STRIDE, MR, NV>(s, xs.start, channel));
        }
        if !is_transcendental(self.activation) {
            return;
        }
        for first in (0..self.columns).step_by(ACTIVATION_BATCH) {
            let count = ACTIVATION_BATCH.min(self.columns - first);
            let mut places = [self.output.ptr(); ACTIVATION_BATCH];
            for (i, place) in places[..count].iter_mut().enumerate() {
                *place = self.output.ptr().wrapping_add((first + i) * pitch + channel);
            }
            // SAFETY: the panel's part of the row is inside the output, as `run` checked.
            unsafe { apply_activation_in_place(s, self.activation, &places[..count], NV) }
        }
    }

    /// `MR` neighbouring outputs from `x` on by `NV` vectors of channels from `channel` on.
    #[inline(always)]
    fn tile<S: Simd, const STRIDE: usize, const MR: usize, const NV: usize>(
        &self,
        s: S,
        x: usize,
        channel: usize,
    ) {
        if MR > S::ROWS[NV - 1] {
            return; // A tile that `row_block` never asks this instance for: not compiled.
        }
        // SAFETY: `run` checked the views for every window of the row and every panel.
        unsafe {
            let stride = if STRIDE > 0 { STRIDE } else { self.stride };
            let from = self.planes.ptr().add(x * stride);
            let mut to = [self.output.ptr(); MR];
            for i in 0..MR {
                to[i] = self.output.ptr().add((x + i) * self.vectors * S::LANES + channel);
                s.prefetch_all(to[i], NV * S::LANES);
            }
            let mut weights = self.weights.ptr().add(channel * self.places.len());
            let mut sums: [[S::V; NV]; MR] = begin(s, self.bias.ptr().add(channel));
            for &place in self.places {
                let from = from.add(place);
                let mut w = [s.splat(0.0); NV];
                for j in 0..NV {
                    w[j] = s.load(weights.add(j * S::LANES));
                }
                for i in 0..MR {
                    let a = s.splat(*from.add(i * stride));
                    for j in 0..NV {
                        sums[i][j] = s.fma(a, w[j], sums[i][j]);
                    }
                }
                weights = weights.add(NV * S::LANES);
            }
            let epilogue = Epilogue { activation: self.activation, residual: None, post_activation: None };
            finish(s, &epilogue, sums, to, self.output.ptr());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reference::numbers;
    use crate::{Isa, pack};

    /// The furthest that the kernel is from sums in double, on planes and outputs that are full of NaN before.
    fn distance(
        isa: Isa,
        image: [usize; 3],
        output: [usize; 2],
        taps: Taps,
        outputs: usize,
        silu: bool,
    ) -> f64 {
        let [channels, height, width] = image;
        let depth = channels * taps.count();
        let lanes = isa.lanes();
        let (values, filters) = (numbers(1, channels * height * width), numbers(2, outputs * depth));
        let bias = numbers(3, outputs);
        let (mut weights, mut padded) = (Vec::new(), Vec::new());
        let filters = &filters;
        pack::pack(outputs, depth, isa, &mut weights, |d| move |o| filters[o * depth + d]);
        pack::pad(&bias, lanes, &mut padded);
        let planes = Planes::new(image, output, &taps);
        let mut memory = vec![f32::NAN; planes.len()];
        for row in 0..planes.rows() {
            planes.fill(Src::new(&values), Dst::new(&mut memory), row..row + 1);
        }
        let (places, vectors) = (planes.places(&taps), pack::vectors(outputs, lanes));
        let pitch = vectors * lanes;
        let mut worst = 0f64;
        for y in 0..output[0] {
            let mut row = vec![f32::NAN; output[1] * pitch];
            let at = y * taps.stride[0] * planes.pitch();
            isa.run(Stem {
                planes: Src::new(&memory).part(at, memory.len() - at),
                places: &places,
                stride: taps.stride[1],
                columns: output[1],
                weights: Src::new(&weights),
                bias: Src::new(&padded),
                output: Dst::new(&mut row),
                vectors,
                activation: silu.then_some(Activation::Silu),
            });
            for (x, o) in (0..output[1]).flat_map(|x| (0..outputs).map(move |o| (x, o))) {
                let mut sum = f64::from(bias[o]);
                for (d, filter) in filters[o * depth..][..depth].iter().enumerate() {
                    let (c, ky, kx) =
                        (d / taps.count(), d % taps.count() / taps.kernel[1], d % taps.kernel[1]);
                    let iy = (y * taps.stride[0] + ky * taps.dilation[0]).wrapping_sub(taps.pad[0]);
                    let ix = (x * taps.stride[1] + kx * taps.dilation[1]).wrapping_sub(taps.pad[1]);
                    if iy < height && ix < width {
                        sum += f64::from(values[(c * height + iy) * width + ix]) * f64::from(*filter);
                    }
                }
                if silu {
                    sum /= 1.0 + (-sum).exp();
                }
                worst = worst.max((f64::from(row[x * pitch + o]) - sum).abs());
            }
        }
        worst
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn stem_matches_reference(
            image in [1usize..4, 1..20, 1..20], output in [1usize..9, 1..30], kernel in [1usize..8, 1..8],
            stride in [1usize..5, 1..5], dilation in [1usize..3, 1..3], pad in [0usize..4, 0..4],
            outputs in 1usize..70, silu in prop::bool::ANY,
        ) {
            for isa in Isa::available() {
                let taps = Taps { kernel, stride, dilation, pad };
                let far = distance(isa, image, output, taps, outputs, silu);
                // Sums of up to 147 products of numbers below 1.
                prop_assert!(far <= 2e-5, "{isa}: {far:e}");
            }
        }
    }
}
