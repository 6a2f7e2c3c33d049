//! How fast a network runs on this machine: latency, throughput, and where the time goes.
//!
//! In: a graph with weights, or an entry or architecture by name. Out: [`Latency`], images a second,
//! [`LayerTime`]s. Called by `zoo bench` and by the programs in `benches/`. Times do not depend on the
//! values of weights, so seeded ones stand in where the real ones are not here.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{EngineKind, Error, ModelSpec, WeightsSource, bind_weights};
use crate::arch;
use crate::arch::facts::{DEFAULT_CLASSES, IMAGE_CHANNELS};
use crate::checkpoint::Checkpoint;
use crate::nn::cuda;
use crate::nn::graph::Graph;
use crate::nn::kernels::roofline::Roofline;
use crate::nn::plan::{Isa, Plan, Worker};
use crate::nn::seeded::{self, Seeded};
use crate::nn::weights::Weights;
use crate::registry::Entry;
use crate::store::{Request, Store};

/// Seed of stand-in weights and image.
const SEED: u64 = 0;

/// Height and width of the image where nobody says them: what most of the index's models take.
const DEFAULT_SIZE: [usize; 2] = [224; 2];

/// A network that is measured.
#[derive(Debug)]
pub struct Bench {
    engine: Engine,
    image: Vec<f32>,
    size: [usize; 2],
    seeded: bool,
}

#[derive(Debug)]
enum Engine {
    Cpu(Plan),
    /// For batches, and for one image.
    Card {
        batches: cuda::Plan,
        single: cuda::Plan,
    },
}

/// Times of one image after another, in milliseconds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Latency {
    /// The middle one.
    pub median_ms: f64,
    /// The least.
    pub min_ms: f64,
    /// The most.
    pub max_ms: f64,
    /// How many were taken.
    pub runs: usize,
}

/// What one layer takes on one thread.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LayerTime {
    /// Its main node.
    pub name: String,
    /// The median of its times.
    pub ms: f64,
    /// Multiply-adds.
    pub macs: u64,
    /// Billions of floating-point operations a second.
    pub gflops: f64,
    /// The least time that this machine's limits allow, by the time it took.
    pub roofline: f64,
}

impl Bench {
    /// A network with some weights, at `[height, width]`.
    ///
    /// # Errors
    /// Where no plan can be made of it.
    pub fn new(
        kind: EngineKind,
        graph: &Graph,
        weights: &dyn Weights,
        size: [usize; 2],
    ) -> Result<Self, Error> {
        let shape = [IMAGE_CHANNELS, size[0], size[1]];
        let engine = match kind {
            EngineKind::Cuda(ordinal) => {
                let device = cuda::Device::open(ordinal)?;
                let plan = |batch| cuda::Plan::new(&device, graph, weights, shape, &[graph.output()], batch);
                // The small one first: the other takes most of the memory that is left.
                let single = plan(Some(1))?;
                Engine::Card { single, batches: plan(None)? }
            }
            EngineKind::Plan | EngineKind::Reference => {
                Engine::Cpu(Plan::new(graph, weights, shape, Isa::from_env()?)?)
            }
        };
        let image = seeded::input(SEED, [1, IMAGE_CHANNELS, size[0], size[1]]);
        Ok(Bench { engine, image, size, seeded: false })
    }

    /// An architecture with seeded weights.
    ///
    /// # Errors
    /// An unknown architecture, a size it cannot take.
    pub fn architecture(kind: EngineKind, name: &str, size: [usize; 2]) -> Result<Self, Error> {
        let unknown = |e| Error::Architecture { name: name.to_owned(), source: Box::new(e) };
        let graph = arch::build(name, DEFAULT_CLASSES).map_err(unknown)?;
        let bench = Bench::new(kind, &graph, &Seeded::new(&graph, SEED), size)?;
        Ok(Bench { seeded: true, ..bench })
    }

