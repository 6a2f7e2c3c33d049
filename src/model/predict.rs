//! Logits to ranked guesses: softmax, top-k, names. Called by `predict` and `verify`.

/// A class and how strongly the network votes for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// Class index.
    pub index: usize,
    /// Softmax probability, a fraction.
    pub prob: f64,
    /// The network's raw output.
    pub logit: f32,
}

/// The `k` best guesses of some logits. A NaN ranks last.
///
/// The softmax is taken in double precision: its rounding is below what float32 logits can tell.
pub fn guesses(logits: &[f32], k: usize) -> Vec<Guess> {
    let rank = |x: f32| if x.is_nan() { f32::NEG_INFINITY } else { x };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let key = |i: &usize| logits.get(*i).copied().map_or(f32::NEG_INFINITY, rank);
    let better = |a: &usize, b: &usize| key(b).total_cmp(&key(a)).then(a.cmp(b));
    if k < order.len() {
        order.select_nth_unstable_by(k, better);
        order.truncate(k);
    }
    order.sort_unstable_by(better);
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |x: f32| (f64::from(x) - f64::from(highest)).exp();
    let total: f64 = logits.iter().map(|&x| weight(x)).sum();
    let guess = |index| {
        let logit = logits.get(index).copied()?;
        Some(Guess { index, prob: weight(logit) / total, logit })
    };
    order.into_iter().filter_map(guess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_first_and_ties_by_index() {
        let top = guesses(&[1.0, 3.0, 2.0, 3.0], 3);
        assert_eq!(top.iter().map(|g| g.index).collect::<Vec<_>>(), [1, 3, 2]);
        let total: f64 = guesses(&[1.0, 3.0, 2.0, 3.0], 4).iter().map(|g| g.prob).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }

    #[test]
    fn large_logits_do_not_overflow_and_nan_ranks_last() {
        let top = guesses(&[1000.0, 999.0], 2);
        assert!((top[0].prob - 0.731_058_578_630_004_9).abs() < 1e-12);
        assert_eq!(guesses(&[f32::NAN, -5.0], 1)[0].index, 1);
    }

    #[test]
    fn more_guesses_than_classes_is_all_of_them() {
        assert_eq!(guesses(&[0.5], 5).len(), 1);
        assert!(guesses(&[], 5).is_empty());
    }
}
