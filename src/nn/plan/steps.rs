//! What a plan does, step after step, and how a step is split between threads.
//!
//! In: places in the arena and offsets into the packed weights, all settled when the plan was made
//! (`build`). Out: maps in the arena. A step's parts write different values and are separated from the
//! next step's by a barrier; which part computes a value never changes its bits. Run by `worker`.

use std::ops::Range;

use crate::nn::graph::{Activation, PoolKind};
use crate::nn::kernels::Isa;
use crate::nn::kernels::conv::{self, Epilogue, Taps, share};
use crate::nn::kernels::depthwise::{self, Ring};
use crate::nn::kernels::memory::{Dst, Src};
use crate::nn::kernels::pointwise::{Pointwise, ScaleWeights};
use crate::nn::kernels::pool::{Mean, MeanOfHalves, Pool};
use crate::nn::kernels::simd::PANEL;
use crate::nn::kernels::stem::{self, Planes};
use crate::nn::kernels::vector::Vector;

use super::winograd::Winograd;

/// A map in the arena: NHWC, its pixels filled up to whole vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Map {
    /// Where it starts in the arena.
    pub(super) at: usize,
    /// `[height, width]`.
    pub(super) size: [usize; 2],
    /// Channels.
    pub(super) channels: usize,
    /// Vectors in a pixel.
    pub(super) vectors: usize,
}

impl Map {
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values with lanes beyond the last channel.
    pub(super) fn len(&self, lanes: usize) -> usize {
        self.pixels() * self.vectors * lanes
    }
}

/// Some of a convolution's channels into some others: all of them, unless it is grouped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) first_input: usize,
    pub(super) inputs: usize,
    pub(super) first_output: usize,
    pub(super) vectors: usize,
    /// Offset of the packed weights, and of the bias.
    pub(super) weights: usize,
    pub(super) bias: usize,
}

/// A convolution that is not depthwise.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) input: Map,
    pub(super) output: Map,
    pub(super) taps: Taps,
    pub(super) blocks: Vec<Block>,
    pub(super) activation: Option<Activation>,
    pub(super) residual: Option<usize>,
    pub(super) after: Option<Activation>,
    /// Where in the arena the weights are, where a gate has scaled them.
    pub(super) scaled: Option<usize>,
}

/// A 1×1 convolution whose output only a depthwise one reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expand {
    pub(super) input: Map,
    pub(super) block: Block,
    pub(super) activation: Option<Activation>,
}

/// A depthwise convolution, with the 1×1 in front of it where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depthwise {
    pub(super) expand: Option<Expand>,
    pub(super) input: Map,
    pub(super) output: Map,
    pub(super) taps: Taps,
    pub(super) ring: Ring,
    pub(super) weights: usize,
    pub(super) bias: usize,
    pub(super) activation: Option<Activation>,
    /// Where in the arena the sums of the upper and of the lower half of the output go.
    pub(super) sums: Option<usize>,
}

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

/// One step of a pass.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// The image, from CHW, into a map.
    Image(Map),
    /// The image's planes inside a border, at a place in the arena.
    Planes(Planes, usize),
    Stem(Stem),
    Dense(Dense),
    Depthwise(Depthwise),
    /// The mean of a map from the sums of its halves.
    MeanOfHalves {
        map: Map,
        sums: usize,
        output: usize,
    },
    Winograd(Winograd),
    Vector {
        input: usize,
        depth: usize,
        output: usize,
        block: Block,
        activation: Option<Activation>,
    },
    ScaleWeights {
        block: Block,
        gate: usize,
        output: usize,
    },
    Pass {
        map: Map,
        gate: Option<usize>,
        scale: Option<usize>,
        shift: Option<usize>,
        plus: Option<usize>,
        times: Option<usize>,
        activation: Option<Activation>,
        output: usize,
    },
    Pool {
        kind: PoolKind,
        taps: Taps,
        pad_end: [usize; 2],
        input: Map,
        output: Map,
    },
    Mean {
        input: Map,
        output: usize,
    },
    /// Channels from one map to another, of the same pixels.
    Copy {
        from: Map,
        first: usize,
        to: Map,
        at: usize,
        channels: usize,
    },
}

