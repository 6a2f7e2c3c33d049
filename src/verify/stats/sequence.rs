//! `--until decided`: a confidence sequence, valid however often one looks.
//!
//! In: counts at a prefix of the order. Out: an interval that holds at all prefixes at once with the
//! stated confidence. Called by `verify::run` at prefixes of 64, 128, 192 … images.
//!
//! Waudby-Smith and Ramdas, "Confidence sequences for sampling without replacement" (NeurIPS 2020): under
//! the true count K the prior-posterior ratio is a martingale, so by Ville's inequality the set of K with
//! a ratio below 1/α contains the truth at every prefix with probability 1 - α. With the uniform prior
//! the ratio is `1 / ((n + 1) · P(k | K, n))`, a hypergeometric probability. Its price is an interval about
//! twice as wide as that of a fixed n.

use super::decimal::Percent;
use super::interval::{ConfidenceLevel, Interval, first};
use super::pmf;

/// Images between two looks.
pub const LOOK_INTERVAL: u64 = 64;

/// The prefixes looked at: 64, 128, … and the whole.
pub fn looks(total: u64) -> impl Iterator<Item = u64> {
    (1..=total / LOOK_INTERVAL)
        .map(|i| i * LOOK_INTERVAL)
        .chain((!total.is_multiple_of(LOOK_INTERVAL)).then_some(total))
}

/// The interval after `right` of the first `n` images of `population`.
pub fn interval(right: u64, n: u64, population: u64, level: ConfidenceLevel) -> Interval {
    let (low, high) = counts(right, n, population, level);
    Interval { low: Percent::of(low, population), high: Percent::of(high, population) }
}

/// The same as whole counts of the population.
pub fn counts(right: u64, n: u64, population: u64, level: ConfidenceLevel) -> (u64, u64) {
    let n = n.min(population);
    let right = right.min(n);
    let (least, most) = (right, population - n + right);
    let kept = |good: u64| (n + 1) as f64 * pmf::hypergeometric(right, population, good, n) > level.alpha();
    // The likeliest count: the probability rises up to it and falls after it.
    let peak = (u128::from(right) * u128::from(population + 1) / u128::from(n.max(1))) as u64;
    let peak = if n == 0 { least } else { peak.clamp(least, most) };
    let low = first(least, peak, kept);
    let beyond = first(peak, most + 1, |good| good > most || !kept(good));
    (low, beyond.saturating_sub(1).max(peak))
}
