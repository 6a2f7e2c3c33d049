//! Guesses for the images of a dataset, and what is wrong with those that have none.
//!
//! In: a dataset, which of its images, and runners. Out: a [`Measured`] an image, handed to the caller's thread as it
//! comes from the pipeline of `model`. Called by `run`.

use std::ops::ControlFlow;

use super::{Error, Result};
use crate::dataset::{Dataset, Item};
use crate::image::{self, Preprocess};
use crate::model::{Job, Runner, Share, ThreadTime, guesses, run_images};

/// Guesses that are kept of an image.
const TOP_K: usize = 5;

/// What was found out about an image, whatever its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measured {
    /// Classes, best first, and their probabilities with six decimals.
    Guessed { classes: Vec<usize>, probs: Vec<f64> },
    /// Why it cannot be decoded.
    Unreadable(String),
    /// Why there is nothing to decode or to compare with: no file, no bytes, no label. It may be there another time.
    Absent(String),
}

impl Measured {
    /// What is wrong with a bad image.
    pub(super) fn defect(&self) -> Option<&str> {
        match self {
            Measured::Guessed { .. } => None,
            Measured::Unreadable(reason) | Measured::Absent(reason) => Some(reason),
        }
    }
}

/// What is measured, and by how many.
#[derive(Clone, Copy)]
pub(super) struct Measuring<'a> {
    /// The model's name, for messages.
    pub(super) model: &'a str,
    pub(super) preprocess: &'a Preprocess,
    pub(super) dataset: &'a Dataset,
    /// Places in `dataset.items`.
    pub(super) todo: &'a [usize],
    pub(super) threads: usize,
    /// Images of a batch; none for what the runners prefer.
    pub(super) batch: Option<usize>,
}

/// Measures images, and tells `sink` of each with its place; it ends as [`run_images`] does.
pub(super) fn measure(
    measuring: &Measuring<'_>,
    runners: Vec<Box<dyn Runner>>,
    cancelled: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(usize, Measured) -> ControlFlow<()>,
) -> Result<Vec<ThreadTime>> {
    let &Measuring { preprocess, todo, threads, batch, .. } = measuring;
    run_images(measuring, Share { preprocess, todo, threads, batch }, runners, cancelled, sink)
}

impl Measuring<'_> {
    fn item(&self, place: usize) -> Option<&Item> {
        self.dataset.items.get(place)
    }
}

impl Job for Measuring<'_> {
    type Found = Measured;
    type Error = Error;

    fn bytes(&self, place: usize) -> Result<std::result::Result<Vec<u8>, Measured>> {
        let Some(item) = self.item(place) else { return Ok(Err(Measured::Absent("no such image".into()))) };
        Ok(self.dataset.bytes_or_defect(item)?.map_err(Measured::Absent))
    }

    fn unreadable(&self, _: usize, error: &image::Error) -> Measured {
        Measured::Unreadable(error.to_string())
    }

    /// The best guesses of an image's logits.
    fn found(&self, place: usize, logits: &[f32]) -> Result<Measured> {
        let mut logits = logits.to_vec();
        if let Some(&found) = logits.iter().find(|v| !v.is_finite()) {
            let path = self.item(place).map_or_else(String::new, |i| i.path.clone());
            return Err(Error::NotFinite { model: self.model.to_owned(), path, found });
        }
        let mut kept = TOP_K.min(logits.len());
        if let Some(mask) = &self.dataset.mask {
            // Only the classes that the dataset has compete, as its authors evaluate it.
            kept = kept.min(mask.len());
            for (class, logit) in logits.iter_mut().enumerate() {
                if mask.binary_search(&class).is_err() {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let top = guesses(&logits, kept);
        let six = |p: f64| (p * 1e6).round() / 1e6;
        Ok(Measured::Guessed {
            classes: top.iter().map(|g| g.index).collect(),
            probs: top.iter().map(|g| six(g.prob)).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
