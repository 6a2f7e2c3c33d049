//! What keeps a verification from reaching a verdict. Exit codes follow from the class.

use std::path::PathBuf;

use super::stats::decimal::ParsePercentError;
use crate::error::{Class, Classify};
use crate::{dataset, model};

/// A run, a merge or a gate that could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user stopped it.
    #[error("stopped at {done} of {total} images of `{model}`; the same command resumes there")]
    Interrupted {
        /// The model.
        model: String,
        /// Images that are on record.
        done: usize,
        /// Images of the run.
        total: usize,
    },
    /// An image that cannot be decoded, or has no label, where that is an error.
    #[error("bad image `{path}`: {reason}")]
    BadImage {
        /// Where it is.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing is left to count.
    #[error(
        "no image of `{dataset}` counts: {images} images, of which {skipped} cannot be read and {unlabelled} have no label"
    )]
    NothingCounts {
        /// The dataset.
        dataset: String,
        /// How many there are.
        images: usize,
        /// Unreadable.
        skipped: usize,
        /// Unlabelled.
        unlabelled: usize,
    },
    /// The network's output is not a number.
    #[error("`{model}` gives {found} for `{path}`: its weights are damaged or not made for float32")]
    NotFinite {
        /// The model.
        model: String,
        /// The image.
        path: String,
        /// `NaN` or `inf`.
        found: f32,
    },
    /// As many classes, and others.
    #[error("the classes of `{dataset}` are not those of `{model}`: as many, with other names")]
    OtherClasses {
        /// The dataset.
        dataset: String,
        /// The model.
        model: String,
    },
    /// A claim that cannot be compared.
    #[error("the claim of `{model}`: {source}")]
    BadClaim {
        /// The model.
        model: String,
        /// What is wrong.
        source: ParsePercentError,
    },
    /// A file that is not a report.
    #[error("`{}` is not a report of `zoo verify`: {reason}", path.display())]
    BadReport {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not a plan.
    #[error("`{}` is not a plan of `zoo verify`: {reason}", path.display())]
    BadPlan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not a golden record, or one of other weights.
    #[error("`{}` is not a golden record: {reason}", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The plan that was fixed beforehand is another one.
    #[error("`{}` holds another plan: its `{key}` is {theirs}, and this run's is {ours}", path.display())]
    OtherPlan {
        /// The file.
        path: PathBuf,
        /// Where they differ.
        key: String,
        /// The file's.
        theirs: String,
        /// This run's.
        ours: String,
    },
    /// Two parts that are not of one run.
    #[error("`{a}` and `{b}` are not parts of one run: {what}")]
    PartsDiffer {
        /// A part.
        a: String,
        /// Another.
        b: String,
        /// Where they differ.
        what: String,
    },
    /// An image in two parts.
    #[error("image `{id}` of `{model}` is in both `{a}` and `{b}`")]
    Overlap {
        /// The image.
        id: String,
        /// The model.
        model: String,
        /// A part.
        a: String,
        /// Another.
        b: String,
    },
    /// Images in no part.
    #[error("{missing} of {images} images of `{model}` are in no part{which}")]
    Gap {
        /// The model.
        model: String,
        /// Images in no part.
        missing: u64,
        /// Images of the run.
        images: u64,
        /// Which shards are not there, where that is known.
        which: String,
    },
    /// The parts together are not the images they say.
    #[error("the labels of `{model}` in the parts have digest {found}, and the parts say {expected}")]
    WrongLabels {
        /// The model.
        model: String,
        /// What the parts say.
        expected: crate::Sha256,
        /// What they hold.
        found: crate::Sha256,
    },
    /// A baseline of other images or without the model.
    #[error("`{}` is not a baseline for `{model}`: {reason}", path.display())]
    Baseline {
        /// The old report.
        path: PathBuf,
        /// The model.
        model: String,
        /// What does not fit.
        reason: String,
    },
    /// The dataset.
    #[error(transparent)]
    Dataset(Box<dataset::Error>),
    /// The model.
    #[error(transparent)]
    Model(Box<model::Error>),
    /// A file.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// Reading an image's bytes from where they are.
    #[error("{0}")]
    Source(Box<crate::Error>),
}

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

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Interrupted { .. } => Class::Interrupted,
            Error::OtherPlan { .. } => Class::Usage,
            Error::Dataset(e) => e.class(),
            Error::Model(e) => e.class(),
            Error::File(e) => e.class(),
            Error::Source(e) => e.class(),
            _ => Class::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Error::BadImage { .. } => "`--on-bad-image wrong` counts such images as wrong answers, `skip` \
                leaves them out and widens the interval"
                .into(),
            Error::OtherPlan { .. } => "the bar was fixed by that file: run what it says, or write another \
                plan under another name"
                .into(),
            Error::Gap { .. } => "run the missing shards, then merge all of them".into(),
            Error::Overlap { .. } => "give each part once".into(),
            Error::BadRecord { .. } => {
                "`zoo golden record NAME` prints the script whose output it takes".into()
            }
            Error::BadPlan { .. } => "`--plan-out` writes the plan where there is no such file yet".into(),
            Error::BadReport { .. } => "`zoo verify … --report R.json` writes one".into(),
            Error::Baseline { .. } => {
                "run the baseline on the same images: same dataset, subset and seed".into()
            }
            Error::Dataset(e) => return e.hint(),
            Error::Model(e) => return e.hint(),
            Error::File(e) => return e.hint(),
            Error::Source(e) => return e.hint(),
            _ => return None,
        })
    }
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;
