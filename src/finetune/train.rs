//! From features to a classifier: the weight decay that holds out best, the fit, and how it went.
//!
//! In: features to train on and to measure with, a [`Recipe`]. Out: a [`Trained`] classifier of the features themselves. The
//! weight decay is chosen inside the training part; the images that are measured with choose nothing. Called by `run`.

use std::cell::Cell;
use std::ops::ControlFlow;

use super::lbfgs::{Limits, minimise};
use super::logistic::{Answers, Objective, answers};
use super::matrix::{Features, Scaling};
use super::sgd::{Schedule, descend};
use super::unfreeze::Unfreeze;
use super::{Error, Result, TrainingProgress};

/// Weight decays that are tried, strong ones first: each begins where the one before ended.
const DECAYS: [f64; 13] = [10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5];

/// Decays in a row that hold out worse than the best before no more are tried.
const MAX_WORSE_DECAYS: usize = 3;

/// The decay where there are too few images to hold any out.
const DEFAULT_DECAY: f64 = 0.1;

/// Epochs without a better loss on what is held out before descent is ended.
const PATIENCE: usize = 10;

/// When L-BFGS is done: scikit-learn's bound for the fit is ten times this.
const LIMITS: Limits = Limits { steps: 1000, gradient: 1e-5 };

/// The same while the weight decay is chosen: decays differ long before the minimum.
const CHOOSING_LIMITS: Limits = Limits { steps: 200, gradient: 1e-3 };

/// How many times the loss of a guess a classifier may have: one that has more has learnt nothing.
const MAX_FINAL_LOSS: f64 = 2.0;

/// Every so many steps the accuracy is measured, for the curve.
const MEASURE_INTERVAL: usize = 5;

/// How a classifier is trained.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Recipe {
    /// What minimises the loss.
    pub solver: Solver,
    /// Half of it times the squared weights (of standardised features) is added to the mean loss; none: chosen.
    pub weight_decay: Option<f64>,
    /// The part of a target that is spread over all classes.
    pub label_smoothing: f64,
    /// Images of rare classes count more, so that all classes count alike.
    pub balanced: bool,
    /// Augmented views of each image.
    pub augment: u64,
    /// Train the last stage too.
    pub unfreeze: Option<Unfreeze>,
    /// Of every draw.
    pub seed: u64,
}

/// What minimises the loss.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Solver {
    /// L-BFGS on all images at once, to the minimum.
    Lbfgs,
    /// Descent by batches with momentum and a cosine schedule.
    Sgd {
        /// Passes over the images.
        epochs: usize,
        /// The first learning rate.
        rate: f64,
    },
}

/// How it stood after a step or an epoch.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Point {
    /// Steps of L-BFGS, or epochs.
    pub step: usize,
    /// What is minimised, on the images trained on.
    pub loss: f64,
    /// Percent of the images trained on.
    pub train_top1: f64,
    /// Percent of those measured with.
    pub val_top1: Option<f64>,
}

/// A classifier.
#[derive(Clone, Debug)]
pub(super) struct Trained {
    /// `[classes, features]`, row-major.
    pub(super) weights: Vec<f32>,
    pub(super) biases: Vec<f32>,
    pub(super) weight_decay: f64,
    pub(super) chosen: bool,
    pub(super) curve: Vec<Point>,
    pub(super) train: Answers,
    pub(super) val: Option<Answers>,
}

/// What is trained on and measured with.
#[derive(Clone, Copy)]
pub(super) struct Training<'a> {
    pub(super) train: &'a Features,
    pub(super) val: &'a Features,
    pub(super) classes: usize,
    /// Images of the training part that the weight decay is chosen by.
    pub(super) inner: &'a dyn Fn(usize) -> bool,
    pub(super) recipe: &'a Recipe,
    pub(super) threads: usize,
}

impl Training<'_> {
    /// What is minimised on some images, under a weight decay.
    fn objective<'a>(
        &self,
        features: &'a Features,
        class_weights: Option<&'a [f64]>,
        weight_decay: f64,
    ) -> Objective<'a> {
        let Training { classes, recipe, threads, .. } = *self;
        let label_smoothing = recipe.label_smoothing;
        Objective { features, classes, class_weights, label_smoothing, weight_decay, threads }
    }
}

/// Percent.
pub(super) fn percent(right: u64, of: usize) -> f64 {
    (100.0 * right as f64 / of.max(1) as f64 * 1e6).round() / 1e6
}

/// Images, however many views of each there are.
pub(super) fn images(features: &Features) -> usize {
    features.images.windows(2).filter(|pair| pair.first() != pair.last()).count()
        + usize::from(!features.is_empty())
}

