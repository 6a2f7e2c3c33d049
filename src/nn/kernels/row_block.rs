//! Some pixels by one panel of output channels, tile after tile: the inner part of [`super::conv`].
//!
//! In: a convolution that was checked against its views, a strip of it. Out: its sums, finished or so far. Where a
//! tile's pixels come from and go to is worked out for a batch of tiles; what they will need of the memory is asked for
//! while other products are made.

#![allow(unsafe_code)]

use super::conv::{ConvPart, PrefetchTarget, RowBlock};
use super::math::{apply_activation_in_place, is_transcendental};
use super::simd::Simd;
use super::tile::{Prefetch, begin, finish, of_height, products, put, resume};

/// Fewest inputs that are multiplied between asking for some pixels' lines and for the next's; with vectors of 8 lanes
/// products take long enough to ask for all at once, which measured better.
const MIN_INPUTS_BETWEEN_PREFETCHES: usize = 16;

/// Pixels whose places are worked out, and whose heavy activation is applied, together: one function call
/// for them all, by which time the first sums have long been stored.
const MAX_BATCH: usize = 48;

/// Where a pixel is.
#[derive(Clone, Copy)]
struct PixelPtrs {
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

/// How a tile's products and its pixels' lines alternate.
#[derive(Clone, Copy)]
struct PrefetchSchedule {
    /// Pixels whose lines are asked for at a time.
    pixels: usize,
    /// Inputs that are multiplied then.
    inputs: usize,
}

impl ConvPart<'_> {
    /// A strip in tiles of nearly equal height (49 pixels are 4 of 6 and 5 of 5, never 8 of 6 and 1 of 1).
    #[inline(always)]
    pub(super) fn row_block<S: Simd, const NV: usize>(&self, s: S, row_block: RowBlock) {
        let c = &self.conv;
        let [oh, ow] = c.output_size;
        let ([start, end], [first_input, last_input], channel) =
            (row_block.pixels, row_block.inputs, row_block.channel);
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
        let later = last && is_transcendental(c.epilogue.activation) && c.epilogue.residual.is_none();
        let rows = S::ROWS[NV - 1].min(total);
        let pixels = rows
            .div_ceil((if S::LANES > 8 { block / MIN_INPUTS_BETWEEN_PREFETCHES } else { 1 }).clamp(1, rows));
        let schedule = PrefetchSchedule { pixels, inputs: block / rows.div_ceil(pixels) };
        // The next tile's inputs, which this panel is the first to read, or the next panel's weights, a share of them a
        // tile.
        let next = each * c.taps.stride[1] * c.input_pitch;
        let per_tile = block * c.taps.count() * width / tiles;
        let step = if row_block.cold { next / block.max(1) } else { width / tiles };
        let no = c.output.ptr();
        let mut pixels = [PixelPtrs { to: no, from: c.input.ptr(), line: no, y: 0, x: 0 }; MAX_BATCH];
        let (mut y, mut x) = (start / ow, start % ow);
        // Pixels of what is written next for each that is made, in 65536ths.
        let prefetch = c.prefetch.map(|prefetch| (prefetch, (prefetch.pixels << 16) / (oh * ow)));
        let (mut tile, mut done) = (0, start);
        while tile < tiles {
            // As many whole tiles as a batch holds.
            let (first, mut count) = (tile, 0);
            while tile < tiles && count + each + usize::from(tile < more) <= MAX_BATCH {
                count += each + usize::from(tile < more);
                tile += 1;
            }
            self.places(&mut pixels[..count], &mut y, &mut x, [channel, first_input]);
            if let Some((prefetch, each)) = prefetch {
                spread(&mut pixels[..count], prefetch, each, done);
            }
            done += count;
            let mut at = 0;
            for i in first..tile {
                let rows = each + usize::from(i < more);
                let ahead = if row_block.cold {
                    Prefetch { at: pixels[at].from.wrapping_add(next), step }
                } else {
                    Prefetch { at: weights.wrapping_add(values + i * per_tile), step }
                };
                let pixels = &pixels[at..at + rows];
                of_height!(rows, MR => self.tile::<S, MR, NV>(s, pixels, row_block, ahead, schedule));
                at += rows;
            }
            if later {
                let mut places = [c.output.ptr(); MAX_BATCH];
                for (place, pixel) in places.iter_mut().zip(&pixels[..count]) {
                    *place = pixel.to;
                }
                // SAFETY: a spot's panel is inside the output, as `run` checked.
                unsafe { apply_activation_in_place(s, c.epilogue.activation, &places[..count], NV) }
            }
        }
    }

