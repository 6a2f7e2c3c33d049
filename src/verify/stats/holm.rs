//! A board of many models: how many of its contradictions are luck?
//!
//! In: for each model the smallest level at which its claim would be contradicted. Out: the same,
//! adjusted by Holm's step-down (Scandinavian Journal of Statistics 6, 1979), so that the chance of even
//! one false contradiction on the whole board stays below α. Called by the board; a model's own verdict
//! never depends on it.

use super::pmf;
use super::verdict::Claim;
use crate::registry::Relation;

/// The smallest α at which this run contradicts the claim: twice the tail beyond the nearer edge of the
/// tolerance. 0 or 1 for a census.
pub fn p_value(relation: Relation, right: u64, n: u64, population: u64, claim: &Claim) -> Option<f64> {
    let k = i64::try_from(right).ok()?;
    let p = match relation {
        Relation::Other => return None,
        Relation::Census => {
            let at = super::Percent::of(right, n);
            return Some(if at < claim.low() || at > claim.high() { 0.0 } else { 1.0 });
        }
        Relation::Random => {
            let low = claim.low().lowest_count(population);
            let high = claim.high().highest_count(population);
            let below = pmf::hypergeometric_at_most(k, population, low, n);
            below.min(pmf::hypergeometric_at_least(k, population, high, n))
        }
        Relation::Given => {
            let below = pmf::binomial_at_most(k, n, claim.low().fraction().max(0.0));
            below.min(pmf::binomial_at_least(k, n, claim.high().fraction().min(1.0)))
        }
    };
    Some((2.0 * p).min(1.0))
}

/// Holm's adjusted p-values, in the order given.
pub fn adjust(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    let at = |i: usize| p.get(i).copied().unwrap_or(1.0);
    order.sort_by(|&a, &b| at(a).total_cmp(&at(b)));
    let mut adjusted = vec![1.0; p.len()];
    let mut floor = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        floor = floor.max(at(index) * (p.len() - rank) as f64).min(1.0);
        if let Some(slot) = adjusted.get_mut(index) {
            *slot = floor;
        }
    }
    adjusted
}
