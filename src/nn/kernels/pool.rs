//! Pools over a window, and the mean over a whole map.
//!
//! In: an NHWC map. Out: an NHWC map, or one vector. Padding never wins a maximum; whether it counts in
//! an average's divisor is the pool's choice.

#![allow(unsafe_code)]

use std::ops::Range;

use crate::activation::PoolKind;

use super::conv::Taps;
use super::memory::{Dst, Src};
use super::simd::{Kernel, Simd};

/// A pool over a window.
#[derive(Clone, Copy)]
pub struct Pool<'a> {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// The window.
    pub taps: Taps,
    /// Rows and columns of padding below and to the right, which count in some averages.
    pub pad_end: [usize; 2],
    /// The input map.
    pub input: Src<'a>,
    /// `[height, width]` of the input.
    pub input_size: [usize; 2],
    /// The output map.
    pub output: Dst<'a>,
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
    /// Vectors in a pixel of either.
    pub vectors: usize,
}

/// The output rows that one thread computes.
pub struct PoolPart<'a> {
    pool: Pool<'a>,
    rows: Range<usize>,
}

impl<'a> Pool<'a> {
    /// Some of the output's rows.
    pub fn part(self, rows: Range<usize>) -> PoolPart<'a> {
        PoolPart { pool: self, rows }
    }
}

/// The taps of an output position that fall inside the input, along one axis: input positions with the
/// axis' dilation between them, and the length of the window that torch divides by when padding counts.
fn inside(taps: &Taps, axis: usize, at: usize, input: usize, pad_end: usize) -> (Range<usize>, usize) {
    let start = at * taps.stride[axis];
    let pad = taps.pad[axis];
    let step = taps.dilation[axis];
    let first = (0..taps.kernel[axis]).find(|k| start + k * step >= pad).unwrap_or(taps.kernel[axis]);
    let last = (0..taps.kernel[axis]).rfind(|k| start + k * step < pad + input).map_or(0, |k| k + 1);
    // A window of `ceil` mode may hang over even the padding: that part never counts.
    let end = (start + taps.kernel[axis]).min(pad + input + pad_end);
    (first..last.max(first), end - start.min(end))
}

impl Kernel for PoolPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let p = &self.pool;
        let [ih, iw] = p.input_size;
        let pixel = p.vectors * S::LANES;
        assert!(self.rows.end <= p.output_size[0]);
        assert!(p.input.len() >= ih * iw * pixel);
        assert!(p.output.len() >= p.output_size[0] * p.output_size[1] * pixel);
        for y in self.rows {
            let (rows, high) = inside(&p.taps, 0, y, ih, p.pad_end[0]);
            for x in 0..p.output_size[1] {
                let (columns, wide) = inside(&p.taps, 1, x, iw, p.pad_end[1]);
                let (average, divisor) = match p.kind {
                    PoolKind::Max => (false, 1),
                    PoolKind::Average { count_padding: true } => (true, high * wide),
                    PoolKind::Average { count_padding: false } => (true, rows.len() * columns.len()),
                };
                let scale = s.splat(1.0 / divisor.max(1) as f32);
                for v in 0..p.vectors {
                    let mut out = s.splat(if average { 0.0 } else { f32::NEG_INFINITY });
                    for ky in rows.clone() {
                        for kx in columns.clone() {
                            let iy = y * p.taps.stride[0] + ky * p.taps.dilation[0] - p.taps.pad[0];
                            let ix = x * p.taps.stride[1] + kx * p.taps.dilation[1] - p.taps.pad[1];
                            // SAFETY: `inside` keeps to taps within the input, whose view `run` checked.
                            let value =
                                unsafe { s.load(p.input.ptr().add((iy * iw + ix) * pixel + v * S::LANES)) };
                            out = if average { s.add(out, value) } else { s.max(out, value) };
                        }
                    }
                    if average {
                        out = s.mul(out, scale);
                    }
                    // SAFETY: `run` checked that the output holds all its pixels.
                    unsafe {
                        s.store(p.output.ptr().add((y * p.output_size[1] + x) * pixel + v * S::LANES), out)
                    }
                }
            }
        }
    }
}

