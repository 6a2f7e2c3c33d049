//! Convolutions and 1×1 convolutions as register-blocked matrix products.
//!
//! In: an NHWC map, packed weights ([`super::pack`]), a bias. Out: an NHWC map, with bias, activation and
//! residual applied while the sums are still in registers. A tile is some pixels by one panel of output
//! channels; for a window of more than one tap the products of each tap are summed into the same
//! registers, reading the input in place (no im2col). The order of every sum is taps, then channels,
//! from the bias on: neither tiles nor threads change it.

#![allow(unsafe_code)]

use std::ops::Range;

use crate::nn::graph::Activation;

use super::math::{activate, is_heavy, rework};
use super::memory::{Dst, Src};
use super::simd::{Kernel, PANEL, Simd};

/// The window of a convolution over a map whose border is zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taps {
    /// `[height, width]`.
    pub(crate) kernel: [usize; 2],
    /// `[vertical, horizontal]`.
    pub(crate) stride: [usize; 2],
    /// `[vertical, horizontal]`.
    pub(crate) dilation: [usize; 2],
    /// `[top, left]`.
    pub(crate) pad: [usize; 2],
}

impl Taps {
    /// A 1×1 window.
    pub(crate) const POINT: Taps = Taps { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pad: [0; 2] };

    /// Taps in the window.
    pub(crate) fn count(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// What happens to a finished sum.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Applied first.
    pub(crate) activation: Option<Activation>,
    /// Added next; laid out like the output.
    pub(crate) residual: Option<Src<'a>>,
    /// Applied last.
    pub(crate) after: Option<Activation>,
}

/// A convolution of some of a map's channels into some of another's.
#[derive(Clone, Copy)]
pub(crate) struct Conv<'a> {
    /// The input map, from its first channel that is read on.
    pub(crate) input: Src<'a>,
    /// Values from a pixel to the next.
    pub(crate) input_pitch: usize,
    /// `[height, width]` of the input.
    pub(crate) input_size: [usize; 2],
    /// Channels that are read.
    pub(crate) channels: usize,
    /// The window.
    pub(crate) taps: Taps,
    /// `[height, width]` of the output.
    pub(crate) output_size: [usize; 2],
    /// Panels.
    pub(crate) weights: Src<'a>,
    /// One value an output channel, whole vectors.
    pub(crate) bias: Src<'a>,
    /// The output map, from its first channel that is written on.
    pub(crate) output: Dst<'a>,
    /// Values from a pixel to the next.
    pub(crate) output_pitch: usize,
    /// Values from a row to the next (more than the row has where the output has a border).
    pub(crate) output_row: usize,
    /// Vectors of output channels.
    pub(crate) vectors: usize,
    /// What happens to a finished sum.
    pub(crate) epilogue: Epilogue<'a>,
    /// At least `channels` zeros: what lies beyond the border.
    pub(crate) zeros: Src<'a>,
}

/// A convolution with the part of its output that one thread computes.
#[derive(Clone, Copy)]
pub(crate) struct ConvPart<'a> {
    conv: Conv<'a>,
    pixels: [usize; 2],
    panels: [usize; 2],
    simple: bool,
}

/// Values of input that a chunk of pixels may have: they are read once a panel, and should stay in L2.
const CHUNK: usize = 24 * 1024;

impl<'a> Conv<'a> {
    /// The part of the output made of these pixels and panels.
    pub(crate) fn part(self, pixels: Range<usize>, panels: Range<usize>) -> ConvPart<'a> {
        let taps = self.taps;
        let inside = (0..2).all(|i| {
            self.output_size[i] == 0 || (self.output_size[i] - 1) * taps.stride[i] < self.input_size[i]
        });
        let simple = taps.count() == 1 && taps.pad == [0; 2] && inside;
        ConvPart {
            conv: self,
            pixels: [pixels.start, pixels.end],
            panels: [panels.start, panels.end],
            simple,
        }
    }

    /// # Panics
    /// Where a view is smaller than the geometry says.
    fn check<S: Simd>(&self) {
        let [ih, iw] = self.input_size;
        let [oh, ow] = self.output_size;
        let depth = self.channels * self.taps.count();
        let furthest = |pixels: usize, pitch: usize, values: usize| match pixels {
            0 => 0,
            _ => (pixels - 1) * pitch + values,
        };
        assert!(self.input.len() >= furthest(ih * iw, self.input_pitch, self.channels));
        assert!(self.weights.len() >= self.vectors * S::LANES * depth);
        assert!(self.bias.len() >= self.vectors * S::LANES);
        assert!(self.zeros.len() >= self.channels);
        let row = furthest(ow, self.output_pitch, self.vectors * S::LANES);
        assert!(self.output.len() >= furthest(oh, self.output_row, row));
        if let Some(residual) = self.epilogue.residual {
            assert!(residual.len() >= furthest(oh, self.output_row, row));
        }
    }
}

