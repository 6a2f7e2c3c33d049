//! The step of a convolution that Winograd's algorithm computes.
//!
//! In: a map, transformed filters. Out: a map. A thread takes some tiles, a block at a time: the block's
//! matrices are this thread's scratch and should stay in its cache, together with what they are multiplied by.
//! Made by `build`, run by [`super::steps`].

use crate::graph::Activation;
use zoo_kernels::conv::{Conv, Taps, share};
use zoo_kernels::pack;
use zoo_kernels::tile::Epilogue;
use zoo_kernels::winograd::{Gather, Scatter, Tiling, apart};

use super::steps::{Env, Map};

/// A 3×3 convolution of stride 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Winograd {
    pub(super) input: Map,
    pub(super) output: Map,
    pub(super) tiling: Tiling,
    /// Offsets of the first matrix of filters and of the bias, and from a matrix to the next.
    pub(super) weights: usize,
    pub(super) bias: usize,
    pub(super) matrix: usize,
    pub(super) activation: Option<Activation>,
    pub(super) residual: Option<usize>,
    pub(super) after: Option<Activation>,
}

/// Values of a block's matrices, before and after the product.
const BLOCK: usize = 96 * 1024;
/// Fewest tiles of a block: what it is multiplied by is read once a block.
const FEWEST: usize = 24;

impl Winograd {
    /// Values of a tile, before and after the product.
    fn pitches(&self, lanes: usize) -> [usize; 2] {
        [self.input.vectors * lanes, self.output.vectors * lanes]
    }

    /// Tiles of the largest block.
    fn block(&self, lanes: usize) -> usize {
        let [from, to] = self.pitches(lanes);
        let fit = BLOCK / (self.tiling.matrices() * (from + to)).max(1);
        fit.max(FEWEST).min(self.tiling.tiles())
    }

    /// Values of scratch that a thread needs.
    pub(super) fn scratch(&self, lanes: usize) -> usize {
        let [from, to] = self.pitches(lanes);
        let block = self.block(lanes);
        self.tiling.matrices() * (apart(block, from) + apart(block, to))
    }

