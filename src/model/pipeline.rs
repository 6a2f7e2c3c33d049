//! Images to results on several threads: preparing, a bounded queue of batches, runners. No order shows in a result.
//!
//! In: a [`Job`], which knows the images and what becomes of a network's values, and [`Runner`]s that take batches. Out:
//! what was found of each image, handed to the caller's thread as it comes. Called by `verify`, `features`, `finetune`.
//!
//! A thread has no fixed part. When a batch is ready and a runner is idle it runs the batch, else it prepares the next
//! image, else it waits. On a CPU there are as many runners as threads and a batch is one image, so each thread prepares
//! an image and runs it while it is in its cache. A device that wants many images at a time is a runner or two of large
//! batches, with a thread each that waits for it: the others fill the next batch together, while it computes. There is room
//! for as many images as threads and runners can use, so memory is bounded whichever side is slower.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use super::{Error, InputBuffer, Runner};
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

/// Where the time of one thread went. With a device that computes, a thread that waits for its answer is in the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTime {
    /// Reading files.
    pub read: Duration,
    /// Decoding them.
    pub decode: Duration,
    /// Resizing, cropping, normalising.
    pub resize: Duration,
    /// The network, and what is made of its values.
    pub network: Duration,
    /// Nothing to do: no image is left, no room, or no batch.
    pub waiting: Duration,
}

