//! The step of a convolution that Winograd's algorithm computes.
//!
//! In: a map, transformed filters. Out: a map. A thread takes some tiles, a block at a time: the block's
//! matrices are this thread's scratch and should stay in its cache, together with what they are multiplied by.
//! Made by `build`, run by [`super::steps`].

use crate::nn::graph::Activation;
use crate::nn::kernels::conv::{Conv, Epilogue, Taps, share};
use crate::nn::kernels::simd::PANEL;
use crate::nn::kernels::winograd::{Gather, Scatter, Tiling, apart};

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
                    taps: Taps::POINT,
                    output_size: [1, count],
                    weights: env.weight(self.weights + matrix * self.matrix),
                    bias: env.zeros,
                    output: product.part(matrix * apart(count, to), count * to),
                    output_pitch: to,
                    output_row: count * to,
                    vectors: self.output.vectors,
                    epilogue: Epilogue { activation: None, residual: None, after: None },
                    zeros: env.zeros,
                };
                env.isa.run(product.part(0..count, 0..self.output.vectors.div_ceil(PANEL)));
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