impl Kernel for ConvPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let c = &self.conv;
        c.check::<S>();
        assert!(self.pixels[1] <= c.output_size[0] * c.output_size[1]);
        assert!(self.panels[1] <= c.vectors.div_ceil(PANEL));
        let total = self.pixels[1] - self.pixels[0];
        let depth = c.channels * c.taps.count();
        let most = S::ROWS[1];
        let chunk = (CHUNK / depth.max(1)).next_multiple_of(most).max(4 * most);
        let chunks = total.div_ceil(chunk);
        for i in 0..chunks {
            let range = share(total, chunks, i);
            let (start, end) = (self.pixels[0] + range.start, self.pixels[0] + range.end);
            for panel in self.panels[0]..self.panels[1] {
                match (c.vectors - panel * PANEL).min(PANEL) {
                    1 => self.strip::<S, 1>(s, start, end, panel),
                    _ => self.strip::<S, 2>(s, start, end, panel),
                }
            }
        }
    }
}

/// The `index`th of `parts` nearly equal consecutive parts of `0..total`.
pub(crate) fn share(total: usize, parts: usize, index: usize) -> Range<usize> {
    let (each, more) = (total / parts.max(1), total % parts.max(1));
    let start = index * each + index.min(more);
    start..start + each + usize::from(index < more)
}

impl ConvPart<'_> {
    /// Pixels `start .. end` of one panel, in tiles of nearly equal height (49 pixels are 4 of 6 and 5
    /// of 5, never 8 of 6 and 1 of 1).
    #[inline(always)]
    fn strip<S: Simd, const NV: usize>(&self, s: S, start: usize, end: usize, panel: usize) {
        let total = end - start;
        let tiles = total.div_ceil(S::ROWS[NV - 1]);
        let (each, more) = (total / tiles.max(1), total % tiles.max(1));
        let mut at = start;
        for tile in 0..tiles {
            let rows = each + usize::from(tile < more);
            match rows {
                1 => self.tile::<S, 1, NV>(s, at, panel),
                2 => self.tile::<S, 2, NV>(s, at, panel),
                3 => self.tile::<S, 3, NV>(s, at, panel),
                4 => self.tile::<S, 4, NV>(s, at, panel),
                5 => self.tile::<S, 5, NV>(s, at, panel),
                6 => self.tile::<S, 6, NV>(s, at, panel),
                7 => self.tile::<S, 7, NV>(s, at, panel),
                8 => self.tile::<S, 8, NV>(s, at, panel),
                9 => self.tile::<S, 9, NV>(s, at, panel),
                10 => self.tile::<S, 10, NV>(s, at, panel),
                11 => self.tile::<S, 11, NV>(s, at, panel),
                _ => self.tile::<S, 12, NV>(s, at, panel),
            }
            at += rows;
        }
    }

    /// `MR` pixels from `first` by `NV` vectors of output channels.
    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize>(&self, s: S, first: usize, panel: usize) {
        if MR > S::ROWS[NV - 1] {
            return; // A tile that `strip` never asks this instance for: not compiled.
        }
        let c = &self.conv;
        let [oh, ow] = c.output_size;
        debug_assert!(first + MR <= oh * ow);
        let channel = panel * PANEL * S::LANES;
        let depth = c.channels * c.taps.count();
        // SAFETY: `run` checked the views against the geometry; `first + MR` pixels are inside the
        // output, `panel` is one of its panels, and taps beyond the input read the zeros.
        unsafe {
            let mut weights = c.weights.ptr().add(channel * depth);
            let mut place = [[0usize; 2]; MR];
            let mut to = [c.output.ptr(); MR];
            let (mut y, mut x) = (first / ow, first % ow);
            for i in 0..MR {
                place[i] = [y, x];
                to[i] = c.output.ptr().add(y * c.output_row + x * c.output_pitch + channel);
                x += 1;
                if x == ow {
                    (y, x) = (y + 1, 0);
                }
            }
            let mut sums = [[s.splat(0.0); NV]; MR];
            for j in 0..NV {
                let bias = s.load(c.bias.ptr().add(channel + j * S::LANES));
                for row in &mut sums {
                    row[j] = bias;
                }
            }
            let t = &c.taps;
            if self.simple {
                let mut from = [c.input.ptr(); MR];
                for i in 0..MR {
                    let [y, x] = place[i];
                    let pixel = y * t.stride[0] * c.input_size[1] + x * t.stride[1];
                    from[i] = c.input.ptr().add(pixel * c.input_pitch);
                }
                products(s, from, weights, c.channels, &mut sums);
            } else {
                for ky in 0..t.kernel[0] {
                    for kx in 0..t.kernel[1] {
                        let mut from = [c.zeros.ptr(); MR];
                        for i in 0..MR {
                            // A row or column above the border wraps round to a huge number.
                            let iy = (place[i][0] * t.stride[0] + ky * t.dilation[0]).wrapping_sub(t.pad[0]);
                            let ix = (place[i][1] * t.stride[1] + kx * t.dilation[1]).wrapping_sub(t.pad[1]);
                            if iy < c.input_size[0] && ix < c.input_size[1] {
                                from[i] = c.input.ptr().add((iy * c.input_size[1] + ix) * c.input_pitch);
                            }
                        }
                        products(s, from, weights, c.channels, &mut sums);
                        weights = weights.add(c.channels * NV * S::LANES);
                    }
                }
            }
            finish(s, &c.epilogue, sums, to, c.output.ptr());
        }
    }
}

