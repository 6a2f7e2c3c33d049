//! Multinomial logistic regression: its loss, gradient and answers.
//!
//! In: scaled [`Features`], parameters `[classes, width + 1]` (a class's weights, then its bias) in double precision. Out:
//! the mean cross entropy with weight decay, and its gradient. Threads share rows for the scores and columns for the
//! gradient, and every sum runs in an order that does not depend on them: the bits are the same for any number. Called
//! by `train` and `sgd`.

use super::matrix::Features;

/// Sums that a dot product is split into, so that it runs in vectors; part of its result's bits.
const LANES: usize = 8;

/// What is minimised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objective<'a> {
    pub(super) features: &'a Features,
    pub(super) classes: usize,
    /// The weight of each class's images; none where all count alike.
    pub(super) class_weights: Option<&'a [f64]>,
    /// The part of a target that is spread over all classes.
    pub(super) label_smoothing: f64,
    /// Half of it times the squared weights is added; biases are free.
    pub(super) weight_decay: f64,
    pub(super) threads: usize,
}

/// What a classifier makes of some images.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answers {
    /// The mean cross entropy, without decay and smoothing.
    pub(super) loss: f64,
    /// Images of which the first guess is right.
    pub(super) top1: u64,
    /// Images of which one of the first five is.
    pub(super) top5: u64,
    /// Right first guesses, and images, of each class.
    pub(super) of_classes: Vec<[u64; 2]>,
}

impl Objective<'_> {
    fn weight_of(&self, class: usize) -> f64 {
        self.class_weights.and_then(|weights| weights.get(class)).copied().unwrap_or(1.0)
    }

    /// The value, with the gradient in `gradient`.
    pub(super) fn value(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let (n, width, classes) = (self.features.len(), self.features.width, self.classes);
        let total: f64 = self.features.classes.iter().map(|&class| self.weight_of(class)).sum();
        let mut residuals = vec![0.0; n * classes];
        let mut losses = vec![0.0; n];
        // Rows: scores, losses, and how far each probability is from its target.
        let share = n.div_ceil(self.threads.max(1)).max(1);
        std::thread::scope(|scope| {
            let parts = residuals.chunks_mut(share * classes.max(1)).zip(losses.chunks_mut(share));
            for (part, (residuals, losses)) in parts.enumerate() {
                let rows = move || {
                    for (i, (row, loss)) in residuals.chunks_exact_mut(classes).zip(losses).enumerate() {
                        *loss = self.residual(part * share + i, parameters, total, row);
                    }
                };
                if self.threads > 1 {
                    scope.spawn(rows);
                } else {
                    rows();
                }
            }
        });
        // Columns: each of the gradient's values is summed over the rows in order.
        let columns = width + 1;
        let share = columns.div_ceil(self.threads.max(1)).max(1);
        let starts: Vec<usize> = (0..columns).step_by(share).collect();
        let residuals = residuals.as_slice();
        let part = |start: usize| self.columns(residuals, parameters, start..(start + share).min(columns));
        let parts: Vec<Vec<f64>> = if self.threads > 1 {
            std::thread::scope(|scope| {
                let begun: Vec<_> = starts.iter().map(|&start| scope.spawn(move || part(start))).collect();
                let joined = begun.into_iter().map(std::thread::ScopedJoinHandle::join);
                joined.map(|found| found.unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
            })
        } else {
            starts.iter().map(|&start| part(start)).collect()
        };
        for (part, &start) in parts.iter().zip(&starts) {
            let len = part.len() / classes.max(1);
            for (class, values) in part.chunks_exact(len.max(1)).enumerate() {
                let at = class * columns + start;
                if let Some(to) = gradient.get_mut(at..at + len) {
                    to.copy_from_slice(values);
                }
            }
        }
        let decay: f64 = parameters.chunks_exact(columns).map(|class| squares(class, width)).sum();
        losses.iter().sum::<f64>() + 0.5 * self.weight_decay * decay
    }

    /// An image's share of the loss; `row` becomes its share of the gradient by each class's score.
    fn residual(&self, at: usize, parameters: &[f64], total: f64, row: &mut [f64]) -> f64 {
        scores(parameters, self.features.row(at), row);
        self.residual_of(at, total, row)
    }

    /// The weight of an image.
    pub(super) fn weight_at(&self, at: usize) -> f64 {
        self.weight_of(self.features.classes.get(at).copied().unwrap_or(0))
    }

    /// The same of scores, among images that weigh `total` together.
    pub(super) fn residual_of(&self, at: usize, total: f64, row: &mut [f64]) -> f64 {
        let class = self.features.classes.get(at).copied().unwrap_or(0);
        let normaliser = log_sum_exp(row);
        let weight = self.weight_of(class) / total;
        let spread = self.label_smoothing / self.classes as f64;
        let mut loss = 0.0;
        for (c, score) in row.iter_mut().enumerate() {
            let target = spread + if c == class { 1.0 - self.label_smoothing } else { 0.0 };
            loss += target * (normaliser - *score);
            *score = weight * ((*score - normaliser).exp() - target);
        }
        weight * loss
    }

    /// The gradient by the parameters of some columns, `[classes, columns]`.
    fn columns(&self, residuals: &[f64], parameters: &[f64], columns: std::ops::Range<usize>) -> Vec<f64> {
        let (width, classes, len) = (self.features.width, self.classes, columns.len());
        let weights = columns.start..columns.end.min(width);
        let mut gradient = vec![0.0; classes * len];
        for (row, residual) in self.features.rows().zip(residuals.chunks_exact(classes.max(1))) {
            let own = row.get(weights.clone()).unwrap_or_default();
            for (to, &r) in gradient.chunks_exact_mut(len.max(1)).zip(residual) {
                to.iter_mut().zip(own).for_each(|(g, x)| *g += r * f64::from(*x));
                if columns.end > width
                    && let Some(bias) = to.last_mut()
                {
                    *bias += r;
                }
            }
        }
        for (to, class) in gradient.chunks_exact_mut(len.max(1)).zip(parameters.chunks_exact(width + 1)) {
            let own = class.get(weights.clone()).unwrap_or_default();
            to.iter_mut().zip(own).for_each(|(g, w)| *g += self.weight_decay * w);
        }
        gradient
    }
}

