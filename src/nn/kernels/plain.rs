//! Every operation by its definition: slow, right, the same bits on every instruction set.
//!
//! In: NHWC maps, weights in torch's order. Out: some rows of an NHWC map. Called by `nn::plan` for operations that no
//! fast kernel has been written for (those on pooled features are too small to need one), and for whole networks by the tests that hold the fast kernels to it. A new
//! operation needs a function here, and no more, to run everywhere. Sums are made in double precision, taps first, then
//! channels, and rounded once.

use std::ops::Range;

use crate::activation::{Activation, PoolKind};
use crate::conv::Taps;
use crate::memory::{Dst, Src};

/// A map that is read.
#[derive(Clone, Copy)]
pub struct FeatureMap<'a> {
    /// Its values.
    pub values: Src<'a>,
    /// `[height, width]`.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Values from a pixel to the next.
    pub pitch: usize,
}

impl FeatureMap<'_> {
    fn get(&self, y: usize, x: usize, channel: usize) -> f64 {
        debug_assert!(y < self.size[0] && x < self.size[1] && channel < self.channels);
        f64::from(self.values.get((y * self.size[1] + x) * self.pitch + channel))
    }
}

/// A map that is written.
#[derive(Clone, Copy)]
pub struct FeatureMapMut<'a> {
    /// Its values.
    pub values: Dst<'a>,
    /// `[height, width]`.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Values from a pixel to the next.
    pub pitch: usize,
}

impl FeatureMapMut<'_> {
    /// Writes every value of some rows: `value(y, x, channel)`, rounded.
    fn fill(self, rows: Range<usize>, mut value: impl FnMut(usize, usize, usize) -> f64) {
        assert!(rows.end <= self.size[0]);
        for y in rows {
            for x in 0..self.size[1] {
                for channel in 0..self.channels {
                    let at = (y * self.size[1] + x) * self.pitch + channel;
                    self.values.set(at, value(y, x, channel) as f32);
                }
            }
        }
    }
}

/// The input's rows or columns under a window, with the taps that reach them: `(tap, position)`.
fn under(taps: &Taps, axis: usize, at: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    let Taps { kernel, stride, dilation, pad } = *taps;
    (0..kernel[axis]).filter_map(move |tap| {
        let position = (at * stride[axis] + tap * dilation[axis]).checked_sub(pad[axis])?;
        (position < size).then_some((tap, position))
    })
}

/// A convolution; `weight` is `[out, in / groups, kh, kw]`.
pub fn conv(
    input: FeatureMap<'_>,
    [weight, bias]: [Option<Src<'_>>; 2],
    (taps, groups): (&Taps, usize),
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    let Some(weight) = weight else { return };
    let ([kh, kw], per) = (taps.kernel, input.channels / groups.max(1));
    let outputs = (output.channels / groups.max(1)).max(1);
    output.fill(rows, |y, x, out| {
        let mut sum = bias.map_or(0.0, |b| f64::from(b.get(out)));
        for (ky, iy) in under(taps, 0, y, input.size[0]) {
            for (kx, ix) in under(taps, 1, x, input.size[1]) {
                for i in 0..per {
                    let w = weight.get(((out * per + i) * kh + ky) * kw + kx);
                    sum += f64::from(w) * input.get(iy, ix, out / outputs * per + i);
                }
            }
        }
        sum
    });
}

/// A factor and an addend for each channel.
pub fn affine(
    input: FeatureMap<'_>,
    [scale, shift]: [Src<'_>; 2],
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    output.fill(rows, |y, x, c| input.get(y, x, c) * f64::from(scale.get(c)) + f64::from(shift.get(c)));
}

/// An activation.
pub fn activation(
    input: FeatureMap<'_>,
    activation: Activation,
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    output.fill(rows, |y, x, c| activation.of(input.get(y, x, c)));
}

/// The sum of maps, from the first on.
pub fn add<'a>(
    inputs: impl Iterator<Item = FeatureMap<'a>> + Clone,
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    output.fill(rows, |y, x, c| inputs.clone().map(|map| map.get(y, x, c)).sum());
}

/// A map times another, or times a factor a channel.
pub fn mul(input: FeatureMap<'_>, factor: FeatureMap<'_>, output: FeatureMapMut<'_>, rows: Range<usize>) {
    let one = factor.size == [1, 1];
    output.fill(rows, |y, x, c| {
        let factor = if one { factor.get(0, 0, c) } else { factor.get(y, x, c) };
        input.get(y, x, c) * factor
    });
}

/// Maps beside each other, channel after channel.
pub fn concat<'a>(
    inputs: impl Iterator<Item = FeatureMap<'a>> + Clone,
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    output.fill(rows, |y, x, c| {
        let mut channel = c;
        for map in inputs.clone() {
            match channel.checked_sub(map.channels) {
                None => return map.get(y, x, channel),
                Some(rest) => channel = rest,
            }
        }
        0.0
    });
}

