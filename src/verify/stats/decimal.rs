//! Percentages as exact decimals.
//!
//! A verdict compares a bound with a claim plus or minus a tolerance, and closed bounds make equality
//! matter: 78.55 is within 78.66 ± 0.11, and in binary floating point it may not be. So percentages are
//! whole billionths of a percent. Interval bounds are rounded to six decimals *before* they are compared:
//! the verdict follows from the digits that the report prints.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

/// Billionths in one percent.
const UNIT: i64 = 1_000_000_000;
/// Billionths in the sixth decimal, the last one that is ever printed.
const MICRO: i64 = 1_000;

/// A percentage, exact to nine decimals: six of a number, and half a unit of the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(i64);

/// A text that is not a percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a percentage between 0 and 100 with at most six decimals, such as `78.66`")]
pub struct ParsePercentError(String);

impl Percent {
    /// Nothing.
    pub const ZERO: Percent = Percent(0);
    /// All.
    pub const HUNDRED: Percent = Percent(100 * UNIT);

    /// `part` of `whole`, rounded to six decimals (half up). Zero of nothing.
    pub fn of(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Percent::ZERO;
        }
        let (part, whole) = (i128::from(part), i128::from(whole));
        let micros = (part * 200_000_000 + whole) / (2 * whole);
        Percent(i64::try_from(micros).unwrap_or(i64::MAX / MICRO).saturating_mul(MICRO))
    }

    /// A fraction in 0..=1, rounded to six decimals of a percent.
    pub fn from_fraction(fraction: f64) -> Self {
        let micros = (fraction.clamp(-1.0, 1.0) * 1e8).round();
        Percent(micros as i64 * MICRO)
    }

    /// Half a unit of the last of `digits` decimals: 0.05 for one digit.
    pub fn half_unit(digits: u32) -> Self {
        Percent(UNIT / 2 / 10_i64.pow(digits.min(6)))
    }

    /// As a float in percent: for JSON, where it prints with six decimals at most.
    pub fn value(self) -> f64 {
        // One division by a power of ten of an integer below 2^53 is correctly rounded, so the shortest
        // decimal that reads back as this float is the decimal itself.
        self.0 as f64 / UNIT as f64
    }

    /// As a fraction of one.
    pub fn fraction(self) -> f64 {
        self.0 as f64 / (100 * UNIT) as f64
    }

    /// Billionths of a percent.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// From billionths of a percent.
    pub const fn from_nanos(nanos: i64) -> Self {
        Percent(nanos)
    }

    /// The smallest `k` with `Percent::of(k, whole) >= self`; may exceed `whole`.
    pub(super) fn lowest_count(self, whole: u64) -> i64 {
        let exact = i128::from(self.0.max(0)) * i128::from(whole) / i128::from(100 * UNIT);
        let mut k = (u64::try_from(exact).unwrap_or(whole)).saturating_sub(2);
        while whole > 0 && Percent::of(k, whole) < self {
            k += 1;
        }
        k as i64
    }

    /// The largest `k` with `Percent::of(k, whole) <= self`; -1 for none.
    pub(super) fn highest_count(self, whole: u64) -> i64 {
        if self.0 < 0 {
            return -1;
        }
        let exact = i128::from(self.0) * i128::from(whole) / i128::from(100 * UNIT);
        let mut k = i64::try_from(exact).unwrap_or(i64::MAX - 4) + 2;
        while k >= 0 && Percent::of(k.unsigned_abs(), whole) > self {
            k -= 1;
        }
        k
    }
}

impl Add for Percent {
    type Output = Percent;

    fn add(self, other: Percent) -> Percent {
        Percent(self.0.saturating_add(other.0))
    }
}

impl Sub for Percent {
    type Output = Percent;

    fn sub(self, other: Percent) -> Percent {
        Percent(self.0.saturating_sub(other.0))
    }
}

impl FromStr for Percent {
    type Err = ParsePercentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePercentError(text.to_owned());
        let trimmed = text.trim();
        let trimmed = trimmed.strip_suffix('%').unwrap_or(trimmed).trim_end();
        let (whole, decimals) = trimmed.split_once('.').unwrap_or((trimmed, ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() && decimals.is_empty() || !digits(whole) || !digits(decimals) {
            return Err(error());
        }
        if whole.len() > 3 || decimals.len() > 6 {
            return Err(error());
        }
        let padded = format!("{whole}{decimals:0<9}");
        let nanos: i64 = padded.parse().map_err(|_| error())?;
        if nanos > Percent::HUNDRED.0 { Err(error()) } else { Ok(Percent(nanos)) }
    }
}

impl fmt::Display for Percent {
    /// All decimals there are, none that are not: `78.66`. `{:.2}` rounds for a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.precision() {
            Some(p) => write!(f, "{:.p$}", self.value()),
            None => write!(f, "{}", self.value()),
        }
    }
}

impl serde::Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> serde::Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if !(-100.0..=100.0).contains(&value) {
            return Err(serde::de::Error::custom(format!("{value} is not a percentage")));
        }
        Ok(Percent((value * UNIT as f64).round() as i64))
    }
}
