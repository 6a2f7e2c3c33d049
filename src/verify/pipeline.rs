//! Images to guesses on several threads: preparing, a bounded queue of batches, runners. No order shows in a result.
//!
//! In: a dataset, which images, how they are prepared, and [`Runner`]s that take batches. Out: a [`Measured`] an image,
//! handed to the caller's thread as it comes. Called by `run`.
//!
//! A thread has no fixed part. When a batch is ready and a runner is idle it runs the batch, else it prepares the next
//! images, else it waits. On a CPU there are as many runners as threads and a batch is one image, so each thread prepares
//! an image and runs it while it is in its cache. A device that wants many images at a time is one runner of large batches:
//! then the same threads prepare while it computes. As many batches exist as threads and waiting runners can use, so
//! memory is bounded whichever side is slower.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Result};
use crate::dataset::{Dataset, Item};
use crate::image::{Preparer, Preprocess};
use crate::model::{Batch, Runner, guesses};

/// Guesses that are kept of an image.
const TOP_K: usize = 5;

/// How often the caller's thread asks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Results of so many batches a thread may wait for the caller.
const RESULT_BATCHES: usize = 4;

/// What was found out about an image, whatever its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measured {
    /// Classes, best first, and their probabilities with six decimals.
    Guessed { classes: Vec<usize>, probs: Vec<f64> },
    /// Why it cannot be decoded.
    Unreadable(String),
    /// Why there is nothing to decode or to compare with: no file, no bytes, no label. It may be there another time.
    Absent(String),
}

impl Measured {
    /// What is wrong with a bad image.
    pub(super) fn defect(&self) -> Option<&str> {
        match self {
            Measured::Guessed { .. } => None,
            Measured::Unreadable(reason) | Measured::Absent(reason) => Some(reason),
        }
    }
}

/// What is measured, and by how many.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// The model's name, for messages.
    pub(super) model: &'a str,
    pub(super) preprocess: &'a Preprocess,
    pub(super) dataset: &'a Dataset,
    /// Places in `dataset.items`.
    pub(super) todo: &'a [usize],
    pub(super) threads: usize,
    /// Images of a batch; none for what the runners prefer.
    pub(super) batch: Option<usize>,
}

/// Measures the images of a job, and tells `sink` of each with its place. When the sink breaks, or `cancelled` says so,
/// images under way are finished and told, and no other is begun: every image that comes before one that was told is
/// told too.
pub(super) fn measure(
    job: &Job<'_>,
    runners: Vec<Box<dyn Runner>>,
    cancelled: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(usize, Measured) -> ControlFlow<()>,
) -> Result<()> {
    let threads = job.threads.max(1);
    let preferred = runners.iter().map(|r| r.preferred_batch()).max().unwrap_or(1);
    // No batch is larger than an equal share, so that no thread is idle while another prepares all.
    let batch = job.batch.unwrap_or(preferred).clamp(1, job.todo.len().div_ceil(threads).max(1));
    let queue = Queue::new(job, runners, threads, batch)?;
    let (sender, receiver) = sync_channel(RESULT_BATCHES * threads * batch);
    let mut failed: Option<(usize, Error)> = None;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let mut worker = Worker { job, queue: &queue, sender: sender.clone() };
            scope.spawn(move || worker.work());
        }
        drop(sender);
        loop {
            let Told { order, place, result } = match receiver.recv_timeout(POLL_INTERVAL) {
                Ok(told) => told,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if cancelled() {
                        queue.stop();
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
                queue.stop();
            }
        }
    });
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

/// What became of an image: its position in the job, its place in the dataset.
struct Told {
    order: usize,
    place: usize,
    result: Result<Measured>,
}

/// Images that are ready to be run.
struct Ready {
    batch: Batch,
    /// Position in the job, and place in the dataset, of each.
    images: Vec<(usize, usize)>,
}

/// What threads share: images that nobody has begun, batches, idle runners.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    images: usize,
    batch: usize,
}

struct State {
    /// The first image that nobody has begun.
    next: usize,
    free: Vec<Batch>,
    ready: VecDeque<Ready>,
    idle: Vec<Box<dyn Runner>>,
    /// Threads that are preparing images.
    preparing: usize,
    /// A thread has panicked: nobody waits for it.
    broken: bool,
}

/// What a thread does next.
enum Task {
    Run(Box<dyn Runner>, Ready),
    Prepare(Batch, Range<usize>),
    Done,
}

