//! Some pixels by one panel of output channels, tile after tile: the inner part of [`super::conv`].
//!
//! In: a convolution that was checked against its views, a strip of it. Out: its sums, finished or so far. Where a
//! tile's pixels come from and go to is worked out for a batch of tiles; what they will need of the memory is asked for
//! while other products are made.

#![allow(unsafe_code)]

use super::conv::{ConvPart, Soon};
use super::math::{is_heavy, rework};
use super::simd::Simd;
use super::tile::{Ahead, begin, finish, of_height, products, put, resume};

/// Fewest inputs that are multiplied between asking for some pixels' lines and for the next's; with vectors of 8 lanes
/// products take long enough to ask for all at once, which measured better.
const BETWEEN: usize = 16;

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
pub(super) struct Strip {
    /// First, and one beyond the last.
    pub(super) pixels: [usize; 2],
    /// The panel's first output.
    pub(super) channel: usize,
    /// First, and one beyond the last: all, unless the convolution is deep.
    pub(super) inputs: [usize; 2],
    /// Whether it is the first to read them.
    pub(super) fresh: bool,
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
    pub(super) fn strip<S: Simd, const NV: usize>(&self, s: S, strip: Strip) {
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
            self.places(&mut spots[..count], &mut y, &mut x, [channel, first_input]);
            if let Some((soon, each)) = soon {
                spread(&mut spots[..count], soon, each, done);
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
    fn places(&self, spots: &mut [Spot], y: &mut usize, x: &mut usize, [channel, first_input]: [usize; 2]) {
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

/// Puts pixels of what is written next in the place of where some pixels go, as many as each has of them in 65536ths;
/// the first of these is the `first`th of all.
#[inline(always)]
fn spread(spots: &mut [Spot], soon: Soon<'_>, each: usize, first: usize) {
    let until = |pixel: usize| (pixel * each) >> 16;
    let mut last = until(first);
    for (i, spot) in spots.iter_mut().enumerate() {
        let next = until(first + i + 1);
        if next > last {
            spot.line = soon.at.ptr().wrapping_add(last * soon.pitch);
            last = next;
        }
    }
}