    /// An entry with its weights where the store has them, else with seeded ones; at `size`, else at the
    /// entry's own, else at 224 pixels. A store that is offline downloads nothing.
    ///
    /// # Errors
    /// An entry without architecture, weights that do not fit.
    pub fn entry(
        kind: EngineKind,
        entry: &Entry,
        store: &Store,
        size: Option<[usize; 2]>,
    ) -> Result<Self, Error> {
        let Some(name) = entry.zoo.arch.as_deref() else {
            return Err(Error::NoArchitecture { name: entry.name.clone(), origin: entry.origin.clone() });
        };
        let size = size.or(entry.image_size.map(|s| [s.height, s.width])).unwrap_or(DEFAULT_SIZE);
        let Ok((weights, checkpoint)) = store.open_weights(&Request::of(entry)) else {
            return Bench::architecture(kind, name, size);
        };
        let build = |classes| {
            let unknown = |e| Error::Architecture { name: entry.name.clone(), source: Box::new(e) };
            arch::build(name, classes).map_err(unknown)
        };
        let (graph, scheme) = (build(DEFAULT_CLASSES)?, entry.zoo.names.as_deref());
        let bound = bind_weights(graph, checkpoint, &weights.source.path, scheme, build)?;
        Bench::new(kind, &bound.graph, &bound.weights, size)
    }

    /// A weights file whose spec says what it is of; at `size`, else at the spec's own.
    ///
    /// # Errors
    /// Weights that do not fit, a size that the network cannot take.
    pub fn file(kind: EngineKind, spec: &ModelSpec, size: Option<[usize; 2]>) -> Result<Self, Error> {
        let WeightsSource::File(path) = &spec.weights else {
            return Bench::architecture(kind, &spec.arch, size.unwrap_or(DEFAULT_SIZE));
        };
        let build = |classes| {
            let unknown = |e| Error::Architecture { name: spec.name.clone(), source: Box::new(e) };
            arch::build(&spec.arch, classes).map_err(unknown)
        };
        let checkpoint = Checkpoint::open(path)?;
        let scheme = spec.naming_scheme.as_deref();
        let bound = bind_weights(build(DEFAULT_CLASSES)?, checkpoint, path, scheme, build)?;
        let [_, height, width] = spec.image_shape();
        Bench::new(kind, &bound.graph, &bound.weights, size.unwrap_or([height, width]))
    }

    /// `[height, width]` of the image.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Whether the weights are stand-ins.
    pub fn seeded(&self) -> bool {
        self.seeded
    }