    /// Does the `part`th of `parts`.
    pub(super) fn run(&self, env: &Env<'_>, part: usize, parts: usize) {
        let lanes = env.isa.lanes();
        let ([from, to], matrices) = (self.pitches(lanes), self.tiling.matrices());
        let own = share(self.tiling.tiles(), parts, part);
        let blocks = own.len().div_ceil(self.block(lanes));
        for block in 0..blocks {
            let tiles = share(own.len(), blocks, block);
            let (first, count) = (own.start + tiles.start, tiles.len());
            let scattered = env.scratch.part(0, matrices * apart(count, from));
            let product = env.scratch.part(scattered.len(), matrices * apart(count, to));
            env.isa.run(Scatter {
                tiling: self.tiling,
                tiles: [first, count],
                input: env.read(self.input.at),
                pitch: from,
                output: scattered,
                zeros: env.zeros,
            });
            for matrix in 0..matrices {
                let product = Conv {
                    input: scattered.read().part(matrix * apart(count, from), count * from),
                    input_pitch: from,
                    input_size: [1, count],
                    channels: self.input.channels,
                    fresh: false,
                    taps: Taps::POINT,
                    output_size: [1, count],
                    weights: env.weight(self.weights + matrix * self.matrix),
                    bias: env.zeros,
                    output: product.part(matrix * apart(count, to), count * to),
                    output_pitch: to,
                    output_row: count * to,
                    vectors: self.output.vectors,
                    epilogue: Epilogue { activation: None, residual: None, after: None },
                    soon: None,
                    zeros: env.zeros,
                };
                env.isa.run(product.part(0..count, 0..pack::panels(self.output.vectors, env.isa.panel())));
            }
            env.isa.run(Gather {
                tiling: self.tiling,
                tiles: [first, count],
                input: product.read(),
                bias: env.weight(self.bias),
                output: env.write(self.output.at),
                pitch: to,
                epilogue: Epilogue {
                    activation: self.activation,
                    residual: self.residual.map(|at| env.read(at)),
                    after: self.after,
                },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use zoo_kernels::memory::{Dst, Src};
    use zoo_kernels::{Isa, winograd};

    /// Numbers in ±1, by seed and place.
    fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let draw = |i: u64| {
            let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z >> 40) as f32) / ((1u64 << 23) as f32) - 1.0
        };
        (0..count as u64).map(draw).collect()
    }

    /// The step on random values, its transforms prepared as `build` prepares them; its result and the truth.
    fn run(isa: Isa, [side, h, w, inputs, outputs, pad, parts]: [usize; 7], residual: bool) -> f64 {
        let lanes = isa.lanes();
        let map = |at, size, channels| Map { at, size, channels, vectors: pack::vectors(channels, lanes) };
        let input = map(0, [h, w], inputs);
        let size = [h + 2 * pad - 2, w + 2 * pad - 2];
        let output = map(input.len(lanes), size, outputs);
        let plus = map(output.at + output.len(lanes), size, outputs);
        let mut arena = numbers(7, plus.at + plus.len(lanes));
        let before = arena.clone();
        let (filters, bias) = (numbers(8, outputs * inputs * 9), numbers(9, outputs));
        let tiling = Tiling { side, input: input.size, output: size, pad: [pad; 2] };
        let mut weights = Vec::new();
        for matrix in 0..tiling.matrices() {
            pack::pack(outputs, inputs, isa, &mut weights, |o, i| {
                let mut all = [0.0; 36];
                winograd::filter(side, &filters[(o * inputs + i) * 9..][..9], &mut all);
                all[matrix] as f32
            });
        }
        let at = weights.len();
        pack::pad(&bias, lanes, &mut weights);
        let step = Winograd {
            input,
            output,
            tiling,
            weights: 0,
            bias: at,
            matrix: pack::packed_len(outputs, inputs, lanes),
            activation: residual.then_some(Activation::Silu),
            residual: residual.then_some(plus.at),
            after: Some(Activation::Relu),
        };
        let zeros = vec![0.0; input.vectors.max(output.vectors) * lanes];
        let mut scratch = vec![f32::NAN; step.scratch(lanes)];
        for part in 0..parts {
            let env = Env {
                isa,
                image: Src::new(&[]),
                weights: Src::new(&weights),
                arena: Dst::new(&mut arena),
                scratch: Dst::new(&mut scratch),
                zeros: Src::new(&zeros),
            };
            step.run(&env, part, parts);
        }
        let mut worst = 0f64;
        for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
            for o in 0..outputs {
                let mut sum = f64::from(bias[o]);
                for (ky, kx) in (0..3).flat_map(|a| (0..3).map(move |b| (a, b))) {
                    let (iy, ix) = ((y + ky).wrapping_sub(pad), (x + kx).wrapping_sub(pad));
                    for i in 0..if iy < h && ix < w { inputs } else { 0 } {
                        let value = before[(iy * w + ix) * input.vectors * lanes + i];
                        sum += f64::from(value) * f64::from(filters[(o * inputs + i) * 9 + ky * 3 + kx]);
                    }
                }
                let place = (y * size[1] + x) * output.vectors * lanes + o;
                if residual {
                    sum = (sum / (1.0 + (-sum).exp()) + f64::from(before[plus.at + place])).max(0.0);
                }
                worst = worst.max((f64::from(arena[output.at + place]) - sum).abs());
            }
        }
        worst
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn winograd_is_its_twin(
            four in prop::bool::ANY, h in 1usize..14, w in 1usize..14, inputs in 1usize..20, outputs in 1usize..20,
            pad in 0usize..3, parts in 1usize..4, residual in prop::bool::ANY,
        ) {
            prop_assume!(h + 2 * pad > 2 && w + 2 * pad > 2);
            let side = if four { 4 } else { 2 };
            for isa in Isa::available() {
                let far = run(isa, [side, h, w, inputs, outputs, pad, parts], residual);
                // Sums of up to 180 products of numbers below 1; F(4×4) multiplies roundings by some ten.
                prop_assert!(far <= if four { 1e-4 } else { 2e-5 }, "F({side}) on {isa}: {far:e}");
            }
        }
    }
}
