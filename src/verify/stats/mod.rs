//! Statistics: from counts of right images to an interval, a verdict, and what a run can and cannot tell.
//!
//! In: how many of how many images were right, what those images are of the population
//! ([`Relation`]), and the claim. Out: [`Interval`], [`Verdict`], the size of sample that would decide,
//! the drop that would be detected, and the bounds behind the gates. Called by `verify::run`, by `zoo merge`
//! and by the board of many models. Everything is a function of whole counts and exact decimals, so two
//! machines never differ. `docs/statistics.md` states the promises and the rates measured for them.

pub mod decimal;
pub mod holm;
pub mod interval;
pub mod paired;
pub mod pmf;
pub mod power;
pub mod sequence;
pub mod verdict;

pub use crate::registry::Relation;
pub use decimal::Percent;
pub use interval::{ConfidenceLevel, Interval, interval};
pub use power::{detectable_drop, images_to_decide};
pub use verdict::{Claim, Verdict, judge};

#[cfg(test)]
mod tests;
