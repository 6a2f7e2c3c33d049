//! Runs a graph on an NVIDIA card: kernels of our own, carried as PTX text, and nothing of NVIDIA's but its driver, which is
//! looked for when the program runs.
//!
//! In: a [`Graph`], its weights, the size of the image, a [`Device`]. Out: a [`Plan`], which turns batches of images into
//! logits. Called by whoever runs a network. `layout` says what lies where, `pack` arranges the weights, `schedule` makes
//! the launches (`step`), `tile` picks how convolutions are cut; `driver` is all of NVIDIA's that there is, `ptx` the
//! kernels, whose sources are in `kernels/`.
//!
//! Strict float32: no TF32, no atomics, no split sums. The bits of a result depend on the network, its weights and the
//! image's size, never on the batch, the tiles or the card, and `tests/emulate` gives the same ones on a CPU.

#![allow(unsafe_code)]

mod arguments;
mod driver;
mod error;
mod layout;
mod pack;
mod ptx;
mod schedule;
mod step;
mod tile;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fold::Tensors;
use crate::graph::{Graph, NodeId, Shape};
use crate::weights::Weights;

pub use driver::{Device, DeviceInfo, on_compilation};
pub use error::{CallError, Error};
pub use ptx::KERNELS;

use driver::{Event, Memory, Pinned, Stream};
use layout::{FeatureMap, Layout};
use schedule::Scheduler;
use step::Step;

/// A batch has as many pixels as so many images of 224×224, where memory allows: enough to fill a large card.
const BATCH_PIXELS: usize = 256 * 224 * 224;

/// The largest batch.
const MAX_BATCH: usize = 256;

/// Of the card's free memory, what a plan takes at most, in percent: others may want some too.
const MEMORY_SHARE: usize = 80;

/// Batches whose images are copied and computed at the same time.
const LANES: usize = 2;

/// A network on a card, for images of one size. Clones share it.
#[derive(Clone)]
pub struct Plan {
    shared: Arc<Shared>,
}

struct Shared {
    device: Arc<Device>,
    model: String,
    image: [usize; 3],
    batch: usize,
    layers: Vec<String>,
    steps: Vec<Step>,
    outputs: Vec<FeatureMap>,
    /// Kept for the steps, which have their addresses.
    _weights: Vec<Regions>,
    arena: Memory,
    /// The layer that was begun last, as a kernel writes it.
    begun: Pinned,
    /// What computes, in order; who gives it work holds the lock.
    compute: Mutex<Stream>,
    lanes: Mutex<Vec<Lane>>,
}

/// A layer's regions on the card (`pack`).
type Regions = Vec<Memory>;

