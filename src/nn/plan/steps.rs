//! What a plan does, step after step, and how a step is split between threads.
//!
//! In: places in the arena and offsets into the packed weights, all settled when the plan was made
//! (`build`). Out: maps in the arena. A step's parts write different values and are separated from the
//! next step's by a barrier; which part computes a value never changes its bits. Run by `worker`.

use crate::graph::{Activation, PoolKind};
use zoo_kernels::conv::{self, Taps, share};
use zoo_kernels::memory::{Dst, Src};
use zoo_kernels::pointwise::{Pointwise, ScaleWeights};
use zoo_kernels::pool::{Mean, MeanOfHalves, Pool};
use zoo_kernels::stem::Planes;
use zoo_kernels::tile::Epilogue;
use zoo_kernels::vector::Vector;
use zoo_kernels::{Isa, pack};

use super::depthwise::Depthwise;
use super::stem::Stem;
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
    /// The mean of a map from the sum of its upper half and, where it is halved, of its lower.
    MeanOfHalves {
        map: Map,
        sums: usize,
        halved: bool,
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
    pub(super) fn lanes(&self) -> usize {
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
    pub(super) fn scratch(&self, isa: Isa) -> usize {
        match self {
            Action::Winograd(winograd) => winograd.scratch(isa.lanes()),
            Action::Depthwise(d) => d.ring.len(isa.panel() * isa.lanes()),
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
                isa.run(layer.part(share(pack::panels(block.vectors, env.isa.panel()), parts, part)));
            }
            Action::ScaleWeights { block, gate, output } => {
                let work = ScaleWeights {
                    weights: env.weight(block.weights),
                    gate: env.read(*gate),
                    depth: block.inputs,
                    vectors: block.vectors,
                    output: env.write(*output),
                };
                isa.run(work.part(share(pack::panels(block.vectors, env.isa.panel()), parts, part)));
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
            Action::MeanOfHalves { map, sums, halved, output } => {
                let lanes = env.lanes();
                let own = share(map.vectors, parts, part);
                let [at, len] = [own.start * lanes, own.len() * lanes];
                let sum = |half: usize| env.read(sums + half * map.vectors * lanes + at).part(0, len);
                isa.run(MeanOfHalves {
                    upper: sum(0),
                    lower: halved.then(|| sum(1)),
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
                soon: None,
                zeros: env.zeros,
            };
            let panels = pack::panels(block.vectors, env.isa.panel());
            let pixels = self.output.pixels();
            // Splitting by panels halves what each core reads of the weights, by pixels that of the map.
            let heavy = block.vectors * lanes * self.taps.count() > pixels;
            let (pixels, panels) = match heavy && (panels.is_multiple_of(parts) || panels > 4 * parts) {
                true => (0..pixels, share(panels, parts, part)),
                false => (share(pixels, parts, part), 0..panels),
            };
            env.isa.run(work.part(pixels, panels));
        }
    }
}
