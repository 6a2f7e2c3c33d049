//! The instructions of a group norm: sums, factors, the map by them.
//!
//! In: a map, the norm's weights. Out: a map. Threads share the channels' sums by vectors, the factors by groups, the map
//! by pixels. Made by `build`, run by [`super::instr`].

#![allow(unsafe_code)]

use zoo_kernels::group_norm::{self, ChannelSums, FACTORS, FIGURES};
use zoo_kernels::pointwise::Pointwise;
use zoo_kernels::split_even;

use super::context::{ExecContext, FeatureMap, Region};

/// A step of a group norm.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Every channel's sums.
    Sums,
    /// Every channel's centre, factor and addend.
    Factors,
    /// The map by them.
    Apply,
}

/// One of its instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupNorm {
    pub(super) stage: Stage,
    pub(super) input: FeatureMap,
    pub(super) output: FeatureMap,
    pub(super) groups: usize,
    pub(super) eps: f32,
    /// The norm's weight and bias.
    pub(super) weights: [Region; 2],
    /// In the arena: the sums, then centres, factors and addends.
    pub(super) work: Region,
}

impl GroupNorm {
    /// Values of the arena that it needs while it runs.
    pub(super) fn work_values(map: &FeatureMap, lanes: usize) -> usize {
        (FIGURES + FACTORS) * map.pitch(lanes)
    }

    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// As for [`super::instr::Instr::run`].
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let pitch = self.input.pitch(ctx.lanes());
        let (figures, factors) = (
            Region { at: self.work.at, len: FIGURES * pitch },
            Region { at: self.work.at + FIGURES * pitch, len: FACTORS * pitch },
        );
        match self.stage {
            Stage::Sums => {
                let sums = ChannelSums {
                    input: ctx.map(&self.input),
                    size: self.input.size,
                    vectors: self.input.vectors,
                    // SAFETY: a part has its own vectors of every figure.
                    output: unsafe { ctx.write_region(figures) },
                };
                ctx.isa.run(sums.part(split_even(self.input.vectors, parts, part)));
            }
            Stage::Factors => {
                let [scale, shift] = self.weights.map(|region| ctx.weight(region));
                let norm = group_norm::Norm {
                    scale,
                    shift,
                    channels: self.input.channels,
                    groups: self.groups,
                    eps: self.eps,
                };
                // SAFETY: a part has its own groups, and writes their channels only.
                let output = unsafe { ctx.write_region(factors) };
                let own = split_even(self.groups, parts, part);
                group_norm::factors(&norm, ctx.region(figures), (self.input.pixels(), pitch), output, own);
            }
            Stage::Apply => {
                let factors = ctx.region(factors);
                let [centre, scale, shift] = [0, 1, 2].map(|which| Some(factors.part(which * pitch, pitch)));
                let work = Pointwise {
                    map: ctx.map(&self.input),
                    centre,
                    scale_by: None,
                    scale,
                    shift,
                    add: None,
                    mul: None,
                    activation: None,
                    // SAFETY: a part has its own pixels.
                    output: unsafe { ctx.write(&self.output) },
                    vectors: self.input.vectors,
                };
                ctx.isa.run(work.part(split_even(self.input.pixels(), parts, part)));
            }
        }
    }
}
