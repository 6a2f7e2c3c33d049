//! Binomial and hypergeometric probabilities and their tails, accurate to about 1e-13.
//!
//! In: whole counts. Out: probabilities as float64. Called by `interval`, `power`, `sequence`, `paired`.
//!
//! Point probabilities by Loader's saddle-point expansion ("Fast and Accurate Computation of Binomial
//! Probabilities", 2000; what R's `dbinom` and `dhyper` do): differences of log-gammas of 50,000 would
//! lose five digits. A tail is that one probability times a sum of ratios of neighbours, which needs no
//! special function and stops when the terms no longer count.

use std::f64::consts::PI;

/// `ln(n!)` minus Stirling's formula: `ln n! - [ln √(2πn) + n ln n - n]` (Loader 2000, table and series).
fn stirling_error(n: f64) -> f64 {
    const EXACT: [f64; 16] = [
        0.0,
        0.081_061_466_795_327_26,
        0.041_340_695_955_409_29,
        0.027_677_925_684_998_34,
        0.020_790_672_103_765_093,
        0.016_644_691_189_821_193,
        0.013_876_128_823_070_748,
        0.011_896_709_945_891_77,
        0.010_411_265_261_972_096,
        0.009_255_462_182_712_733,
        0.008_330_563_433_362_87,
        0.007_573_675_487_951_841,
        0.006_942_840_107_209_53,
        0.006_408_994_188_004_207,
        0.005_951_370_112_758_848,
        0.005_554_733_551_962_801,
    ];
    if let Some(&exact) = EXACT.get(n as usize) {
        return exact;
    }
    let n2 = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - (1.0 / 1188.0) / n2) / n2) / n2) / n2) / n
}

/// The deviance `x ln(x/m) + m - x`, without cancellation near `x = m` (Loader 2000).
fn deviance(x: f64, m: f64) -> f64 {
    let difference = x - m;
    if difference.abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = difference / (x + m);
    let mut sum = difference * v;
    let mut term = 2.0 * x * v;
    let mut j = 1.0;
    while j < 1000.0 {
        term *= v * v;
        let next = sum + term / (2.0 * j + 1.0);
        if next == sum {
            break;
        }
        sum = next;
        j += 1.0;
    }
    sum
}

/// Probability of exactly `k` successes in `n` trials of probability `p`.
pub fn binomial(k: u64, n: u64, p: f64) -> f64 {
    if k > n {
        return 0.0;
    }
    binomial_float(k as f64, n as f64, p, 1.0 - p)
}

fn binomial_float(k: f64, n: f64, p: f64, q: f64) -> f64 {
    if p <= 0.0 {
        return if k == 0.0 { 1.0 } else { 0.0 };
    }
    if q <= 0.0 {
        return if k == n { 1.0 } else { 0.0 };
    }
    if k == 0.0 {
        return (n * (-p).ln_1p()).exp();
    }
    if k == n {
        return (n * (-q).ln_1p()).exp();
    }
    let exponent = stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(k, n * p)
        - deviance(n - k, n * q);
    exponent.exp() * (n / (2.0 * PI * k * (n - k))).sqrt()
}

/// Probability that a sample of `n` from `total`, of which `good` are good, has exactly `k` good ones.
pub fn hypergeometric(k: u64, total: u64, good: u64, n: u64) -> f64 {
    if good > total || n > total || k > good || k > n || n - k > total - good {
        return 0.0;
    }
    if n == 0 || n == total {
        return 1.0;
    }
    // Any p gives the same quotient; this one keeps all three probabilities large (Loader 2000).
    let p = n as f64 / total as f64;
    let q = (total - n) as f64 / total as f64;
    let draw = binomial_float(k as f64, good as f64, p, q);
    let rest = binomial_float((n - k) as f64, (total - good) as f64, p, q);
    draw * rest / binomial_float(n as f64, total as f64, p, q)
}

/// Sums `first · (1 + r₁ + r₁r₂ + …)`, a ratio at a time, until the terms no longer count.
fn sum_of_ratios(first: f64, mut ratio: impl FnMut(u64) -> Option<f64>) -> f64 {
    let (mut term, mut sum, mut step) = (1.0_f64, 1.0_f64, 0);
    while let Some(r) = ratio(step) {
        term *= r;
        sum += term;
        // Past the mode the ratios fall, so once below one they bound the rest by a geometric series.
        if r < 1.0 && term < sum * 1e-17 * (1.0 - r) {
            break;
        }
        step += 1;
    }
    first * sum
}

