//! What keeps a classifier from being trained. Exit codes follow from the class.

use std::path::PathBuf;

use crate::error::{Class, Classify};
use crate::{dataset, fs, model};

/// Why there is no new model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to tell apart.
    #[error("`{place}` has one class, `{class}`: there is nothing to tell apart")]
    OneClass {
        /// The folder.
        place: String,
        /// The class.
        class: String,
    },
    /// A class without images.
    #[error("the class `{class}` of `{place}` has no images")]
    EmptyClass {
        /// The folder.
        place: String,
        /// The class.
        class: String,
    },
    /// A class of which every image was left out.
    #[error("no image of the class `{class}` can be read")]
    UnreadableClass {
        /// The class.
        class: String,
    },
    /// A class that nothing was trained on.
    #[error("`{path}`: the class `{class}` is not among those of the training images ({known})")]
    OtherClass {
        /// The first image of it.
        path: String,
        /// The class.
        class: String,
        /// Those that there are.
        known: String,
    },
    /// An image that cannot be read, where that is an error.
    #[error("bad image `{path}`: {reason}")]
    BadImage {
        /// Where it is.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The loss has grown beyond all numbers, or beyond that of guessing.
    #[error("the loss is {loss:.3e} after {steps} steps")]
    Diverged {
        /// What it is.
        loss: f64,
        /// Steps or epochs.
        steps: usize,
    },
    /// The user stopped it.
    #[error("stopped at {done} of {total} images; the same command goes on there")]
    Interrupted {
        /// Images whose features are on record.
        done: usize,
        /// Images of the run.
        total: usize,
    },
    /// The user stopped it, and all features are on record.
    #[error("stopped while training; the features are on record, and the same command begins there")]
    Stopped,
    /// A tensor that the classifier should have and the network has not.
    #[error("`{arch}` has no classifier `{name}` of {classes} classes over {features} features")]
    NoClassifier {
        /// The architecture.
        arch: String,
        /// Its prefix in the state dict.
        name: String,
        /// The classes.
        classes: usize,
        /// The features.
        features: usize,
    },
    /// A weight that cannot be written.
    #[error("`{tensor}` cannot be read from the weights")]
    Tensor {
        /// Its name.
        tensor: String,
    },
    /// The new file could not be written.
    #[error("cannot write `{}`: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The images.
    #[error(transparent)]
    Dataset(Box<dataset::Error>),
    /// The network.
    #[error(transparent)]
    Model(Box<model::Error>),
    /// A file.
    #[error(transparent)]
    File(#[from] fs::Error),
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

impl From<dataset::Error> for Error {
    fn from(error: dataset::Error) -> Self {
        Error::Dataset(Box::new(error))
    }
}

impl From<model::Error> for Error {
    fn from(error: model::Error) -> Self {
        Error::Model(Box::new(error))
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Error::Model(Box::new(error.into()))
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::OneClass { .. }
            | Error::EmptyClass { .. }
            | Error::UnreadableClass { .. }
            | Error::OtherClass { .. }
            | Error::BadImage { .. }
            | Error::Diverged { .. }
            | Error::NoClassifier { .. }
            | Error::Tensor { .. } => Class::BadInput,
            Error::Interrupted { .. } | Error::Stopped => Class::Interrupted,
            Error::Write { .. } => Class::World,
            Error::Dataset(e) => e.class(),
            Error::Model(e) => e.class(),
            Error::File(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::OneClass { .. } => Some("put the images of each class into a folder of its own".into()),
            Error::EmptyClass { .. } => Some("put images into it, or remove the folder".into()),
            Error::BadImage { .. } | Error::UnreadableClass { .. } => {
                Some("`--on-bad-image skip` leaves such images out and names them".into())
            }
            Error::Diverged { .. } => Some("try a smaller `--lr`, or `--solver lbfgs`".into()),
            Error::Dataset(e) => e.hint(),
            Error::Model(e) => e.hint(),
            Error::File(e) => e.hint(),
            Error::OtherClass { .. }
            | Error::Interrupted { .. }
            | Error::Stopped
            | Error::NoClassifier { .. }
            | Error::Tensor { .. }
            | Error::Write { .. } => None,
        }
    }
}
