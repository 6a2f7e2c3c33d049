//! The step of a convolution that Winograd's algorithm computes.
//!
//! In: a map, transformed filters. Out: a map. A thread takes some tiles, a block at a time: the block's
//! matrices are this thread's scratch and should stay in its cache, together with what they are multiplied by. Where there
//! are few tiles, reading the filters is what costs: each thread then takes all tiles and some panels of the outputs.
//! Made by `build`, run by [`super::instr`].

#![allow(unsafe_code)]

use crate::graph::Activation;
use zoo_kernels::conv::{Conv, Taps};
use zoo_kernels::groups::Groups;
use zoo_kernels::pack;
use zoo_kernels::split_even;
use zoo_kernels::tile::Epilogue;
use zoo_kernels::winograd::{Gather, Scatter, Tiling, batch_stride};

use super::context::{ExecContext, FeatureMap, Region};

/// A 3×3 convolution of stride 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Winograd {
    pub(super) input: FeatureMap,
    pub(super) output: FeatureMap,
    pub(super) tiling: Tiling,
    pub(super) groups: Groups,
    /// The matrices of filters, each group's after another's.
    pub(super) weights: Region,
    pub(super) bias: Region,
    pub(super) activation: Option<Activation>,
    pub(super) residual: Option<FeatureMap>,
    pub(super) post_activation: Option<Activation>,
}

/// Values of a block's matrices, before and after the product.
const MAX_BLOCK_VALUES: usize = 96 * 1024;
/// Fewest tiles of a block: what it is multiplied by is read once a block.
const MIN_TILES_OF_BLOCK: usize = 24;

impl Winograd {
    /// Values of a tile, before and after the product.
    fn pitches(&self, lanes: usize) -> [usize; 2] {
        [self.input.vectors * lanes, self.output.vectors * lanes]
    }

    /// Tiles of the largest block.
    fn block(&self, lanes: usize) -> usize {
        let [from, to] = self.pitches(lanes);
        let fit = MAX_BLOCK_VALUES / (self.tiling.matrices() * (from + to)).max(1);
        fit.max(MIN_TILES_OF_BLOCK).min(self.tiling.tiles())
    }

