//! Why a number does not match: the mistakes that people make, tried on a few hundred images.
//!
//! In: a model, its dataset, the entries of the registry. Out: a [`Diagnosis`], with the one hypothesis that explains the
//! data, its evidence and the fix, or with none. Called by `zoo verify --diagnose`, and when a claim is contradicted.
//!
//! Hypotheses about labels need only the guesses (`labels`); those about preprocessing run the images again with
//! other settings and compare the probability of the label image by image (`settings`); those about weights look at
//! the file (`weights`).

mod effort;
mod labels;
mod probe;
mod settings;
mod weights;

use serde::{Deserialize, Serialize};

use super::Result;
use super::stats::Percent;
use crate::arch;
use crate::dataset::{self, Dataset};
use crate::hash::Sha256;
use crate::model::{Loader, ModelSpec};
use crate::registry::Entry;

use effort::Allowance;
pub use effort::Effort;
use probe::{Probe, Seen};

/// Images that are tried: enough to tell a few points, few enough to wait for.
pub const MAX_IMAGES: usize = 256;

/// What was found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The entry's name.
    pub model: String,
    /// Images tried.
    pub images: usize,
    /// Their top-1 accuracy as the run has it.
    pub top1: Percent,
    /// Every hypothesis that was tried by running the images again.
    pub tried: Vec<Tried>,
    /// The one that explains the data.
    pub finding: Option<Finding>,
    /// Whether every hypothesis was tried as far as the images go, or until one explained the data; a diagnosis that nobody
    /// asked for may end before that.
    #[serde(default = "yes")]
    pub complete: bool,
}

fn yes() -> bool {
    true
}

/// A hypothesis, and what the images say to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Its name, such as `mean-std`.
    pub hypothesis: String,
    /// What was changed.
    pub change: String,
    /// Images it was tried on.
    #[serde(default)]
    pub images: usize,
    /// Top-1 accuracy with that.
    pub top1: Percent,
    /// Mean gain of the label's log-probability an image, in nats.
    pub gain: f64,
    /// That in its standard errors.
    pub z: f64,
}

/// The hypothesis that explains the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name, such as `labels-order`.
    pub hypothesis: String,
    /// What is wrong.
    pub says: String,
    /// How that is known.
    pub evidence: String,
    /// What to do.
    pub fix: String,
}

/// What a diagnosis starts from.
pub struct DiagnosisInput<'a> {
    /// Where its weights come from, and what computes.
    pub loader: Loader<'a>,
    /// The model as it was run.
    pub spec: &'a ModelSpec,
    /// Its images.
    pub dataset: &'a Dataset,
    /// The label and the run's first guess of each labelled image.
    pub guesses: &'a [(usize, usize)],
    /// How much may be computed.
    pub effort: Effort,
    /// The registry: whose weights these may be instead.
    pub known: &'a [Entry],
    /// Of the order that images are taken in.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
}

/// Tries the hypotheses, as far as the effort goes: what the weights file itself shows, its other state dicts, labels, then preprocessing. The first
/// kind that explains the data ends it, since a fault of weights or labels makes every comparison of settings
/// meaningless, and one of weights every comparison of labels.
///
/// # Errors
/// What running the model brings.
pub fn diagnose(input: &DiagnosisInput<'_>) -> Result<Diagnosis> {
    let prepared = input.loader.prepare(input.spec)?;
    let preprocess = prepared.preprocess().clone();
    let size = [preprocess.size.height, preprocess.size.width];
    let macs = arch::of_graph(prepared.graph(), size).map_or(0, |facts| facts.macs);
    let allowance = Allowance::new(input.effort, macs);
    let seen: Vec<Seen> = input.guesses.iter().map(Seen::of).collect();
    let mut diagnosis = Diagnosis {
        model: input.spec.name.clone(),
        images: seen.len(),
        top1: right(&seen),
        tried: Vec::new(),
        finding: weights::of(&prepared, input),
        complete: true,
    };
    if diagnosis.finding.is_some() {
        return Ok(diagnosis);
    }
    let places = sample(input.dataset, input.seed);
    let model = prepared.start(input.loader.engine)?;
    let Allowance { deadline, .. } = allowance;
    let probe =
        Probe { model: &model, dataset: input.dataset, places: &places, threads: input.threads, deadline };
    if let Some(images) = allowance.alternative(places.len()) {
        diagnosis.finding = weights::other_keys(input, &probe, images, &mut diagnosis.tried)?;
    }
    if diagnosis.finding.is_none() {
        let published = labels::against_published(input.dataset, model.labels());
        diagnosis.finding = published.or_else(|| labels::explain(&seen, model.labels()));
    }
    if diagnosis.finding.is_none() {
        let explained = settings::explain(input, &probe, &preprocess, allowance, &mut diagnosis.tried)?;
        diagnosis.finding = explained.finding;
        diagnosis.complete = explained.complete || diagnosis.finding.is_some();
        if !explained.seen.is_empty() {
            diagnosis.images = explained.seen.len();
            diagnosis.top1 = right(&explained.seen);
        }
    }
    Ok(diagnosis)
}

fn right(seen: &[Seen]) -> Percent {
    let right = seen.iter().filter(|s| s.guess == s.label).count() as u64;
    Percent::of(right, seen.len() as u64)
}

/// The labelled images at the head of the order.
fn sample(dataset: &Dataset, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..dataset.items.len()).collect();
    places.retain(|&at| dataset.items.get(at).is_some_and(|i| !i.labels.is_empty()));
    places
        .sort_by_cached_key(|&at| dataset.items.get(at).map(|i| dataset::order(seed, &dataset.name, &i.id)));
    places.truncate(MAX_IMAGES);
    places
}

/// Whether an entry of the registry is known to have the weights of a file.
fn has_weights(entry: &Entry, file: Sha256) -> bool {
    match (entry.zoo.sha256, entry.hash_prefix()) {
        (Some(known), _) => known == file,
        (None, Some(prefix)) => prefix.matches(&file),
        (None, None) => false,
    }
}
