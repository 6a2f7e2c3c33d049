//! The step of a depthwise convolution, with the 1×1 convolution in front of it.
//!
//! In: a map, packed weights. Out: a map, and the sums that squeeze-excite's mean is made of. A panel's input rows are
//! made in this thread's scratch, a ring ([`Ring`]), band after band. Which rows and panels a thread takes never
//! changes a bit: the sum of a half is always added row by row. Made by `build`, run by [`super::instr`].

#![allow(unsafe_code)]

use std::ops::Range;

use crate::graph::Activation;
use zoo_kernels::conv::{self, PrefetchTarget, Taps};
use zoo_kernels::depthwise;
use zoo_kernels::pack;
use zoo_kernels::ring::Ring;
use zoo_kernels::split_even;
use zoo_kernels::tile::Epilogue;

use super::context::{Block, ExecContext, FeatureMap, Region};

/// A 1×1 convolution whose output only a depthwise one reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expand {
    pub(super) input: FeatureMap,
    pub(super) block: Block,
    pub(super) activation: Option<Activation>,
}

/// A depthwise convolution, with the 1×1 in front of it where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depthwise {
    pub(super) expand: Option<Expand>,
    pub(super) input: FeatureMap,
    pub(super) output: FeatureMap,
    pub(super) taps: Taps,
    pub(super) ring: Ring,
    pub(super) weights: Region,
    /// Where in the arena the weights are, where they are mixed for each image.
    pub(super) mixed: Option<Region>,
    pub(super) bias: Region,
    pub(super) activation: Option<Activation>,
    /// Where in the arena the sums of the upper and of the lower half of the output go.
    pub(super) sums: Option<Region>,
}

/// Values of input in a stripe.
const MAX_STRIPE_VALUES: usize = 96 * 1024;
/// Rows of output in a stripe, at least, for each row of input that is made again.
const MIN_ROWS_OF_STRIPE: usize = 8;

impl Depthwise {
    /// Whether threads share the output's rows before they share its panels, of which there may be too few: it has
    /// more pixels than channels. The sums behind a mean are then added half by half. Without sums half as many pixels
    /// suffice: what reads the rows next finds them where they were made.
    pub(super) fn halved(&self) -> bool {
        let least = if self.sums.is_some() { self.output.channels } else { self.output.channels / 2 };
        self.output.size[0] > 1 && self.output.pixels() > least
    }

    /// Rows of the upper half, or all.
    fn upper(&self) -> usize {
        let [rows, _] = self.output.size;
        if self.halved() { rows.div_ceil(2) } else { rows }
    }

    /// Does the `part`th of `parts`.
    ///
    /// # Safety
    /// As for [`super::instr::Instr::run`].
    pub(super) unsafe fn run(&self, ctx: &ExecContext<'_>, part: usize, parts: usize) {
        let ([rows, _], upper) = (self.output.size, self.upper());
        let panels = pack::panels(self.output.vectors, ctx.isa.panel());
        // All panels of the upper half, then all of the lower.
        let halves = if self.halved() { 2 } else { 1 };
        let own = split_even(panels * halves, parts, part);
        let mut cleared = 0;
        for stripe in self.stripes(panels) {
            let mut cold = true;
            for panel in 0..panels {
                let mine = match (own.contains(&panel), halves > 1 && own.contains(&(panels + panel))) {
                    (true, true) => 0..rows,
                    (true, false) => 0..upper,
                    (false, true) => upper..rows,
                    (false, false) => continue,
                };
                let rows = stripe.start.max(mine.start)..stripe.end.min(mine.end);
                if rows.is_empty() {
                    continue;
                }
                let vectors = pack::panel(self.output.vectors, ctx.isa.panel(), panel);
                let width = vectors.len() * ctx.lanes();
                if cleared != width {
                    self.ring.clear(ctx.scratch, width);
                    cleared = width;
                }
                // SAFETY: a part has its own panels of each half.
                unsafe { self.panel(ctx, vectors, rows, cold) };
                cold = false;
            }
        }
    }

    /// Rows of output whose input stays in the second-level cache while one panel after the other reads it. Where
    /// a stripe begins, the rows of input that its first window shares with the stripe before are made again.
    fn stripes(&self, panels: usize) -> impl Iterator<Item = Range<usize>> {
        let ([rows, _], from) = (self.output.size, self.expand.map_or(self.input, |expand| expand.input));
        let fewest = MIN_ROWS_OF_STRIPE * self.taps.kernel[0].saturating_sub(self.taps.stride[0]);
        let count = match panels {
            0 | 1 => 1,
            _ => (from.pixels() * from.channels)
                .div_ceil(MAX_STRIPE_VALUES)
                .clamp(1, (rows / fewest.max(1)).max(1)),
        };
        (0..count).map(move |i| split_even(rows, count, i))
    }