/// P(X ≤ k) for a binomial of `n` trials.
pub fn binomial_at_most(k: i64, n: u64, p: f64) -> f64 {
    let Ok(k) = u64::try_from(k) else { return 0.0 };
    if k >= n {
        return 1.0;
    }
    if (k as f64) > n as f64 * p {
        return (1.0 - binomial_at_least(k as i64 + 1, n, p)).clamp(0.0, 1.0);
    }
    if p <= 0.0 || p >= 1.0 {
        return if p <= 0.0 { 1.0 } else { 0.0 };
    }
    let odds = (1.0 - p) / p;
    sum_of_ratios(binomial(k, n, p), |step| {
        let j = k.checked_sub(step).filter(|&j| j > 0)?;
        Some(odds * j as f64 / (n - j + 1) as f64)
    })
    .min(1.0)
}

/// P(X ≥ k) for a binomial of `n` trials.
pub fn binomial_at_least(k: i64, n: u64, p: f64) -> f64 {
    let Ok(k) = u64::try_from(k) else { return 1.0 };
    match k {
        0 => 1.0,
        k if k > n => 0.0,
        // The mirror image: k or more right is n - k or fewer wrong.
        k => {
            if (k as f64) < n as f64 * p {
                return (1.0 - binomial_at_most(k as i64 - 1, n, p)).clamp(0.0, 1.0);
            }
            if p <= 0.0 || p >= 1.0 {
                return if p >= 1.0 { 1.0 } else { 0.0 };
            }
            let odds = p / (1.0 - p);
            sum_of_ratios(binomial(k, n, p), |step| {
                let j = k.checked_add(step).filter(|&j| j < n)?;
                Some(odds * (n - j) as f64 / (j + 1) as f64)
            })
            .min(1.0)
        }
    }
}

/// P(X ≤ k) of good ones in a sample of `n` from `total`, `good` of them good.
pub fn hypergeometric_at_most(k: i64, total: u64, good: i64, n: u64) -> f64 {
    let Ok(good) = u64::try_from(good) else { return 1.0 };
    if k < 0 {
        return 0.0;
    }
    let k = k.unsigned_abs();
    if good > total || n > total {
        return 0.0;
    }
    let (least, most) = (n.saturating_sub(total - good), n.min(good));
    if k >= most {
        return 1.0;
    }
    if k < least {
        return 0.0;
    }
    if k as f64 > n as f64 * (good as f64 / total as f64) {
        let upper = hypergeometric_at_least(k as i64 + 1, total, good as i64, n);
        return (1.0 - upper).clamp(0.0, 1.0);
    }
    sum_of_ratios(hypergeometric(k, total, good, n), |step| {
        let j = k.checked_sub(step).filter(|&j| j > least)?;
        let up = j as f64 * (total - good - (n - j)) as f64;
        Some(up / ((good - j + 1) as f64 * (n - j + 1) as f64))
    })
    .min(1.0)
}

/// P(X ≥ k) of good ones in a sample of `n` from `total`, `good` of them good.
pub fn hypergeometric_at_least(k: i64, total: u64, good: i64, n: u64) -> f64 {
    let Ok(good) = u64::try_from(good) else { return 0.0 };
    if k <= 0 {
        return 1.0;
    }
    let k = k.unsigned_abs();
    if good > total {
        return 1.0;
    }
    if n > total {
        return 0.0;
    }
    let (least, most) = (n.saturating_sub(total - good), n.min(good));
    if k > most {
        return 0.0;
    }
    if k <= least {
        return 1.0;
    }
    if (k as f64) < n as f64 * (good as f64 / total as f64) {
        let lower = hypergeometric_at_most(k as i64 - 1, total, good as i64, n);
        return (1.0 - lower).clamp(0.0, 1.0);
    }
    sum_of_ratios(hypergeometric(k, total, good, n), |step| {
        let j = k.checked_add(step).filter(|&j| j < most)?;
        let up = (good - j) as f64 * (n - j) as f64;
        Some(up / ((j + 1) as f64 * (total - good - (n - j) + 1) as f64))
    })
    .min(1.0)
}
