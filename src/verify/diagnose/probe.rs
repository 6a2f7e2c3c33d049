//! Images run again with other settings: the first guess, and how probable the label was.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::super::Result;
use super::Tried;
use crate::dataset::{Dataset, Item};
use crate::image::{Preparer, Preprocess, Rgb, decode};
use crate::model::{InputBuffer, Model};
use crate::verify::stats::Percent;

/// What was seen of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) label: usize,
    pub(super) guess: usize,
    /// Of the label, natural.
    pub(super) log_prob: f64,
}

impl Seen {
    /// What a run says, which knows no probability of a label that is not among its guesses.
    pub(super) fn of(&(label, guess): &(usize, usize)) -> Self {
        Seen { label, guess, log_prob: f64::NAN }
    }
}

/// A model and the images it is tried on.
pub(super) struct Probe<'a> {
    pub(super) model: &'a Model,
    pub(super) dataset: &'a Dataset,
    pub(super) places: &'a [usize],
    pub(super) threads: usize,
    /// When it has to end.
    pub(super) deadline: Option<Instant>,
}

impl Probe<'_> {
    /// Runs a range of the images with a preprocessing, `swapped` from RGB to BGR. An image that cannot be read is left
    /// out. Nothing when the time is over.
    pub(super) fn run(
        &self,
        images: Range<usize>,
        preprocess: &Preprocess,
        swapped: bool,
    ) -> Result<Option<Vec<Seen>>> {
        let places = self.places.get(images).unwrap_or_default();
        let threads = self.threads.clamp(1, places.len().max(1));
        let share = places.len().div_ceil(threads).max(1);
        let late = AtomicBool::new(false);
        let work = |places: &[usize]| -> Result<Vec<Seen>> {
            let mut preparer = Preparer::new(preprocess);
            let mut buffer = self.model.network().buffer()?;
            let mut seen = Vec::with_capacity(places.len());
            for item in places.iter().filter_map(|&at| self.dataset.items.get(at)) {
                if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    late.store(true, Ordering::Relaxed);
                    break;
                }
                seen.extend(self.one(item, swapped, &mut preparer, &mut buffer)?);
            }
            Ok(seen)
        };
        let parts = std::thread::scope(|scope| {
            let parts: Vec<_> = places.chunks(share).map(|part| scope.spawn(|| work(part))).collect();
            parts
                .into_iter()
                .map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                .collect::<Vec<_>>()
        });
        let mut seen = Vec::with_capacity(places.len());
        for part in parts {
            seen.extend(part?);
        }
        Ok((!late.into_inner()).then_some(seen))
    }

    fn one(
        &self,
        item: &Item,
        swapped: bool,
        preparer: &mut Preparer,
        buffer: &mut InputBuffer,
    ) -> Result<Option<Seen>> {
        let Ok(bytes) = self.dataset.bytes_or_defect(item)? else { return Ok(None) };
        let Ok(image) = decode(&bytes) else { return Ok(None) };
        let image = if swapped { swap(image) } else { Some(image) };
        let Some(image) = image else { return Ok(None) };
        if buffer.write(|tensor| preparer.tensor(&image, tensor))?.is_err() {
            return Ok(None);
        }
        let logits = self.model.network().values(buffer)?;
        let Some(&label) = item.labels.first() else { return Ok(None) };
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let Some((guess, &highest)) = best else { return Ok(None) };
        let total: f64 = logits.iter().map(|&l| (f64::from(l) - f64::from(highest)).exp()).sum();
        let of_label = logits.get(label).copied().unwrap_or(f32::NEG_INFINITY);
        // A probability of nothing is not infinitely improbable: one image must not outweigh all others.
        let log_prob = (f64::from(of_label) - f64::from(highest) - total.ln()).max(-30.0);
        Ok(Some(Seen { label, guess, log_prob }))
    }
}

/// Red for blue.
fn swap(image: Rgb) -> Option<Rgb> {
    let (width, height) = (image.width(), image.height());
    let mut pixels = image.into_pixels();
    pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|[r, _, b]| std::mem::swap(r, b));
    Rgb::new(width, height, pixels)
}

/// What another run of the images says, compared image by image; where it saw fewer, with the first of those before.
pub(super) fn compare(hypothesis: &str, change: String, before: &[Seen], after: &[Seen]) -> Tried {
    let n = before.len().min(after.len()) as f64;
    let gains: Vec<f64> = before.iter().zip(after).map(|(a, b)| b.log_prob - a.log_prob).collect();
    let gain = gains.iter().sum::<f64>() / n.max(1.0);
    let variance = gains.iter().map(|g| (g - gain).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let error = (variance / n.max(1.0)).sqrt().max(1e-9);
    let right = after.iter().filter(|s| s.guess == s.label).count() as u64;
    Tried {
        hypothesis: hypothesis.to_owned(),
        change,
        images: after.len(),
        top1: Percent::of(right, after.len() as u64),
        gain: (gain * 1e4).round() / 1e4,
        z: (gain / error * 100.0).round() / 100.0,
    }
}