/// `sums[i][j] += from[i][k] · weights[k][j]` over `depth` inputs.
///
/// # Safety
/// Each of `from` is readable for `depth` values, `weights` for `depth · NV` vectors.
#[inline(always)]
unsafe fn products<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    from: [*const f32; MR],
    weights: *const f32,
    depth: usize,
    sums: &mut [[S::V; NV]; MR],
) {
    let mut local = *sums;
    let mut weights = weights;
    for k in 0..depth {
        // SAFETY: as the caller vouches.
        unsafe {
            s.prefetch(weights.wrapping_add(AHEAD));
            let mut w = [s.splat(0.0); NV];
            for j in 0..NV {
                w[j] = s.load(weights.add(j * S::LANES));
            }
            for i in 0..MR {
                let a = s.splat(*from[i].add(k));
                for j in 0..NV {
                    local[i][j] = s.fma(a, w[j], local[i][j]);
                }
            }
            weights = weights.add(NV * S::LANES);
        }
    }
    *sums = local;
}

/// Values between the weights in use and those asked for.
const AHEAD: usize = 256;

/// Activation, residual, activation, and the store.
///
/// # Safety
/// Each of `to` lies in the output that starts at `base`, and is writable for `NV` vectors; the residual
/// is laid out like the output.
#[inline(always)]
unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    epilogue: &Epilogue<'_>,
    sums: [[S::V; NV]; MR],
    to: [*mut f32; MR],
    base: *mut f32,
) {
    let mut sums = sums;
    // SAFETY: as the caller vouches.
    unsafe {
        if is_heavy(epilogue.activation) {
            put(s, &to, &sums);
            rework(s, epilogue.activation, &to, NV);
            if epilogue.residual.is_none() {
                return;
            }
            for i in 0..MR {
                for j in 0..NV {
                    sums[i][j] = s.load(to[i].add(j * S::LANES));
                }
            }
        } else {
            activate(s, epilogue.activation, &mut sums);
        }
        if let Some(residual) = epilogue.residual {
            for i in 0..MR {
                let from = residual.ptr().offset(to[i].offset_from(base));
                for j in 0..NV {
                    sums[i][j] = s.add(sums[i][j], s.load(from.add(j * S::LANES)));
                }
            }
            activate(s, epilogue.after, &mut sums);
        }
        put(s, &to, &sums);
        if epilogue.residual.is_some() && is_heavy(epilogue.after) {
            rework(s, epilogue.after, &to, NV);
        }
    }
}

/// Stores a tile.
///
/// # Safety
/// Each of `to` is writable for `NV` vectors.
#[inline(always)]
pub(super) unsafe fn put<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    to: &[*mut f32; MR],
    tile: &[[S::V; NV]; MR],
) {
    for i in 0..MR {
        for j in 0..NV {
            // SAFETY: as the caller vouches.
            unsafe { s.store(to[i].add(j * S::LANES), tile[i][j]) }
        }
    }
}