fn squares(class: &[f64], width: usize) -> f64 {
    class.iter().take(width).map(|w| w * w).sum()
}

/// The score of each class for a row.
pub(super) fn scores(parameters: &[f64], row: &[f32], out: &mut [f64]) {
    for (score, class) in out.iter_mut().zip(parameters.chunks_exact(row.len() + 1)) {
        let (weights, bias) = class.split_at(row.len());
        *score = dot(weights, row) + bias.first().copied().unwrap_or(0.0);
    }
}

fn dot(weights: &[f64], row: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let (heads, tail) = weights.as_chunks::<LANES>();
    let (rows, row_tail) = row.as_chunks::<LANES>();
    for (w, x) in heads.iter().zip(rows) {
        for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
            *sum += w * f64::from(*x);
        }
    }
    let rest: f64 = tail.iter().zip(row_tail).map(|(w, x)| w * f64::from(*x)).sum();
    sums.iter().sum::<f64>() + rest
}

fn log_sum_exp(scores: &[f64]) -> f64 {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    highest + scores.iter().map(|s| (s - highest).exp()).sum::<f64>().ln()
}

impl Answers {
    /// Of no image yet.
    pub(super) fn none(classes: usize) -> Self {
        Answers { loss: 0.0, top1: 0, top5: 0, of_classes: vec![[0; 2]; classes] }
    }

    /// Adds an image; the loss is a sum until [`Answers::mean`].
    pub(super) fn add(&mut self, scores: &[f64], class: usize) {
        let own = scores.get(class).copied().unwrap_or(f64::NEG_INFINITY);
        self.loss += log_sum_exp(scores) - own;
        // Of equal scores the lower class comes first.
        let before = |(c, s): (usize, &f64)| *s > own || (*s == own && c < class);
        let rank = scores.iter().enumerate().filter(|(c, s)| before((*c, s))).count();
        self.top1 += u64::from(rank == 0);
        self.top5 += u64::from(rank < 5);
        if let Some([right, all]) = self.of_classes.get_mut(class) {
            *right += u64::from(rank == 0);
            *all += 1;
        }
    }

    /// With the loss as a mean.
    pub(super) fn mean(self) -> Self {
        let images: u64 = self.of_classes.iter().map(|[_, all]| all).sum();
        Answers { loss: self.loss / images.max(1) as f64, ..self }
    }
}

/// What a classifier makes of the images of some features, of several rows of one image the first.
pub(super) fn answers(parameters: &[f64], features: &Features, classes: usize) -> Answers {
    let mut answers = Answers::none(classes);
    let mut row_scores = vec![0.0; classes];
    let mut last = None;
    for ((row, &class), &image) in features.rows().zip(&features.classes).zip(&features.images) {
        if last == Some(image) {
            continue;
        }
        last = Some(image);
        scores(parameters, row, &mut row_scores);
        answers.add(&row_scores, class);
    }
    answers.mean()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(n: usize, width: usize, classes: usize) -> Features {
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
        Features {
            width,
            values: (0..n * width).map(value).collect(),
            classes: (0..n).map(|i| i % classes).collect(),
            images: (0..n).collect(),
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let features = features(17, 11, 3);
        let weights = [0.5, 2.0, 1.0];
        for (class_weights, label_smoothing) in [(None, 0.0), (Some(&weights[..]), 0.1)] {
            let objective = Objective {
                features: &features,
                classes: 3,
                class_weights,
                label_smoothing,
                weight_decay: 0.3,
                threads: 1,
            };
            let x: Vec<f64> = (0..36).map(|i| (i as f64 * 0.7).sin()).collect();
            let mut gradient = vec![0.0; 36];
            objective.value(&x, &mut gradient);
            for at in 0..36 {
                let near = |by: f64| {
                    let mut x = x.clone();
                    x[at] += by;
                    objective.value(&x, &mut vec![0.0; 36])
                };
                let slope = (near(1e-6) - near(-1e-6)) / 2e-6;
                assert!((slope - gradient[at]).abs() < 1e-7, "{at}: {slope} {}", gradient[at]);
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let features = features(101, 37, 5);
        let x: Vec<f64> = (0..5 * 38).map(|i| (i as f64).cos()).collect();
        let run = |threads| {
            let objective = Objective {
                features: &features,
                classes: 5,
                class_weights: None,
                label_smoothing: 0.1,
                weight_decay: 0.01,
                threads,
            };
            let mut gradient = vec![f64::NAN; x.len()];
            let value = objective.value(&x, &mut gradient);
            (value.to_bits(), gradient.into_iter().map(f64::to_bits).collect::<Vec<_>>())
        };
        let one = run(1);
        for threads in [2, 3, 7, 64, 1000] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }

    #[test]
    fn answers_count_images_and_not_their_variants() {
        let features = Features {
            width: 1,
            values: vec![1.0, -9.0, -1.0, 2.0],
            classes: vec![0, 0, 1, 1],
            images: vec![0, 0, 1, 2],
        };
        // Class 0 where the value is positive.
        let found = answers(&[1.0, 0.0, -1.0, 0.0], &features, 2);
        assert_eq!((found.top1, found.top5), (2, 3));
        assert_eq!(found.of_classes, [[1, 1], [1, 2]]);
    }
}
