//! The instruction of a convolution of one group, as a matrix product or by direct sums.
//!
//! In: a map, packed weights. Out: a map, with activation and residual. A thread takes some pixels, or some panels of
//! output channels where reading the weights costs more than reading the map. Made by `build`, run by [`super::instr`].

#![allow(unsafe_code)]

use zoo_kernels::activation::Activation;
use zoo_kernels::conv::{self, Taps};
use zoo_kernels::tile::Epilogue;
use zoo_kernels::{pack, split_even};

use super::context::{Block, ExecContext, FeatureMap, Region};

/// A convolution of one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense {
    pub(super) input: FeatureMap,
    pub(super) output: FeatureMap,
    pub(super) taps: Taps,
    pub(super) block: Block,
    pub(super) activation: Option<Activation>,
    pub(super) residual: Option<FeatureMap>,
    pub(super) post_activation: Option<Activation>,
    /// Where in the arena the weights are, where a factor an input has scaled them, or several experts' are mixed.
    pub(super) scaled: Option<Region>,
}

impl Dense {
    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// As for [`super::instr::Instr::run`].
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let lanes = ctx.lanes();
        let pitch = self.output.pitch(lanes);
        let block = &self.block;
        let work = conv::Conv {
            input: ctx.map(&self.input),
            input_pitch: self.input.pitch(lanes),
            input_size: self.input.size,
            channels: block.inputs,
            cold: true,
            taps: self.taps,
            output_size: self.output.size,
            weights: match self.scaled {
                Some(region) => ctx.region(region),
                None => ctx.weight(block.weights),
            },
            bias: ctx.weight(block.bias),
            // SAFETY: a part has its own pixels, or its own panels of all of them: below.
            output: unsafe { ctx.write(&self.output) },
            output_pitch: pitch,
            output_row: self.output.size[1] * pitch,
            vectors: block.vectors,
            epilogue: Epilogue {
                activation: self.activation,
                residual: self.residual.map(|map| ctx.map(&map)),
                post_activation: self.post_activation,
            },
            prefetch: None,
            zeros: ctx.zeros,
        };
        let panels = pack::panels(block.vectors, ctx.isa.panel());
        let pixels = self.output.pixels();
        // Splitting by panels halves what each core reads of the weights, by pixels that of the map. Panels that are left
        // over are split by pixels too, or one thread would wait for the other. By pixels unless the weights are twice the
        // map: what wrote the map was mostly split so, and each core then reads what it wrote itself.
        let by_panels = block.vectors * lanes * self.taps.count() > 2 * self.input.pixels();
        let whole = if by_panels { panels - panels % parts } else { 0 };
        ctx.isa.run(work.part(0..pixels, split_even(whole, parts, part)));
        ctx.isa.run(work.part(split_even(pixels, parts, part), whole..panels));
    }
}