    /// Some rows of a panel, band after band.
    ///
    /// # Safety
    /// No other part writes or reads this panel of these rows, nor its sum of their half.
    unsafe fn panel(&self, ctx: &ExecContext<'_>, panel: Range<usize>, rows: Range<usize>, cold: bool) {
        let (lanes, upper) = (ctx.lanes(), self.upper());
        let vectors = panel.len();
        let (channel, width) = (panel.start * lanes, vectors * lanes);
        let sum = |row: usize| {
            let half = if row < upper { 0 } else { self.output.vectors * lanes };
            // SAFETY: as the caller vouches.
            self.sums.map(|sums| unsafe { ctx.write_region(sums) }.part(half + channel, width))
        };
        let (mut made, mut first) = (0, rows.start);
        while first < rows.end {
            if let Some(sum) = sum(first).filter(|_| first == 0 || first == upper) {
                sum.zero();
            }
            let limit = if first < upper { rows.end.min(upper) } else { rows.end };
            let band = first..limit.min(first + self.ring.band);
            let needs = self.ring.needs(&band);
            let runs = self.ring.runs(needs.start.max(made)..needs.end);
            made = needs.end;
            // SAFETY: as the caller vouches.
            let output = unsafe { ctx.write(&self.output) }.from(channel);
            let [_, columns] = self.output.size;
            let pitch = self.output.vectors * lanes;
            // The band's outputs are asked for while its input is made. With vectors of 8 lanes that measured worse than
            // asking for them a row ahead.
            let early = self.expand.is_some() && lanes > 8;
            let mut rest = band.len() * columns;
            for (slot, row, count) in runs {
                let Some(row) = row else {
                    self.ring.blank(ctx.scratch, width, slot, count);
                    continue;
                };
                let pixels = rest.min(count * self.ring.inside[1]);
                let from = band.end * columns - rest;
                rest -= pixels;
                // Below the map there are no outputs left.
                let prefetch = (early && pixels > 0).then(|| PrefetchTarget {
                    at: output.part(from * pitch, 0),
                    pitch,
                    pixels,
                });
                self.fill(ctx, channel, vectors, (cold, prefetch), (slot, row, count));
            }
            first = band.end;
            ctx.isa.run(depthwise::Depthwise {
                input: ctx.scratch.read(),
                ring: self.ring,
                rows: [band.start, band.end],
                taps: self.taps,
                output_size: self.output.size,
                weights: match self.mixed {
                    Some(region) => ctx.region(region),
                    None => ctx.weight(self.weights),
                }
                .from(channel * self.taps.count()),
                bias: ctx.weight(self.bias).from(channel),
                output,
                output_pitch: pitch,
                vectors,
                activation: self.activation,
                ahead: !early,
                sum: sum(band.start),
            });
        }
    }

    /// Makes a panel's input rows: by the convolution in front, or from the map.
    fn fill(
        &self,
        ctx: &ExecContext<'_>,
        channel: usize,
        vectors: usize,
        (cold, prefetch): (bool, Option<PrefetchTarget<'_>>),
        run: (usize, usize, usize),
    ) {
        let lanes = ctx.lanes();
        let width = vectors * lanes;
        let Some(expand) = &self.expand else {
            let map = ctx.map(&self.input).from(channel);
            return self.ring.fill(map, self.input.vectors * lanes, ctx.scratch, width, run);
        };
        let (slot, row, rows) = run;
        let pitch = expand.input.vectors * lanes;
        let [_, columns] = expand.input.size;
        let inner = (slot * self.ring.columns + self.ring.pad[1]) * width;
        let work = conv::Conv {
            input: ctx.map(&expand.input).from(row * columns * pitch),
            input_pitch: pitch,
            input_size: [rows, columns],
            channels: expand.block.inputs,
            cold,
            taps: Taps::POINT,
            output_size: [rows, columns],
            weights: ctx.weight(expand.block.weights).from(channel * expand.block.inputs),
            bias: ctx.weight(expand.block.bias).from(channel),
            output: ctx.scratch.from(inner),
            output_pitch: width,
            output_row: self.ring.columns * width,
            vectors,
            epilogue: Epilogue { activation: expand.activation, residual: None, post_activation: None },
            prefetch,
            zeros: ctx.zeros,
        };
        ctx.isa.run(work.part(0..rows * columns, 0..1));
    }
}