/// The channels from `start` on.
pub fn slice(input: FeatureMap<'_>, start: usize, output: FeatureMapMut<'_>, rows: Range<usize>) {
    output.fill(rows, |y, x, c| input.get(y, x, start + c));
}

/// A pool over a window; `pad_end` are the rows and columns of padding below and to the right.
pub fn pool(
    input: FeatureMap<'_>,
    (kind, taps, pad_end): (PoolKind, &Taps, [usize; 2]),
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    // Positions that torch divides by where padding counts: a window of `ceil` mode may hang over even the padding.
    let counted = |axis: usize, at: usize| {
        let start = at * taps.stride[axis];
        let end = (start + taps.kernel[axis]).min(taps.pad[axis] + input.size[axis] + pad_end[axis]);
        end.saturating_sub(start)
    };
    output.fill(rows, |y, x, c| {
        let ys = || under(taps, 0, y, input.size[0]).map(|(_, y)| y);
        let xs = || under(taps, 1, x, input.size[1]).map(|(_, x)| x);
        let values = || ys().flat_map(|y| xs().map(move |x| input.get(y, x, c)));
        match kind {
            PoolKind::Max => values().fold(f64::NEG_INFINITY, f64::max),
            PoolKind::Average { count_padding: true } => {
                values().sum::<f64>() / (counted(0, y) * counted(1, x)).max(1) as f64
            }
            PoolKind::Average { count_padding: false } => {
                values().sum::<f64>() / values().count().max(1) as f64
            }
        }
    });
}

/// The mean over all pixels.
pub fn global_avg_pool(input: FeatureMap<'_>, output: FeatureMapMut<'_>, rows: Range<usize>) {
    let [h, w] = input.size;
    output.fill(rows, |_, _, c| {
        let sum: f64 = (0..h).map(|y| (0..w).map(|x| input.get(y, x, c)).sum::<f64>()).sum();
        sum / (h * w).max(1) as f64
    });
}

/// Group norm of some of the groups: each minus its mean, over its standard deviation, both over all pixels of the
/// group's channels; then a factor and an addend for each channel.
pub fn group_norm(
    input: FeatureMap<'_>,
    [scale, shift]: [Src<'_>; 2],
    (groups, eps): (usize, f32),
    output: FeatureMapMut<'_>,
    own: Range<usize>,
) {
    let ([h, w], each) = (input.size, input.channels / groups.max(1));
    let count = (h * w * each).max(1) as f64;
    for group in own {
        let channels = group * each..(group + 1) * each;
        let values = || {
            let pixels = (0..h).flat_map(move |y| (0..w).map(move |x| (y, x)));
            let channels = channels.clone();
            pixels.flat_map(move |(y, x)| channels.clone().map(move |c| input.get(y, x, c)))
        };
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        let factor = 1.0 / (variance + f64::from(eps)).sqrt();
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            for c in channels.clone() {
                let value = (input.get(y, x, c) - mean) * factor;
                let value = value * f64::from(scale.get(c)) + f64::from(shift.get(c));
                output.values.set((y * w + x) * output.pitch + c, value as f32);
            }
        }
    }
}

/// Every value times a constant.
pub fn scale(input: FeatureMap<'_>, factor: f32, output: FeatureMapMut<'_>, rows: Range<usize>) {
    output.fill(rows, |y, x, c| input.get(y, x, c) * f64::from(factor));
}

/// Each pixel `factor`×`factor` times.
pub fn upsample(input: FeatureMap<'_>, factor: usize, output: FeatureMapMut<'_>, rows: Range<usize>) {
    let factor = factor.max(1);
    output.fill(rows, |y, x, c| input.get(y / factor, x / factor, c));
}

/// A softmax over `parts`: the input's channels are `groups` of `parts` runs, the output's `parts` of `groups`.
pub fn softmax(
    input: FeatureMap<'_>,
    [parts, groups]: [usize; 2],
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    let run = (input.channels / (parts * groups).max(1)).max(1);
    output.fill(rows, |y, x, c| {
        let (part, group, i) = (c / (groups * run), c / run % groups, c % run);
        let value = |part: usize| input.get(y, x, (group * parts + part) * run + i);
        let largest = (0..parts).map(value).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..parts).map(|p| (value(p) - largest).exp()).sum();
        (value(part) - largest).exp() / sum
    });
}

