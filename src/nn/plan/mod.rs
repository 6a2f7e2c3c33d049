//! Runs a graph fast: batch norm folded, layers fused, kernels picked, memory placed ahead.
//!
//! In: a [`Graph`], its weights, the size of the image, an [`Isa`]. Out: a [`Plan`], and from it a
//! [`Worker`] for each thread, which turns an image into logits and allocates nothing while it does.
//! Called by whoever runs a network; an architecture file knows nothing of it. `lower` holds the
//! fusions, `build` makes the instructions of a pass with `maps` (what lies where), `packer` (the weights) and `sizes`,
//! `instr` says what an instruction does. An operation without a rule in `lower` runs by itself (`plain`), by its definition
//! where no kernel was written for it.
//!
//! The packed weights are shared by all workers of a plan. The bits of a result depend on the network,
//! the size and the instruction set, never on the number of threads.

#![allow(unsafe_code)]

mod build;
mod context;
mod dense;
mod depthwise;
mod group_norm;
mod grouped;
mod instr;
mod maps;
mod packer;
mod plain;
mod sizes;
mod stem;
mod version;
mod winograd;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::graph::{Graph, NodeId, Shape, ShapeError};
use crate::weights::Weights;
use zoo_common::error::{Class, Classify};
use zoo_kernels::memory::{Arena, Buffer, LINE};
use zoo_kernels::team::{Barrier, Team};

pub use version::algorithms_version;
pub use zoo_kernels::{Isa, IsaError};

use crate::lower::{self, Fusion};
use context::{ExecContext, FeatureMap, Pass};
use instr::Step;

/// Longest side of an image that a plan is made for.
pub const MAX_SIDE: usize = 8192;

/// Most channels of a map: far above any network's.
pub const MAX_CHANNELS: usize = 1 << 20;

