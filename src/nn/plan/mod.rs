//! Runs a graph fast: batch norm folded, layers fused, kernels picked, memory placed ahead.
//!
//! In: a [`Graph`], its weights, the size of the image, an [`Isa`]. Out: a [`Plan`], and from it a
//! [`Worker`] for each thread, which turns an image into logits and allocates nothing while it does.
//! Called by whoever runs a network; an architecture file knows nothing of it. `lower` holds the
//! fusions, `build` makes the steps of a pass with `maps` (what lies where), `packer` (the weights) and `sizes`,
//! `steps` says what a step does.
//!
//! The packed weights are shared by all workers of a plan. The bits of a result depend on the network,
//! the size and the instruction set, never on the number of threads.

mod arena;
mod build;
mod depthwise;
mod lower;
mod maps;
mod packer;
mod sizes;
mod stem;
mod steps;
mod winograd;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::graph::{Graph, ShapeError};
use crate::weights::Weights;
use zoo_common::error::{Class, Classify};
use zoo_kernels::memory::{Buffer, Dst, LINE, Src};
use zoo_kernels::team::Team;

pub use zoo_kernels::{ALGORITHMS_VERSION, Isa, IsaError};

use steps::{Env, Map, Step};

/// Longest side of an image that a plan is made for.
pub const MAX_SIDE: usize = 8192;

/// Why a plan cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image does not fit the graph.
    #[error(transparent)]
    Geometry(#[from] ShapeError),
    /// A tensor is not there.
    #[error("`{model}` needs tensor `{tensor}`, which the weights have not")]
    Missing {
        /// The graph's name.
        model: String,
        /// The tensor's state-dict name.
        tensor: String,
    },
    /// A tensor has another shape.
    #[error("tensor `{tensor}` of `{model}` has shape {found:?}, not {expected:?}")]
    Shape {
        /// The graph's name.
        model: String,
        /// The tensor's state-dict name.
        tensor: String,
        /// The architecture's shape.
        expected: Vec<usize>,
        /// The weights' shape.
        found: Vec<usize>,
    },
    /// An image larger than anything that is a photograph.
    #[error("an image of {height}x{width} pixels: a side has {MAX_SIDE} at most")]
    TooLarge {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The memory is not to be had.
    #[error("no memory for {bytes} bytes of `{model}`")]
    Memory {
        /// The graph's name.
        model: String,
        /// What was asked for.
        bytes: usize,
    },
    /// The system has no more threads.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
    },
    /// A slice of another length than the plan's.
    #[error("the {what} has {found} values, not {expected}")]
    Length {
        /// `image` or `output`.
        what: &'static str,
        /// Values the plan says.
        expected: usize,
        /// Values given.
        found: usize,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Memory { .. } | Error::Threads { .. } => Class::World,
            _ => Class::BadInput,
        }
    }
}

/// A layer of a plan: some of the graph's nodes, joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// The name of its main node.
    pub name: String,
    /// Multiply-adds of its convolutions, for one image.
    pub macs: u64,
    /// Bytes of its weights, and of the maps it reads and writes.
    pub bytes: usize,
}

/// A network ready to run on images of one size.
#[derive(Clone)]
pub struct Plan {
    shared: Arc<Shared>,
}

struct Shared {
    model: String,
    isa: Isa,
    image: [usize; 3],
    steps: Vec<Step>,
    layers: Vec<LayerInfo>,
    weights: Buffer,
    arena: usize,
    scratch: usize,
    output: Map,
    zeros: Buffer,
}

impl Plan {
    /// Plans `graph` for images of `[channels, height, width]`.
    ///
    /// # Errors
    /// Where the image does not fit the graph, a tensor is missing or of another shape, or the memory
    /// cannot be had.
    pub fn new(graph: &Graph, weights: &dyn Weights, image: [usize; 3], isa: Isa) -> Result<Plan, Error> {
        let [channels, height, width] = image;
        if height.max(width) > MAX_SIDE {
            return Err(Error::TooLarge { height, width });
        }
        let shapes = graph.shapes([1, channels, height, width])?;
        let lowered = lower::lower(graph, &shapes);
        let built = build::build(graph, weights, &lowered, &shapes, isa)?;
        let memory = |len: usize| Error::Memory { model: graph.name.clone(), bytes: len.saturating_mul(4) };
        let buffer = |len: usize| Buffer::zeroed(len).ok_or_else(|| memory(len));
        let shared = Shared {
            model: graph.name.clone(),
            isa,
            image,
            steps: built.steps,
            layers: built.layers,
            weights: built.weights,
            arena: built.arena,
            scratch: built.scratch,
            output: built.output,
            zeros: buffer(built.zeros)?,
        };
        Ok(Plan { shared: Arc::new(shared) })
    }

