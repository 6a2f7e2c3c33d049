//! The instructions of a plan, and how each is split between threads.
//!
//! In: places in the arena and of packed weights, all settled when the plan was made (`build`). Out: maps in the arena. An
//! instruction's parts write different values and are separated from the next one's by a barrier; which part computes
//! a value never changes its bits. Run by [`super::Worker`].

#![allow(unsafe_code)]

use zoo_kernels::activation::{Activation, PoolKind};
use zoo_kernels::conv::Taps;
use zoo_kernels::mix::MixWeights;
use zoo_kernels::pointwise::{Pointwise, ScaleWeights};
use zoo_kernels::pool::{GlobalAvgPool, GlobalAvgPoolFinish, Pool};
use zoo_kernels::split_even;
use zoo_kernels::stem::Planes;
use zoo_kernels::vector::Vector;
use zoo_kernels::{Isa, pack};

use super::context::{Block, ExecContext, FeatureMap, Region};
use super::dense::Dense;
use super::depthwise::Depthwise;
use super::group_norm::GroupNorm;
use super::grouped::Grouped;
use super::plain::Plain;
use super::stem::Stem;
use super::winograd::Winograd;

/// One instruction of a pass.
#[derive(Clone, Debug)]
pub(super) enum Instr {
    /// The image, from CHW, into a map.
    Image(FeatureMap),
    /// The image's planes inside a border, at a place in the arena.
    Planes(Planes, Region),
    Stem(Stem),
    Dense(Dense),
    Grouped(Grouped),
    Depthwise(Depthwise),
    /// The mean of a map from the sum of its upper half and, where it is halved, of its lower.
    GlobalAvgPoolFinish {
        map: FeatureMap,
        sums: Region,
        halved: bool,
        output: FeatureMap,
    },
    Winograd(Winograd),
    Vector {
        input: FeatureMap,
        output: FeatureMap,
        block: Block,
        activation: Option<Activation>,
    },
    ScaleWeights {
        block: Block,
        scale_by: FeatureMap,
        output: Region,
    },
    Elementwise {
        map: FeatureMap,
        scale_by: Option<FeatureMap>,
        scale: Option<Region>,
        shift: Option<Region>,
        add: Option<FeatureMap>,
        mul: Option<FeatureMap>,
        activation: Option<Activation>,
        output: FeatureMap,
    },
    Pool {
        kind: PoolKind,
        taps: Taps,
        pad_end: [usize; 2],
        input: FeatureMap,
        output: FeatureMap,
    },
    GlobalAvgPool {
        input: FeatureMap,
        output: FeatureMap,
    },
    /// Channels from one map to another, of the same pixels.
    Copy {
        from: FeatureMap,
        first: usize,
        to: FeatureMap,
        at: usize,
        channels: usize,
    },
    GroupNorm(GroupNorm),
    /// The weights of a convolution out of several experts'; the shares are a map of one pixel.
    MixWeights {
        experts: Region,
        shares: FeatureMap,
        output: Region,
    },
    Plain(Plain),
}

/// An instruction with the number of its layer.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) layer: usize,
    pub(super) instr: Instr,
}

impl Instr {
    /// Values of scratch that a thread needs.
    pub(super) fn scratch(&self, isa: Isa) -> usize {
        match self {
            Instr::Winograd(winograd) => winograd.scratch(isa.lanes()),
            Instr::Depthwise(d) => d.ring.len(isa.panel() * isa.lanes()),
            Instr::Grouped(grouped) => grouped.shape.scratch(isa.lanes()),
            Instr::Image(_)
            | Instr::Planes(..)
            | Instr::Stem(_)
            | Instr::Dense(_)
            | Instr::GlobalAvgPoolFinish { .. }
            | Instr::Vector { .. }
            | Instr::ScaleWeights { .. }
            | Instr::Elementwise { .. }
            | Instr::Pool { .. }
            | Instr::GlobalAvgPool { .. }
            | Instr::Copy { .. }
            | Instr::GroupNorm(_)
            | Instr::MixWeights { .. }
            | Instr::Plain(_) => 0,
        }
    }