/// Runs a job's images, and tells `sink` of each with its place. When the sink breaks, or `cancelled` says so, images
/// under way are finished and reported, and no other is begun: every image before a reported one is reported too. Returns where each thread's time went.
///
/// # Errors
/// The first error of the job or of a runner, in the order of the images.
pub fn run_images<J: Job>(
    job: &J,
    share: Share<'_>,
    runners: Vec<Box<dyn Runner>>,
    cancelled: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(usize, J::Found) -> ControlFlow<()>,
) -> Result<Vec<ThreadTime>, J::Error> {
    let threads = share.threads.max(1);
    let preferred = runners.iter().map(|r| r.preferred_batch()).max().unwrap_or(1);
    // No batch is larger than an equal share, so that no runner is idle while another has all.
    let most = share.todo.len().div_ceil(runners.len().max(1)).max(1);
    let batch = share.batch.unwrap_or(preferred).clamp(1, most);
    // Who waits for a device does not use a processor.
    let waiting = runners.iter().filter(|r| r.is_device()).count();
    let queue = Queue::new(share, runners, threads, batch)?;
    let (sender, receiver) = sync_channel(RESULT_BATCHES * threads * batch);
    let mut failed: Option<(usize, J::Error)> = None;
    let times = std::thread::scope(|scope| {
        let spawn = |_| {
            let worker =
                Worker { job, share, queue: &queue, sender: sender.clone(), time: ThreadTime::default() };
            scope.spawn(move || worker.work())
        };
        let workers: Vec<_> = (0..threads + waiting).map(spawn).collect();
        drop(sender);
        loop {
            let ImageResult { order, place, result } = match receiver.recv_timeout(POLL_INTERVAL) {
                Ok(received) => received,
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
        let time = |worker: ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(time).collect()
    });
    failed.map_or(Ok(times), |(_, error)| Err(error))
}

/// What became of an image: its position among those of the run, its place in the job.
struct ImageResult<J: Job> {
    order: usize,
    place: usize,
    result: Result<J::Found, J::Error>,
}

/// An image that is ready to be run.
struct Ready {
    buffer: InputBuffer,
    order: usize,
    place: usize,
}

/// What threads share: images that nobody has begun, room for them, idle runners.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    images: usize,
    batch: usize,
    /// Threads that prepare at a time.
    threads: usize,
}

struct State {
    /// The first image that nobody has begun.
    next: usize,
    free: Vec<InputBuffer>,
    ready: VecDeque<Ready>,
    idle: Vec<Box<dyn Runner>>,
    /// Threads that are preparing an image.
    preparing: usize,
    /// A thread has panicked: nobody waits for it.
    broken: bool,
}

/// What a thread does next.
enum Task {
    Run(Box<dyn Runner>, Vec<Ready>),
    Prepare(InputBuffer, usize),
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
        // One batch in each runner, one that is being filled, and an image in each thread.
        let room = if batch > 1 { (runners.len() + 1) * batch + threads } else { runners.len().max(threads) };
        let buffer = || runners.first().map_or_else(|| InputBuffer::new(image), |r| r.buffer(image));
        let free = (0..room.min(share.todo.len().max(1))).map(|_| buffer()).collect::<Result<Vec<_>, _>>()?;
        let state =
            State { next: 0, free, ready: VecDeque::new(), idle: runners, preparing: 0, broken: false };
        let (changed, stopped) = (Condvar::new(), AtomicBool::new(false));
        Ok(Queue { state: Mutex::new(state), changed, stopped, images: share.todo.len(), batch, threads })
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
            let over = state.next >= self.images || self.stopped.load(Ordering::Relaxed);
            // A batch is full, or nothing will be added to it.
            let is_due = state.ready.len() >= self.batch
                || (!state.ready.is_empty() && state.preparing == 0 && (over || state.free.is_empty()));
            if is_due && let Some(runner) = state.idle.pop() {
                let count = self.batch.min(state.ready.len());
                return Task::Run(runner, state.ready.drain(..count).collect());
            }
            if !over
                && state.preparing < self.threads
                && let Some(buffer) = state.free.pop()
            {
                let order = state.next;
                state.next += 1;
                state.preparing += 1;
                return Task::Prepare(buffer, order);
            }
            if over && state.preparing == 0 && state.ready.is_empty() {
                return Task::Done;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes in an image that a thread has prepared, or the room of one that cannot be run.
    fn prepared(&self, prepared: Result<Ready, InputBuffer>) {
        let mut state = self.lock();
        state.preparing -= 1;
        match prepared {
            Ok(ready) => state.ready.push_back(ready),
            Err(buffer) => state.free.push(buffer),
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Takes a runner and the room of its images back.
    fn ran(&self, runner: Box<dyn Runner>, buffers: Vec<InputBuffer>) {
        let mut state = self.lock();
        state.idle.push(runner);
        state.free.extend(buffers);
        drop(state);
        self.changed.notify_all();
    }
}

/// One thread.
struct Worker<'a, J: Job> {
    job: &'a J,
    share: Share<'a>,
    queue: &'a Queue,
    sender: SyncSender<ImageResult<J>>,
    time: ThreadTime,
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
    fn work(mut self) -> ThreadTime {
        let mut preparer = Preparer::new(self.share.preprocess);
        loop {
            let asked = Instant::now();
            let task = self.queue.task();
            self.time.waiting += asked.elapsed();
            match task {
                Task::Done => return self.time,
                Task::Prepare(buffer, order) => {
                    let prepared = self.prepare(&mut preparer, buffer, order);
                    self.queue.prepared(prepared);
                }
                Task::Run(mut runner, ready) => {
                    let begun = Instant::now();
                    let buffers = self.run(runner.as_mut(), ready);
                    self.time.network += begun.elapsed();
                    self.queue.ran(runner, buffers);
                }
            }
        }
    }

    /// Reads, decodes and prepares an image; of one that cannot be it tells at once, and gives its room back.
    fn prepare(
        &mut self,
        preparer: &mut Preparer,
        mut buffer: InputBuffer,
        order: usize,
    ) -> Result<Ready, InputBuffer> {
        let Some(&place) = self.share.todo.get(order) else { return Err(buffer) };
        match self.image(preparer, &mut buffer, place) {
            Ok(None) => return Ok(Ready { buffer, order, place }),
            Ok(Some(defect)) => self.tell(order, place, Ok(defect)),
            Err(error) => self.tell(order, place, Err(error)),
        }
        Err(buffer)
    }

    /// Prepares an image, or says what is wrong with it.
    fn image(
        &mut self,
        preparer: &mut Preparer,
        buffer: &mut InputBuffer,
        place: usize,
    ) -> Result<Option<J::Found>, J::Error> {
        let begun = Instant::now();
        let bytes = self.job.bytes(place)?;
        self.time.read += begun.elapsed();
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(found) => return Ok(Some(found)),
        };
        let (begun, decoded) = (Instant::now(), preparer.decoding());
        let prepared = buffer.write(|tensor| self.job.prepare(place, preparer, &bytes, tensor))?;
        let decode = preparer.decoding().saturating_sub(decoded);
        self.time.decode += decode;
        self.time.resize += begun.elapsed().saturating_sub(decode);
        Ok(prepared.err().map(|error| self.job.unreadable(place, &error)))
    }

    /// Runs a batch, tells of each of its images, and gives their room back.
    fn run(&self, runner: &mut dyn Runner, ready: Vec<Ready>) -> Vec<InputBuffer> {
        let (places, buffers): (Vec<_>, Vec<_>) =
            ready.into_iter().map(|r| ((r.order, r.place), r.buffer)).unzip();
        match runner.run(&buffers) {
            Ok(values) => {
                let width = values.len() / places.len().max(1);
                for (&(order, place), values) in places.iter().zip(values.chunks(width.max(1))) {
                    self.tell(order, place, self.job.found(place, values));
                }
            }
            // Reported of one image, the first: the run ends with it.
            Err(error) => {
                if let Some(&(order, place)) = places.first() {
                    self.tell(order, place, Err(error.into()));
                }
            }
        }
        buffers
    }

    fn tell(&self, order: usize, place: usize, result: Result<J::Found, J::Error>) {
        // Where nobody listens any more the caller is unwinding.
        let _ = self.sender.send(ImageResult { order, place, result });
    }
}
