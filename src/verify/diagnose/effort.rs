//! How much a diagnosis may compute. One that was asked for tries everything; one that follows a contradiction by itself
//! may compute about as much as the run did, and a minute at most.
//!
//! In: the images of the run, the network's multiply-adds. Out: how many images each hypothesis is tried on. Called by
//! [`super::diagnose`].

use std::time::{Duration, Instant};

/// How much is computed to find a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Every hypothesis on all images of the sample.
    Whole,
    /// About what a run of so many images computed.
    AsRun {
        /// Of the run.
        images: usize,
    },
}

/// A diagnosis by itself may compute so much after a run of few images: a second or so of two cores.
const MIN_MACS: f64 = 64e9;

/// Of a run's images so many are run again: loading the network once more takes some of its time too, and images are
/// decoded whole.
const SHARE_OF_RUN: f64 = 2.0 / 3.0;

/// A diagnosis by itself computes no more than this: some fifty seconds of two cores with AVX2.
const MAX_MACS: f64 = 3e12;

/// What decoding and resizing an image takes, in multiply-adds of the same time.
const PREPARE_MACS: f64 = 0.2e9;

/// A diagnosis by itself ends after this, on however slow a machine.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Fewer images say nothing of a setting.
const MIN_SCREENED: usize = 3;

/// What a diagnosis may still do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Images that may be run again, all hypotheses together; none for as many as it takes.
    runs: Option<usize>,
    /// When it ends.
    pub(super) deadline: Option<Instant>,
}

impl Allowance {
    /// For a network of so many multiply-adds an image.
    pub(super) fn new(effort: Effort, macs: u64) -> Self {
        let Effort::AsRun { images } = effort else { return Allowance { runs: None, deadline: None } };
        let image = macs as f64 + PREPARE_MACS;
        let runs = (SHARE_OF_RUN * images as f64).max(MIN_MACS / image).min(MAX_MACS / image);
        Allowance { runs: Some(runs as usize), deadline: Some(Instant::now() + MAX_TIME) }
    }

    /// Images of `sample` on which a single alternative is tried beside the run itself, where those are enough to tell.
    pub(super) fn alternative(&self, sample: usize) -> Option<usize> {
        let Some(runs) = self.runs else { return Some(sample) };
        // A quarter of it: more than one alternative may turn up, and settings come after them.
        let images = (runs / 8).min(sample);
        (images >= MIN_SCREENED.min(sample)).then_some(images)
    }

    /// Images of `sample` on which each of `hypotheses` is tried at first, where those are enough to tell; all of it where
    /// there is room.
    pub(super) fn screened(&self, hypotheses: usize, sample: usize) -> Option<usize> {
        let Some(runs) = self.runs else { return Some(sample) };
        if runs / (hypotheses + 1) >= sample {
            return Some(sample);
        }
        let images = (runs * 3 / 5 / (hypotheses + 1)).min(sample);
        (images >= MIN_SCREENED.min(sample)).then_some(images)
    }

    /// Images of `sample` on which the most promising of the hypotheses are tried, after all were tried on `screened`.
    pub(super) fn finally(
        &self,
        hypotheses: usize,
        screened: usize,
        finalists: usize,
        sample: usize,
    ) -> usize {
        let Some(runs) = self.runs else { return sample };
        let left = runs.saturating_sub((hypotheses + 1) * screened);
        (screened + left / (finalists + 1)).min(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it comes to, all hypotheses together, is what is allowed.
    #[test]
    fn a_diagnosis_by_itself_computes_no_more_than_the_run() {
        let giga = 1_000_000_000;
        for (macs, images) in
            [(giga, 200), (giga, 2_000), (giga / 3, 20), (37 * giga, 200), (480 * giga, 50_000)]
        {
            let allowance = Allowance::new(Effort::AsRun { images }, macs);
            let (hypotheses, finalists, sample) = (14, 2, 256);
            let Some(screened) = allowance.screened(hypotheses, sample) else {
                assert_eq!(macs, 480 * giga, "an image of it takes a minute's part by itself");
                continue;
            };
            let last = allowance.finally(hypotheses, screened, finalists, sample);
            let runs = (hypotheses + 1) * screened + (finalists + 1) * (last - screened);
            let least = (MIN_MACS / (macs as f64 + PREPARE_MACS)) as usize;
            assert!(runs <= images.max(least), "{runs} runs after {images} images");
            assert!(runs as f64 * (macs as f64) <= MAX_MACS);
            assert!(last > screened || screened == sample);
        }
        let whole = Allowance::new(Effort::Whole, 480 * giga);
        assert_eq!(whole.screened(14, 256), Some(256));
        assert!(whole.deadline.is_none());
    }
}
