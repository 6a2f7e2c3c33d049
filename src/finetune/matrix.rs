//! Features as a matrix, an image a row, with their classes; and their standardisation.
//!
//! Made by `extract`, read by `logistic` and `train`.

/// Labelled features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Values of a row.
    pub(super) width: usize,
    /// Row-major.
    pub(super) values: Vec<f32>,
    /// The class of each row.
    pub(super) classes: Vec<usize>,
    /// The image of each row: of several rows with one, only the first is the image as it is evaluated.
    pub(super) images: Vec<usize>,
}

impl Features {
    /// Rows.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    pub(super) fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.width.max(1))
    }

    pub(super) fn row(&self, at: usize) -> &[f32] {
        self.values.get(at * self.width..(at + 1) * self.width).unwrap_or_default()
    }

    /// Those rows of which something is true of their image.
    pub(super) fn filtered(&self, keep: impl Fn(usize) -> bool) -> Features {
        let mut kept = Features { width: self.width, ..Features::default() };
        for ((row, &class), &image) in self.rows().zip(&self.classes).zip(&self.images) {
            if keep(image) {
                kept.values.extend_from_slice(row);
                kept.classes.push(class);
                kept.images.push(image);
            }
        }
        kept
    }
}

/// What makes every column's mean 0 and its deviation 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scaling {
    pub(super) mean: Vec<f64>,
    /// One over the deviation; 1 where the column is constant, as scikit-learn's `StandardScaler` has it.
    pub(super) factor: Vec<f64>,
}

impl Scaling {
    /// Of some features; sums run over the rows in order.
    pub(super) fn of(features: &Features) -> Self {
        let n = features.len().max(1) as f64;
        let mut mean = vec![0.0; features.width];
        for row in features.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        mean.iter_mut().for_each(|sum| *sum /= n);
        let mut variance = vec![0.0; features.width];
        for row in features.rows() {
            for ((sum, v), m) in variance.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(*v) - m).powi(2);
            }
        }
        let factor = |(sum, m): (f64, &f64)| {
            let deviation = (sum / n).sqrt();
            // Rounding makes a constant column's deviation a little more than nothing.
            if deviation > 1e-7 * (1.0 + m.abs()) { 1.0 / deviation } else { 1.0 }
        };
        let factor = variance.into_iter().zip(&mean).map(factor).collect();
        Scaling { mean, factor }
    }

    /// The same features, scaled.
    pub(super) fn apply(&self, features: &Features) -> Features {
        let mut scaled = features.clone();
        for row in scaled.values.chunks_exact_mut(features.width.max(1)) {
            for ((v, m), f) in row.iter_mut().zip(&self.mean).zip(&self.factor) {
                *v = ((f64::from(*v) - m) * f) as f32;
            }
        }
        scaled
    }

    /// A classifier of scaled features as one of the features themselves: `[classes, width]` weights and biases.
    pub(super) fn fold(&self, parameters: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let width = self.mean.len();
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for class in parameters.chunks_exact(width + 1) {
            let (own, bias) = class.split_at(width);
            let mut bias = bias.first().copied().unwrap_or(0.0);
            for ((w, m), f) in own.iter().zip(&self.mean).zip(&self.factor) {
                weights.push((w * f) as f32);
                bias -= w * f * m;
            }
            biases.push(bias as f32);
        }
        (weights, biases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_scaled_and_a_classifier_is_folded_back() {
        let features = Features {
            width: 3,
            values: vec![1.0, 5.0, 7.0, 3.0, 5.0, -1.0, 5.0, 5.0, 0.5],
            classes: vec![0, 1, 0],
            images: vec![0, 1, 2],
        };
        let scaling = Scaling::of(&features);
        let scaled = scaling.apply(&features);
        for column in 0..3 {
            let values: Vec<f64> = scaled.rows().map(|row| f64::from(row[column])).collect();
            let mean = values.iter().sum::<f64>() / 3.0;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0;
            assert!(mean.abs() < 1e-6);
            assert!((variance - if column == 1 { 0.0 } else { 1.0 }).abs() < 1e-6, "{variance}");
        }
        let parameters = [0.5, -1.0, 2.0, 0.25, 1.0, 1.0, -1.0, -3.0];
        let (weights, biases) = scaling.fold(&parameters);
        for (row, own) in scaled.rows().zip(features.rows()) {
            for class in 0..2 {
                let score =
                    |w: &[f64], x: &[f32]| -> f64 { w.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum() };
                let there = score(&parameters[class * 4..class * 4 + 3], row) + parameters[class * 4 + 3];
                let weights: Vec<f64> =
                    weights[class * 3..class * 3 + 3].iter().map(|w| f64::from(*w)).collect();
                let here = score(&weights, own) + f64::from(biases[class]);
                assert!((there - here).abs() < 1e-4, "{there} {here}");
            }
        }
        assert_eq!(features.filtered(|image| image != 1).classes, [0, 0]);
    }
}