    /// Values of scratch that a thread needs.
    pub(super) fn scratch(&self, lanes: usize) -> usize {
        let [from, to] = self.pitches(lanes);
        let block = self.block(lanes);
        self.tiling.matrices() * (batch_stride(block, from) + batch_stride(block, to))
    }

    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// As for [`super::instr::Instr::run`].
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let lanes = ctx.isa.lanes();
        let ([from, to], matrices) = (self.pitches(lanes), self.tiling.matrices());
        let groups = &self.groups;
        let filters = pack::packed_len(groups.outputs, groups.inputs, lanes);
        let vectors = pack::vectors(groups.outputs, lanes);
        let (all, panels) = (self.tiling.tiles(), pack::panels(vectors, ctx.isa.panel()));
        let by_panels = parts > 1 && groups.count == 1 && panels >= parts && all < parts * MIN_TILES_OF_BLOCK;
        let (own, panels) = if by_panels {
            (0..all, split_even(panels, parts, part))
        } else {
            (split_even(all, parts, part), 0..panels)
        };
        let blocks = own.len().div_ceil(self.block(lanes));
        for block in 0..blocks {
            let tiles = split_even(own.len(), blocks, block);
            let (first, count) = (own.start + tiles.start, tiles.len());
            let scattered = ctx.scratch.part(0, matrices * batch_stride(count, from));
            let product = ctx.scratch.part(scattered.len(), matrices * batch_stride(count, to));
            ctx.isa.run(Scatter {
                tiling: self.tiling,
                tiles: [first, count],
                input: ctx.map(&self.input),
                pitch: from,
                output: scattered,
                zeros: ctx.zeros,
            });
            for (matrix, group) in
                (0..matrices).flat_map(|matrix| (0..groups.count).map(move |group| (matrix, group)))
            {
                let (first_input, first_output) = (group * groups.inputs, group * groups.outputs);
                let product = Conv {
                    input: scattered
                        .read()
                        .part(matrix * batch_stride(count, from), count * from)
                        .from(first_input),
                    input_pitch: from,
                    input_size: [1, count],
                    channels: groups.inputs,
                    cold: false,
                    taps: Taps::POINT,
                    output_size: [1, count],
                    weights: ctx
                        .weight(self.weights)
                        .part((matrix * groups.count + group) * filters, filters),
                    bias: ctx.zeros,
                    output: product.part(matrix * batch_stride(count, to), count * to).from(first_output),
                    output_pitch: to,
                    output_row: count * to,
                    vectors,
                    epilogue: Epilogue { activation: None, residual: None, post_activation: None },
                    prefetch: None,
                    zeros: ctx.zeros,
                };
                ctx.isa.run(product.part(0..count, panels.clone()));
            }
            let gathered = if by_panels {
                let of = |panel| pack::panel(vectors, ctx.isa.panel(), panel);
                let (first, last) = (of(panels.start), of(panels.end - 1));
                [first.start, last.end - first.start]
            } else {
                [0, self.output.vectors]
            };
            ctx.isa.run(Gather {
                tiling: self.tiling,
                tiles: [first, count],
                input: product.read(),
                bias: ctx.weight(self.bias),
                // SAFETY: a part has its own tiles, or its own panels.
                output: unsafe { ctx.write(&self.output) },
                pitch: to,
                vectors: gathered,
                epilogue: Epilogue {
                    activation: self.activation,
                    residual: self.residual.map(|map| ctx.map(&map)),
                    post_activation: self.post_activation,
                },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use zoo_kernels::Isa;
    use zoo_kernels::memory::Arena;
    use zoo_kernels::winograd::{MAX_MATRICES, Tile, filter};

    use super::super::context::Pass;

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
    fn run(
        isa: Isa,
        tile: Tile,
        count: usize,
        [h, w, inputs, outputs, pad, parts]: [usize; 6],
        residual: bool,
    ) -> f64 {
        let lanes = isa.lanes();
        // Channels of a group, and of all.
        let groups = Groups { count, inputs, outputs };
        let (gi, go) = (inputs, outputs);
        let (inputs, outputs) = (count * inputs, count * outputs);
        let map = |at, size, channels| FeatureMap { at, ..FeatureMap::new(size, channels, lanes) };
        let input = map(0, [h, w], inputs);
        let size = [h + 2 * pad - 2, w + 2 * pad - 2];
        let output = map(input.len(lanes), size, outputs);
        let add = map(output.at + output.len(lanes), size, outputs);
        let mut arena = numbers(7, add.at + add.len(lanes));
        let before = arena.clone();
        let (filters, bias) = (numbers(8, outputs * gi * 9), numbers(9, outputs));
        let tiling = Tiling { tile, input: input.size, output: size, pad: [pad; 2] };
        let mut weights = Vec::new();
        for (matrix, group) in (0..tiling.matrices()).flat_map(|m| (0..count).map(move |group| (m, group))) {
            let filters = &filters;
            pack::pack(go, gi, isa, &mut weights, |i| {
                move |o| {
                    let mut all = [0.0; MAX_MATRICES];
                    filter(tile, &filters[((group * go + o) * gi + i) * 9..][..9], &mut all);
                    all[matrix] as f32
                }
            });
        }
        let at = weights.len();
        pack::pad(&bias, lanes, &mut weights);
        let step = Winograd {
            input,
            output,
            tiling,
            weights: Region { at: 0, len: at },
            bias: Region { at, len: weights.len() - at },
            groups,
            activation: residual.then_some(Activation::Silu),
            residual: residual.then_some(add),
            post_activation: Some(Activation::Relu),
        };
        let zeros = vec![0.0; input.vectors.max(output.vectors) * lanes];
        let mut scratch = vec![f32::NAN; step.scratch(lanes)];
        let pass = Pass {
            isa,
            image: &[],
            weights: &weights,
            arena: Arena::new(&mut arena),
            scratch_len: scratch.len(),
            scratch: Arena::new(&mut scratch),
            zeros: &zeros,
        };
        for part in 0..parts {
            // SAFETY: one thread does one part after the other.
            unsafe { step.run(&ExecContext::new(&pass, 0), part, parts) };
        }
        let mut worst = 0f64;
        for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
            for o in 0..outputs {
                let mut sum = f64::from(bias[o]);
                for (ky, kx) in (0..3).flat_map(|a| (0..3).map(move |b| (a, b))) {
                    let (iy, ix) = ((y + ky).wrapping_sub(pad), (x + kx).wrapping_sub(pad));
                    for i in 0..if iy < h && ix < w { gi } else { 0 } {
                        let value = before[(iy * w + ix) * input.vectors * lanes + o / go * gi + i];
                        sum += f64::from(value) * f64::from(filters[(o * gi + i) * 9 + ky * 3 + kx]);
                    }
                }
                let place = (y * size[1] + x) * output.vectors * lanes + o;
                if residual {
                    sum = (sum / (1.0 + (-sum).exp()) + f64::from(before[add.at + place])).max(0.0);
                }
                worst = worst.max((f64::from(arena[output.at + place]) - sum).abs());
            }
        }
        worst
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn winograd_matches_reference(
            four in prop::bool::ANY, h in 1usize..14, w in 1usize..14, inputs in 1usize..20,
            // Of several panels too, which threads share where there are few tiles.
            outputs in prop_oneof![1usize..20, 40usize..140],
            pad in 0usize..3, parts in 1usize..4, residual in prop::bool::ANY, groups in 1usize..4,
        ) {
            // The outputs of a group are whole vectors.
            let outputs = if groups > 1 { outputs.next_multiple_of(16) } else { outputs };
            prop_assume!(h + 2 * pad > 2 && w + 2 * pad > 2);
            let tile = if four { Tile::Four } else { Tile::Two };
            for isa in Isa::available() {
                let max_abs_diff = run(isa, tile, groups, [h, w, inputs, outputs, pad, parts], residual);
                // Sums of up to 180 products of numbers below 1; F(4×4) multiplies roundings by some ten.
                prop_assert!(max_abs_diff <= if four { 1e-4 } else { 2e-5 }, "{tile:?} on {isa}: {max_abs_diff:e}");
            }
        }
    }
}