/// Rows and columns around a map, the first `[rows, columns]` above and to the left: zeros, or the map mirrored.
pub fn pad(
    input: FeatureMap<'_>,
    [top, left]: [usize; 2],
    reflect: bool,
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    let [h, w] = input.size;
    let inside = |at: usize, before: usize, size: usize| inside_border(at, before, size, reflect);
    output.fill(rows, |y, x, c| match (inside(y, top, h), inside(x, left, w)) {
        (Some(y), Some(x)) => input.get(y, x, c),
        _ => 0.0,
    });
}

/// The position inside a border that is `before` wide, or that of the mirrored one; none in a border of zeros.
pub(crate) fn inside_border(at: usize, before: usize, size: usize, reflect: bool) -> Option<usize> {
    match at.checked_sub(before) {
        Some(i) if i < size => Some(i),
        None if reflect => Some(before - at),
        Some(i) if reflect => (2 * size).checked_sub(i + 2),
        _ => None,
    }
}

/// A map without its first `[rows, columns]`.
pub fn crop(input: FeatureMap<'_>, [top, left]: [usize; 2], output: FeatureMapMut<'_>, rows: Range<usize>) {
    output.fill(rows, |y, x, c| input.get(y + top, x + left, c));
}

/// A binomial filter of `size` taps along either side, every `stride` pixels.
pub fn blur(
    input: FeatureMap<'_>,
    [size, stride]: [usize; 2],
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    output.fill(rows, |y, x, c| {
        let (mut sum, mut row) = (0.0, 1.0);
        for ky in 0..size {
            let mut weight = row;
            for kx in 0..size {
                sum += weight * input.get(y * stride + ky, x * stride + kx, c);
                weight = next_binomial(weight, size, kx);
            }
            row = next_binomial(row, size, ky);
        }
        // The weights of a side add up to a power of two.
        sum / 4f64.powi(size as i32 - 1)
    });
}

/// `C(size - 1, k + 1)` from `C(size - 1, k)`, both times the same factor.
fn next_binomial(value: f64, size: usize, k: usize) -> f64 {
    value * (size - 1 - k) as f64 / (k + 1) as f64
}

/// Blocks of pixels into channels: channel `(row · block + column) · c + channel`.
pub fn space_to_depth(input: FeatureMap<'_>, block: usize, output: FeatureMapMut<'_>, rows: Range<usize>) {
    output.fill(rows, |y, x, c| {
        let (place, channel) = (c / input.channels.max(1), c % input.channels.max(1));
        input.get(y * block + place / block, x * block + place % block, channel)
    });
}

/// A convolution along channels, zeros beyond the ends.
pub fn channel_conv(
    input: FeatureMap<'_>,
    weight: Src<'_>,
    kernel: usize,
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    output.fill(rows, |y, x, c| {
        let tap = |k: usize| {
            let channel = (c + k).checked_sub(kernel / 2).filter(|&channel| channel < input.channels)?;
            Some(f64::from(weight.get(k)) * input.get(y, x, channel))
        };
        (0..kernel).filter_map(tap).sum()
    });
}

/// A convolution whose filters are the experts', each times its share; `weight` is
/// `[experts, out · in / groups · kh · kw]`.
pub fn cond_conv(
    [input, routing]: [FeatureMap<'_>; 2],
    weight: Src<'_>,
    (taps, groups): (&Taps, usize),
    output: FeatureMapMut<'_>,
    rows: Range<usize>,
) {
    let ([kh, kw], per) = (taps.kernel, input.channels / groups.max(1));
    let outputs = (output.channels / groups.max(1)).max(1);
    let expert = output.channels * per * kh * kw;
    let mixed = |at: usize| -> f64 {
        let share = |e: usize| routing.get(0, 0, e) * f64::from(weight.get(e * expert + at));
        (0..routing.channels).map(share).sum()
    };
    output.fill(rows, |y, x, out| {
        let mut sum = 0.0;
        for (ky, iy) in under(taps, 0, y, input.size[0]) {
            for (kx, ix) in under(taps, 1, x, input.size[1]) {
                for i in 0..per {
                    let w = mixed(((out * per + i) * kh + ky) * kw + kx);
                    sum += w * input.get(iy, ix, out / outputs * per + i);
                }
            }
        }
        sum
    });
}
