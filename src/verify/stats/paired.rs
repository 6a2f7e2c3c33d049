//! Two runs on the same images: bounds on the drop, for the gates `--max-drop` and `--prove-no-drop`.
//!
//! In: how many images only the old run had right, and how many only the new one. Out: one-sided bounds
//! on the drop in accuracy. Called by `verify::gates` and the paired comparison.
//!
//! Only the images on which the runs differ carry information. The two counts are given exact one-sided
//! (Clopper-Pearson) limits, and these are combined by the method of variance estimates recovery for a
//! difference of correlated proportions (Newcombe 1998, method 10; Zou and Donner 2008). With exact limits
//! in place of score limits it keeps its level also where hardly any image differs, which is the usual case
//! for two builds of one model, and where a normal approximation fails.

use super::interval::{lower_bound, upper_bound};
use crate::verify::stats::Percent;

/// Images on which two runs differ, of `n` that both saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paired {
    /// Only the old run was right.
    pub lost: u64,
    /// Only the new run was right.
    pub won: u64,
    /// Images both saw.
    pub n: u64,
}

/// One-sided bounds of a drop, in percent points; negative is a gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Drop {
    /// Measured.
    pub measured: Percent,
    /// The drop is at least this, at the level.
    pub at_least: Percent,
    /// The drop is at most this, at the level.
    pub at_most: Percent,
}

impl Paired {
    /// The drop and its one-sided bounds, each at confidence `1 - alpha`. For a census the drop is known,
    /// not estimated.
    pub fn drop(&self, alpha: f64, census: bool) -> Drop {
        let n = self.n.max(1) as f64;
        let (lost, won) = (self.lost as f64 / n, self.won as f64 / n);
        let measured = Percent::from_fraction(lost - won);
        if census {
            return Drop { measured, at_least: measured, at_most: measured };
        }
        let (lost_low, lost_high) = limits(self.lost, self.n, alpha);
        let (won_low, won_high) = limits(self.won, self.n, alpha);
        // Shares of one whole: where one is large the other has less room, so the difference varies more.
        let odds = lost * won / ((1.0 - lost) * (1.0 - won));
        let correlation = if odds.is_finite() { -odds.sqrt() } else { -1.0 };
        let distance = |a: f64, b: f64| (a * a - 2.0 * correlation * a * b + b * b).max(0.0).sqrt();
        let at_least = lost - won - distance(lost - lost_low, won_high - won);
        let at_most = lost - won + distance(lost_high - lost, won - won_low);
        Drop {
            measured,
            at_least: Percent::from_fraction(at_least),
            at_most: Percent::from_fraction(at_most),
        }
    }
}

fn limits(count: u64, n: u64, alpha: f64) -> (f64, f64) {
    (lower_bound(count, n, alpha), upper_bound(count, n, alpha))
}