/// A step with the name of its layer.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) layer: usize,
    pub(super) action: Action,
}

/// What a step works with.
#[derive(Clone, Copy)]
pub(super) struct Env<'a> {
    pub(super) isa: Isa,
    /// The image, CHW.
    pub(super) image: Src<'a>,
    pub(super) weights: Src<'a>,
    pub(super) arena: Dst<'a>,
    /// This thread's own.
    pub(super) scratch: Dst<'a>,
    pub(super) zeros: Src<'a>,
}

impl<'a> Env<'a> {
    fn lanes(&self) -> usize {
        self.isa.lanes()
    }

    pub(super) fn read(&self, at: usize) -> Src<'a> {
        self.write(at).read()
    }

    pub(super) fn write(&self, at: usize) -> Dst<'a> {
        self.arena.part(at, self.arena.len() - at)
    }

    pub(super) fn weight(&self, at: usize) -> Src<'a> {
        self.weights.part(at, self.weights.len() - at)
    }
}

impl Action {
    /// Values of scratch that a thread needs.
    pub(super) fn scratch(&self, lanes: usize) -> usize {
        match self {
            Action::Winograd(winograd) => winograd.scratch(lanes),
            Action::Depthwise(d) => d.ring.len(PANEL, lanes),
            _ => 0,
        }
    }

    /// Does the `part`th of `parts` of the step.
    pub(super) fn run(&self, env: &Env<'_>, part: usize, parts: usize) {
        let isa = env.isa;
        match self {
            Action::Image(map) => image(env, map, part, parts),
            Action::Planes(planes, at) => {
                planes.fill(env.image, env.write(*at), share(planes.rows(), parts, part));
            }
            Action::Stem(stem) => stem.run(env, part, parts),
            Action::Dense(dense) => dense.run(env, part, parts),
            Action::Winograd(winograd) => winograd.run(env, part, parts),
            Action::Depthwise(depthwise) => depthwise.run(env, part, parts),
            Action::Vector { input, depth, output, block, activation } => {
                let layer = Vector {
                    input: env.read(*input),
                    depth: *depth,
                    weights: env.weight(block.weights),
                    bias: env.weight(block.bias),
                    output: env.write(*output),
                    vectors: block.vectors,
                    activation: *activation,
                };
                isa.run(layer.part(share(block.vectors.div_ceil(PANEL), parts, part)));
            }
            Action::ScaleWeights { block, gate, output } => {
                let work = ScaleWeights {
                    weights: env.weight(block.weights),
                    gate: env.read(*gate),
                    depth: block.inputs,
                    vectors: block.vectors,
                    output: env.write(*output),
                };
                isa.run(work.part(share(block.vectors.div_ceil(PANEL), parts, part)));
            }
            Action::Pass { map, gate, scale, shift, plus, times, activation, output } => {
                let work = Pointwise {
                    map: env.read(map.at),
                    gate: gate.map(|at| env.read(at)),
                    scale: scale.map(|at| env.weight(at)),
                    shift: shift.map(|at| env.weight(at)),
                    plus: plus.map(|at| env.read(at)),
                    times: times.map(|at| env.read(at)),
                    activation: *activation,
                    output: env.write(*output),
                    vectors: map.vectors,
                };
                isa.run(work.part(share(map.pixels(), parts, part)));
            }
            Action::Pool { kind, taps, pad_end, input, output } => {
                let work = Pool {
                    kind: *kind,
                    taps: *taps,
                    pad_end: *pad_end,
                    input: env.read(input.at),
                    input_size: input.size,
                    output: env.write(output.at),
                    output_size: output.size,
                    vectors: input.vectors,
                };
                isa.run(work.part(share(output.size[0], parts, part)));
            }
            Action::Mean { input, output } => {
                let work = Mean {
                    input: env.read(input.at),
                    size: input.size,
                    vectors: input.vectors,
                    output: env.write(*output),
                };
                isa.run(work.part(share(input.vectors, parts, part)));
            }
            Action::MeanOfHalves { map, sums, output } => {
                let lanes = env.lanes();
                let own = share(map.vectors, parts, part);
                let [at, len] = [own.start * lanes, own.len() * lanes];
                isa.run(MeanOfHalves {
                    halves: [0, 1].map(|half| env.read(sums + half * map.vectors * lanes + at).part(0, len)),
                    pixels: map.pixels(),
                    vectors: own.len(),
                    output: env.write(output + at),
                });
            }
            Action::Copy { from, first, to, at, channels } => {
                let (source, target) = (from.vectors * env.lanes(), to.vectors * env.lanes());
                let pixels = share(from.pixels(), parts, part);
                env.arena.copy_blocks(
                    (from.at + first + pixels.start * source, source),
                    (to.at + at + pixels.start * target, target),
                    *channels,
                    pixels.len(),
                );
            }
        }
    }
}

