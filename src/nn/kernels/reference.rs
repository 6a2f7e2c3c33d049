//! Kernels against naive reference in double precision: random shapes, every instruction set of the machine.
//!
//! The lanes beyond a map's last channel hold NaN, so that a kernel which reads them is found out.

mod grouped;

use proptest::prelude::*;

use crate::activation::{Activation, PoolKind};

use super::conv::{Conv, Taps};
use super::depthwise::Depthwise;
use super::memory::{Buffer, Dst, Src};
use super::pointwise::{Pointwise, ScaleWeights};
use super::pool::{GlobalAvgPool, GlobalAvgPoolFinish, Pool};
use super::ring::Ring;
use super::split_even;
use super::tile::Epilogue;
use super::vector::Vector;
use super::{Isa, pack};

/// Numbers in ±1 that depend on a seed and a place.
fn number(seed: u64, at: usize) -> f32 {
    let mut z = seed.wrapping_add((at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z >> 40) as f32) / ((1u64 << 23) as f32) - 1.0
}

/// Numbers in ±1, by seed and place.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    (0..count).map(|i| number(seed, i)).collect()
}

/// An NHWC map: its pixels filled up with NaN to whole vectors.
#[derive(Clone)]
struct FeatureMap {
    values: Vec<f32>,
    size: [usize; 2],
    pitch: usize,
}

impl FeatureMap {
    fn new(seed: u64, size: [usize; 2], channels: usize, isa: Isa) -> FeatureMap {
        let pitch = channels.next_multiple_of(isa.lanes());
        let value = |i: usize| {
            if i % pitch < channels { number(seed, i / pitch * channels + i % pitch) } else { f32::NAN }
        };
        FeatureMap { values: (0..size[0] * size[1] * pitch).map(value).collect(), size, pitch }
    }

    /// A value, or zero beyond the border (which wraps round to huge numbers).
    fn at(&self, y: usize, x: usize, channel: usize) -> f64 {
        if y < self.size[0] && x < self.size[1] {
            f64::from(self.values[(y * self.size[1] + x) * self.pitch + channel])
        } else {
            0.0
        }
    }

    fn vectors(&self, isa: Isa) -> usize {
        self.pitch / isa.lanes()
    }
}

fn packed(outputs: usize, depth: usize, isa: Isa, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut to = Vec::new();
    let weight = &weight;
    pack::pack(outputs, depth, isa, &mut to, |d| move |o| weight(o, d));
    to
}

fn padded(values: &[f32], isa: Isa) -> Vec<f32> {
    let mut to = Vec::new();
    pack::pad(values, isa.lanes(), &mut to);
    to
}

fn apply(activation: Option<Activation>, x: f64) -> f64 {
    activation.map_or(x, |activation| activation.of(x))
}

fn activation() -> impl Strategy<Value = Option<Activation>> {
    prop::sample::select(vec![
        None,
        Some(Activation::Relu),
        Some(Activation::Relu6),
        Some(Activation::Silu),
        Some(Activation::Sigmoid),
        Some(Activation::HardSwish),
        Some(Activation::HardSigmoid),
        Some(Activation::LeakyRelu(0.1)),
        Some(Activation::Gelu),
        Some(Activation::Mish),
    ])
}

/// What a kernel gave is what its reference gives, up to rounding of sums that are not much above `depth`.
fn close(isa: Isa, what: &str, found: f32, truth: f64, depth: usize) {
    let far = (f64::from(found) - truth).abs();
    assert!(far <= 1e-6 * (4.0 + depth as f64), "{what} on {isa}: {found} for {truth}");
}

/// A window, the size of its input and of its output.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    taps: Taps,
    input: [usize; 2],
    output: [usize; 2],
}

/// Any window that has an output: strides beyond the input's size and images of one pixel among them.
fn geometry() -> impl Strategy<Value = Geometry> {
    let pair = |low: usize, high: usize| [low..high, low..high];
    (pair(1, 12), pair(1, 6), 1usize..4, pair(1, 3), pair(0, 3), prop::bool::ANY).prop_filter_map(
        "a window larger than the padded image",
        |(input, kernel, stride, dilation, pad, wide)| {
            let stride = if wide { [stride; 2] } else { [stride, 1] };
            let taps = Taps { kernel, stride, dilation, pad };
            let side = |i: usize| {
                let room = (input[i] + 2 * pad[i]).checked_sub((kernel[i] - 1) * dilation[i] + 1)?;
                Some(room / stride[i] + 1)
            };
            Some(Geometry { taps, input, output: [side(0)?, side(1)?] })
        },
    )
}

