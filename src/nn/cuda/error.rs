//! What can go wrong with a card, and what to do about it.

use crate::graph::{ShapeError, ValueError};
use zoo_common::error::{Class, Classify};

/// A call of the driver's that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {reason} (code {code})")]
pub struct CallError {
    /// The function.
    pub call: &'static str,
    /// `CUresult`.
    pub code: i32,
    /// The driver's text for it.
    pub reason: String,
}

/// Why a network cannot run on a card.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// `libcuda.so.1` is not there.
    #[error("no NVIDIA driver: {reason}")]
    NoDriver {
        /// The loader's reason.
        reason: String,
    },
    /// The driver cannot read the kernels.
    #[error("the NVIDIA driver is for CUDA {}.{}, and the kernels need {}.{}", found / 1000, found % 1000 / 10, needed / 1000, needed % 1000 / 10)]
    OldDriver {
        /// 1000 times the major, 10 times the minor.
        found: i32,
        /// The same.
        needed: i32,
    },
    /// There is no card of that number.
    #[error("no CUDA device {ordinal}: the driver sees {count}")]
    NoDevice {
        /// Its number.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The card cannot run the kernels.
    #[error("{name} has compute capability {}.{}, and the kernels need {needed}.0", found[0], found[1])]
    OldDevice {
        /// The card's name.
        name: String,
        /// Major and minor.
        found: [i32; 2],
        /// The major.
        needed: i32,
    },
    /// The card's memory does not hold the network.
    #[error("{device} has no memory for `{model}`: {bytes} bytes for its weights and one image, {free} free")]
    Memory {
        /// The card's name.
        device: String,
        /// The graph's name.
        model: String,
        /// What one image takes.
        bytes: usize,
        /// What was free.
        free: usize,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A kernel failed, which the driver told later.
    #[error("layer `{layer}` of `{model}` failed on {device}: {source}")]
    Layer {
        /// The layer that was begun last.
        layer: String,
        /// The graph's name.
        model: String,
        /// The card's name.
        device: String,
        /// What the driver said.
        source: CallError,
    },
    /// The kernels' text is not as it was built.
    #[error("the kernels cannot be read: {reason}")]
    Kernels {
        /// Why.
        reason: String,
    },
    /// The image does not fit the graph.
    #[error(transparent)]
    Geometry(#[from] ShapeError),
    /// A tensor is not there or has another shape.
    #[error("`{model}`: {source}")]
    Weights {
        /// The graph's name.
        model: String,
        /// Which, and why.
        source: ValueError,
    },
    /// A layer that is larger than the kernels count.
    #[error("layer `{layer}` of `{model}` is too large for the card's kernels: {what}")]
    TooLarge {
        /// The graph's name.
        model: String,
        /// The layer.
        layer: String,
        /// What of it.
        what: String,
    },
    /// A value was asked for that the graph does not have.
    #[error("`{model}` has no node {node}")]
    Output {
        /// The graph's name.
        model: String,
        /// What was asked for.
        node: usize,
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
            Error::NoDriver { .. }
            | Error::OldDriver { .. }
            | Error::NoDevice { .. }
            | Error::OldDevice { .. }
            | Error::Memory { .. }
            | Error::Call(_)
            | Error::Layer { .. }
            | Error::Kernels { .. } => Class::World,
            Error::Geometry(_)
            | Error::Weights { .. }
            | Error::TooLarge { .. }
            | Error::Output { .. }
            | Error::Length { .. } => Class::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::NoDriver { .. } => Some(
                "install NVIDIA's driver (520 or later); nothing else of CUDA is needed. `--device cpu` does without".into(),
            ),
            Error::OldDriver { .. } => Some("install NVIDIA's driver 520 or later, or use `--device cpu`".into()),
            Error::NoDevice { count: 0, .. } => {
                Some("`nvidia-smi -L` lists the cards; `CUDA_VISIBLE_DEVICES` may hide them. `--device cpu` does without".into())
            }
            Error::NoDevice { count, .. } => {
                Some(format!("`--device cuda:0` is the first card, `cuda:{}` the last", count.saturating_sub(1)))
            }
            Error::OldDevice { .. } => Some("`--device cpu` does without".into()),
            Error::Memory { .. } => {
                Some("`nvidia-smi` says who uses the card; `--device cpu` does without".into())
            }
            Error::Layer { .. } | Error::Call(_) => Some(
                "run again: a run that was broken off goes on where it was. `nvidia-smi` and the kernel's log say whether \
                 the card is well"
                    .into(),
            ),
            Error::Kernels { .. }
            | Error::Geometry(_)
            | Error::Weights { .. }
            | Error::TooLarge { .. }
            | Error::Output { .. }
            | Error::Length { .. } => None,
        }
    }
}
