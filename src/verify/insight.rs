//! What the rows of a result tell beyond its verdict: classes, confusions, the worst mistakes, calibration.
//!
//! In: a result's rows. Out: an [`Insight`]. Called by the HTML report.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::report::{Report, Row, Status};
use crate::dataset::{Dataset, Item};
use crate::image::thumbnail::data_url;

/// Confusions and mistakes that are kept.
const MAX_LISTED: usize = 24;

/// Bins of the calibration: tenths of confidence.
const CALIBRATION_BINS: usize = 10;

/// How a class fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// Its index.
    pub class: usize,
    /// Images with that label.
    pub n: u64,
    /// Of them, right at first guess.
    pub right: u64,
}

/// Images of one class that were taken for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// What they are.
    pub label: usize,
    /// What they were taken for.
    pub guess: usize,
    /// How many.
    pub n: u64,
}

/// An image that was surely taken for something else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mistake {
    /// The image.
    pub id: String,
    /// What it is.
    pub label: usize,
    /// What it was taken for.
    pub guess: usize,
    /// How surely.
    pub prob: f64,
}

/// Images whose first guess had about the same probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// From this probability on.
    pub from: f64,
    /// How many.
    pub n: u64,
    /// Their mean probability.
    pub confidence: f64,
    /// How many of them were right, a fraction.
    pub accuracy: f64,
}

/// What rows tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Insight {
    /// By accuracy, the worst first.
    pub classes: Vec<ClassCount>,
    /// The most frequent first.
    pub confusions: Vec<Confusion>,
    /// The surest first.
    pub mistakes: Vec<Mistake>,
    /// By confidence.
    pub calibration: Vec<Bin>,
    /// Expected calibration error: the mean distance of confidence and accuracy (Guo et al. 2017), a fraction.
    pub calibration_error: f64,
}

impl Insight {
    /// Counts.
    pub fn of(rows: &[Row]) -> Self {
        let mut classes: BTreeMap<usize, ClassCount> = BTreeMap::new();
        let mut confusions: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        let mut mistakes = Vec::new();
        let mut bins = vec![(0_u64, 0.0_f64, 0_u64); CALIBRATION_BINS];
        for row in rows.iter().filter(|r| r.status == Status::Ok) {
            let (Some(&label), Some(&guess)) = (row.labels.first(), row.classes.first()) else { continue };
            let prob = row.probs.first().copied().unwrap_or_default();
            let right = row.is_right(1);
            let count = classes.entry(label).or_insert(ClassCount { class: label, n: 0, right: 0 });
            count.n += 1;
            count.right += u64::from(right);
            if !right {
                *confusions.entry((label, guess)).or_default() += 1;
                mistakes.push(Mistake { id: row.id.clone(), label, guess, prob });
            }
            let at = ((prob * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
            if let Some((n, sum, good)) = bins.get_mut(at) {
                *n += 1;
                *sum += prob;
                *good += u64::from(right);
            }
        }
        let mut classes: Vec<_> = classes.into_values().collect();
        classes.sort_by_key(|c| (c.right * 1_000_000 / c.n.max(1), std::cmp::Reverse(c.n), c.class));
        let mut confusions: Vec<_> =
            confusions.into_iter().map(|((label, guess), n)| Confusion { label, guess, n }).collect();
        confusions.sort_by_key(|c| (std::cmp::Reverse(c.n), c.label, c.guess));
        confusions.truncate(MAX_LISTED);
        mistakes.sort_by(|a, b| b.prob.total_cmp(&a.prob).then_with(|| a.id.cmp(&b.id)));
        mistakes.truncate(MAX_LISTED);
        let total: u64 = bins.iter().map(|b| b.0).sum();
        let bin = |(at, (n, sum, good)): (usize, (u64, f64, u64))| Bin {
            from: at as f64 / CALIBRATION_BINS as f64,
            n,
            confidence: sum / n.max(1) as f64,
            accuracy: good as f64 / n.max(1) as f64,
        };
        let calibration: Vec<Bin> = bins.into_iter().enumerate().map(bin).collect();
        let off = |b: &Bin| (b.confidence - b.accuracy).abs() * b.n as f64;
        let calibration_error = calibration.iter().map(off).sum::<f64>() / total.max(1) as f64;
        Insight { classes, confusions, mistakes, calibration, calibration_error }
    }
}

/// Small pictures of the worst mistakes of a report by image id, as `data:` URLs; one that cannot be made is left out.
pub fn thumbnails(dataset: &Dataset, report: &Report) -> BTreeMap<String, String> {
    let mistakes = report.results.iter().flat_map(|r| Insight::of(&r.per_image).mistakes);
    let wanted: HashSet<String> = mistakes.map(|m| m.id).collect();
    let picture = |item: &Item| Some((item.id.clone(), data_url(&dataset.bytes(item).ok()?).ok()?));
    dataset.items.iter().filter(|i| wanted.contains(&i.id)).filter_map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, label: usize, classes: &[usize], prob: f64) -> Row {
        let probs = vec![prob; classes.len()];
        Row { id: id.into(), labels: vec![label], classes: classes.to_vec(), probs, status: Status::Ok }
    }

    #[test]
    fn counts_are_of_first_labels_and_first_guesses() {
        let rows = [
            row("a", 1, &[1, 2], 0.9),
            row("b", 1, &[2, 1], 0.8),
            row("c", 1, &[2, 1], 0.95),
            row("d", 3, &[3], 0.5),
            Row { status: Status::Unreadable, ..row("e", 4, &[], 0.0) },
        ];
        let insight = Insight::of(&rows);
        assert_eq!(insight.classes[0], ClassCount { class: 1, n: 3, right: 1 });
        assert_eq!(insight.classes.len(), 2);
        assert_eq!(insight.confusions, [Confusion { label: 1, guess: 2, n: 2 }]);
        assert_eq!(insight.mistakes.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["c", "b"]);
        let last = &insight.calibration[9];
        assert_eq!((last.n, last.accuracy), (2, 0.5));
        // |0.925 - 0.5| · 2/4 + |0.8 - 0| · 1/4 + |0.5 - 1| · 1/4
        assert!((insight.calibration_error - (0.2125 + 0.2 + 0.125)).abs() < 1e-12);
    }
}
