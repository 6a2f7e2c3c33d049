//! Which reading of the graph computes: one type over the readers, one runner a thread.
//!
//! In: a graph, its weights, the image's shape. Out: logits of one image at a time, so that a result never
//! depends on what else was in a batch. Called by [`super::Model`].

use std::str::FromStr;
use std::sync::Arc;

use candle_core::Device;

use super::Error;
use crate::nn::graph::Graph;
use crate::nn::plan::{ALGORITHMS_VERSION, Isa, Plan, Worker};
use crate::nn::reference::Reference;
use crate::nn::weights::Weights;

/// A reader of the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// Folded, fused, with kernels for this machine's instruction set.
    #[default]
    Plan,
    /// Plain candle operations, nothing folded: the truth the plan is tested against.
    Reference,
}

impl EngineKind {
    /// Every engine, the default first.
    pub const ALL: &'static [EngineKind] = &[EngineKind::Plan, EngineKind::Reference];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Plan => "plan",
            EngineKind::Reference => "reference",
        }
    }

    /// The instruction set that decides the bits of its results.
    ///
    /// # Errors
    /// `ZOO_ISA` naming one that this processor has not.
    pub fn isa(self) -> Result<&'static str, Error> {
        match self {
            EngineKind::Plan => Ok(Isa::from_env()?.name()),
            // candle picks its own at build time.
            EngineKind::Reference => Ok("candle"),
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || EngineKind::ALL.iter().map(|e| e.name()).collect::<Vec<_>>().join(", ");
        EngineKind::ALL
            .iter()
            .copied()
            .find(|e| e.name() == text)
            .ok_or_else(|| format!("one of {}", known()))
    }
}

/// A network with its weights, shared by threads.
#[derive(Clone, Debug)]
pub struct Engine {
    image: [usize; 3],
    inner: Inner,
}

#[derive(Clone, Debug)]
enum Inner {
    Plan(Plan),
    Reference(Arc<Reference>),
}

impl Engine {
    /// Prepares `graph` with `weights` for images of `[channels, height, width]`.
    ///
    /// # Errors
    /// Weights that do not fit the graph, an image size it cannot take, `ZOO_ISA` naming an instruction set
    /// that this processor has not.
    pub fn new(
        kind: EngineKind,
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
    ) -> Result<Self, Error> {
        let inner = match kind {
            EngineKind::Plan => Inner::Plan(Plan::new(graph, weights, image, Isa::from_env()?)?),
            EngineKind::Reference => {
                graph.shapes([1, image[0], image[1], image[2]])?;
                Inner::Reference(Arc::new(Reference::new(graph, weights, &Device::Cpu)?))
            }
        };
        Ok(Engine { image, inner })
    }

    /// What one thread computes with.
    ///
    /// # Errors
    /// No memory for the activations.
    pub fn runner(&self) -> Result<Runner, Error> {
        Ok(Runner(match &self.inner {
            Inner::Plan(plan) => Hold::Plan { worker: plan.worker()?, outputs: plan.outputs() },
            Inner::Reference(network) => Hold::Reference { network: Arc::clone(network), image: self.image },
        }))
    }

    /// Which reader it is.
    pub fn kind(&self) -> EngineKind {
        match &self.inner {
            Inner::Plan(_) => EngineKind::Plan,
            Inner::Reference(_) => EngineKind::Reference,
        }
    }

    /// The instruction set that decides the bits of its results.
    pub fn isa(&self) -> &'static str {
        match &self.inner {
            Inner::Plan(plan) => plan.isa().name(),
            // candle picks its own at build time.
            Inner::Reference(_) => "candle",
        }
    }

    /// Changes whenever the same weights and image could give other bits on one instruction set.
    pub fn algorithms_version(&self) -> u32 {
        ALGORITHMS_VERSION
    }
}

/// One thread's hold on an [`Engine`].
#[derive(Debug)]
pub struct Runner(Hold);

#[derive(Debug)]
enum Hold {
    Plan { worker: Worker, outputs: usize },
    Reference { network: Arc<Reference>, image: [usize; 3] },
}

impl Runner {
    /// The logits of one image, `[channels, height, width]` row-major.
    ///
    /// # Errors
    /// An image of another size.
    pub fn logits(&mut self, image: &[f32]) -> Result<Vec<f32>, Error> {
        match &mut self.0 {
            Hold::Plan { worker, outputs } => {
                let mut logits = vec![0.0; *outputs];
                worker.logits(image, &mut logits)?;
                Ok(logits)
            }
            Hold::Reference { network, image: [c, h, w] } => Ok(network.logits(image, [1, *c, *h, *w])?),
        }
    }
}