/// The image as an NHWC map.
fn image(env: &Env<'_>, map: &Map, part: usize, parts: usize) {
    let pitch = map.vectors * env.lanes();
    for channel in 0..map.channels {
        let pixels = share(map.pixels(), parts, part);
        let from = env.image.part(channel * map.pixels() + pixels.start, pixels.len());
        env.write(map.at + channel + pixels.start * pitch).scatter(from, pitch);
    }
}

impl Stem {
    fn run(&self, env: &Env<'_>, part: usize, parts: usize) {
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

impl Dense {
    fn run(&self, env: &Env<'_>, part: usize, parts: usize) {
        let lanes = env.lanes();
        let pitch = self.output.vectors * lanes;
        for block in &self.blocks {
            let work = conv::Conv {
                input: env.read(self.input.at + block.first_input),
                input_pitch: self.input.vectors * lanes,
                input_size: self.input.size,
                channels: block.inputs,
                fresh: true,
                taps: self.taps,
                output_size: self.output.size,
                weights: match self.scaled {
                    Some(at) => env.read(at),
                    None => env.weight(block.weights),
                },
                bias: env.weight(block.bias),
                output: env.write(self.output.at + block.first_output),
                output_pitch: pitch,
                output_row: self.output.size[1] * pitch,
                vectors: block.vectors,
                epilogue: Epilogue {
                    activation: self.activation,
                    residual: self.residual.map(|at| env.read(at + block.first_output)),
                    after: self.after,
                },
                zeros: env.zeros,
            };
            let panels = block.vectors.div_ceil(PANEL);
            let pixels = self.output.pixels();
            // Splitting by panels halves what each core reads of the weights, by pixels that of the map.
            let heavy = block.vectors * lanes * self.taps.count() > pixels;
            let (pixels, panels) = match heavy && (panels % parts == 0 || panels > 4 * parts) {
                true => (0..pixels, share(panels, parts, part)),
                false => (share(pixels, parts, part), 0..panels),
            };
            env.isa.run(work.part(pixels, panels));
        }
    }
}

/// Values of input in a stripe.
const STRIPE: usize = 96 * 1024;
/// Fewest rows of output in a stripe.
const FEWEST: usize = 8;

impl Depthwise {
    /// Rows of the upper half. A map with more pixels than channels is halved: threads then share its rows before they
    /// share its panels, of which there may be too few, and the sums behind a mean are added half by half.
    fn upper(&self) -> usize {
        let [rows, _] = self.output.size;
        if self.output.pixels() > self.output.channels { rows.div_ceil(2) } else { rows }
    }

    fn run(&self, env: &Env<'_>, part: usize, parts: usize) {
        let ([rows, _], upper) = (self.output.size, self.upper());
        let panels = self.output.vectors.div_ceil(PANEL);
        // All panels of the upper half, then all of the lower.
        let halves = if upper < rows { 2 } else { 1 };
        let own = share(panels * halves, parts, part);
        let mut cleared = 0;
        for stripe in self.stripes() {
            let mut fresh = true;
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
                let width = PANEL.min(self.output.vectors - panel * PANEL) * env.lanes();
                if cleared != width {
                    self.ring.clear(env.scratch, width);
                    cleared = width;
                }
                self.panel(env, panel, rows, fresh);
                fresh = false;
            }
        }
    }

    /// Rows of output whose input stays in the second-level cache while one panel after the other reads it. Where
    /// a stripe begins, the rows of input that its first window shares with the stripe before are made again.
    fn stripes(&self) -> impl Iterator<Item = Range<usize>> {
        let ([rows, _], from) = (self.output.size, self.expand.map_or(self.input, |expand| expand.input));
        let count = match self.output.vectors {
            0..=PANEL => 1,
            _ => (from.pixels() * from.channels).div_ceil(STRIPE).clamp(1, rows.div_ceil(FEWEST).max(1)),
        };
        (0..count).map(move |i| share(rows, count, i))
    }

    /// Some rows of a panel, band after band.
    fn panel(&self, env: &Env<'_>, panel: usize, rows: Range<usize>, fresh: bool) {
        let (lanes, upper) = (env.lanes(), self.upper());
        let vectors = PANEL.min(self.output.vectors - panel * PANEL);
        let (channel, width) = (panel * PANEL * lanes, vectors * lanes);
        let sum = |row: usize| {
            let half = if row < upper { 0 } else { self.output.vectors * lanes };
            self.sums.map(|at| env.write(at + half + channel).part(0, width))
        };
        let (mut made, mut first) = (0, rows.start);
        while first < rows.end {
            if let Some(sum) = sum(first).filter(|_| first == 0 || first == upper) {
                sum.zero();
            }
            if let Some(lower) = sum(upper).filter(|_| first == 0 && upper == self.output.size[0]) {
                lower.zero(); // Nobody else will.
            }
            let limit = if first < upper { rows.end.min(upper) } else { rows.end };
            let band = first..limit.min(first + self.ring.band);
            let needs = self.ring.needs(&band);
            let runs = self.ring.runs(needs.start.max(made)..needs.end);
            made = needs.end;
            for (slot, row, count) in runs {
                match row {
                    None => self.ring.blank(env.scratch, width, slot, count),
                    Some(row) => self.fill(env, channel, vectors, fresh, (slot, row, count)),
                }
            }
            first = band.end;
            env.isa.run(depthwise::Depthwise {
                input: env.scratch.read(),
                ring: self.ring,
                rows: [band.start, band.end],
                taps: self.taps,
                output_size: self.output.size,
                weights: env.weight(self.weights + channel * self.taps.count()),
                bias: env.weight(self.bias + channel),
                output: env.write(self.output.at + channel),
                output_pitch: self.output.vectors * lanes,
                vectors,
                activation: self.activation,
                sum: sum(band.start),
            });
        }
    }

    /// Makes a panel's input rows: by the convolution in front, or from the map.
    fn fill(&self, env: &Env<'_>, channel: usize, vectors: usize, fresh: bool, run: (usize, usize, usize)) {
        let lanes = env.lanes();
        let width = vectors * lanes;
        let Some(expand) = &self.expand else {
            let map = env.read(self.input.at + channel);
            return self.ring.fill(map, self.input.vectors * lanes, env.scratch, width, run);
        };
        let (slot, row, rows) = run;
        let pitch = expand.input.vectors * lanes;
        let [_, columns] = expand.input.size;
        let inner = (slot * self.ring.columns + self.ring.pad[1]) * width;
        let work = conv::Conv {
            input: env.read(expand.input.at + row * columns * pitch),
            input_pitch: pitch,
            input_size: [rows, columns],
            channels: expand.block.inputs,
            fresh,
            taps: Taps::POINT,
            output_size: [rows, columns],
            weights: env.weight(expand.block.weights + channel * expand.block.inputs),
            bias: env.weight(expand.block.bias + channel),
            output: env.scratch.part(inner, env.scratch.len() - inner),
            output_pitch: width,
            output_row: self.ring.columns * width,
            vectors,
            epilogue: Epilogue { activation: expand.activation, residual: None, after: None },
            zeros: env.zeros,
        };
        env.isa.run(work.part(0..rows * columns, 0..1));
    }
}
