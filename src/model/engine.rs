//! The engines: which reading of a graph computes, and what the bits of its results depend on.
//!
//! In: a name from the command line. Out: an [`EngineKind`], and its [`EngineInfo`] for reports and records. Called by
//! [`super::Network`] and `verify`.

use std::str::FromStr;

use super::Error;
use crate::nn::cuda;
use crate::nn::graph::Graph;
use crate::nn::plan::{self, Isa};

/// Of the reference engine: rises whenever the same weights and image could give it other bits. It began where the
/// plan's stood when each engine got its own, so that what was on record of it stayed.
const REFERENCE_VERSION: u32 = 5;

/// A reading of the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// Folded, fused, with kernels for this machine's instruction set.
    #[default]
    Plan,
    /// Plain candle operations, nothing folded: the truth the plan is tested against.
    Reference,
    /// The plan of an NVIDIA card of that number.
    Cuda(usize),
}

/// Of the CUDA engine beside its kernels' own ([`cuda::KERNELS`]): rises whenever the same weights and image could give
/// it other bits.
const CUDA_VERSION: u32 = 1;

/// What the bits of an engine's results depend on, beside weights and images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its name in reports.
    pub name: &'static str,
    /// The instruction set, or a card's kernels by name and version.
    pub isa: &'static str,
    /// Rises whenever the same weights and image could give it other bits on one instruction set.
    pub algorithms_version: u32,
}

impl EngineKind {
    /// Every engine that the command line names by `--engine`, the default first; `--device` says where the plan runs.
    pub const ALL: &'static [EngineKind] = &[EngineKind::Plan, EngineKind::Reference];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Plan | EngineKind::Cuda(_) => "plan",
            EngineKind::Reference => "reference",
        }
    }

    /// What this network's results will depend on, on this machine.
    ///
    /// # Errors
    /// `ZOO_ISA` naming an instruction set that this processor does not have.
    pub fn info(self, graph: &Graph) -> Result<EngineInfo, Error> {
        Ok(match self {
            EngineKind::Plan => EngineInfo {
                name: "plan",
                isa: Isa::from_env()?.name(),
                algorithms_version: plan::algorithms_version(graph),
            },
            EngineKind::Cuda(_) => {
                EngineInfo { name: "plan", isa: cuda::KERNELS, algorithms_version: CUDA_VERSION }
            }
            // candle picks its instructions at build time.
            EngineKind::Reference => {
                EngineInfo { name: "reference", isa: "candle", algorithms_version: REFERENCE_VERSION }
            }
        })
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
