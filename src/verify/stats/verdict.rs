//! The verdict: is the claim reproduced, consistent with the data, or contradicted?
//!
//! In: an interval, the claim and its tolerance. Out: a [`Verdict`]. Called by `verify::run` and
//! `zoo merge`. Bounds are closed and compared in exact decimals.

use serde::{Deserialize, Serialize};

use super::decimal::{ParsePercentError, Percent};
use super::interval::Interval;

/// What is claimed, and how far from it still counts as it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claimed accuracy.
    pub value: Percent,
    /// Decimals it is printed with.
    pub digits: u32,
    /// Distance that is still the same claim.
    pub tolerance: Percent,
}

impl Claim {
    /// A claim as printed, such as `75.1`. Without a tolerance of one's own: 0.1 points (of 204 honest
    /// re-measurements of published weights four differ by more) plus half a unit of its last digit.
    ///
    /// # Errors
    /// When the text is not a plain decimal percentage.
    pub fn new(text: &str, tolerance: Option<Percent>) -> Result<Self, ParsePercentError> {
        let value: Percent = text.parse()?;
        let plain = text.trim().trim_end_matches('%').trim_end();
        let digits = plain.split_once('.').map_or(0, |(_, d)| d.len() as u32);
        let tolerance = tolerance.unwrap_or_else(|| Claim::usual_tolerance(digits));
        Ok(Claim { value, digits, tolerance })
    }

    /// The tolerance of a claim that is printed with so many decimals.
    pub fn usual_tolerance(digits: u32) -> Percent {
        Percent::from_nanos(100_000_000) + Percent::half_unit(digits)
    }

    /// Lowest accuracy that still is the claim.
    pub fn low(&self) -> Percent {
        self.value - self.tolerance
    }

    /// Highest accuracy that still is the claim.
    pub fn high(&self) -> Percent {
        self.value + self.tolerance
    }
}

/// What a run says about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// The interval lies within the claim and its tolerance.
    #[serde(rename = "reproduced")]
    Reproduced,
    /// Neither: more images would tell.
    #[serde(rename = "consistent")]
    Consistent,
    /// The interval lies wholly outside.
    #[serde(rename = "contradicted")]
    Contradicted,
    /// Nothing is claimed for this dataset.
    #[serde(rename = "no-claim")]
    NoClaim,
}

impl Verdict {
    /// As reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Reproduced => "reproduced",
            Verdict::Consistent => "consistent",
            Verdict::Contradicted => "contradicted",
            Verdict::NoClaim => "no-claim",
        }
    }
}

/// The rule. Bounds are closed: an interval that touches the edge of the tolerance from within lies within
/// it, and one that touches it from outside is not wholly outside.
pub fn judge(interval: Interval, claim: &Claim) -> Verdict {
    let (low, high) = (claim.low(), claim.high());
    if interval.low >= low && interval.high <= high {
        Verdict::Reproduced
    } else if interval.high < low || interval.low > high {
        Verdict::Contradicted
    } else {
        Verdict::Consistent
    }
}