    /// What one thread needs to run the plan.
    ///
    /// # Errors
    /// Where the memory for activations cannot be had.
    pub fn worker(&self) -> Result<Worker, Error> {
        self.worker_on(1)
    }

    /// A worker that splits each pass between `threads` threads, for the shortest time of one image; many
    /// images are done faster by a worker a thread. The bits of a result are the same.
    ///
    /// # Errors
    /// Where memory or threads cannot be had.
    pub fn worker_on(&self, threads: usize) -> Result<Worker, Error> {
        let shared = &self.shared;
        let threads = threads.clamp(1, MAX_THREADS);
        let buffer = |len: usize| {
            let memory = || Error::Memory { model: shared.model.clone(), bytes: len.saturating_mul(4) };
            Buffer::zeroed(len).ok_or_else(memory)
        };
        let (arena, scratch) = (buffer(shared.arena)?, buffer(shared.scratch_apart() * threads)?);
        let team = Team::new(threads).ok_or(Error::Threads { threads })?;
        Ok(Worker { shared: Arc::clone(shared), arena, scratch, team })
    }

    /// Values of the result: classes, or channels by height by width.
    pub fn outputs(&self) -> usize {
        self.shared.output.pixels() * self.shared.output.channels
    }

    /// The layers in the order in which a pass runs them.
    pub fn layers(&self) -> &[LayerInfo] {
        &self.shared.layers
    }

    /// The instruction set it was made for.
    pub fn isa(&self) -> Isa {
        self.shared.isa
    }
}

/// Most threads that a pass is split between.
const MAX_THREADS: usize = 256;

impl Shared {
    /// Scratch from one thread's to the next's.
    fn scratch_apart(&self) -> usize {
        self.scratch.next_multiple_of(LINE)
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({} {:?} {})", self.shared.model, self.shared.image, self.shared.isa)
    }
}

/// Runs a plan on one thread, or on a few together.
pub struct Worker {
    shared: Arc<Shared>,
    arena: Buffer,
    /// Every thread's, one after another.
    scratch: Buffer,
    team: Team,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({} {:?} {})", self.shared.model, self.shared.image, self.shared.isa)
    }
}

impl Worker {
    /// The result for one image (CHW, normalised), into `out`; nothing is allocated.
    ///
    /// # Errors
    /// Where a slice has another length than the plan's.
    pub fn logits(&mut self, image: &[f32], out: &mut [f32]) -> Result<(), Error> {
        self.pass(image, out, |_| ())
    }

    /// As [`Worker::logits`], and adds the time that each of [`Plan::layers`] took to `times`.
    ///
    /// # Errors
    /// Where a slice has another length than the plan's.
    pub fn timed(&mut self, image: &[f32], out: &mut [f32], times: &mut [Duration]) -> Result<(), Error> {
        let mut last = Instant::now();
        self.pass(image, out, |layer| {
            let now = Instant::now();
            if let Some(time) = times.get_mut(layer) {
                *time += now - last;
            }
            last = now;
        })
    }

    fn pass(&mut self, image: &[f32], out: &mut [f32], mut done: impl FnMut(usize)) -> Result<(), Error> {
        let shared = &*self.shared;
        let expected: usize = shared.image.iter().product();
        if image.len() != expected {
            return Err(Error::Length { what: "image", expected, found: image.len() });
        }
        let (pixels, channels) = (shared.output.pixels(), shared.output.channels);
        if out.len() != pixels * channels {
            return Err(Error::Length { what: "output", expected: pixels * channels, found: out.len() });
        }
        let apart = shared.scratch_apart();
        let env = Env {
            isa: shared.isa,
            image: Src::new(image),
            weights: Src::new(shared.weights.values()),
            arena: Dst::new(self.arena.values_mut()),
            scratch: Dst::new(self.scratch.values_mut()),
            zeros: Src::new(shared.zeros.values()),
        };
        let team = &self.team;
        let part = |member: usize, done: &mut dyn FnMut(usize)| {
            let env = Env { scratch: env.scratch.part(member * apart, apart), ..env };
            for step in &shared.steps {
                step.action.run(&env, member, team.members());
                if team.members() > 1 {
                    team.barrier().wait();
                }
                done(step.layer);
            }
        };
        team.run(&|member| part(member, &mut |_| ()), || part(0, &mut done));
        let pitch = shared.output.vectors * shared.isa.lanes();
        let result = self.arena.values().get(shared.output.at..).unwrap_or_default();
        for (pixel, values) in result.chunks(pitch.max(1)).take(pixels).enumerate() {
            for (channel, value) in values.iter().take(channels).enumerate() {
                if let Some(to) = out.get_mut(channel * pixels + pixel) {
                    *to = *value;
                }
            }
        }
        Ok(())
    }
}
