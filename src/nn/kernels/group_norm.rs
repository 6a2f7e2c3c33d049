//! Group norm in three steps: sums for each channel, factors for each group, and the map by them.
//!
//! In: an NHWC map. Out: figures for each channel, then a centre, a factor and an addend for each channel, by which
//! [`super::pointwise`] makes the output. Channels are summed around their first pixel's value, so that the squares lose
//! nothing to a large mean; a row's sum first, then the sum of rows; what is made of a group's channels, in double
//! precision. The mean is taken off before the factor is applied, which is up to `1 / sqrt(eps)`: `x · factor − mean ·
//! factor` would be left with the rounding of both. Called by `nn::plan`.

#![allow(unsafe_code)]

use std::ops::Range;

use super::memory::{Dst, Src};
use super::simd::{Kernel, Simd};

/// Runs of figures that [`ChannelSums`] makes, each as long as a pixel.
pub const FIGURES: usize = 3;

/// Runs of values that [`factors`] makes, each as long as a pixel.
pub const FACTORS: usize = 3;

/// Each channel's first value, and the sums over all pixels of the differences from it and of their squares.
#[derive(Clone, Copy)]
pub struct ChannelSums<'a> {
    /// The input map.
    pub input: Src<'a>,
    /// `[height, width]` of the input.
    pub size: [usize; 2],
    /// Vectors in a pixel.
    pub vectors: usize,
    /// First values, sums, sums of squares: [`FIGURES`] pixels.
    pub output: Dst<'a>,
}

/// The vectors of channels that one thread sums.
pub struct ChannelSumsPart<'a> {
    sums: ChannelSums<'a>,
    vectors: Range<usize>,
}

impl<'a> ChannelSums<'a> {
    /// Some of the vectors.
    pub fn part(self, vectors: Range<usize>) -> ChannelSumsPart<'a> {
        ChannelSumsPart { sums: self, vectors }
    }
}

/// Vectors that are summed beside each other.
const ABREAST: usize = 4;

impl Kernel for ChannelSumsPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let m = &self.sums;
        let [h, w] = m.size;
        let pixel = m.vectors * S::LANES;
        assert!(h > 0 && w > 0 && self.vectors.end <= m.vectors);
        assert!(m.input.len() >= h * w * pixel && m.output.len() >= FIGURES * pixel);
        let mut at = self.vectors.start;
        while at + ABREAST <= self.vectors.end {
            // SAFETY: the vectors are inside a pixel, and the map has all its pixels: just checked.
            unsafe { sum::<S, ABREAST>(s, m, at) };
            at += ABREAST;
        }
        while at < self.vectors.end {
            // SAFETY: as above.
            unsafe { sum::<S, 1>(s, m, at) };
            at += 1;
        }
    }
}

/// The figures of `N` vectors from the `first` on.
///
/// # Safety
/// The vectors are inside a pixel; the map has all its pixels and one at least, the output room for the figures.
#[inline(always)]
unsafe fn sum<S: Simd, const N: usize>(s: S, m: &ChannelSums<'_>, first: usize) {
    let ([h, w], pixel) = (m.size, m.vectors * S::LANES);
    let zero = s.splat(0.0);
    // SAFETY: as the caller vouches.
    let load =
        |at: usize, i: usize| unsafe { s.load(m.input.ptr().add(at * pixel + (first + i) * S::LANES)) };
    let pivots: [S::V; N] = std::array::from_fn(|i| load(0, i));
    let (mut sums, mut squares) = ([zero; N], [zero; N]);
    for y in 0..h {
        let (mut row, mut row_squares) = ([zero; N], [zero; N]);
        for x in 0..w {
            for i in 0..N {
                let d = s.sub(load(y * w + x, i), pivots[i]);
                row[i] = s.add(row[i], d);
                row_squares[i] = s.fma(d, d, row_squares[i]);
            }
        }
        for i in 0..N {
            sums[i] = s.add(sums[i], row[i]);
            squares[i] = s.add(squares[i], row_squares[i]);
        }
    }
    for i in 0..N {
        for (figure, value) in [pivots[i], sums[i], squares[i]].into_iter().enumerate() {
            // SAFETY: as the caller vouches.
            unsafe { s.store(m.output.ptr().add(figure * pixel + (first + i) * S::LANES), value) };
        }
    }
}

/// A norm's own tensors and settings.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// One factor a channel.
    pub scale: Src<'a>,
    /// One addend a channel.
    pub shift: Src<'a>,
    /// Channels in all.
    pub channels: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Added to a group's variance.
    pub eps: f32,
}

/// What is taken off each channel of some groups, what it is multiplied by, and what is added to it then: [`FACTORS`] runs
/// of `pitch` values, from the figures of [`ChannelSums`] over `pixels` pixels, which are `pitch` apart too.
pub fn factors(
    norm: &Norm<'_>,
    figures: Src<'_>,
    (pixels, pitch): (usize, usize),
    output: Dst<'_>,
    groups: Range<usize>,
) {
    let each = norm.channels / norm.groups.max(1);
    let count = (pixels * each).max(1) as f64;
    let figure = |which: usize, channel: usize| f64::from(figures.get(which * pitch + channel));
    for group in groups {
        let channels = group * each..(group + 1) * each;
        let mean_of = |c: usize| figure(0, c) + figure(1, c) / pixels.max(1) as f64;
        let mean = channels.clone().map(mean_of).sum::<f64>() / each.max(1) as f64;
        let squares = |c: usize| {
            // Around the channel's own mean, and that mean's distance from the group's.
            let own = figure(2, c) - figure(1, c).powi(2) / pixels.max(1) as f64;
            own + pixels as f64 * (mean_of(c) - mean).powi(2)
        };
        let variance = channels.clone().map(squares).sum::<f64>() / count;
        let factor = 1.0 / (variance.max(0.0) + f64::from(norm.eps)).sqrt();
        // What single precision leaves of the mean is taken off with the addend.
        let centre = mean as f32;
        let rest = mean - f64::from(centre);
        for c in channels {
            let scale = factor * f64::from(norm.scale.get(c));
            let shift = f64::from(norm.shift.get(c)) - rest * scale;
            for (which, value) in [centre, scale as f32, shift as f32].into_iter().enumerate() {
                output.set(which * pitch + c, value);
            }
        }
    }
}