/// The mean over all pixels, a run of rows at a time: a row's sum first, then the sum of rows.
#[derive(Clone, Copy)]
pub struct GlobalAvgPool<'a> {
    /// The input map.
    pub input: Src<'a>,
    /// `[height, width]` of the input.
    pub size: [usize; 2],
    /// Vectors in a pixel.
    pub vectors: usize,
    /// One value a channel.
    pub output: Dst<'a>,
}

/// The vectors of channels that one thread averages.
pub struct GlobalAvgPoolPart<'a> {
    mean: GlobalAvgPool<'a>,
    vectors: Range<usize>,
}

impl<'a> GlobalAvgPool<'a> {
    /// Some of the vectors.
    pub fn part(self, vectors: Range<usize>) -> GlobalAvgPoolPart<'a> {
        GlobalAvgPoolPart { mean: self, vectors }
    }
}

impl Kernel for GlobalAvgPoolPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let m = &self.mean;
        let [h, w] = m.size;
        let pixel = m.vectors * S::LANES;
        assert!(self.vectors.end <= m.vectors && m.output.len() >= pixel);
        assert!(m.input.len() >= h * w * pixel);
        let mut v = self.vectors.start;
        while v < self.vectors.end {
            v += match self.vectors.end - v {
                8.. => m.means::<S, 8>(s, v),
                4.. => m.means::<S, 4>(s, v),
                _ => m.means::<S, 1>(s, v),
            };
        }
    }
}

impl GlobalAvgPool<'_> {
    /// Of `N` vectors from the `v`th on, side by side: whole lines of a pixel, and sums that do not wait for each other.
    /// Returns how many.
    #[inline(always)]
    fn means<S: Simd, const N: usize>(&self, s: S, v: usize) -> usize {
        let [h, w] = self.size;
        let scale = s.splat(1.0 / (h * w).max(1) as f32);
        let mut totals = [s.splat(0.0); N];
        for y in 0..h {
            let mut row = [s.splat(0.0); N];
            for x in 0..w {
                let at = ((y * w + x) * self.vectors + v) * S::LANES;
                for i in 0..N {
                    // SAFETY: `run` checked that the input holds all its pixels.
                    row[i] = s.add(row[i], unsafe { s.load(self.input.ptr().add(at + i * S::LANES)) });
                }
            }
            for i in 0..N {
                totals[i] = s.add(totals[i], row[i]);
            }
        }
        for i in 0..N {
            // SAFETY: `run` checked that the output holds every vector.
            unsafe { s.store(self.output.ptr().add((v + i) * S::LANES), s.mul(totals[i], scale)) }
        }
        N
    }
}

/// The mean over all pixels, from the sums over the upper and the lower half of a map.
pub struct GlobalAvgPoolFinish<'a> {
    /// One sum a channel, of the upper half.
    pub upper: Src<'a>,
    /// Of the lower; none where the map is not halved.
    pub lower: Option<Src<'a>>,
    /// Pixels of both.
    pub pixels: usize,
    /// Vectors of channels.
    pub vectors: usize,
    /// One value a channel.
    pub output: Dst<'a>,
}

impl Kernel for GlobalAvgPoolFinish<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.vectors * S::LANES;
        assert!(self.upper.len() >= len && self.output.len() >= len);
        assert!(self.lower.is_none_or(|lower| lower.len() >= len));
        let scale = s.splat(1.0 / self.pixels.max(1) as f32);
        for at in (0..len).step_by(S::LANES) {
            // SAFETY: just checked.
            unsafe {
                let mut sum = s.load(self.upper.ptr().add(at));
                if let Some(lower) = self.lower {
                    sum = s.add(sum, s.load(lower.ptr().add(at)));
                }
                s.store(self.output.ptr().add(at), s.mul(sum, scale));
            }
        }
    }
}