/// The input's row and column under a tap; beyond the border they wrap round.
fn under(taps: &Taps, y: usize, x: usize, ky: usize, kx: usize) -> (usize, usize) {
    let at =
        |i: usize, o: usize, k: usize| (o * taps.stride[i] + k * taps.dilation[i]).wrapping_sub(taps.pad[i]);
    (at(0, y, ky), at(1, x, kx))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn conv_matches_reference(
        g in geometry(), inputs in 1usize..20, outputs in 1usize..120, first in activation(), last in activation(),
        residual in prop::bool::ANY, parts in 1usize..4, point in prop::bool::ANY, deep in 0usize..8, seed in 0u64..99,
    ) {
        let [ih, iw] = g.input;
        // Products alone: so many that lines are asked for between them, or that they are made in blocks.
        let inputs = match (point, deep) {
            (true, 0) => inputs + 2047,
            (true, _) => inputs * 8,
            _ => inputs,
        };
        let g = if point { Geometry { taps: Taps::POINT, input: g.input, output: [ih, iw] } } else { g };
        for isa in Isa::available() {
            let map = FeatureMap::new(seed, g.input, inputs, isa);
            let add = FeatureMap::new(seed + 1, g.output, outputs, isa);
            let count = g.taps.count();
            let weight = |o: usize, d: usize| number(seed + 2, o * inputs * count + d);
            let (weights, bias) = (packed(outputs, inputs * count, isa, weight), numbers(seed + 3, outputs));
            let (bias_padded, zeros) = (padded(&bias, isa), vec![0.0; inputs]);
            let mut out = vec![f32::NAN; add.values.len()];
            let conv = Conv {
                cold: true,
                input: Src::new(&map.values),
                input_pitch: map.pitch,
                input_size: g.input,
                channels: inputs,
                taps: g.taps,
                output_size: g.output,
                weights: Src::new(&weights),
                bias: Src::new(&bias_padded),
                output: Dst::new(&mut out),
                output_pitch: add.pitch,
                output_row: g.output[1] * add.pitch,
                vectors: add.vectors(isa),
                epilogue: Epilogue {
                    activation: first,
                    residual: residual.then(|| Src::new(&add.values)),
                    post_activation: last.filter(|_| residual),
                },
                prefetch: None,
                zeros: Src::new(&zeros),
            };
            let panels = pack::panels(add.vectors(isa), isa.panel());
            for part in 0..parts {
                isa.run(conv.part(split_even(g.output[0] * g.output[1], parts, part), 0..panels));
            }
            for (pixel, values) in out.chunks(add.pitch).enumerate() {
                let (y, x) = (pixel / g.output[1], pixel % g.output[1]);
                for (o, found) in values.iter().take(outputs).enumerate() {
                    let mut sum = f64::from(bias[o]);
                    for tap in 0..count {
                        let (iy, ix) = under(&g.taps, y, x, tap / g.taps.kernel[1], tap % g.taps.kernel[1]);
                        for i in 0..inputs {
                            sum += map.at(iy, ix, i) * f64::from(weight(o, tap * inputs + i));
                        }
                    }
                    let mut truth = apply(first, sum);
                    if residual {
                        truth = apply(last, truth + add.at(y, x, o));
                    }
                    close(isa, "conv", *found, truth, inputs * count);
                }
            }
        }
    }

    #[test]
    fn depthwise_matches_reference(
        g in geometry(), channels in 1usize..40, act in activation(), mean in prop::bool::ANY, seed in 0u64..99,
    ) {
        for isa in Isa::available() {
            let map = FeatureMap::new(seed, g.input, channels, isa);
            let count = g.taps.count();
            let weight = |o: usize, tap: usize| number(seed + 2, o * count + tap);
            let (weights, bias) = (packed(channels, count, isa, weight), numbers(seed + 3, channels));
            let bias_padded = padded(&bias, isa);
            let (lanes, pitch) = (isa.lanes(), map.pitch);
            let ring = Ring::new(g.input, g.output, &g.taps, isa.panel() * lanes);
            let mut scratch = vec![f32::NAN; ring.len(isa.panel() * lanes)];
            let mut out = vec![f32::NAN; g.output[0] * g.output[1] * pitch];
            let mut means = vec![0.0; pitch];
            let (output, total) = (Dst::new(&mut out), Dst::new(&mut means));
            for index in 0..pack::panels(map.vectors(isa), isa.panel()) {
                let panel = pack::panel(map.vectors(isa), isa.panel(), index);
                let vectors = panel.len();
                let (channel, width) = (panel.start * lanes, vectors * lanes);
                let scratch = Dst::new(&mut scratch);
                ring.clear(scratch, width);
                let mut made = 0;
                for first in (0..g.output[0]).step_by(ring.band) {
                    let band = first..g.output[0].min(first + ring.band);
                    let needs = ring.needs(&band);
                    for (slot, row, rows) in ring.runs(needs.start.max(made)..needs.end) {
                        let from = Src::new(&map.values[channel..]);
                        match row {
                            None => ring.blank(scratch, width, slot, rows),
                            Some(row) => ring.fill(from, pitch, scratch, width, (slot, row, rows)),
                        }
                    }
                    made = needs.end;
                    isa.run(Depthwise {
                        input: scratch.read(),
                        ring,
                        rows: [band.start, band.end],
                        taps: g.taps,
                        output_size: g.output,
                        weights: Src::new(&weights[channel * count..]),
                        bias: Src::new(&bias_padded[channel..]),
                        output: output.part(channel, output.len() - channel),
                        output_pitch: pitch,
                        vectors,
                        activation: act,
                        ahead: true,
                        sum: mean.then(|| total.part(channel, width)),
                    });
                }
            }
            let mut sums = vec![0.0; channels];
            for (pixel, values) in out.chunks(pitch).enumerate() {
                let (y, x) = (pixel / g.output[1], pixel % g.output[1]);
                for (o, found) in values.iter().take(channels).enumerate() {
                    let mut sum = f64::from(bias[o]);
                    for tap in 0..count {
                        let (iy, ix) = under(&g.taps, y, x, tap / g.taps.kernel[1], tap % g.taps.kernel[1]);
                        sum += map.at(iy, ix, o) * f64::from(weight(o, tap));
                    }
                    close(isa, "depthwise", *found, apply(act, sum), count);
                    sums[o] += apply(act, sum) / (g.output[0] * g.output[1]) as f64;
                }
            }
            let sums_found = means.clone();
            isa.run(GlobalAvgPoolFinish {
                upper: Src::new(&sums_found),
                lower: None,
                pixels: g.output[0] * g.output[1],
                vectors: map.vectors(isa),
                output: Dst::new(&mut means),
            });
            for (found, truth) in means.iter().zip(sums).filter(|_| mean) {
                close(isa, "mean of depthwise", *found, truth, count);
            }
        }
    }

    #[test]
    fn vector_and_scaled_weights_are_their_twins(
        inputs in 1usize..70, outputs in 1usize..120, act in activation(), parts in 1usize..4, seed in 0u64..99,
    ) {
        for isa in Isa::available() {
            let weight = |o: usize, i: usize| number(seed + 2, o * inputs + i);
            let (input, scale_by, bias) = (numbers(seed, inputs), numbers(seed + 1, inputs), numbers(seed + 3, outputs));
            let (weights, bias_padded) = (packed(outputs, inputs, isa, weight), padded(&bias, isa));
            let vectors = pack::vectors(outputs, isa.lanes());
            let mut scaled = vec![f32::NAN; weights.len()];
            let mut out = vec![f32::NAN; vectors * isa.lanes()];
            let scale = ScaleWeights {
                weights: Src::new(&weights),
                scale_by: Src::new(&scale_by),
                depth: inputs,
                vectors,
                output: Dst::new(&mut scaled),
            };
            let panels = pack::panels(vectors, isa.panel());
            for part in 0..parts {
                isa.run(scale.part(split_even(panels, parts, part)));
            }
            let layer = Vector {
                input: Src::new(&input),
                depth: inputs,
                weights: Src::new(&scaled),
                bias: Src::new(&bias_padded),
                output: Dst::new(&mut out),
                vectors,
                activation: act,
            };
            for part in 0..parts {
                isa.run(layer.part(split_even(panels, parts, part)));
            }
            for (o, found) in out.iter().take(outputs).enumerate() {
                let term = |i: usize| f64::from(input[i]) * f64::from(scale_by[i]) * f64::from(weight(o, i));
                let sum = f64::from(bias[o]) + (0..inputs).map(term).sum::<f64>();
                close(isa, "vector", *found, apply(act, sum), inputs);
            }
        }
    }

    #[test]
    fn pointwise_matches_reference(
        size in [1usize..6, 1usize..6], channels in 1usize..40, has in [prop::bool::ANY; 6], act in activation(),
        seed in 0u64..99,
    ) {
        for isa in Isa::available() {
            let maps: Vec<FeatureMap> = (0..7).map(|i| FeatureMap::new(seed + i, size, channels, isa)).collect();
            let [map, scale_by, scale, shift, add, mul, centre] = [0, 1, 2, 3, 4, 5, 6].map(|i| &maps[i]);
            let [of_gate, of_scale, of_shift, of_plus, of_times, of_centre] =
                [(scale_by, 0), (scale, 1), (shift, 2), (add, 3), (mul, 4), (centre, 5)]
                    .map(|(m, i)| has[i].then(|| Src::new(&m.values)));
            let mut out = vec![f32::NAN; map.values.len()];
            let work = Pointwise {
                map: Src::new(&map.values),
                centre: of_centre,
                scale_by: of_gate,
                scale: of_scale,
                shift: of_shift,
                add: of_plus,
                mul: of_times,
                activation: act,
                output: Dst::new(&mut out),
                vectors: map.vectors(isa),
            };
            for part in 0..2 {
                isa.run(work.part(split_even(size[0] * size[1], 2, part)));
            }
            for (pixel, values) in out.chunks(map.pitch).enumerate() {
                let (y, x) = (pixel / size[1], pixel % size[1]);
                for (c, found) in values.iter().take(channels).enumerate() {
                    let or = |i: usize, value: f64, neutral: f64| if has[i] { value } else { neutral };
                    let scaled = (map.at(y, x, c) - or(5, centre.at(0, 0, c), 0.0))
                        * or(0, scale_by.at(0, 0, c), 1.0) * or(1, scale.at(0, 0, c), 1.0);
                    let sum = scaled + or(2, shift.at(0, 0, c), 0.0) + or(3, add.at(y, x, c), 0.0);
                    close(isa, "pointwise", *found, apply(act, sum * or(4, mul.at(y, x, c), 1.0)), 1);
                }
            }
        }
    }

    #[test]
    fn pools_are_their_twins(g in geometry(), channels in 1usize..20, kind in 0usize..3, seed in 0u64..99) {
        let kind = [
            PoolKind::Max,
            PoolKind::Average { count_padding: true },
            PoolKind::Average { count_padding: false },
        ][kind];
        // Windows that lie wholly in the padding have no maximum, and torch allows none.
        let taps = Taps { pad: [0, 1].map(|i| g.taps.pad[i].min(g.taps.kernel[i] / 2)), dilation: [1; 2], ..g.taps };
        let side = |i: usize| Some((g.input[i] + 2 * taps.pad[i]).checked_sub(taps.kernel[i])? / taps.stride[i] + 1);
        let (Some(h), Some(w)) = (side(0), side(1)) else { return Ok(()) };
        for isa in Isa::available() {
            let map = FeatureMap::new(seed, g.input, channels, isa);
            let mut out = Buffer::zeroed(h * w * map.pitch).unwrap();
            let mut means = vec![f32::NAN; map.pitch];
            let pool = Pool {
                kind,
                taps,
                pad_end: taps.pad,
                input: Src::new(&map.values),
                input_size: g.input,
                output: Dst::new(out.values_mut()),
                output_size: [h, w],
                vectors: map.vectors(isa),
            };
            for part in 0..2 {
                isa.run(pool.part(split_even(h, 2, part)));
            }
            let mean = GlobalAvgPool {
                input: Src::new(&map.values),
                size: g.input,
                vectors: map.vectors(isa),
                output: Dst::new(&mut means),
            };
            isa.run(mean.part(0..map.vectors(isa)));
            for c in 0..channels {
                let all = (0..g.input[0]).flat_map(|y| (0..g.input[1]).map(move |x| (y, x)));
                let sum: f64 = all.map(|(y, x)| map.at(y, x, c)).sum();
                close(isa, "mean", means[c], sum / (g.input[0] * g.input[1]) as f64, 1);
                for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                    let taps_of = (0..taps.count()).map(|t| under(&taps, y, x, t / taps.kernel[1], t % taps.kernel[1]));
                    let inside: Vec<f64> = taps_of
                        .filter(|(iy, ix)| *iy < g.input[0] && *ix < g.input[1])
                        .map(|(iy, ix)| map.at(iy, ix, c))
                        .collect();
                    let truth = match kind {
                        PoolKind::Max => inside.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                        PoolKind::Average { count_padding: true } => inside.iter().sum::<f64>() / taps.count() as f64,
                        PoolKind::Average { .. } => inside.iter().sum::<f64>() / inside.len() as f64,
                    };
                    close(isa, "pool", out.values()[(y * w + x) * map.pitch + c], truth, 1);
                }
            }
        }
    }
}
