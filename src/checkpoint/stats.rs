//! What a tensor's values are like: range, mean, what is not finite, how they are spread. Called by
//! `zoo inspect --stats` and `--hist`.

use super::Checkpoint;
use super::error::Result;
use super::tensor::Tensor;
use super::values::Number;

/// Figures of one tensor. Range and mean are of the finite values.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Stats {
    /// Finite values.
    pub finite: u64,
    /// Values that are not a number.
    pub nan: u64,
    /// Infinities of either sign.
    pub infinite: u64,
    /// Zeros of either sign.
    pub zero: u64,
    /// The smallest; none where nothing is finite.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Summed in float64, in the order of the elements.
    pub mean: Option<f64>,
}

impl Checkpoint {
    /// A tensor's figures; `None` for types whose elements are no plain numbers.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn stats(&self, tensor: &Tensor) -> Result<Option<Stats>> {
        let Some(number) = Number::of(tensor.dtype) else { return Ok(None) };
        let mut stats = Stats { finite: 0, nan: 0, infinite: 0, zero: 0, min: None, max: None, mean: None };
        let mut sum = 0.0;
        self.each(tensor, number, &mut |value| {
            if value.is_nan() {
                stats.nan += 1;
            } else if value.is_infinite() {
                stats.infinite += 1;
            } else {
                stats.finite += 1;
                stats.zero += u64::from(value == 0.0);
                stats.min = Some(stats.min.map_or(value, |m| m.min(value)));
                stats.max = Some(stats.max.map_or(value, |m| m.max(value)));
                sum += value;
            }
        })?;
        stats.mean = (stats.finite > 0).then(|| sum / stats.finite as f64);
        Ok(Some(stats))
    }

    /// How many finite values lie in each of `bins` equal parts of the range that `stats` found.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn histogram(&self, tensor: &Tensor, stats: &Stats, bins: usize) -> Result<Vec<u64>> {
        let mut counts = vec![0; bins];
        let (Some(number), Some(min), Some(max)) = (Number::of(tensor.dtype), stats.min, stats.max) else {
            return Ok(counts);
        };
        // Halved, so that the width of the whole range of float64 does not overflow.
        let width = max / 2.0 - min / 2.0;
        self.each(tensor, number, &mut |value| {
            if value.is_finite() {
                let part = if width > 0.0 { (value / 2.0 - min / 2.0) / width } else { 0.0 };
                let bin = (part * bins as f64) as usize;
                if let Some(count) = counts.get_mut(bin.min(bins.saturating_sub(1))) {
                    *count += 1;
                }
            }
        })?;
        Ok(counts)
    }

    fn each(&self, tensor: &Tensor, number: Number, take: &mut dyn FnMut(f64)) -> Result<()> {
        // Pieces hold whole elements.
        self.stream(tensor, &mut |piece| {
            piece.chunks_exact(number.size()).for_each(|element| take(number.value(element)));
            Ok(())
        })
    }
}
