//! Stochastic gradient descent with momentum and a cosine schedule, for the same objective as L-BFGS.
//!
//! In: scaled features, a recipe. Out: the parameters of the best epoch. The order of the images follows from the seed, and
//! one thread takes one batch after another: the same seed gives the same bits. Called by `train`.

use std::ops::ControlFlow;

use super::augment::Random;
use super::logistic::{Objective, scores};
use crate::hash::Sha256;

/// Images of a step.
const BATCH: usize = 64;

/// The part of the last step that the next one keeps.
const MOMENTUM: f64 = 0.9;

/// How it descends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Passes over the images that the schedule is made for.
    pub(super) epochs: usize,
    /// The rate of the first step; it falls to nothing by half a cosine.
    pub(super) rate: f64,
    /// Of the order of the images.
    pub(super) seed: u64,
}

/// Descends from zero; `epoch` is called after every pass: its number, the mean loss over it, the parameters.
pub(super) fn descend(
    objective: &Objective<'_>,
    schedule: Schedule,
    mut epoch: impl FnMut(usize, f64, &[f64]) -> ControlFlow<()>,
) -> Vec<f64> {
    let (features, classes) = (objective.features, objective.classes);
    let columns = features.width + 1;
    let mut parameters = vec![0.0; classes * columns];
    let mut velocity = vec![0.0; parameters.len()];
    let mut gradient = vec![0.0; parameters.len()];
    let mut row = vec![0.0; classes];
    let n = features.len();
    let steps = n.div_ceil(BATCH) * schedule.epochs.max(1);
    let mut step = 0;
    for number in 1..=schedule.epochs {
        let order = shuffled(n, schedule.seed, number);
        let mut total = 0.0;
        for batch in order.chunks(BATCH) {
            gradient.fill(0.0);
            let weights: f64 = batch.iter().map(|&at| objective.weight_at(at)).sum();
            for &at in batch {
                let own = features.row(at);
                scores(&parameters, own, &mut row);
                total += objective.residual_of(at, weights, &mut row) * batch.len() as f64;
                for (to, &r) in gradient.chunks_exact_mut(columns).zip(&row) {
                    to.iter_mut().zip(own).for_each(|(g, x)| *g += r * f64::from(*x));
                    if let Some(bias) = to.last_mut() {
                        *bias += r;
                    }
                }
            }
            let progress = step as f64 / steps as f64;
            let rate = schedule.rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
            step += 1;
            let all = gradient.chunks_exact(columns).zip(velocity.chunks_exact_mut(columns));
            for ((g, v), p) in all.zip(parameters.chunks_exact_mut(columns)) {
                for (at, ((g, v), p)) in g.iter().zip(v).zip(p).enumerate() {
                    let decay = if at < columns - 1 { objective.weight_decay * *p } else { 0.0 };
                    *v = MOMENTUM * *v + g + decay;
                    *p -= rate * *v;
                }
            }
        }
        if epoch(number, total / n.max(1) as f64, &parameters).is_break() {
            break;
        }
    }
    parameters
}

/// The order of an epoch, by Fisher and Yates.
fn shuffled(n: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = Random::of(seed, &Sha256::of(b"order"), epoch as u64);
    for last in (1..n).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetune::matrix::Features;

    #[test]
    fn it_comes_to_what_lbfgs_finds() {
        let features = Features {
            width: 2,
            values: (0..200)
                .flat_map(|i| [((i * 37) % 100) as f32 / 50.0 - 1.0, ((i * 61) % 97) as f32 / 48.0 - 1.0])
                .collect(),
            classes: (0..200).map(|i| usize::from((i * 37) % 100 + (i * 61) % 97 > 97)).collect(),
            images: (0..200).collect(),
        };
        let objective = Objective {
            features: &features,
            classes: 2,
            class_weights: None,
            label_smoothing: 0.0,
            weight_decay: 0.01,
            threads: 1,
        };
        let schedule = Schedule { epochs: 300, rate: 0.3, seed: 1 };
        let found = descend(&objective, schedule, |_, _, _| ControlFlow::Continue(()));
        let mut exact = vec![0.0; 6];
        let limits = super::super::lbfgs::Limits { steps: 500, gradient: 1e-9 };
        super::super::lbfgs::minimise(
            &mut exact,
            limits,
            |x, g| objective.value(x, g),
            |_, _, _| ControlFlow::Continue(()),
        );
        let value = |x: &[f64]| objective.value(x, &mut [0.0; 6]);
        assert!(value(&found) - value(&exact) < 1e-4, "{} {}", value(&found), value(&exact));
        let again = descend(&objective, schedule, |_, _, _| ControlFlow::Continue(()));
        assert_eq!(again, found);
        let mut order = shuffled(50, 3, 1);
        assert_ne!(order, shuffled(50, 3, 2));
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
