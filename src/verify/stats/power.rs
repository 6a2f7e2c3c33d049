//! What a run can tell: the sample that would decide, and the drop that would be noticed.
//!
//! In: counts, relation, claim. Out: a number for the report, or nothing where none applies. Called by
//! `verify::run` and by `zoo verify --plan`.

use super::decimal::Percent;
use super::interval::{ConfidenceLevel, first, interval};
use super::pmf;
use super::verdict::{Claim, Verdict, judge};
use crate::registry::Relation;

/// Probability with which a drop must be noticed to count as detectable.
const DETECTION_POWER: f64 = 0.9;

/// The smallest `n` such that for it and every larger one up to the population, a random sample of `n`
/// with `⌊n·p̂ + ½⌋` right would not be `consistent`, where `p̂ = right / of`.
///
/// At a tolerance of 0.1 points and a true claim that is nearly the whole population: the honest answer.
pub fn images_to_decide(
    right: u64,
    of: u64,
    population: u64,
    claim: &Claim,
    level: ConfidenceLevel,
) -> Option<u64> {
    if of == 0 || population == 0 {
        return None;
    }
    let band = Band::new(claim, population);
    let expected = |n: u64| {
        let (n, right, of) = (u128::from(n), u128::from(right), u128::from(of));
        i64::try_from((2 * n * right + of) / (2 * of)).unwrap_or(i64::MAX)
    };
    // Downwards from the census, which always decides, to the first size that does not.
    let undecided = (1..=population).rev().find(|&n| !band.decides(expected(n), n, level.alpha() / 2.0));
    Some(undecided.map_or(1, |n| n + 1).min(population))
}

/// The claim's tolerance as whole counts of the population: `low..=high` of `population`.
struct Band {
    low: i64,
    high: i64,
    population: u64,
}

impl Band {
    fn new(claim: &Claim, population: u64) -> Self {
        Band {
            low: claim.low().lowest_count(population),
            high: claim.high().highest_count(population),
            population,
        }
    }

    /// Whether the hypergeometric interval of `k` of `n` lies within or wholly outside. Tests the counts
    /// at the edges instead of searching the interval's ends: at most four tails for each `n`.
    fn decides(&self, k: i64, n: u64, tail: f64) -> bool {
        let too_low = |good| pmf::hypergeometric_at_least(k, self.population, good, n) <= tail;
        let too_high = |good| pmf::hypergeometric_at_most(k, self.population, good, n) <= tail;
        too_low(self.low - 1) && too_high(self.high + 1) || too_high(self.low) || too_low(self.high)
    }
}

/// The smallest drop below the claim's value that this run's rule would call `contradicted` with
/// probability 0.9. `None` when no drop would be, however large: too few images.
pub fn detectable_drop(
    relation: Relation,
    n: u64,
    population: u64,
    claim: &Claim,
    level: ConfidenceLevel,
) -> Option<Percent> {
    match relation {
        Relation::Census => Some(census_drop(claim, n)),
        Relation::Random => random_drop(n, population, claim, level),
        Relation::Given => given_drop(n, claim, level),
        Relation::Other => None,
    }
}

/// With every image seen the rule is a comparison: the next `1/N` beyond the tolerance, which is itself
/// still within it.
fn census_drop(claim: &Claim, n: u64) -> Percent {
    let steps = claim.tolerance.highest_count(n).unsigned_abs() + 1;
    Percent::of(steps, n)
}

/// The counts of right images for which the rule says `contradicted`: up to one, and from another on.
fn contradicted_counts(
    relation: Relation,
    n: u64,
    population: u64,
    claim: &Claim,
    level: ConfidenceLevel,
) -> (i64, i64) {
    let bad = |k: u64| interval(relation, k, n, population, level);
    // Both ends of the interval grow with k, so each condition flips once.
    let below = first(0, n + 1, |k| k > n || bad(k).high >= claim.low());
    let above = first(0, n + 1, |k| k > n || bad(k).low > claim.high());
    debug_assert!(below == 0 || judge(bad(below - 1), claim) == Verdict::Contradicted);
    (below as i64 - 1, above as i64)
}

fn random_drop(n: u64, population: u64, claim: &Claim, level: ConfidenceLevel) -> Option<Percent> {
    let (below, above) = contradicted_counts(Relation::Random, n, population, claim, level);
    let noticed = |good: i64| {
        let low = pmf::hypergeometric_at_most(below, population, good, n);
        low + pmf::hypergeometric_at_least(above, population, good, n) >= DETECTION_POWER
    };
    let top = claim.value.highest_count(population);
    let top = u64::try_from(top).ok()?.min(population);
    // Fewer good ones are noticed more surely: the first drop, counted in images, that is.
    let drop = first(0, top + 1, |drop| drop > top || noticed((top - drop) as i64));
    if drop > top {
        return None;
    }
    let truth = Percent::of(top - drop, population);
    Some(claim.value - truth)
}

fn given_drop(n: u64, claim: &Claim, level: ConfidenceLevel) -> Option<Percent> {
    let (below, above) = contradicted_counts(Relation::Given, n, 0, claim, level);
    let noticed = |drop: f64| {
        let p = (claim.value.fraction() - drop).max(0.0);
        pmf::binomial_at_most(below, n, p) + pmf::binomial_at_least(above, n, p) >= DETECTION_POWER
    };
    let (mut low, mut high) = (0.0, claim.value.fraction());
    if !noticed(high) {
        return None;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if noticed(middle) { high = middle } else { low = middle }
    }
    Some(Percent::from_fraction(high))
}
