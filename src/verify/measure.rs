//! Images to guesses on several threads: one image a thread at a time, no order that shows in a result.
//!
//! In: a model, a dataset, which images. Out: a [`Measured`] an image, handed to the caller's thread as it
//! comes. Called by `run`.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::{Error, Result};
use crate::dataset::{Dataset, Item};
use crate::model::{self, Model, Predictor, guesses};

/// Guesses that are kept of an image.
const KEPT: usize = 5;

/// How often the caller's thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

/// What was found out about an image, whatever its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measured {
    /// Classes, best first, and their probabilities with six decimals.
    Guessed { classes: Vec<usize>, probs: Vec<f64> },
    /// Why it cannot be decoded.
    Unreadable(String),
}

/// Workers, and how many images each takes at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crew {
    pub(super) threads: usize,
    pub(super) batch: usize,
}

/// Measures the images of `todo` (places in `dataset.items`), and tells `sink` of each with its place. When
/// the sink breaks, or `cancelled` says so, images under way are finished and told, and no other is begun:
/// every image that comes before one that was told is told too.
pub(super) fn measure(
    model: &Model,
    dataset: &Dataset,
    todo: &[usize],
    crew: Crew,
    cancelled: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(usize, Measured) -> ControlFlow<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let batch = crew.batch.max(1);
    let threads = crew.threads.clamp(1, todo.len().div_ceil(batch).max(1));
    // Made here, so that want of memory is told before an image is read.
    let predictors = (0..threads).map(|_| model.predictor()).collect::<std::result::Result<Vec<_>, _>>()?;
    let (sender, receiver) = sync_channel(4 * threads * batch);
    let mut failed: Option<(usize, Error)> = None;
    std::thread::scope(|scope| {
        for predictor in predictors {
            let sender = sender.clone();
            let mut worker = Worker { dataset, predictor };
            let (next, stop) = (&next, &stop);
            scope.spawn(move || worker.work(todo, batch, next, stop, &sender));
        }
        drop(sender);
        loop {
            let (order, place, result) = match receiver.recv_timeout(LOOK) {
                Ok(told) => told,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if cancelled() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    continue;
                }
            };
            let broken = match result {
                Ok(measured) => sink(place, measured).is_break() || cancelled(),
                Err(error) => {
                    // The first one in order, whichever thread was faster.
                    if failed.as_ref().is_none_or(|(first, _)| order < *first) {
                        failed = Some((order, error));
                    }
                    true
                }
            };
            if broken {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

type Told = (usize, usize, Result<Measured>);

/// One thread.
struct Worker<'a> {
    dataset: &'a Dataset,
    predictor: Predictor<'a>,
}

impl Worker<'_> {
    fn work(
        &mut self,
        todo: &[usize],
        batch: usize,
        next: &AtomicUsize,
        stop: &AtomicBool,
        sender: &SyncSender<Told>,
    ) {
        while !stop.load(Ordering::Relaxed) {
            let start = next.fetch_add(batch, Ordering::Relaxed);
            let Some(places) = todo.get(start..todo.len().min(start.saturating_add(batch))) else { return };
            if places.is_empty() {
                return;
            }
            for (order, &place) in (start..).zip(places) {
                let Some(item) = self.dataset.items.get(place) else { return };
                let result = self.one(item);
                // Nobody listens any more: the caller is unwinding.
                if sender.send((order, place, result)).is_err() {
                    return;
                }
            }
        }
    }

    fn one(&mut self, item: &Item) -> Result<Measured> {
        let bytes = self.dataset.bytes(item).map_err(|e| Error::Source(Box::new(e)))?;
        let mut logits = match self.predictor.file(&bytes) {
            Err(model::Error::Image(error)) => return Ok(Measured::Unreadable(error.to_string())),
            other => other?,
        };
        if let Some(&found) = logits.iter().find(|v| !v.is_finite()) {
            let model = self.predictor.model().entry().name.clone();
            return Err(Error::NotFinite { model, path: item.path.clone(), found });
        }
        let mut kept = KEPT.min(logits.len());
        if let Some(mask) = &self.dataset.mask {
            // Only the classes that the dataset has compete, as its authors evaluate it.
            kept = kept.min(mask.len());
            for (class, logit) in logits.iter_mut().enumerate() {
                if mask.binary_search(&class).is_err() {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let top = guesses(&logits, kept);
        let six = |p: f64| (p * 1e6).round() / 1e6;
        Ok(Measured::Guessed {
            classes: top.iter().map(|g| g.index).collect(),
            probs: top.iter().map(|g| six(g.prob)).collect(),
        })
    }
}