/// What a batch needs that is on its way.
struct Lane {
    images: Memory,
    results: Pinned,
    copies: Stream,
    arrived: Event,
    finished: Event,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plan {
    /// Plans `graph` for images of `[channels, height, width]`; a pass gives the values of `outputs`. A batch is as large
    /// as the card's free memory allows, and at most `batch`.
    ///
    /// # Errors
    /// Where the image does not fit the graph, a tensor is missing or of another shape, the memory does not hold one
    /// image, or the driver says that something failed.
    pub fn new(
        device: &Arc<Device>,
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
        outputs: &[NodeId],
        batch: Option<usize>,
    ) -> Result<Plan, Error> {
        let [channels, height, width] = image;
        let shapes = graph.shapes([1, channels, height, width])?;
        if let Some(NodeId(node)) = outputs.iter().find(|node| node.0 >= shapes.len()) {
            return Err(Error::Output { model: graph.name.clone(), node: *node });
        }
        device.enter()?;
        let layout = Layout::new(graph, &shapes, outputs);
        let memory = |bytes: usize| {
            let free = device.free_memory().unwrap_or(0);
            Error::Memory { device: device.info().name.clone(), model: graph.name.clone(), bytes, free }
        };
        let each = (layout.total + LANES * image.iter().product::<usize>()) * 4;
        let packed = match upload(device, graph, weights, &layout) {
            Err(Error::Call(call)) if call.is_out_of_memory() => {
                let weights: u64 = graph.weights.iter().map(|w| w.elements() * 4).sum();
                return Err(memory(each + usize::try_from(weights).unwrap_or(usize::MAX)));
            }
            packed => packed?,
        };
        let usual = (BATCH_PIXELS / (height * width).max(1)).clamp(1, MAX_BATCH);
        let fits = device.free_memory()? / 100 * MEMORY_SHARE / each.max(1);
        let mut batch = batch.unwrap_or(usual).clamp(1, MAX_BATCH).min(fits.max(1));
        loop {
            match Parts::new(device, graph, &layout, &packed, image, batch) {
                Ok(Parts { arena, begun, steps, lanes }) => {
                    let shared = Shared {
                        device: Arc::clone(device),
                        model: graph.name.clone(),
                        image,
                        batch,
                        layers: layout.layers.iter().map(|l| l.name.clone()).collect(),
                        steps,
                        outputs: layout.outputs,
                        _weights: packed,
                        arena,
                        begun,
                        compute: Mutex::new(device.stream()?),
                        lanes: Mutex::new(lanes),
                    };
                    return Ok(Plan { shared: Arc::new(shared) });
                }
                // Others may have taken what was free.
                Err(Error::Call(call)) if call.is_out_of_memory() && batch > 1 => batch /= 2,
                Err(Error::Call(call)) if call.is_out_of_memory() => return Err(memory(each)),
                Err(error) => return Err(error),
            }
        }
    }

    /// The card.
    pub fn device(&self) -> &Arc<Device> {
        &self.shared.device
    }

    /// `[channels, height, width]` of the images that it takes.
    pub fn image_shape(&self) -> [usize; 3] {
        self.shared.image
    }

    /// Images of a batch.
    pub fn batch(&self) -> usize {
        self.shared.batch
    }

    /// How many batches may be on their way at a time: calls of [`Plan::run`] that do not wait for each other.
    pub fn lanes(&self) -> usize {
        LANES
    }

    /// The shape of every output, for one image.
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.shared.outputs.iter().map(|map| [1, map.channels, map.size[0], map.size[1]]).collect()
    }

    /// Room for an image, from which the card reads by itself.
    ///
    /// # Errors
    /// No memory that can be pinned.
    pub fn image(&self) -> Result<PinnedImage, Error> {
        self.shared.device.enter()?;
        Ok(PinnedImage(self.shared.device.pinned(self.shared.image.iter().product())?))
    }

    /// Values of all outputs of an image.
    pub fn values(&self) -> usize {
        self.shared.values()
    }

    /// Runs any number of images (CHW, normalised), batch after batch: for each image its outputs' values, one output after
    /// another, each CHW. While one thread's batch is computed another's is copied.
    ///
    /// # Errors
    /// An image of another length than the plan's; what the driver says, with the layer where a kernel failed.
    pub fn run(&self, images: &[&[f32]]) -> Result<Vec<f32>, Error> {
        let shared = &*self.shared;
        let expected: usize = shared.image.iter().product();
        if let Some(image) = images.iter().find(|image| image.len() != expected) {
            return Err(Error::Length { what: "image", expected, found: image.len() });
        }
        shared.device.enter()?;
        let mut lane = shared.lane()?;
        let mut results = vec![0.0; images.len() * shared.values()];
        let rows = results.chunks_mut((shared.batch * shared.values()).max(1));
        for (batch, rows) in images.chunks(shared.batch).zip(rows) {
            shared.batch(&mut lane, batch)?;
            shared.gather(&lane, batch.len(), rows);
        }
        lock(&shared.lanes).push(lane);
        Ok(results)
    }

