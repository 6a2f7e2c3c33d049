//! Images to results on several threads: preparing, a bounded queue of batches, runners. No order shows in a result.
//!
//! In: a [`Job`], which knows the images and what becomes of a network's values, and [`Runner`]s that take batches. Out:
//! what was found of each image, handed to the caller's thread as it comes. Called by `verify`, `features`, `finetune`.
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

use super::{Batch, Error, Runner};
use crate::image::{self, Preparer, Preprocess};

/// How often the caller's thread asks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Results of so many batches a thread may wait for the caller.
const RESULT_BATCHES: usize = 4;

/// The images of a run, by place, and what becomes of the values that the network has of them.
pub trait Job: Sync {
    /// What is found of an image, good or bad.
    type Found: Send;
    /// Why the run cannot go on.
    type Error: Send + From<Error>;

    /// An image's bytes, or what is found where there are none to decode.
    ///
    /// # Errors
    /// What concerns more than this image.
    fn bytes(&self, place: usize) -> Result<Result<Vec<u8>, Self::Found>, Self::Error>;

    /// Prepares an image: as the preparer does, unless the job wants it otherwise.
    ///
    /// # Errors
    /// Bytes that cannot be decoded or prepared.
    fn prepare(
        &self,
        place: usize,
        preparer: &mut Preparer,
        bytes: &[u8],
        tensor: &mut [f32],
    ) -> Result<(), image::Error> {
        let _ = place;
        preparer.file(bytes, tensor)
    }

    /// What is found of an image that cannot be decoded or prepared.
    fn unreadable(&self, place: usize, error: &image::Error) -> Self::Found;

    /// What is found of an image, given the network's values.
    ///
    /// # Errors
    /// Values that end the run.
    fn found(&self, place: usize, values: &[f32]) -> Result<Self::Found, Self::Error>;
}

/// Which images are run, and by how many.
#[derive(Clone, Copy)]
pub struct Share<'a> {
    /// How images are prepared.
    pub preprocess: &'a Preprocess,
    /// The places of the images.
    pub todo: &'a [usize],
    /// Threads that prepare and compute.
    pub threads: usize,
    /// Images of a batch; none for what the runners prefer.
    pub batch: Option<usize>,
}

/// Runs a job's images, and tells `sink` of each with its place. When the sink breaks, or `cancelled` says so, images
/// under way are finished and told, and no other is begun: every image that comes before one that was told is told too.
///
/// # Errors
/// The first error of the job or of a runner, in the order of the images.
pub fn run_images<J: Job>(
    job: &J,
    share: Share<'_>,
    runners: Vec<Box<dyn Runner>>,
    cancelled: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(usize, J::Found) -> ControlFlow<()>,
) -> Result<(), J::Error> {
    let threads = share.threads.max(1);
    let preferred = runners.iter().map(|r| r.preferred_batch()).max().unwrap_or(1);
    // No batch is larger than an equal share, so that no thread is idle while another prepares all.
    let batch = share.batch.unwrap_or(preferred).clamp(1, share.todo.len().div_ceil(threads).max(1));
    let queue = Queue::new(share, runners, threads, batch)?;
    let (sender, receiver) = sync_channel(RESULT_BATCHES * threads * batch);
    let mut failed: Option<(usize, J::Error)> = None;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let mut worker = Worker { job, share, queue: &queue, sender: sender.clone() };
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
                Ok(found) => sink(place, found).is_break() || cancelled(),
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

/// What became of an image: its position among those of the run, its place in the job.
struct Told<J: Job> {
    order: usize,
    place: usize,
    result: Result<J::Found, J::Error>,
}

/// Images that are ready to be run.
struct Ready {
    batch: Batch,
    /// Position in the run, and place in the job, of each.
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
    fn new(
        share: Share<'_>,
        runners: Vec<Box<dyn Runner>>,
        threads: usize,
        batch: usize,
    ) -> Result<Self, Error> {
        let Preprocess { mean, size, .. } = share.preprocess;
        let image = [mean.len(), size.height, size.width];
        // While every runner of a device computes, every thread may prepare.
        let spare = if runners.len() < threads { runners.len() } else { 0 };
        let free = (0..threads + spare).map(|_| Batch::new(batch, image));
        let free = free.collect::<Result<Vec<_>, _>>()?;
        let state =
            State { next: 0, free, ready: VecDeque::new(), idle: runners, preparing: 0, broken: false };
        let (changed, stopped) = (Condvar::new(), AtomicBool::new(false));
        Ok(Queue { state: Mutex::new(state), changed, stopped, images: share.todo.len(), batch })
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
struct Worker<'a, J: Job> {
    job: &'a J,
    share: Share<'a>,
    queue: &'a Queue,
    sender: SyncSender<Told<J>>,
}

impl<J: Job> Drop for Worker<'_, J> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.lock().broken = true;
            self.queue.changed.notify_all();
        }
    }
}

impl<J: Job> Worker<'_, J> {
    fn work(&mut self) {
        let mut preparer = Preparer::new(self.share.preprocess);
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
            let Some(&place) = self.share.todo.get(order) else { continue };
            match self.image(preparer, &mut batch, images.len(), place) {
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
        place: usize,
    ) -> Result<Option<J::Found>, J::Error> {
        let bytes = match self.job.bytes(place)? {
            Ok(bytes) => bytes,
            Err(found) => return Ok(Some(found)),
        };
        let prepared = batch.write(at, |tensor| self.job.prepare(place, preparer, &bytes, tensor))?;
        Ok(prepared.err().map(|error| self.job.unreadable(place, &error)))
    }

    /// Runs a batch and tells of each of its images.
    fn run(&self, runner: &mut dyn Runner, ready: &Ready) {
        let found = ready.batch.images(ready.images.len()).and_then(|images| {
            let values = runner.run(&images)?;
            Ok((values.dim(1)?, values.flatten_all()?.to_vec1::<f32>()?))
        });
        let (width, values) = match found {
            Ok(found) => found,
            Err(error) => {
                // It is told of one image, the first: the run ends with it.
                if let Some(&(order, place)) = ready.images.first() {
                    self.tell(order, place, Err(error.into()));
                }
                return;
            }
        };
        for (&(order, place), values) in ready.images.iter().zip(values.chunks(width.max(1))) {
            self.tell(order, place, self.job.found(place, values));
        }
    }

    fn tell(&self, order: usize, place: usize, result: Result<J::Found, J::Error>) {
        // Where nobody listens any more the caller is unwinding.
        let _ = self.sender.send(Told { order, place, result });
    }
}