impl Queue {
    fn new(job: &Job<'_>, runners: Vec<Box<dyn Runner>>, threads: usize, batch: usize) -> Result<Self> {
        let Preprocess { mean, size, .. } = job.preprocess;
        let image = [mean.len(), size.height, size.width];
        // While every runner of a device computes, every thread may prepare.
        let spare = if runners.len() < threads { runners.len() } else { 0 };
        let free = (0..threads + spare).map(|_| Batch::new(batch, image));
        let free = free.collect::<std::result::Result<Vec<_>, _>>()?;
        let state =
            State { next: 0, free, ready: VecDeque::new(), idle: runners, preparing: 0, broken: false };
        let (changed, stopped) = (Condvar::new(), AtomicBool::new(false));
        Ok(Queue { state: Mutex::new(state), changed, stopped, images: job.todo.len(), batch })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no further image be begun.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Taken so that no thread is between asking and waiting.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Waits for something to do.
    fn task(&self) -> Task {
        let mut state = self.lock();
        loop {
            if state.broken {
                return Task::Done;
            }
            if !state.ready.is_empty()
                && let Some(runner) = state.idle.pop()
                && let Some(ready) = state.ready.pop_front()
            {
                return Task::Run(runner, ready);
            }
            let over = state.next >= self.images || self.stopped.load(Ordering::Relaxed);
            if !over && let Some(batch) = state.free.pop() {
                let first = state.next;
                state.next = self.images.min(first + self.batch);
                state.preparing += 1;
                return Task::Prepare(batch, first..state.next);
            }
            if over && state.preparing == 0 && state.ready.is_empty() {
                return Task::Done;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes in what a thread has prepared; nothing to run where no image of it could be read.
    fn prepared(&self, ready: Ready) {
        let mut state = self.lock();
        state.preparing -= 1;
        if ready.images.is_empty() {
            state.free.push(ready.batch);
        } else {
            state.ready.push_back(ready);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Takes a runner and a batch back.
    fn ran(&self, runner: Box<dyn Runner>, batch: Batch) {
        let mut state = self.lock();
        state.idle.push(runner);
        state.free.push(batch);
        drop(state);
        self.changed.notify_all();
    }
}

/// One thread.
struct Worker<'a> {
    job: &'a Job<'a>,
    queue: &'a Queue,
    sender: SyncSender<Told>,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.lock().broken = true;
            self.queue.changed.notify_all();
        }
    }
}

impl Worker<'_> {
    fn work(&mut self) {
        let mut preparer = Preparer::new(self.job.preprocess);
        loop {
            match self.queue.task() {
                Task::Done => return,
                Task::Prepare(batch, range) => {
                    let ready = self.prepare(&mut preparer, batch, range);
                    self.queue.prepared(ready);
                }
                Task::Run(mut runner, ready) => {
                    self.run(runner.as_mut(), &ready);
                    self.queue.ran(runner, ready.batch);
                }
            }
        }
    }

    /// Reads, decodes and prepares images; of those that cannot be it tells at once.
    fn prepare(&self, preparer: &mut Preparer, mut batch: Batch, range: Range<usize>) -> Ready {
        let mut images = Vec::with_capacity(range.len());
        for order in range {
            let Some(&place) = self.job.todo.get(order) else { continue };
            let Some(item) = self.job.dataset.items.get(place) else { continue };
            match self.image(preparer, &mut batch, images.len(), item) {
                Ok(None) => images.push((order, place)),
                Ok(Some(defect)) => self.tell(order, place, Ok(defect)),
                Err(error) => self.tell(order, place, Err(error)),
            }
        }
        Ready { batch, images }
    }

    /// Prepares an image, or says what is wrong with it.
    fn image(
        &self,
        preparer: &mut Preparer,
        batch: &mut Batch,
        at: usize,
        item: &Item,
    ) -> Result<Option<Measured>> {
        let bytes = match (&item.defect, self.job.dataset.bytes(item)) {
            (Some(reason), _) => return Ok(Some(Measured::Absent(reason.clone()))),
            (None, Err(error)) if error.is_of_one_image() => {
                return Ok(Some(Measured::Absent(error.to_string())));
            }
            (None, bytes) => bytes?,
        };
        let prepared = batch.write(at, |tensor| preparer.file(&bytes, tensor))?;
        Ok(prepared.err().map(|error| Measured::Unreadable(error.to_string())))
    }

    /// Runs a batch and tells of each of its images.
    fn run(&self, runner: &mut dyn Runner, ready: &Ready) {
        let found = ready.batch.images(ready.images.len()).and_then(|images| {
            let logits = runner.run(&images)?;
            Ok((logits.dim(1)?, logits.flatten_all()?.to_vec1::<f32>()?))
        });
        let (classes, logits) = match found {
            Ok(found) => found,
            Err(error) => {
                // It is told of one image, the first: the run ends with it.
                if let Some(&(order, place)) = ready.images.first() {
                    self.tell(order, place, Err(error.into()));
                }
                return;
            }
        };
        for (&(order, place), logits) in ready.images.iter().zip(logits.chunks(classes.max(1))) {
            self.tell(order, place, self.measured(place, logits.to_vec()));
        }
    }

    /// The best guesses of an image's logits.
    fn measured(&self, place: usize, mut logits: Vec<f32>) -> Result<Measured> {
        if let Some(&found) = logits.iter().find(|v| !v.is_finite()) {
            let path = self.job.dataset.items.get(place).map_or_else(String::new, |i| i.path.clone());
            return Err(Error::NotFinite { model: self.job.model.to_owned(), path, found });
        }
        let mut kept = TOP_K.min(logits.len());
        if let Some(mask) = &self.job.dataset.mask {
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

    fn tell(&self, order: usize, place: usize, result: Result<Measured>) {
        // Where nobody listens any more the caller is unwinding.
        let _ = self.sender.send(Told { order, place, result });
    }
}

#[cfg(test)]
mod tests;