    /// Zeros that it reads beyond a border.
    pub(super) fn zeros(&self, isa: Isa) -> usize {
        match self {
            Instr::Dense(dense) => dense.input.channels,
            Instr::Winograd(w) => w.input.vectors.max(w.output.vectors) * isa.lanes(),
            Instr::Depthwise(Depthwise { expand, .. }) => expand.map_or(0, |expand| expand.block.inputs),
            Instr::Image(_)
            | Instr::Planes(..)
            | Instr::Stem(_)
            | Instr::Grouped(_)
            | Instr::GlobalAvgPoolFinish { .. }
            | Instr::Vector { .. }
            | Instr::ScaleWeights { .. }
            | Instr::Elementwise { .. }
            | Instr::Pool { .. }
            | Instr::GlobalAvgPool { .. }
            | Instr::Copy { .. }
            | Instr::GroupNorm(_)
            | Instr::MixWeights { .. }
            | Instr::Plain(_) => 0,
        }
    }

    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// While it runs, no other thread of the pass does anything but other parts of the same instruction, out of the same
    /// number, each by one thread.
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let isa = ctx.isa;
        // SAFETY of every view to write below: the parts of `split_even` do not overlap, a part writes what it is given of
        // rows, pixels, panels or vectors and no more, and no instruction writes what it reads, but in place and alone.
        match self {
            Instr::Image(map) => {
                // SAFETY: as above; a part has its own pixels of every channel.
                image(ctx, map, unsafe { ctx.write(map) }, split_even(map.pixels(), parts, part));
            }
            Instr::Planes(planes, region) => {
                // SAFETY: as above; a part has its own rows.
                let output = unsafe { ctx.write_region(*region) };
                planes.fill(ctx.image, output, split_even(planes.rows(), parts, part));
            }
            // SAFETY: as the caller vouches.
            Instr::Stem(stem) => unsafe { stem.run(ctx, part, parts) },
            // SAFETY: as the caller vouches.
            Instr::Dense(dense) => unsafe { dense.run(ctx, part, parts) },
            // SAFETY: as the caller vouches.
            Instr::Grouped(grouped) => unsafe { grouped.run(ctx, part, parts) },
            // SAFETY: as the caller vouches.
            Instr::Winograd(winograd) => unsafe { winograd.run(ctx, part, parts) },
            // SAFETY: as the caller vouches.
            Instr::Depthwise(depthwise) => unsafe { depthwise.run(ctx, part, parts) },
            // SAFETY: as the caller vouches.
            Instr::Plain(plain) => unsafe { plain.run(ctx, part, parts) },
            // SAFETY: as the caller vouches.
            Instr::GroupNorm(norm) => unsafe { norm.run(ctx, part, parts) },
            Instr::MixWeights { experts, shares, output } => {
                let work = MixWeights {
                    experts: ctx.weight(*experts),
                    shares: ctx.map(shares),
                    count: shares.channels,
                    vectors: output.len / ctx.lanes(),
                    // SAFETY: as above; a part has its own vectors.
                    output: unsafe { ctx.write_region(*output) },
                };
                isa.run(work.part(split_even(work.vectors, parts, part)));
            }
            Instr::Vector { input, output, block, activation } => {
                let layer = Vector {
                    input: ctx.map(input),
                    depth: block.inputs,
                    weights: ctx.weight(block.weights),
                    bias: ctx.weight(block.bias),
                    // SAFETY: as above; a part has its own panels.
                    output: unsafe { ctx.write(output) },
                    vectors: block.vectors,
                    activation: *activation,
                };
                isa.run(layer.part(split_even(pack::panels(block.vectors, isa.panel()), parts, part)));
            }
            Instr::ScaleWeights { block, scale_by, output } => {
                let work = ScaleWeights {
                    weights: ctx.weight(block.weights),
                    scale_by: ctx.map(scale_by),
                    depth: block.inputs,
                    vectors: block.vectors,
                    // SAFETY: as above; a part has its own panels.
                    output: unsafe { ctx.write_region(*output) },
                };
                isa.run(work.part(split_even(pack::panels(block.vectors, isa.panel()), parts, part)));
            }
            Instr::Elementwise { map, scale_by, scale, shift, add, mul, activation, output } => {
                let work = Pointwise {
                    map: ctx.map(map),
                    centre: None,
                    scale_by: scale_by.map(|map| ctx.map(&map)),
                    scale: scale.map(|region| ctx.weight(region)),
                    shift: shift.map(|region| ctx.weight(region)),
                    add: add.map(|map| ctx.map(&map)),
                    mul: mul.map(|map| ctx.map(&map)),
                    activation: *activation,
                    // SAFETY: as above; a part has its own pixels.
                    output: unsafe { ctx.write(output) },
                    vectors: map.vectors,
                };
                isa.run(work.part(split_even(map.pixels(), parts, part)));
            }
            Instr::Pool { kind, taps, pad_end, input, output } => {
                let work = Pool {
                    kind: *kind,
                    taps: *taps,
                    pad_end: *pad_end,
                    input: ctx.map(input),
                    input_size: input.size,
                    // SAFETY: as above; a part has its own rows.
                    output: unsafe { ctx.write(output) },
                    output_size: output.size,
                    vectors: input.vectors,
                };
                isa.run(work.part(split_even(output.size[0], parts, part)));
            }
            Instr::GlobalAvgPool { input, output } => {
                let work = GlobalAvgPool {
                    input: ctx.map(input),
                    size: input.size,
                    vectors: input.vectors,
                    // SAFETY: as above; a part has its own vectors.
                    output: unsafe { ctx.write(output) },
                };
                isa.run(work.part(split_even(input.vectors, parts, part)));
            }
            Instr::GlobalAvgPoolFinish { map, sums, halved, output } => {
                let lanes = ctx.lanes();
                let own = split_even(map.vectors, parts, part);
                let [at, len] = [own.start * lanes, own.len() * lanes];
                let sum = |half: usize| ctx.region(*sums).part(half * map.vectors * lanes + at, len);
                isa.run(GlobalAvgPoolFinish {
                    upper: sum(0),
                    lower: halved.then(|| sum(1)),
                    pixels: map.pixels(),
                    vectors: own.len(),
                    // SAFETY: as above; a part has its own vectors.
                    output: unsafe { ctx.write(output) }.part(at, len),
                });
            }
            Instr::Copy { from, first, to, at, channels } => {
                let lanes = ctx.lanes();
                let (source, target) = (from.pitch(lanes), to.pitch(lanes));
                let pixels = split_even(from.pixels(), parts, part);
                // SAFETY: as above; a part has its own pixels.
                let output = unsafe { ctx.write(to) };
                output.copy_blocks(
                    (at + pixels.start * target, target),
                    (ctx.map(from), first + pixels.start * source, source),
                    *channels,
                    pixels.len(),
                );
            }
        }
    }
}

/// Some pixels of the image as an NHWC map.
fn image(
    ctx: &ExecContext<'_>,
    map: &FeatureMap,
    output: zoo_kernels::memory::Dst<'_>,
    pixels: std::ops::Range<usize>,
) {
    let pitch = map.pitch(ctx.lanes());
    for channel in 0..map.channels {
        let from = ctx.image.part(channel * map.pixels() + pixels.start, pixels.len());
        if !pixels.is_empty() {
            output.from(channel + pixels.start * pitch).scatter(from, pitch);
        }
    }
}
