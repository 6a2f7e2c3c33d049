//! Why a name did not become a network that runs.

use std::path::PathBuf;

use crate::error::{Class, Classify};
use crate::{arch, checkpoint, image, nn, store};

/// A model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The entry names no architecture, so its weights can be kept but not run.
    #[error("`{name}` ({origin}) names no architecture: it can be listed and fetched, not run")]
    NoArchitecture {
        /// The entry.
        name: String,
        /// The page it is on.
        origin: String,
    },
    /// The architecture is not one that zoo can build.
    #[error("`{name}`: {source}")]
    Architecture {
        /// The entry.
        name: String,
        /// What is unknown.
        source: Box<arch::Error>,
    },
    /// The weights are not those of the architecture.
    #[error("`{}`: {source}", path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What does not fit.
        source: Box<nn::load::Error>,
    },
    /// An image that cannot be read or prepared.
    #[error(transparent)]
    Image(Box<image::Error>),
    /// The entry's preprocessing cannot be done.
    #[error("`{name}`: {source}")]
    Preprocess {
        /// The entry.
        name: String,
        /// What is missing or impossible.
        source: Box<image::Error>,
    },
    /// A sidecar that does not say what its weights are of.
    #[error("`{}`: {reason}", path.display())]
    Sidecar {
        /// The sidecar.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// Labels for another number of classes than the weights have.
    #[error("`{name}` ({origin}) names {expected} classes, and `{}` has {found}", path.display())]
    Labels {
        /// The model.
        name: String,
        /// Where the labels are written.
        origin: String,
        /// How many labels there are.
        expected: usize,
        /// The weights file.
        path: PathBuf,
        /// Outputs of its classifier.
        found: usize,
    },
    /// A position that a network's pyramid does not have, or one asked for twice.
    #[error("`{index}` is not one of the {levels} levels of `{arch}`, 0 to {}, or is asked for twice", levels.saturating_sub(1))]
    OutIndex {
        /// The architecture.
        arch: String,
        /// What was asked for.
        index: isize,
        /// How many levels there are.
        levels: usize,
    },
    /// A graph that marks no such level.
    #[error("`{arch}` has no level `{level}`")]
    NoLevel {
        /// The architecture.
        arch: String,
        /// What was asked for.
        level: &'static str,
    },
    /// A network whose last stage does not begin with one map.
    #[error(
        "the last stage of `{arch}` reads {} maps (`{}`), not one: it cannot be trained apart from the rest",
        .reads.len(),
        .reads.join("`, `")
    )]
    SeveralInputs {
        /// The architecture.
        arch: String,
        /// The layers that those maps are the results of.
        reads: Vec<String>,
    },
    /// A folder or glob that means no picture.
    #[error("`{}`: {what}", path.display())]
    NoPictures {
        /// What was given.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// A value that is not a number.
    #[error("`{arch}` gives values for `{image}` that are not finite: its weights are damaged")]
    NotFinite {
        /// The architecture.
        arch: String,
        /// The image.
        image: String,
    },
    /// The network cannot take the image size.
    #[error(transparent)]
    Shape(Box<nn::graph::ShapeError>),
    /// The reference engine failed.
    #[error(transparent)]
    Reference(Box<nn::reference::Error>),
    /// A tensor that the network does not take, or a pass that failed.
    #[error("{0}")]
    Candle(Box<candle_core::Error>),
    /// The plan cannot be made or run.
    #[error(transparent)]
    Plan(Box<nn::plan::Error>),
    /// The plan cannot be made or run on a card.
    #[error(transparent)]
    Cuda(Box<nn::cuda::Error>),
    /// `ZOO_ISA` asks for what is not here.
    #[error(transparent)]
    Isa(#[from] nn::plan::IsaError),
    /// The weights could not be had.
    #[error(transparent)]
    Store(Box<store::Error>),
    /// The weights file could not be read.
    #[error(transparent)]
    Checkpoint(Box<checkpoint::Error>),
    /// The file's names are of a known scheme, and one does not fit it.
    #[error(transparent)]
    Names(#[from] checkpoint::rename::Error),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
}

/// The large ones are boxed: every result of this module is as small as what succeeds.
macro_rules! boxed {
    ($($variant:ident: $source:ty),*) => {
        $(impl From<$source> for Error {
            fn from(source: $source) -> Self {
                Error::$variant(Box::new(source))
            }
        })*
    };
}

boxed!(
    Shape: nn::graph::ShapeError,
    Reference: nn::reference::Error,
    Candle: candle_core::Error,
    Plan: nn::plan::Error,
    Cuda: nn::cuda::Error,
    Store: store::Error,
    Checkpoint: checkpoint::Error
);

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::NoArchitecture { .. }
            | Error::Sidecar { .. }
            | Error::Labels { .. }
            | Error::NoLevel { .. }
            | Error::NoPictures { .. }
            | Error::NotFinite { .. } => Class::BadInput,
            Error::OutIndex { .. } | Error::SeveralInputs { .. } => Class::Usage,
            // Tensors are checked before they are run: what is left is memory.
            Error::Candle(_) => Class::World,
            Error::Architecture { source, .. } => source.class(),
            Error::Weights { source, .. } => source.class(),
            Error::Preprocess { source, .. } => source.class(),
            Error::Image(e) => e.class(),
            Error::Shape(_) => Class::BadInput,
            Error::Reference(e) => e.class(),
            Error::Plan(e) => e.class(),
            Error::Cuda(e) => e.class(),
            Error::Isa(e) => e.class(),
            Error::Store(e) => e.class(),
            Error::Checkpoint(e) => e.class(),
            Error::Names(e) => e.class(),
            Error::File(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::NoArchitecture { .. } => {
                Some("add `zoo: {arch: NAME}` to the entry; NAME is one of timm's architectures".into())
            }
            Error::Sidecar { .. } => Some(
                "a `NAME.safetensors` is a model with a `NAME.json` beside it: `{\"schema\": \"zoo.model/1\", \"arch\": …, \
                 \"classes\": …, \"preprocess\": …}`"
                    .into(),
            ),
            Error::OutIndex { .. } => Some("without `--out-indices` all levels are given".into()),
            Error::SeveralInputs { .. } => Some("without `--unfreeze last` the classifier alone is trained".into()),
            Error::Labels { .. }
            | Error::NoLevel { .. }
            | Error::NoPictures { .. }
            | Error::NotFinite { .. }
            | Error::Candle(_) => None,
            Error::Architecture { source, .. } => source.hint(),
            Error::Weights { source, .. } => source.hint(),
            Error::Preprocess { source, .. } => source.hint(),
            Error::Image(e) => e.hint(),
            Error::Shape(_) => None,
            Error::Reference(e) => e.hint(),
            Error::Plan(e) => e.hint(),
            Error::Cuda(e) => e.hint(),
            Error::Isa(e) => e.hint(),
            Error::Store(e) => e.hint(),
            Error::Checkpoint(e) => e.hint(),
            Error::Names(e) => e.hint(),
            Error::File(e) => e.hint(),
        }
    }
}