    /// Works out where the pixels from `y`, `x` on are, and moves `y`, `x` beyond them.
    #[inline(always)]
    fn places(
        &self,
        pixels: &mut [PixelPtrs],
        y: &mut usize,
        x: &mut usize,
        [channel, first_input]: [usize; 2],
    ) {
        let c = &self.conv;
        let [oh, ow] = c.output_size;
        let mut pixels = pixels.iter_mut();
        while pixels.len() > 0 {
            let run = (ow - *x).min(pixels.len());
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
                for (i, pixel) in pixels.by_ref().take(run).enumerate() {
                    *pixel = PixelPtrs { to, from, line: to, y: *y, x: *x + i };
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
    unsafe fn prefetch<S: Simd, const NV: usize>(&self, s: S, pixel: &PixelPtrs) {
        s.prefetch_all(pixel.line, NV * S::LANES);
        if let Some(residual) = self.conv.epilogue.residual {
            // SAFETY: as the caller vouches, and the residual is laid out like the output.
            let from = unsafe { residual.ptr().offset(pixel.to.offset_from(self.conv.output.ptr())) };
            s.prefetch_all(from, NV * S::LANES);
        }
    }

    /// `MR` pixels of a strip by its `NV` vectors of output channels.
    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        pixels: &[PixelPtrs],
        row_block: RowBlock,
        ahead: Prefetch,
        schedule: PrefetchSchedule,
    ) {
        if MR > S::ROWS[NV - 1] {
            return; // A tile that `row_block` never asks this instance for: not compiled.
        }
        let Some(pixels) = pixels.first_chunk::<MR>() else { return };
        let c = &self.conv;
        let (channel, depth) = (row_block.channel, c.channels * c.taps.count());
        let [first, end] = row_block.inputs;
        // SAFETY: `run` checked the views against the geometry; the spots are inside the output, `channel`
        // starts one of its panels, and taps beyond the input read the zeros.
        unsafe {
            let mut weights = c.weights.ptr().add(channel * depth);
            let mut ahead = ahead;
            let mut to = [c.output.ptr(); MR];
            for i in 0..MR {
                to[i] = pixels[i].to;
            }
            let mut sums: [[S::V; NV]; MR] = match first {
                0 => begin(s, c.bias.ptr().add(channel)),
                _ => resume(s, &to),
            };
            let t = &c.taps;
            if self.simple {
                let mut from = [c.input.ptr(); MR];
                for i in 0..MR {
                    from[i] = pixels[i].from;
                }
                // Lines asked for between products: all at once, products would wait for them.
                weights = weights.add(first * NV * S::LANES);
                let (mut done, mut asked) = (0, 0);
                while asked < MR {
                    let upto = MR.min(asked + schedule.pixels);
                    for pixel in &pixels[asked..upto] {
                        self.prefetch::<S, NV>(s, pixel);
                    }
                    let to = if upto < MR { done + schedule.inputs } else { end - first };
                    products(s, from, weights, done..to, &mut sums, ahead);
                    (done, asked) = (to, upto);
                }
                if end < c.channels {
                    put(s, &to, &sums);
                    return;
                }
            } else {
                for pixel in pixels {
                    self.prefetch::<S, NV>(s, pixel);
                }
                for ky in 0..t.kernel[0] {
                    for kx in 0..t.kernel[1] {
                        let mut from = [c.zeros.ptr(); MR];
                        for i in 0..MR {
                            // A row or column above the border wraps round to a huge number.
                            let iy = (pixels[i].y * t.stride[0] + ky * t.dilation[0]).wrapping_sub(t.pad[0]);
                            let ix = (pixels[i].x * t.stride[1] + kx * t.dilation[1]).wrapping_sub(t.pad[1]);
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
fn spread(pixels: &mut [PixelPtrs], prefetch: PrefetchTarget<'_>, each: usize, first: usize) {
    let until = |pixel: usize| (pixel * each) >> 16;
    let mut last = until(first);
    for (i, pixel) in pixels.iter_mut().enumerate() {
        let next = until(first + i + 1);
        if next > last {
            pixel.line = prefetch.at.ptr().wrapping_add(last * prefetch.pitch);
            last = next;
        }
    }
}