    /// The instruction set it runs on.
    pub fn isa(&self) -> &'static str {
        match &self.engine {
            Engine::Cpu(plan) => plan.isa().name(),
            Engine::Card { .. } => cuda::KERNELS,
        }
    }

    /// Images that are computed together for the throughput.
    pub fn batch(&self) -> usize {
        match &self.engine {
            Engine::Cpu(_) => 1,
            Engine::Card { batches, .. } => batches.batch(),
        }
    }

    /// The card, where it runs on one.
    pub fn device(&self) -> Option<&str> {
        match &self.engine {
            Engine::Cpu(_) => None,
            Engine::Card { batches, .. } => Some(&batches.device().info().name),
        }
    }

    /// Images a second of full batches that are on the card already; none on the CPU.
    ///
    /// # Errors
    /// What the driver says.
    pub fn on_card(&self, runs: usize) -> Result<Option<f64>, Error> {
        let Engine::Card { batches, .. } = &self.engine else { return Ok(None) };
        batches.time(1)?;
        let mut times = batches.time(runs.max(1))?;
        times.sort_by(f32::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or(f32::NAN);
        Ok(Some(batches.batch() as f64 * 1e3 / f64::from(median)))
    }

    fn warm(&self, worker: &mut Worker, out: &mut [f32]) -> Result<(), Error> {
        Ok(worker.logits(&self.image, out)?)
    }

    /// One image after another, each split between `threads` threads.
    ///
    /// # Errors
    /// No memory, no threads.
    pub fn latency(&self, threads: usize, runs: usize) -> Result<Latency, Error> {
        let mut times = Vec::with_capacity(runs);
        match &self.engine {
            Engine::Cpu(plan) => {
                let mut worker = plan.worker_on(threads)?;
                let mut out = vec![0.0; plan.outputs()];
                self.warm(&mut worker, &mut out)?;
                for _ in 0..runs.max(1) {
                    let start = Instant::now();
                    worker.logits(&self.image, &mut out)?;
                    times.push(milliseconds(start.elapsed()));
                }
            }
            Engine::Card { single, .. } => {
                let mut room = single.image()?;
                room.values_mut().copy_from_slice(&self.image);
                single.run(&[room.values()])?;
                for _ in 0..runs.max(1) {
                    let start = Instant::now();
                    single.run(&[room.values()])?;
                    times.push(milliseconds(start.elapsed()));
                }
            }
        }
        times.sort_by(f64::total_cmp);
        let at = |i: usize| times.get(i).copied().unwrap_or(f64::NAN);
        let runs = times.len();
        Ok(Latency { median_ms: at(runs / 2), min_ms: at(0), max_ms: at(runs - 1), runs })
    }

    /// Images a second, each thread on images of its own, for about as long as `lasting`. On a card, batches from host
    /// memory, copies included, by as many threads as it takes batches at a time.
    ///
    /// # Errors
    /// No memory.
    pub fn throughput(&self, threads: usize, lasting: Duration) -> Result<f64, Error> {
        match &self.engine {
            Engine::Cpu(plan) => rate(threads.max(1), lasting, || {
                let mut worker = plan.worker()?;
                let mut out = vec![0.0; plan.outputs()];
                Ok(move || Ok(worker.logits(&self.image, &mut out).map(|()| 1)?))
            }),
            Engine::Card { batches, .. } => rate(batches.lanes(), lasting, || {
                let room = || {
                    let mut room = batches.image()?;
                    room.values_mut().copy_from_slice(&self.image);
                    Ok(room)
                };
                let rooms = (0..batches.batch()).map(|_| room()).collect::<Result<Vec<_>, Error>>()?;
                Ok(move || {
                    let images: Vec<&[f32]> = rooms.iter().map(cuda::PinnedImage::values).collect();
                    batches.run(&images)?;
                    Ok(images.len())
                })
            }),
        }
    }

    /// What each layer takes on one thread, held against what this machine can do at most.
    ///
    /// None on a card.
    ///
    /// # Errors
    /// No memory.
    pub fn layers(&self, runs: usize) -> Result<Option<(Roofline, Vec<LayerTime>)>, Error> {
        let Engine::Cpu(plan) = &self.engine else { return Ok(None) };
        let layers = plan.layers();
        let mut worker = plan.worker()?;
        let mut out = vec![0.0; plan.outputs()];
        self.warm(&mut worker, &mut out)?;
        let mut taken: Vec<Vec<f64>> = vec![Vec::new(); layers.len()];
        for _ in 0..runs.max(1) {
            let mut times = vec![Duration::ZERO; layers.len()];
            worker.timed(&self.image, &mut out, &mut times)?;
            for (all, time) in taken.iter_mut().zip(times) {
                all.push(time.as_secs_f64());
            }
        }
        let limits = Roofline::measure(plan.isa());
        let layer = |(info, mut times): (&crate::nn::plan::LayerInfo, Vec<f64>)| {
            times.sort_by(f64::total_cmp);
            let seconds = times.get(times.len() / 2).copied().unwrap_or(f64::NAN).max(1e-9);
            let flops = 2.0 * info.macs as f64;
            LayerTime {
                name: info.name.clone(),
                ms: seconds * 1e3,
                macs: info.macs,
                gflops: flops / seconds / 1e9,
                roofline: limits.seconds(flops, info.bytes) / seconds,
            }
        };
        let all = layers.iter().zip(taken).map(layer).collect();
        Ok(Some((limits, all)))
    }
}

/// Images a second of `threads` threads together, for about as long as `lasting`. Each has what `prepare` makes, which does
/// some images and says how many; the first are not counted.
fn rate<R: FnMut() -> Result<usize, Error>>(
    threads: usize,
    lasting: Duration,
    prepare: impl Fn() -> Result<R, Error> + Sync,
) -> Result<f64, Error> {
    let (ready, over) = (Barrier::new(threads), AtomicBool::new(false));
    let each = || -> Result<(usize, f64), Error> {
        let prepared = prepare().and_then(|mut run| run().map(|_| run));
        // Every thread comes here, whatever happened to it.
        ready.wait();
        let mut run = prepared?;
        let (start, mut images) = (Instant::now(), 0);
        while !over.load(Ordering::Relaxed) {
            images += run()?;
            if start.elapsed() >= lasting {
                over.store(true, Ordering::Relaxed);
            }
        }
        Ok((images, start.elapsed().as_secs_f64()))
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(each)).collect();
        let mut rate = 0.0;
        for thread in started {
            let (images, seconds) = thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p))?;
            rate += images as f64 / seconds;
        }
        Ok(rate)
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
