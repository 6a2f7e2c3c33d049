//! A network with its weights as a candle module: a tensor of images in, logits out.
//!
//! In: a graph, its weights, the size of the images, an engine. Out: a [`Network`], which implements
//! [`candle_core::Module`], so that any candle program can call it. The plan is one candle operation ([`PlanOp`]); the
//! reference is plain candle operations. Called by [`super::Model`], `predict`, `verify` and whoever has tensors.
//!
//! ```
//! # use zoo_library as zoo;
//! use candle_core::{Device, Module, Tensor};
//! use zoo::nn::seeded::Seeded;
//! let graph = zoo::arch::build("mobilenetv3_large_100", 1000)?;
//! let network = zoo::model::Network::new(Default::default(), &graph, &Seeded::new(&graph, 0), [3, 64, 64])?;
//! let images = Tensor::zeros((2, 3, 64, 64), candle_core::DType::F32, &Device::Cpu)?;
//! assert_eq!(network.forward(&images)?.dims(), [2, 1000]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Module, Shape, Tensor};

use super::{EngineInfo, EngineKind, Error};
use crate::nn::graph::{Graph, NodeId};
use crate::nn::plan::{Isa, Plan, Worker};
use crate::nn::reference::Reference;
use crate::nn::weights::Weights;

/// A network ready to run on images of one size, `[n, channels, height, width]` float32. Clones share weights.
///
/// A batch gives each image the bits that it has alone, whatever the number of threads.
#[derive(Clone)]
pub struct Network {
    name: Arc<str>,
    /// `[channels, height, width]`.
    image: [usize; 3],
    info: EngineInfo,
    kind: EngineKind,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    /// The operation, as candle wants to hold it.
    Plan(Arc<PlanOp>, Arc<Box<dyn CustomOp1 + Send + Sync>>),
    /// With the node whose value is the logits, and how many there are.
    Reference { network: Arc<Reference>, output: NodeId, classes: usize },
}

impl Network {
    /// Prepares `graph` with `weights` for images of `[channels, height, width]`, to be run on one thread.
    ///
    /// # Errors
    /// Weights that do not fit the graph, an image size it cannot take, `ZOO_ISA` naming an instruction set that this
    /// processor does not have.
    pub fn new(
        kind: EngineKind,
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
    ) -> Result<Self, Error> {
        let info = kind.info()?;
        let backend = match kind {
            EngineKind::Plan => {
                Backend::plan(&graph.name, Plan::new(graph, weights, image, Isa::from_env()?)?, image, 1)
            }
            EngineKind::Reference => {
                let [channels, height, width] = image;
                graph.shapes([1, channels, height, width])?;
                let network = Arc::new(Reference::new(graph, weights, &Device::Cpu)?);
                Backend::Reference { network, output: graph.output(), classes: graph.classes }
            }
        };
        Ok(Network { name: graph.name.as_str().into(), image, info, kind, backend })
    }

    /// The same network, with each call of [`Module::forward`] split between `threads` threads: an image a thread where
    /// there are enough images, else each image between all of them. The reference uses candle's own threads.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        let backend = match &self.backend {
            Backend::Plan(op, _) => Backend::plan(&op.name, op.plan.clone(), op.image, threads.max(1)),
            reference @ Backend::Reference { .. } => reference.clone(),
        };
        Network { backend, ..self }
    }

    /// Has memory and threads ready for so many calls at a time, so that none of them fails for want of it.
    ///
    /// # Errors
    /// Memory or threads that the system does not give.
    pub fn reserve(&self, calls: usize) -> Result<(), Error> {
        if let Backend::Plan(op, _) = &self.backend {
            let held = (0..calls).map(|_| op.team.take(op)).collect::<Result<Vec<_>, _>>()?;
            held.into_iter().for_each(|context| op.team.put(context));
        }
        Ok(())
    }

    /// The architecture's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `[channels, height, width]` of the images that it takes.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image
    }

    /// Which engine computes.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// What the bits of its results depend on.
    pub fn engine(&self) -> EngineInfo {
        self.info
    }

    /// The logits of one image, `[channels, height, width]` row-major.
    ///
    /// # Errors
    /// An image of another size; what candle says.
    pub fn logits(&self, image: &[f32]) -> Result<Vec<f32>, Error> {
        let [channels, height, width] = self.image;
        let tensor = Tensor::from_slice(image, (1, channels, height, width), &Device::Cpu);
        Ok(tensor.and_then(|t| self.forward(&t)?.flatten_all()?.to_vec1())?)
    }

    /// Refuses what is not a batch of images as the network takes them.
    fn check(&self, images: &Tensor) -> candle_core::Result<()> {
        let [channels, height, width] = self.image;
        let refuse = |found: String| {
            let expected = format!("float32 images of shape [n, {channels}, {height}, {width}] on the CPU");
            Err(candle_core::Error::Msg(format!("`{}` takes {expected}, found {found}", self.name)).bt())
        };
        if images.dims().get(1..) != Some(&self.image[..]) {
            return refuse(format!("shape {:?}", images.dims()));
        }
        if images.dtype() != DType::F32 {
            return refuse(format!("{} (`to_dtype` converts)", images.dtype().as_str()));
        }
        if !images.device().is_cpu() {
            return refuse("a tensor on another device".into());
        }
        Ok(())
    }
}

