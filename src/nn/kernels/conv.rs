//! Convolutions and 1×1 convolutions as register-blocked matrix products.
//!
//! In: an NHWC map, packed weights ([`super::pack`]), a bias. Out: an NHWC map, with bias, activation and
//! residual applied while the sums are still in registers. A tile is some pixels by one panel of output
//! channels; for a window of more than one tap the products of each tap are summed into the same
//! registers, reading the input in place (no im2col). The order of every sum is taps, then channels,
//! from the bias on: neither tiles nor threads change it.

#![allow(unsafe_code)]

use std::ops::Range;

use super::math::{is_heavy, rework};
use super::memory::{Dst, Src};
use super::pack;
use super::simd::{Kernel, Simd};
use super::tile::{Ahead, Epilogue, begin, finish, of_height, products, put, resume};

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
    /// Whether the input is far away, for this thread to ask for: in front of a depthwise convolution one panel
    /// after the other reads it, and only the first has to.
    pub(crate) fresh: bool,
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
    /// What to ask for in the place of its own output's lines.
    pub(crate) soon: Option<Soon<'a>>,
    /// At least `channels` zeros: what lies beyond the border.
    pub(crate) zeros: Src<'a>,
}

/// Pixels that will be written next, far from the caches: products leave time to ask for them, more than those who
/// write them have.
#[derive(Clone, Copy)]
pub(crate) struct Soon<'a> {
    /// The first.
    pub(crate) at: Dst<'a>,
    /// Values from one to the next.
    pub(crate) pitch: usize,
    /// How many.
    pub(crate) pixels: usize,
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
/// Inputs of a 1×1 convolution from which on they are taken in blocks, and the most of a block: a panel's weights and a
/// chunk's inputs are then both at home in L2, and weights are read from further away for more pixels at a time. The
/// sums so far wait in the output; their order is the same.
const DEEP: [usize; 2] = [2048, 768];
/// Fewest inputs that are multiplied between asking for some pixels' lines and for the next's; with vectors of 8 lanes
/// products take long enough to ask for all at once, which measured better.
const BETWEEN: usize = 16;
/// Values of input for each lane in a chunk where inputs come in blocks: who has 16 lanes has a larger L2 too.
const DEEP_CHUNK: usize = 8 * 1024;

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
        assert!(self.panels[1] <= pack::panels(c.vectors, S::PANEL));
        let total = self.pixels[1] - self.pixels[0];
        let (blocks, values) = match self.simple && c.channels >= DEEP[0] {
            true => (c.channels.div_ceil(DEEP[1]), DEEP_CHUNK * S::LANES),
            false => (1, CHUNK),
        };
        let fit = (values / c.channels.div_ceil(blocks).max(1)).max(4 * S::ROWS[1]);
        // Half a chunk more is better than weights read once more.
        let chunks = ((total + fit / 2) / fit).max(1);
        for i in 0..chunks {
            let range = share(total, chunks, i);
            for block in 0..blocks {
                let inputs = share(c.channels, blocks, block);
                for index in self.panels[0]..self.panels[1] {
                    let panel = pack::panel(c.vectors, S::PANEL, index);
                    let strip = Strip {
                        pixels: [self.pixels[0] + range.start, self.pixels[0] + range.end],
                        channel: panel.start * S::LANES,
                        inputs: [inputs.start, inputs.end],
                        fresh: c.fresh && self.simple && index == self.panels[0],
                    };
                    match panel.len() {
                        1 => self.strip::<S, 1>(s, strip),
                        2 => self.strip::<S, 2>(s, strip),
                        _ => self.strip::<S, 3>(s, strip),
                    }
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

/// Pixels whose places are worked out, and whose heavy activation is applied, together: one function call
/// for them all, by which time the first sums have long been stored.
const BATCH: usize = 48;

/// Where a pixel is.
#[derive(Clone, Copy)]
struct Spot {
    /// Its panel's first output.
    to: *mut f32,
    /// Its first input; of a window of one tap without border only.
    from: *const f32,
    /// What to ask for while it is made: where it goes, or what is written next.
    line: *const f32,
    /// Row and column.
    y: usize,
    x: usize,
}

/// Some pixels of a panel, and some of the inputs that its sums are made of.
#[derive(Clone, Copy)]
struct Strip {
    /// First, and last but one.
    pixels: [usize; 2],
    /// The panel's first output.
    channel: usize,
    /// First, and last but one: all, unless the convolution is deep.
    inputs: [usize; 2],
    /// Whether it is the first to read them.
    fresh: bool,
}

/// How a tile's products and its pixels' lines alternate.
#[derive(Clone, Copy)]
struct Turns {
    /// Pixels whose lines are asked for at a time.
    pixels: usize,
    /// Inputs that are multiplied then.
    inputs: usize,
}

impl ConvPart<'_> {
    /// A strip in tiles of nearly equal height (49 pixels are 4 of 6 and 5 of 5, never 8 of 6 and 1 of 1).
    #[inline(always)]
    fn strip<S: Simd, const NV: usize>(&self, s: S, strip: Strip) {
        if NV > S::PANEL {
            return; // A panel that this instance has not: not compiled.
        }
        let c = &self.conv;
        let [oh, ow] = c.output_size;
        let ([start, end], [first_input, last_input], channel) = (strip.pixels, strip.inputs, strip.channel);
        if start >= end || end > oh * ow {
            return;
        }
        let total = end - start;
        let block = last_input - first_input;
        let tiles = total.div_ceil(S::ROWS[NV - 1]);
        let (each, more) = (total / tiles, total % tiles);
        let width = NV * S::LANES;
        let values = c.channels * c.taps.count() * width;
        // SAFETY: the panel is one of the layer's, whose weights `run` checked.
        let weights =
            unsafe { c.weights.ptr().add(channel * c.channels * c.taps.count() + first_input * width) };
        let last = last_input == c.channels;
        let later = last && is_heavy(c.epilogue.activation) && c.epilogue.residual.is_none();
        let rows = S::ROWS[NV - 1].min(total);
        let pixels = rows.div_ceil((if S::LANES > 8 { block / BETWEEN } else { 1 }).clamp(1, rows));
        let turns = Turns { pixels, inputs: block / rows.div_ceil(pixels) };
        // The next tile's inputs, which this panel is the first to read, or the next panel's weights, a share of them a
        // tile.
        let next = each * c.taps.stride[1] * c.input_pitch;
        let share = block * c.taps.count() * width / tiles;
        let step = if strip.fresh { next / block.max(1) } else { width / tiles };
        let no = c.output.ptr();
        let mut spots = [Spot { to: no, from: c.input.ptr(), line: no, y: 0, x: 0 }; BATCH];
        let (mut y, mut x) = (start / ow, start % ow);
        // Pixels of what is written next for each that is made, in 65536ths.
        let soon = c.soon.map(|soon| (soon, (soon.pixels << 16) / (oh * ow)));
        let (mut tile, mut done) = (0, start);
        while tile < tiles {
            // As many whole tiles as a batch holds.
            let (first, mut count) = (tile, 0);
            while tile < tiles && count + each + usize::from(tile < more) <= BATCH {
                count += each + usize::from(tile < more);
                tile += 1;
            }
            self.places::<S>(&mut spots[..count], &mut y, &mut x, [channel, first_input]);
            if let Some((soon, each)) = soon {
                self.soon(&mut spots[..count], soon, each, done);
            }
            done += count;
            let mut at = 0;
            for i in first..tile {
                let rows = each + usize::from(i < more);
                let ahead = match strip.fresh {
                    true => Ahead { at: spots[at].from.wrapping_add(next), step },
                    false => Ahead { at: weights.wrapping_add(values + i * share), step },
                };
                let spots = &spots[at..at + rows];
                of_height!(rows, MR => self.tile::<S, MR, NV>(s, spots, strip, ahead, turns));
                at += rows;
            }
            if later {
                let mut places = [c.output.ptr(); BATCH];
                for (place, spot) in places.iter_mut().zip(&spots[..count]) {
                    *place = spot.to;
                }
                // SAFETY: a spot's panel is inside the output, as `run` checked.
                unsafe { rework(s, c.epilogue.activation, &places[..count], NV) }
            }
        }
    }

    /// Works out where the pixels from `y`, `x` on are, and moves `y`, `x` beyond them.
    #[inline(always)]
    fn places<S: Simd>(
        &self,
        spots: &mut [Spot],
        y: &mut usize,
        x: &mut usize,
        [channel, first_input]: [usize; 2],
    ) {
        let c = &self.conv;
        let [oh, ow] = c.output_size;
        let mut spots = spots.iter_mut();
        while spots.len() > 0 {
            let run = (ow - *x).min(spots.len());
            debug_assert!(*y < oh);
            // SAFETY: the row is one of the output, which `run` checked together with the input.
            unsafe {
                let mut to = c.output.ptr().add(*y * c.output_row + *x * c.output_pitch + channel);
                let row = *y * c.taps.stride[0] * c.input_size[1];
                let step = c.taps.stride[1] * c.input_pitch;
                let mut from = c.input.ptr();
                if self.simple {
                    from = from.add(row * c.input_pitch + *x * step + first_input);
                }
                for (i, spot) in spots.by_ref().take(run).enumerate() {
                    *spot = Spot { to, from, line: to, y: *y, x: *x + i };
                    to = to.wrapping_add(c.output_pitch);
                    from = from.wrapping_add(step);
                }
            }
            *x += run;
            if *x == ow {
                (*y, *x) = (*y + 1, 0);
            }
        }
    }

    /// Puts what is written next in the place of where the pixels go, some of it with each, the first of which is the
    /// `first`th of all.
    #[inline(always)]
    fn soon(&self, spots: &mut [Spot], soon: Soon<'_>, each: usize, first: usize) {
        let (mut last, mut at) =
            (first * each >> 16, soon.at.ptr().wrapping_add((first * each >> 16) * soon.pitch));
        for (i, spot) in spots.iter_mut().enumerate() {
            let pixel = (first + i + 1) * each >> 16;
            if pixel > last {
                spot.line = at;
                at = at.wrapping_add(soon.pitch);
                last = pixel;
            }
        }
    }

    /// Asks for a pixel's line, and for those that are added to it.
    ///
    /// # Safety
    /// The spot is inside the output.
    #[inline(always)]
    unsafe fn ask<S: Simd, const NV: usize>(&self, s: S, spot: &Spot) {
        s.prefetch_all(spot.line, NV * S::LANES);
        if let Some(residual) = self.conv.epilogue.residual {
            // SAFETY: as the caller vouches, and the residual is laid out like the output.
            let from = unsafe { residual.ptr().offset(spot.to.offset_from(self.conv.output.ptr())) };
            s.prefetch_all(from, NV * S::LANES);
        }
    }

    /// `MR` pixels of a strip by its `NV` vectors of output channels.
    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        spots: &[Spot],
        strip: Strip,
        ahead: Ahead,
        turns: Turns,
    ) {
        if MR > S::ROWS[NV - 1] {
            return; // A tile that `strip` never asks this instance for: not compiled.
        }
        let Some(spots) = spots.first_chunk::<MR>() else { return };
        let c = &self.conv;
        let (channel, depth) = (strip.channel, c.channels * c.taps.count());
        let [first, end] = strip.inputs;
        // SAFETY: `run` checked the views against the geometry; the spots are inside the output, `channel`
        // starts one of its panels, and taps beyond the input read the zeros.
        unsafe {
            let mut weights = c.weights.ptr().add(channel * depth);
            let mut ahead = ahead;
            let mut to = [c.output.ptr(); MR];
            for i in 0..MR {
                to[i] = spots[i].to;
            }
            let mut sums: [[S::V; NV]; MR] = match first {
                0 => begin(s, c.bias.ptr().add(channel)),
                _ => resume(s, &to),
            };
            let t = &c.taps;
            if self.simple {
                let mut from = [c.input.ptr(); MR];
                for i in 0..MR {
                    from[i] = spots[i].from;
                }
                // Lines asked for between products: all at once, products would wait for them.
                weights = weights.add(first * NV * S::LANES);
                let (mut done, mut asked) = (0, 0);
                while asked < MR {
                    let upto = MR.min(asked + turns.pixels);
                    for spot in &spots[asked..upto] {
                        self.ask::<S, NV>(s, spot);
                    }
                    let to = if upto < MR { done + turns.inputs } else { end - first };
                    products(s, from, weights, done..to, &mut sums, ahead);
                    (done, asked) = (to, upto);
                }
                if end < c.channels {
                    put(s, &to, &sums);
                    return;
                }
            } else {
                for spot in spots {
                    self.ask::<S, NV>(s, spot);
                }
                for ky in 0..t.kernel[0] {
                    for kx in 0..t.kernel[1] {
                        let mut from = [c.zeros.ptr(); MR];
                        for i in 0..MR {
                            // A row or column above the border wraps round to a huge number.
                            let iy = (spots[i].y * t.stride[0] + ky * t.dilation[0]).wrapping_sub(t.pad[0]);
                            let ix = (spots[i].x * t.stride[1] + kx * t.dilation[1]).wrapping_sub(t.pad[1]);
                            if iy < c.input_size[0] && ix < c.input_size[1] {
                                from[i] = c.input.ptr().add((iy * c.input_size[1] + ix) * c.input_pitch);
                            }
                        }
                        products(s, from, weights, 0..c.channels, &mut sums, ahead);
                        weights = weights.add(c.channels * NV * S::LANES);
                        ahead.at = ahead.at.wrapping_add(c.channels * ahead.step);
                    }
                }
            }
            finish(s, &c.epilogue, sums, to, c.output.ptr());
        }
    }
}
