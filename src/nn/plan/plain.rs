//! The instruction of an operation that no rule joins with others: any operation of the graph, by its definition, and by
//! vector code where there is some.
//!
//! In: an operation, maps, weights in torch's order. Out: a map. A thread takes some rows of it. Made by `build` for what
//! `lower` has no rule for, and without vector code for every operation where a test asks for it ([`super::Plan::unfused`]); run by
//! [`super::instr`].

#![allow(unsafe_code)]

use std::ops::Range;

use zoo_kernels::blur::{self, Blur};
use zoo_kernels::conv::Taps;
use zoo_kernels::{moves, plain, split_even};

use crate::graph::{Op, PadMode};

use super::context::{ExecContext, FeatureMap, Region};
use super::sizes::taps;

/// An operation on maps.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) op: Op,
    pub(super) inputs: Vec<FeatureMap>,
    pub(super) output: FeatureMap,
    /// Its weights, in the order of `Op::weights`; batch norm's as scale and shift.
    pub(super) weights: Vec<Region>,
    /// Whether vector code may run it.
    pub(super) vectorised: bool,
}

impl Plain {
    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// As for [`super::instr::Instr::run`].
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let lanes = ctx.lanes();
        let rows = split_even(self.output.size[0], parts, part);
        let map = |map: &FeatureMap| plain::FeatureMap {
            values: ctx.map(map),
            size: map.size,
            channels: map.channels,
            pitch: map.pitch(lanes),
        };
        let output = plain::FeatureMapMut {
            // SAFETY: a part has its own rows, or its own channels of all, and writes no others.
            values: unsafe { ctx.write(&self.output) },
            size: self.output.size,
            channels: self.output.channels,
            pitch: self.output.pitch(lanes),
        };
        let weight = |index: usize| self.weights.get(index).map(|region| ctx.weight(*region));
        let Some(first) = self.inputs.first() else { return };
        let (input, second) = (map(first), self.inputs.get(1));
        if self.vectorised && self.by_vectors(ctx, first, (input, output), rows.clone()) {
            return;
        }
        match &self.op {
            Op::Input { .. } => plain::slice(input, 0, output, rows),
            Op::Conv { groups, window, .. } => {
                let geometry = (&taps(window, first.size), *groups);
                plain::conv(input, [weight(0), weight(1)], geometry, output, rows);
            }
            Op::Linear { .. } => {
                plain::conv(input, [weight(0), weight(1)], (&Taps::POINT, 1), output, rows);
            }
            Op::BatchNorm { .. } => {
                if let [Some(scale), Some(shift)] = [weight(0), weight(1)] {
                    plain::affine(input, [scale, shift], output, rows);
                }
            }
            Op::Activation(activation) => plain::activation(input, *activation, output, rows),
            Op::Add => plain::add(self.inputs.iter().map(map), output, rows),
            Op::Mul => plain::mul(input, second.map_or(input, map), output, rows),
            Op::Concat => plain::concat(self.inputs.iter().map(map), output, rows),
            Op::Slice { start, .. } => plain::slice(input, *start, output, rows),
            Op::Pool(kind, window) => {
                let [_, bottom, _, right] = window.pads(first.size);
                let pool = (*kind, &taps(window, first.size), [bottom, right]);
                plain::pool(input, pool, output, rows);
            }
            Op::GlobalAveragePool => plain::global_avg_pool(input, output, rows),
            Op::GroupNorm { groups, eps, .. } => {
                if let [Some(scale), Some(shift)] = [weight(0), weight(1)] {
                    let own = split_even(*groups, parts, part);
                    plain::group_norm(input, [scale, shift], (*groups, *eps), output, own);
                }
            }
            Op::Scale(factor) => plain::scale(input, *factor, output, rows),
            Op::Upsample { factor } => plain::upsample(input, *factor, output, rows),
            Op::Softmax { parts, groups } => plain::softmax(input, [*parts, *groups], output, rows),
            Op::Pad { pads: [top, _, left, _], mode } => {
                plain::pad(input, [*top, *left], reflects(*mode), output, rows);
            }
            Op::Crop { crops: [top, _, left, _] } => plain::crop(input, [*top, *left], output, rows),
            Op::Blur { size, stride } => plain::blur(input, [*size, *stride], output, rows),
            Op::SpaceToDepth { block } => plain::space_to_depth(input, *block, output, rows),
            Op::ChannelConv { kernel, .. } => {
                if let Some(weight) = weight(0) {
                    plain::channel_conv(input, weight, *kernel, output, rows);
                }
            }
            Op::CondConv { groups, window, .. } => {
                if let (Some(weight), Some(routing)) = (weight(0), second.map(map)) {
                    let geometry = (&taps(window, first.size), *groups);
                    plain::cond_conv([input, routing], weight, geometry, output, rows);
                }
            }
        }
    }

    /// Some rows by vector code, or by copies of whole pixels; whether there is code for the operation.
    fn by_vectors(
        &self,
        ctx: &ExecContext<'_>,
        first: &FeatureMap,
        (input, output): (plain::FeatureMap<'_>, plain::FeatureMapMut<'_>),
        rows: Range<usize>,
    ) -> bool {
        match &self.op {
            Op::Upsample { factor } => moves::upsample(input, *factor, output, rows),
            Op::Pad { pads: [top, _, left, _], mode } => {
                moves::pad(input, [*top, *left], reflects(*mode), output, rows);
            }
            Op::Crop { crops: [top, _, left, _] } => moves::crop(input, [*top, *left], output, rows),
            Op::SpaceToDepth { block } => moves::space_to_depth(input, *block, output, rows),
            Op::Blur { size, stride } if *size <= blur::MAX_TAPS => {
                let work = Blur {
                    input: input.values,
                    input_size: input.size,
                    taps: *size,
                    stride: *stride,
                    output: output.values,
                    output_size: output.size,
                    vectors: first.vectors,
                };
                ctx.isa.run(work.part(rows));
            }
            Op::Blur { .. }
            | Op::Input { .. }
            | Op::Conv { .. }
            | Op::Linear { .. }
            | Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::GroupNorm { .. }
            | Op::Scale(_)
            | Op::Softmax { .. }
            | Op::ChannelConv { .. }
            | Op::CondConv { .. } => return false,
        }
        true
    }
}

fn reflects(mode: PadMode) -> bool {
    match mode {
        PadMode::Zero => false,
        PadMode::Reflect => true,
    }
}
