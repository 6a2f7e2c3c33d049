//! The instruction of a convolution of several groups.
//!
//! In: a map, filters packed by bundles of groups. Out: a map. A bundle's inputs pass through a ring in this thread's
//! scratch, band after band. Made by `build`, run by [`super::instr`].

#![allow(unsafe_code)]

use std::ops::Range;

use zoo_kernels::activation::Activation;
use zoo_kernels::grouped::{self, FillRows, GroupedShape};
use zoo_kernels::split_even;

use super::context::{ExecContext, FeatureMap, Region};

/// A convolution of several groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grouped {
    pub(super) input: FeatureMap,
    pub(super) output: FeatureMap,
    pub(super) shape: GroupedShape,
    /// Bundle after bundle, and so is the bias.
    pub(super) weights: Region,
    pub(super) bias: Region,
    pub(super) activation: Option<Activation>,
}

/// Rows of output for each thread from which on it matters little that some threads have one more than others.
const MIN_ROWS_OF_PART: usize = 4;

impl Grouped {
    /// Into how many parts the output's rows are cut, each for one thread, so that all threads have the same to do. Where
    /// there are rows enough a thread takes all channels of its own: those it probably wrote of the input.
    fn parts_of_rows(&self, bundles: usize, parts: usize) -> usize {
        let [rows, _] = self.output.size;
        if rows.is_multiple_of(parts) || rows >= MIN_ROWS_OF_PART * parts {
            parts
        } else {
            parts.div_ceil(bundles).clamp(1, rows)
        }
    }

    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// As for [`super::instr::Instr::run`].
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let bundles = self.shape.groups.bundles(ctx.lanes());
        let cuts = self.parts_of_rows(bundles, parts);
        let mut cleared = 0;
        for unit in split_even(bundles * cuts, parts, part) {
            let rows = split_even(self.output.size[0], cuts, unit / bundles);
            if !rows.is_empty() {
                // SAFETY: a part has its own bundles of its own rows.
                unsafe { self.bundle(ctx, unit % bundles, rows, &mut cleared) }
            }
        }
    }

    /// Some rows of a bundle, band after band; `cleared` is the width that the ring was last cleared for.
    ///
    /// # Safety
    /// No other part writes or reads this bundle of these rows.
    unsafe fn bundle(&self, ctx: &ExecContext<'_>, index: usize, rows: Range<usize>, cleared: &mut usize) {
        let (lanes, ring, groups) = (ctx.lanes(), &self.shape.ring, &self.shape.groups);
        let bundle = groups.bundle(index, lanes);
        let width = bundle.blocks * lanes;
        let scratch = ctx.scratch.part(0, ring.len(width));
        if *cleared != width {
            scratch.zero();
            *cleared = width;
        }
        let [weights, bias] = {
            let first = groups.bundle(0, lanes);
            let len = first.packed_len(groups, self.shape.taps.count(), lanes);
            [
                ctx.weight(self.weights).from(index * len),
                ctx.weight(self.bias).from(index * first.vectors * lanes),
            ]
        };
        let map = ctx.map(&self.input).from(bundle.first * groups.inputs);
        // SAFETY: as the caller vouches.
        let output = unsafe { ctx.write(&self.output) }.from(bundle.first * groups.outputs);
        let (mut made, mut first) = (0, rows.start);
        while first < rows.end {
            let band = first..rows.end.min(first + ring.band);
            let needs = ring.needs(&band);
            for (slot, row, count) in ring.runs(needs.start.max(made)..needs.end) {
                let Some(row) = row else {
                    ring.blank(scratch, width, slot, count);
                    continue;
                };
                ctx.isa.run(FillRows {
                    shape: self.shape,
                    bundle,
                    map,
                    pitch: self.input.pitch(lanes),
                    ring: scratch,
                    run: (slot, row, count),
                });
            }
            made = needs.end;
            first = band.end;
            ctx.isa.run(grouped::Grouped {
                shape: self.shape,
                bundle,
                rows: [band.start, band.end],
                ring: scratch.read(),
                weights,
                bias,
                output,
                output_pitch: self.output.pitch(lanes),
                activation: self.activation,
            });
        }
    }
}
