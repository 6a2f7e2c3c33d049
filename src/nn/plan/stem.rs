//! The step of the first convolution, which reads the image's own planes.
//!
//! In: the planes inside their border ([`Planes`]), packed weights. Out: a map, row by row. Made by `build`, run by
//! [`super::steps`].

use crate::graph::Activation;
use zoo_kernels::conv::{Taps, share};
use zoo_kernels::stem::{self, Planes};

use super::steps::{Block, Env, Map};

/// The first convolution, on the image's own planes.
#[derive(Clone, Debug)]
pub(super) struct Stem {
    pub(super) planes: Planes,
    /// Where in the arena they are.
    pub(super) at: usize,
    /// How far a window's taps are from its first.
    pub(super) places: Vec<usize>,
    pub(super) output: Map,
    pub(super) taps: Taps,
    pub(super) block: Block,
    pub(super) activation: Option<Activation>,
}

impl Stem {
    pub(super) fn run(&self, env: &Env<'_>, part: usize, parts: usize) {
        let columns = self.output.size[1];
        let row = columns * self.output.vectors * env.lanes();
        for y in share(self.output.size[0], parts, part) {
            let first = y * self.taps.stride[0] * self.planes.pitch();
            env.isa.run(stem::Stem {
                planes: env.read(self.at).part(first, self.planes.len() - first),
                places: &self.places,
                stride: self.taps.stride[1],
                columns,
                weights: env.weight(self.block.weights),
                bias: env.weight(self.block.bias),
                output: env.write(self.output.at + y * row),
                vectors: self.block.vectors,
                activation: self.activation,
            });
        }
    }
}
