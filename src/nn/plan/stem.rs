//! The step of the first convolution, which reads the image's own planes.
//!
//! In: the planes inside their border ([`Planes`]), packed weights. Out: a map, row by row. Made by `build`, run by
//! [`super::instr`].

#![allow(unsafe_code)]

use crate::graph::Activation;
use zoo_kernels::conv::Taps;
use zoo_kernels::split_even;
use zoo_kernels::stem::{self, Planes};

use super::context::{Block, ExecContext, FeatureMap, Region};

/// The first convolution, on the image's own planes.
#[derive(Clone, Debug)]
pub(super) struct Stem {
    pub(super) planes: Planes,
    /// Where in the arena they are.
    pub(super) region: Region,
    /// How far a window's taps are from its first.
    pub(super) places: Vec<usize>,
    pub(super) output: FeatureMap,
    pub(super) taps: Taps,
    pub(super) block: Block,
    pub(super) activation: Option<Activation>,
}

impl Stem {
    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// As for [`super::instr::Instr::run`].
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let columns = self.output.size[1];
        let row = columns * self.output.pitch(ctx.lanes());
        // SAFETY: a part has its own rows.
        let output = unsafe { ctx.write(&self.output) };
        for y in split_even(self.output.size[0], parts, part) {
            ctx.isa.run(stem::Stem {
                planes: ctx.region(self.region).from(y * self.taps.stride[0] * self.planes.pitch()),
                places: &self.places,
                stride: self.taps.stride[1],
                columns,
                weights: ctx.weight(self.block.weights),
                bias: ctx.weight(self.block.bias),
                output: output.part(y * row, row),
                vectors: self.block.vectors,
                activation: self.activation,
            });
        }
    }
}