impl Module for Network {
    /// Logits `[n, classes]` of images `[n, channels, height, width]`, float32, of any strides.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.check(images)?;
        match &self.backend {
            Backend::Plan(_, op) => images.apply_op1_arc(Arc::clone(op)),
            Backend::Reference { network, output, classes } => {
                // One at a time: candle's matrix product gives a row other bits inside a batch.
                let one = |at| {
                    let image = images.narrow(0, at, 1)?.contiguous()?;
                    let values = network.run(&image, &[*output]).map_err(candle_core::Error::wrap)?;
                    let none = || candle_core::Error::Msg("the network has no output".into());
                    values.first().ok_or_else(none)?.reshape((1, *classes))
                };
                match images.dim(0)? {
                    0 => Tensor::zeros((0, *classes), DType::F32, &Device::Cpu),
                    n => Tensor::cat(&(0..n).map(one).collect::<candle_core::Result<Vec<_>>>()?, 0),
                }
            }
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({} {:?} {})", self.name, self.image, self.info.name)
    }
}

impl Backend {
    fn plan(name: &str, plan: Plan, image: [usize; 3], threads: usize) -> Self {
        let name = name.to_owned();
        let (team, single) = (Contexts::new(threads), Contexts::new(1));
        let op = Arc::new(PlanOp { name, plan, image, threads, team, single });
        Backend::Plan(Arc::clone(&op), Arc::new(Box::new(Shared(op))))
    }
}

/// The plan as one candle operation. Between entry and result it allocates nothing but the result.
struct PlanOp {
    name: String,
    plan: Plan,
    image: [usize; 3],
    threads: usize,
    /// Contexts that split an image between all threads.
    team: Contexts,
    /// Contexts of one thread, for as many images as there are threads.
    single: Contexts,
}

/// What a pass computes in: activations, and room for an image whose values do not lie one after another.
struct Context {
    worker: Worker,
    image: Vec<f32>,
}

/// Contexts that no call uses at the moment.
struct Contexts {
    threads: usize,
    idle: Mutex<Vec<Context>>,
}

impl Contexts {
    fn new(threads: usize) -> Self {
        Contexts { threads, idle: Mutex::default() }
    }

    fn take(&self, op: &PlanOp) -> Result<Context, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Ok(Context { worker: op.plan.worker_on(self.threads)?, image: Vec::new() }), Ok)
    }

    fn put(&self, context: Context) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(context);
    }
}

impl PlanOp {
    /// Runs images `first..` of a batch, as many as `logits` has rows.
    fn run(
        &self,
        contexts: &Contexts,
        values: &[f32],
        layout: &Layout,
        first: usize,
        logits: &mut [f32],
    ) -> candle_core::Result<()> {
        let mut context = contexts.take(self).map_err(candle_core::Error::wrap)?;
        let len: usize = self.image.iter().product();
        let outside = || candle_core::Error::Msg("the tensor's layout leads out of its storage".into());
        for (at, logits) in (first..).zip(logits.chunks_exact_mut(self.plan.outputs().max(1))) {
            let image = match layout.contiguous_offsets() {
                Some((start, _)) => {
                    let start = start + at * len;
                    values.get(start..start + len).ok_or_else(outside)?
                }
                None => {
                    gather(values, layout, at, self.image, &mut context.image).ok_or_else(outside)?;
                    &context.image
                }
            };
            context.worker.logits(image, logits).map_err(candle_core::Error::wrap)?;
        }
        contexts.put(context);
        Ok(())
    }
}

/// One image of a batch whose values do not lie one after another.
fn gather(
    values: &[f32],
    layout: &Layout,
    at: usize,
    [channels, height, width]: [usize; 3],
    image: &mut Vec<f32>,
) -> Option<()> {
    let &[of_image, of_channel, of_row, of_pixel] = layout.stride() else { return None };
    image.clear();
    for channel in 0..channels {
        for row in 0..height {
            let start = layout.start_offset() + at * of_image + channel * of_channel + row * of_row;
            for column in 0..width {
                image.push(*values.get(start + column * of_pixel)?);
            }
        }
    }
    Some(())
}

/// The operation as candle holds it.
struct Shared(Arc<PlanOp>);

impl CustomOp1 for Shared {
    fn name(&self) -> &'static str {
        "zoo-plan"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let op = &*self.0;
        let (images, ..) = layout.shape().dims4()?;
        let values = storage.as_slice::<f32>()?;
        let classes = op.plan.outputs();
        let mut logits = vec![0.0; images * classes];
        if op.threads > 1 && images >= op.threads {
            let share = images.div_ceil(op.threads);
            let parts = logits.chunks_mut((share * classes).max(1)).enumerate();
            std::thread::scope(|scope| {
                let part = |(part, logits)| {
                    scope.spawn(move || op.run(&op.single, values, layout, part * share, logits))
                };
                let threads: Vec<_> = parts.map(part).collect();
                threads
                    .into_iter()
                    .try_for_each(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
            })?;
        } else {
            op.run(&op.team, values, layout, 0, &mut logits)?;
        }
        Ok((CpuStorage::F32(logits), Shape::from((images, classes))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let name = &self.0.name;
        let reason = format!(
            "the plan of `{name}` has no gradient; the reference engine (`EngineKind::Reference`) has one"
        );
        Err(candle_core::Error::Msg(reason).bt())
    }
}
