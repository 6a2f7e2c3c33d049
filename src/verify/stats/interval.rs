//! Two-sided intervals for an accuracy, by what a run's images are of the population.
//!
//! In: counts, the [`Relation`] and the [`ConfidenceLevel`]. Out: an [`Interval`] in exact decimals. Called by
//! `verdict`, `power` and the report.

use super::decimal::Percent;
use super::pmf;
use crate::registry::Relation;

/// A level of confidence, such as 0.95: a fraction in [0.5, 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfidenceLevel(f64);

impl ConfidenceLevel {
    /// The usual one.
    pub const P95: ConfidenceLevel = ConfidenceLevel(0.95);

    /// A level, if it is one.
    pub fn new(confidence: f64) -> Option<Self> {
        (0.5..1.0).contains(&confidence).then_some(ConfidenceLevel(confidence))
    }

    /// The confidence, 0.95.
    pub fn confidence(self) -> f64 {
        self.0
    }

    /// The error that is allowed, 0.05.
    pub fn alpha(self) -> f64 {
        1.0 - self.0
    }
}

/// A closed interval in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Lower end.
    pub low: Percent,
    /// Upper end.
    pub high: Percent,
}

impl Interval {
    /// One point.
    pub const fn point(at: Percent) -> Self {
        Interval { low: at, high: at }
    }
}

/// The interval for `right` of `n` images of a population of `population`.
///
/// A census has a point; a random sample the equal-tailed inversion of the hypergeometric; images that
/// someone chose, or of another dataset, Clopper and Pearson's.
pub fn interval(relation: Relation, right: u64, n: u64, population: u64, level: ConfidenceLevel) -> Interval {
    match relation {
        Relation::Census => Interval::point(Percent::of(right, n)),
        Relation::Random => {
            let (low, high) = hypergeometric_counts(right, n, population, level);
            Interval { low: Percent::of(low, population), high: Percent::of(high, population) }
        }
        Relation::Given | Relation::Other => {
            let (low, high) = clopper_pearson(right, n, level.alpha());
            Interval { low: Percent::from_fraction(low), high: Percent::from_fraction(high) }
        }
    }
}

/// Clopper and Pearson (Biometrika 26, 1934): the probabilities that neither tail rejects at α/2, as
/// fractions. Everything is possible when there are no images.
pub fn clopper_pearson(right: u64, n: u64, alpha: f64) -> (f64, f64) {
    let low = if right == 0 || n == 0 { 0.0 } else { lower_bound(right, n, alpha / 2.0) };
    let high = if right >= n { 1.0 } else { 1.0 - lower_bound(n - right, n, alpha / 2.0) };
    (low, high)
}

/// The exact one-sided lower bound of a binomial probability: where P(X ≥ k) = `alpha`.
pub fn lower_bound(right: u64, n: u64, alpha: f64) -> f64 {
    if right == 0 || n == 0 {
        return 0.0;
    }
    let right = i64::try_from(right.min(n)).unwrap_or(i64::MAX);
    let (mut low, mut high) = (0.0, 1.0);
    // Bisection to the last bit: sixty halvings of a unit interval.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if pmf::binomial_at_least(right, n, middle) < alpha { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The exact one-sided upper bound of a binomial probability: where P(X ≤ k) = `alpha`.
pub fn upper_bound(right: u64, n: u64, alpha: f64) -> f64 {
    if n == 0 || right >= n { 1.0 } else { 1.0 - lower_bound(n - right, n, alpha) }
}

/// The counts `K` in `[k, N - n + k]` of good ones in the population that neither tail of the
/// hypergeometric rejects at α/2 (equal-tailed inversion; Konijn, "Statistical Theory of Sample Survey
/// Design and Analysis", 1973, ch. IV; Buonaccorsi 1987).
pub fn hypergeometric_counts(right: u64, n: u64, population: u64, level: ConfidenceLevel) -> (u64, u64) {
    let n = n.min(population);
    let right = right.min(n);
    let tail = level.alpha() / 2.0;
    let k = i64::try_from(right).unwrap_or(i64::MAX);
    let (least, most) = (right, population - n + right);
    // P(X ≥ k) grows with K: the first K whose upper tail is not below the level is the lower end.
    let low = first(least, most, |good| pmf::hypergeometric_at_least(k, population, good as i64, n) > tail);
    // P(X ≤ k) falls with K: the last K whose lower tail is above the level is the upper end.
    let beyond = first(least, most + 1, |good| {
        good > most || pmf::hypergeometric_at_most(k, population, good as i64, n) <= tail
    });
    (low, beyond.saturating_sub(1).max(least))
}

/// The first of `low..=high` for which a monotone test is true; `high` when none is.
pub(super) fn first(mut low: u64, mut high: u64, test: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if test(middle) { high = middle } else { low = middle + 1 }
    }
    low
}