    /// Milliseconds that each of `times` passes of a full batch takes whose images are on the card already.
    ///
    /// # Errors
    /// What the driver says.
    pub fn time(&self, times: usize) -> Result<Vec<f32>, Error> {
        let shared = &*self.shared;
        shared.device.enter()?;
        let lane = shared.lane()?;
        let [start, end] = [shared.device.event()?, shared.device.event()?];
        let compute = lock(&shared.compute);
        let mut all = Vec::with_capacity(times);
        for _ in 0..times {
            start.record(&compute)?;
            shared.pass(&compute, &lane, shared.batch)?;
            end.record(&compute)?;
            compute.synchronize().map_err(|e| shared.told_late(e))?;
            all.push(end.since(&start)?);
        }
        drop(compute);
        lock(&shared.lanes).push(lane);
        Ok(all)
    }
}

/// An image's room.
#[derive(Debug)]
pub struct PinnedImage(Pinned);

impl PinnedImage {
    /// Its values.
    pub fn values(&self) -> &[f32] {
        self.0.values()
    }

    /// Its values, to be written.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.0.values_mut()
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shared { model, image, device, batch, .. } = &*self.shared;
        write!(f, "Plan({model} {image:?} {device:?} batch {batch})")
    }
}

/// What depends on the batch.
struct Parts {
    arena: Memory,
    begun: Pinned,
    steps: Vec<Step>,
    lanes: Vec<Lane>,
}

impl Parts {
    fn new(
        device: &Arc<Device>,
        graph: &Graph,
        layout: &Layout,
        weights: &[Regions],
        image: [usize; 3],
        batch: usize,
    ) -> Result<Parts, Error> {
        let arena = device.memory(layout.total * batch)?;
        let begun = device.pinned(1)?;
        let values = image.iter().product::<usize>();
        let results = layout.outputs.iter().map(FeatureMap::len).sum();
        let lanes = (0..LANES).map(|_| Lane::new(device, values, results, batch));
        let lanes = lanes.collect::<Result<Vec<_>, Error>>()?;
        let scheduler = Scheduler { device, model: &graph.name, layout, weights, arena: &arena, batch };
        let steps = scheduler.steps()?;
        Ok(Parts { arena, begun, steps, lanes })
    }
}

impl Lane {
    /// For a batch of images and results of so many values each.
    fn new(device: &Arc<Device>, image: usize, results: usize, batch: usize) -> Result<Lane, Error> {
        Ok(Lane {
            images: device.memory(image * batch)?,
            results: device.pinned(results * batch)?,
            copies: device.stream()?,
            arrived: device.event()?,
            finished: device.event()?,
        })
    }
}

/// Packs every layer's weights and has them on the card, by as many threads as there are.
fn upload(
    device: &Arc<Device>,
    graph: &Graph,
    weights: &dyn Weights,
    layout: &Layout,
) -> Result<Vec<Regions>, Error> {
    let tensors = Tensors { graph, weights };
    let next = Mutex::new(0..layout.layers.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(layout.layers.len());
    let one = |index: usize| -> Result<Regions, Error> {
        let Some(layer) = layout.layers.get(index) else { return Ok(Vec::new()) };
        let packed = pack::pack(&tensors, layer, layout.map(layer.input), layout.map(layer.output))
            .map_err(|source| Error::Weights { model: graph.name.clone(), source })?;
        let regions = packed.into_iter().map(|values| {
            let memory = device.memory(values.len())?;
            memory.fill(&values)?;
            Ok(memory)
        });
        let regions = regions.collect::<Result<Vec<_>, Error>>()?;
        weights.release_pages();
        Ok(regions)
    };
    let work = || -> Result<Vec<(usize, Regions)>, Error> {
        device.enter()?;
        let mut done = Vec::new();
        while let Some(index) = { lock(&next).next() } {
            done.push((index, one(index)?));
        }
        Ok(done)
    };
    let parts: Vec<Result<Vec<(usize, Regions)>, Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    });
    let mut all: Vec<Regions> = layout.layers.iter().map(|_| Vec::new()).collect();
    for (index, regions) in parts.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        if let Some(to) = all.get_mut(index) {
            *to = regions;
        }
    }
    Ok(all)
}