/// Why a plan cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image does not fit the graph.
    #[error(transparent)]
    Geometry(#[from] ShapeError),
    /// A tensor is not there.
    #[error("`{model}` needs tensor `{tensor}`, which the weights do not have")]
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
    /// A layer with more channels than any network's.
    #[error("layer `{layer}` of `{model}` has {channels} channels: {MAX_CHANNELS} at most")]
    TooWide {
        /// The graph's name.
        model: String,
        /// The layer.
        layer: String,
        /// Its channels.
        channels: usize,
    },
    /// A value was asked for that the graph does not have.
    #[error("`{model}` has no node {node}")]
    Output {
        /// The graph's name.
        model: String,
        /// What was asked for.
        node: usize,
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
            Error::Geometry(_)
            | Error::Missing { .. }
            | Error::Shape { .. }
            | Error::TooLarge { .. }
            | Error::TooWide { .. }
            | Error::Output { .. }
            | Error::Length { .. } => Class::BadInput,
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
    outputs: Vec<FeatureMap>,
    zeros: Buffer,
}

impl Plan {
    /// Plans `graph` for images of `[channels, height, width]`; a pass gives the last node's value, the logits.
    ///
    /// # Errors
    /// Where the image does not fit the graph, a tensor is missing or of another shape, or the memory
    /// cannot be had.
    pub fn new(graph: &Graph, weights: &dyn Weights, image: [usize; 3], isa: Isa) -> Result<Plan, Error> {
        Self::with_outputs(graph, weights, image, isa, &[graph.output()])
    }

    /// The same for a pass that gives the values of several nodes (taps: [`Graph::tap`]), and computes nothing that
    /// none of them depends on.
    ///
    /// # Errors
    /// As [`Plan::new`]; a node that the graph does not have.
    pub fn with_outputs(
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
        isa: Isa,
        outputs: &[NodeId],
    ) -> Result<Plan, Error> {
        Self::make(graph, weights, image, isa, outputs, Fusion::Rules)
    }

    /// A plan that joins no operations and has no fast kernel: every operation by its definition. Slow, and what the
    /// fast kernels are held to, beside `nn::reference`, by tests.
    ///
    /// # Errors
    /// As [`Plan::with_outputs`].
    pub fn unfused(
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
        isa: Isa,
        outputs: &[NodeId],
    ) -> Result<Plan, Error> {
        Self::make(graph, weights, image, isa, outputs, Fusion::Off)
    }

    fn make(
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
        isa: Isa,
        outputs: &[NodeId],
        fusion: Fusion,
    ) -> Result<Plan, Error> {
        let [channels, height, width] = image;
        if height.max(width) > MAX_SIDE {
            return Err(Error::TooLarge { height, width });
        }
        let shapes = graph.shapes([1, channels, height, width])?;
        if let Some((node, shape)) =
            graph.nodes.iter().zip(&shapes).find(|(_, shape)| shape[1] > MAX_CHANNELS)
        {
            let (model, layer) = (graph.name.clone(), node.name.clone());
            return Err(Error::TooWide { model, layer, channels: shape[1] });
        }
        if let Some(NodeId(node)) = outputs.iter().find(|node| node.0 >= shapes.len()) {
            return Err(Error::Output { model: graph.name.clone(), node: *node });
        }
        let lowered = lower::lower(graph, &shapes, outputs, fusion);
        let values: Vec<usize> = outputs.iter().map(|node| node.0).collect();
        let built = build::build(graph, weights, (&lowered, fusion), &shapes, &values, isa)?;
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
            outputs: built.outputs,
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
        let (arena, scratch) = (buffer(shared.arena)?, buffer(shared.scratch_stride() * threads)?);
        let team = Team::new(threads).ok_or(Error::Threads { threads })?;
        Ok(Worker { shared: Arc::clone(shared), arena, scratch, team })
    }

    /// Values of the last output: classes, or channels by height by width.
    pub fn outputs(&self) -> usize {
        self.shared.outputs.last().map_or(0, |map| map.pixels() * map.channels)
    }

    /// The shape of every output, for one image.
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.shared.outputs.iter().map(|map| [1, map.channels, map.size[0], map.size[1]]).collect()
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
    fn scratch_stride(&self) -> usize {
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
    /// The result for one image (CHW, normalised), into `out`; nothing is allocated. Of several outputs, the last.
    ///
    /// # Errors
    /// Where a slice has another length than the plan's.
    pub fn logits(&mut self, image: &[f32], out: &mut [f32]) -> Result<(), Error> {
        self.timed_forward(image, |_| ())?;
        self.output(self.shared.outputs.len().saturating_sub(1), out)
    }

    /// As [`Worker::logits`], and adds the time that each of [`Plan::layers`] took to `times`.
    ///
    /// # Errors
    /// Where a slice has another length than the plan's.
    pub fn timed(&mut self, image: &[f32], out: &mut [f32], times: &mut [Duration]) -> Result<(), Error> {
        let mut last = Instant::now();
        self.timed_forward(image, |layer| {
            let now = Instant::now();
            if let Some(time) = times.get_mut(layer) {
                *time += now - last;
            }
            last = now;
        })?;
        self.output(self.shared.outputs.len().saturating_sub(1), out)
    }

    /// One image (CHW, normalised) through the network; [`Worker::output`] then has the results. Nothing is allocated.
    ///
    /// # Errors
    /// An image of another length than the plan's.
    pub fn forward(&mut self, image: &[f32]) -> Result<(), Error> {
        self.timed_forward(image, |_| ())
    }

    /// The `index`th output of the last [`Worker::forward`], CHW, into `out`.
    ///
    /// # Errors
    /// A slice of another length than that output's, or of any where there is no such output.
    pub fn output(&self, index: usize, out: &mut [f32]) -> Result<(), Error> {
        let lanes = self.shared.isa.lanes();
        let map = self.shared.outputs.get(index).copied().unwrap_or(FeatureMap::new([0; 2], 0, lanes));
        let (pixels, channels) = (map.pixels(), map.channels);
        if out.len() != pixels * channels || map.vectors == 0 {
            return Err(Error::Length { what: "output", expected: pixels * channels, found: out.len() });
        }
        let result = self.arena.values().get(map.at..).unwrap_or_default();
        for (pixel, values) in result.chunks(map.pitch(lanes).max(1)).take(pixels).enumerate() {
            for (channel, value) in values.iter().take(channels).enumerate() {
                if let Some(to) = out.get_mut(channel * pixels + pixel) {
                    *to = *value;
                }
            }
        }
        Ok(())
    }

    fn timed_forward(&mut self, image: &[f32], mut done: impl FnMut(usize)) -> Result<(), Error> {
        let shared = &*self.shared;
        let expected: usize = shared.image.iter().product();
        if image.len() != expected {
            return Err(Error::Length { what: "image", expected, found: image.len() });
        }
        let pass = Pass {
            isa: shared.isa,
            image,
            weights: shared.weights.values(),
            arena: Arena::new(self.arena.values_mut()),
            scratch: Arena::new(self.scratch.values_mut()),
            scratch_len: shared.scratch_stride(),
            zeros: shared.zeros.values(),
        };
        let members = self.team.members();
        let part = |member: usize, barrier: &Barrier, done: &mut dyn FnMut(usize)| {
            // SAFETY: the team calls this once for each of its members, each with its own number.
            let ctx = unsafe { ExecContext::new(&pass, member) };
            for step in &shared.steps {
                // SAFETY: every member runs the same steps in the same order, its own part of each, and none begins the
                // next before all have come to the barrier.
                unsafe { step.instr.run(&ctx, member, members) };
                if members > 1 {
                    barrier.wait();
                }
                done(step.layer);
            }
        };
        self.team.run(&|member, barrier| part(member, barrier, &mut |_| ()), |barrier| {
            part(0, barrier, &mut done)
        });
        Ok(())
    }
}