/// Trains.
pub(super) fn train(training: Training<'_>, progress: &dyn TrainingProgress) -> Result<Trained> {
    let Training { train, val, classes, inner, recipe, .. } = training;
    let inner_val = train.filtered(inner);
    let inner_train = train.filtered(|image| !inner(image));
    let complete = (0..classes).all(|class| inner_train.classes.contains(&class));
    let (weight_decay, chosen) = match recipe.weight_decay {
        Some(decay) => (decay, false),
        None if inner_val.is_empty() || !complete => (DEFAULT_DECAY, false),
        None => (choose(&inner_train, &inner_val, training, progress)?, true),
    };
    let scaling = Scaling::of(train);
    let (scaled, scaled_val) = (scaling.apply(train), scaling.apply(val));
    let weights = class_weights(&scaled, classes, recipe.balanced);
    let objective = training.objective(&scaled, weights.as_deref(), weight_decay);
    let mut curve = Vec::new();
    let (train_images, val_images) = (images(&scaled), images(&scaled_val));
    let mut stopped = false;
    let every = if recipe.solver == Solver::Lbfgs { MEASURE_INTERVAL } else { 1 };
    let last = Cell::new((0, 0.0));
    let mut tell = |step: usize, loss: f64, parameters: &[f64]| {
        last.set((step, loss));
        if step > MEASURE_INTERVAL && !step.is_multiple_of(every) && loss.is_finite() && !progress.cancelled()
        {
            return ControlFlow::Continue(());
        }
        let train_top1 = percent(answers(parameters, &scaled, classes).top1, train_images);
        let val_top1 =
            (val_images > 0).then(|| percent(answers(parameters, &scaled_val, classes).top1, val_images));
        let point = Point { step, loss, train_top1, val_top1 };
        progress.trained(&point);
        curve.push(point);
        stopped = progress.cancelled();
        if stopped || !loss.is_finite() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let parameters = match recipe.solver {
        Solver::Lbfgs => {
            let mut parameters = vec![0.0; classes * (train.width + 1)];
            minimise(&mut parameters, LIMITS, |x, g| objective.value(x, g), tell);
            parameters
        }
        Solver::Sgd { epochs, rate } => {
            let schedule = Schedule { epochs, rate, seed: recipe.seed };
            let best = if inner_val.is_empty() || !complete {
                epochs
            } else {
                best_epoch(&inner_train, &inner_val, training, weight_decay, schedule)?
            };
            descend(&objective, schedule, |epoch, loss, parameters| {
                if tell(epoch, loss, parameters).is_break() || epoch >= best {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
        }
    };
    if stopped {
        return Err(Error::Stopped);
    }
    let (step, loss) = last.get();
    // Descent in steps that are too long ends far above where it began: at a guess, the logarithm of the number of classes.
    let reached = objective.value(&parameters, &mut vec![0.0; parameters.len()]);
    if !reached.is_finite() || reached > MAX_FINAL_LOSS * (classes as f64).ln() {
        return Err(Error::Diverged { loss: reached, steps: step });
    }
    if !loss.is_finite() || parameters.iter().any(|p| !p.is_finite()) {
        return Err(Error::Diverged { loss, steps: step });
    }
    let train = answers(&parameters, &scaled, classes);
    let val = (val_images > 0).then(|| answers(&parameters, &scaled_val, classes));
    if curve.last().is_some_and(|point| point.step != step) {
        let train_top1 = percent(train.top1, train_images);
        let val_top1 = val.as_ref().map(|val| percent(val.top1, val_images));
        curve.push(Point { step, loss, train_top1, val_top1 });
    }
    let (weights, biases) = scaling.fold(&parameters);
    Ok(Trained { weights, biases, weight_decay, chosen, curve, train, val })
}

/// `n / (classes · n of the class)`, as scikit-learn's `balanced`.
fn class_weights(features: &Features, classes: usize, balanced: bool) -> Option<Vec<f64>> {
    let count = |class: usize| features.classes.iter().filter(|c| **c == class).count();
    let weight = |class: usize| features.len() as f64 / (classes as f64 * count(class).max(1) as f64);
    balanced.then(|| (0..classes).map(weight).collect())
}

/// The weight decay under which images that are held out of training have the least loss.
fn choose(
    train: &Features,
    val: &Features,
    training: Training<'_>,
    progress: &dyn TrainingProgress,
) -> Result<f64> {
    let Training { classes, recipe, .. } = training;
    let scaling = Scaling::of(train);
    let (train, val) = (scaling.apply(train), scaling.apply(val));
    let weights = class_weights(&train, classes, recipe.balanced);
    let mut parameters = vec![0.0; classes * (train.width + 1)];
    let mut best: Option<(f64, f64)> = None;
    let mut worse = 0;
    for (at, weight_decay) in DECAYS.into_iter().enumerate() {
        let objective = training.objective(&train, weights.as_deref(), weight_decay);
        let mut stopped = false;
        minimise(
            &mut parameters,
            CHOOSING_LIMITS,
            |x, g| objective.value(x, g),
            |_, _, _| {
                stopped = progress.cancelled();
                if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        if stopped {
            return Err(Error::Stopped);
        }
        let loss = answers(&parameters, &val, classes).loss;
        progress.choosing(at + 1, DECAYS.len(), weight_decay, loss);
        if best.is_none_or(|(_, least)| loss < least) {
            best = Some((weight_decay, loss));
            worse = 0;
        } else {
            worse += 1;
        }
        if worse == MAX_WORSE_DECAYS {
            break;
        }
    }
    Ok(best.map_or(DEFAULT_DECAY, |(decay, _)| decay))
}

/// The epoch after which images that are held out have the least loss.
fn best_epoch(
    train: &Features,
    val: &Features,
    training: Training<'_>,
    weight_decay: f64,
    schedule: Schedule,
) -> Result<usize> {
    let Training { classes, recipe, .. } = training;
    let scaling = Scaling::of(train);
    let (train, val) = (scaling.apply(train), scaling.apply(val));
    let weights = class_weights(&train, classes, recipe.balanced);
    let objective = training.objective(&train, weights.as_deref(), weight_decay);
    let mut best = (1, f64::INFINITY);
    let mut diverged = None;
    descend(&objective, schedule, |epoch, loss, parameters| {
        if !loss.is_finite() {
            diverged = Some((loss, epoch));
            return ControlFlow::Break(());
        }
        let held = answers(parameters, &val, classes).loss;
        if held < best.1 {
            best = (epoch, held);
        }
        if epoch >= best.0 + PATIENCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match diverged {
        Some((loss, steps)) => Err(Error::Diverged { loss, steps }),
        None => Ok(best.0),
    }
}