impl Shared {
    /// A lane that nobody uses, or another where all are in use.
    fn lane(&self) -> Result<Lane, Error> {
        let idle = lock(&self.lanes).pop();
        let results = self.outputs.iter().map(FeatureMap::len).sum();
        idle.map_or_else(|| Lane::new(&self.device, self.image.iter().product(), results, self.batch), Ok)
    }

    /// Copies a batch, computes it, and waits for its results.
    fn batch(&self, lane: &mut Lane, images: &[&[f32]]) -> Result<(), Error> {
        let begun = self.begin(lane, images);
        // Also where something failed: nothing may be written or read by the card once this has returned.
        let finished = match &begun {
            Ok(()) => lane.finished.synchronize(),
            Err(_) => lane.copies.synchronize().and_then(|()| lock(&self.compute).synchronize()),
        };
        begun?;
        finished.map_err(|error| self.told_late(error))
    }

    fn begin(&self, lane: &mut Lane, images: &[&[f32]]) -> Result<(), Error> {
        let each = self.image.iter().product::<usize>();
        for (index, image) in images.iter().enumerate() {
            // SAFETY: `batch` waits for the copies before it returns, and borrows the images so long.
            unsafe { lane.images.begin_fill(index * each, image, &lane.copies) }
                .map_err(|e| self.told_late(e))?;
        }
        lane.arrived.record(&lane.copies)?;
        let compute = lock(&self.compute);
        compute.wait(&lane.arrived)?;
        self.pass(&compute, lane, images.len())?;
        let mut at = 0;
        for map in &self.outputs {
            let values = map.len() * images.len();
            // SAFETY: `batch` waits for the results before it returns, and has the lane to itself.
            unsafe {
                self.arena.begin_read(map.at * self.batch, values, &mut lane.results, at, &compute)?;
            }
            at += values;
        }
        lane.finished.record(&compute)?;
        Ok(())
    }

    fn pass(&self, compute: &Stream, lane: &Lane, images: usize) -> Result<(), Error> {
        for step in &self.steps {
            // SAFETY: the steps were made for this arena, these weights and batches of at least so many images; all of
            // it lives as long as the plan, and who runs a pass waits for its end.
            unsafe { step.launch(images, lane.images.address(0), self.begun.address(), compute) }
                .map_err(|error| self.failed(step.layer, error))?;
        }
        Ok(())
    }

    /// An error that the driver tells after the fact, of the layer that was begun last.
    fn told_late(&self, error: CallError) -> Error {
        match (self.begun.first_bits() as usize).checked_sub(1) {
            Some(layer) => self.failed(layer, error),
            None => Error::Call(error),
        }
    }

    fn failed(&self, layer: usize, source: CallError) -> Error {
        match self.layers.get(layer) {
            Some(layer) => Error::Layer {
                layer: layer.clone(),
                model: self.model.clone(),
                device: self.device.info().name.clone(),
                source,
            },
            None => Error::Call(source),
        }
    }

    fn values(&self) -> usize {
        self.outputs.iter().map(|map| map.pixels() * map.channels).sum()
    }

    /// A batch's results, from maps of all images to rows of one.
    fn gather(&self, lane: &Lane, images: usize, rows: &mut [f32]) {
        let (mut rest, mut first, width) = (lane.results.values(), 0, self.values().max(1));
        for map in &self.outputs {
            let (values, others) = rest.split_at((map.len() * images).min(rest.len()));
            for (row, values) in rows.chunks_exact_mut(width).zip(values.chunks_exact(map.len().max(1))) {
                for channel in 0..map.channels {
                    let of_channel = values.iter().skip(channel).step_by(map.pitch.max(1));
                    let start = first + channel * map.pixels();
                    for (to, value) in row.iter_mut().skip(start).take(map.pixels()).zip(of_channel) {
                        *to = *value;
                    }
                }
            }
            rest = others;
            first += map.pixels() * map.channels;
        }
    }
}
