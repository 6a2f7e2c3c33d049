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

use super::runner::{CpuRunner, CudaRunner, InputBuffer, Runner};
use super::{EngineInfo, EngineKind, Error, FeatureInfo, FeatureLevel, feature_info};
use crate::nn::cuda;
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
    /// What it gives, in the order of a result's columns.
    outputs: Arc<[FeatureInfo]>,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    /// The operation, as candle wants to hold it.
    Plan(Arc<PlanOp>, Arc<Box<dyn CustomOp1 + Send + Sync>>),
    /// On a card.
    Cuda(cuda::Plan),
    /// With the nodes whose values are wanted, and how many values that is for an image.
    Reference { network: Arc<Reference>, outputs: Vec<NodeId>, values: usize },
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
        Self::with_outputs(kind, graph, weights, image, vec![FeatureInfo::logits(graph)])
    }

    /// The same for the features of a level, before the classifier, in place of the logits. What only the classifier
    /// needs is not computed.
    ///
    /// # Errors
    /// As [`Network::new`]; a level that the network does not have.
    pub fn features_only(
        kind: EngineKind,
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
        level: &FeatureLevel,
    ) -> Result<Self, Error> {
        let outputs = feature_info(graph, level, image)?;
        Self::with_outputs(kind, graph, weights, image, outputs)
    }

    fn with_outputs(
        kind: EngineKind,
        graph: &Graph,
        weights: &dyn Weights,
        image: [usize; 3],
        outputs: Vec<FeatureInfo>,
    ) -> Result<Self, Error> {
        let info = kind.info(graph)?;
        let nodes: Vec<NodeId> = outputs.iter().map(|output| output.node).collect();
        let backend = match kind {
            EngineKind::Plan => {
                let plan = Plan::with_outputs(graph, weights, image, Isa::from_env()?, &nodes)?;
                Backend::plan(&graph.name, plan, image, 1)
            }
            EngineKind::Cuda(ordinal) => {
                let device = cuda::Device::open(ordinal)?;
                Backend::Cuda(cuda::Plan::new(&device, graph, weights, image, &nodes, None)?)
            }
            EngineKind::Reference => {
                let [channels, height, width] = image;
                graph.shapes([1, channels, height, width])?;
                let network = Arc::new(Reference::new(graph, weights, &Device::Cpu)?);
                let values = outputs.iter().map(FeatureInfo::values).sum();
                Backend::Reference { network, outputs: nodes, values }
            }
        };
        Ok(Network { name: graph.name.as_str().into(), image, info, kind, outputs: outputs.into(), backend })
    }

    /// What [`Network::features`] gives: the features that it was made for, or the logits.
    pub fn feature_info(&self) -> &[FeatureInfo] {
        &self.outputs
    }

    /// The features of images `[n, channels, height, width]`: for each of [`Network::feature_info`] a tensor of shape
    /// `[n]` followed by its own.
    ///
    /// # Errors
    /// Images of another size; what candle says.
    pub fn features(&self, images: &Tensor) -> Result<Vec<Tensor>, Error> {
        let all = self.forward(images)?;
        let mut start = 0;
        let tensor = |output: &FeatureInfo| {
            let values = all.narrow(1, start, output.values())?;
            start += output.values();
            let dims: Vec<usize> = [all.dim(0)?].into_iter().chain(output.shape.iter().copied()).collect();
            values.contiguous()?.reshape(dims)
        };
        Ok(self.outputs.iter().map(tensor).collect::<candle_core::Result<_>>()?)
    }

    /// The same network, with each call of [`Module::forward`] split between `threads` threads: an image a thread where
    /// there are enough images, else each image between all of them. The reference uses candle's own threads, a card its own.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        let backend = match &self.backend {
            Backend::Plan(op, _) => Backend::plan(&op.name, op.plan.clone(), op.image, threads.max(1)),
            other @ (Backend::Reference { .. } | Backend::Cuda(_)) => other.clone(),
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

    /// What computes many images on `threads` threads: runners that can work at the same time. A card has as many as it can
    /// copy to and compute for at a time.
    ///
    /// # Errors
    /// No memory for the activations.
    pub fn runners(&self, threads: usize) -> Result<Vec<Box<dyn Runner>>, Error> {
        if let Backend::Cuda(plan) = &self.backend {
            let runner = || Box::new(CudaRunner(plan.clone())) as Box<dyn Runner>;
            return Ok((0..plan.lanes()).map(|_| runner()).collect());
        }
        self.reserve(threads)?;
        Ok((0..threads.max(1)).map(|_| Box::new(CpuRunner(self.clone())) as Box<dyn Runner>).collect())
    }

    /// Room for an image, where the network reads it fastest.
    ///
    /// # Errors
    /// No memory.
    pub fn buffer(&self) -> Result<InputBuffer, Error> {
        match &self.backend {
            Backend::Cuda(plan) => Ok(InputBuffer::pinned(plan.image()?)),
            Backend::Plan(..) | Backend::Reference { .. } => InputBuffer::new(self.image),
        }
    }

    /// The values of one image, in a buffer of this network's.
    ///
    /// # Errors
    /// What the engine says.
    pub fn values(&self, image: &InputBuffer) -> Result<Vec<f32>, Error> {
        match &self.backend {
            Backend::Cuda(plan) => Ok(plan.run(&[image.host()?])?),
            Backend::Plan(..) | Backend::Reference { .. } => {
                Ok(self.forward(&image.tensor()?)?.flatten_all()?.to_vec1()?)
            }
        }
    }

    /// The architecture's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `[channels, height, width]` of the images that it takes.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image
    }

    /// The plan on a card, where one computes.
    pub fn cuda(&self) -> Option<&cuda::Plan> {
        match &self.backend {
            Backend::Cuda(plan) => Some(plan),
            Backend::Plan(..) | Backend::Reference { .. } => None,
        }
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
        if let Backend::Cuda(plan) = &self.backend {
            return Ok(plan.run(&[image])?);
        }
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
    /// Logits `[n, classes]` of images `[n, channels, height, width]`, float32, of any strides; of a network of features,
    /// their values side by side.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.check(images)?;
        match &self.backend {
            Backend::Plan(_, op) => images.apply_op1_arc(Arc::clone(op)),
            Backend::Cuda(plan) => {
                let values = images.flatten_all()?.to_vec1::<f32>()?;
                let len = self.image.iter().product::<usize>().max(1);
                let images: Vec<&[f32]> = values.chunks_exact(len).collect();
                let results = plan.run(&images).map_err(candle_core::Error::wrap)?;
                Tensor::from_vec(results, (images.len(), plan.values()), &Device::Cpu)
            }
            Backend::Reference { network, outputs, values: width } => {
                // One at a time: candle's matrix product gives a row other bits inside a batch.
                let one = |at| {
                    let image = images.narrow(0, at, 1)?.contiguous()?;
                    let values = network.run(&image, outputs).map_err(candle_core::Error::wrap)?;
                    let flat = values.iter().map(|value| value.reshape((1, ())));
                    Tensor::cat(&flat.collect::<candle_core::Result<Vec<_>>>()?, 1)
                };
                match images.dim(0)? {
                    0 => Tensor::zeros((0, *width), DType::F32, &Device::Cpu),
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
        let lens: Vec<usize> = plan.output_shapes().iter().map(|shape| shape.iter().product()).collect();
        let values = lens.iter().sum();
        let op = Arc::new(PlanOp { name, plan, image, lens, values, threads, team, single });
        Backend::Plan(Arc::clone(&op), Arc::new(Box::new(Shared(op))))
    }
}

/// The plan as one candle operation. Between entry and result it allocates nothing but the result.
struct PlanOp {
    name: String,
    plan: Plan,
    image: [usize; 3],
    /// Values of each output, and of all of them.
    lens: Vec<usize>,
    values: usize,
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
    /// Runs images `first..` of a batch, as many as `results` has rows.
    fn run(
        &self,
        contexts: &Contexts,
        values: &[f32],
        layout: &Layout,
        first: usize,
        results: &mut [f32],
    ) -> candle_core::Result<()> {
        let mut context = contexts.take(self).map_err(candle_core::Error::wrap)?;
        let len: usize = self.image.iter().product();
        let outside = || candle_core::Error::Msg("the tensor's layout leads out of its storage".into());
        for (at, mut row) in (first..).zip(results.chunks_exact_mut(self.values.max(1))) {
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
            context.worker.forward(image).map_err(candle_core::Error::wrap)?;
            for (index, &len) in self.lens.iter().enumerate() {
                let (output, rest) = row.split_at_mut(len.min(row.len()));
                context.worker.output(index, output).map_err(candle_core::Error::wrap)?;
                row = rest;
            }
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
        let mut results = vec![0.0; images * op.values];
        if op.threads > 1 && images >= op.threads {
            let share = images.div_ceil(op.threads);
            let parts = results.chunks_mut((share * op.values).max(1)).enumerate();
            std::thread::scope(|scope| {
                let part = |(part, results)| {
                    scope.spawn(move || op.run(&op.single, values, layout, part * share, results))
                };
                let threads: Vec<_> = parts.map(part).collect();
                threads
                    .into_iter()
                    .try_for_each(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
            })?;
        } else {
            op.run(&op.team, values, layout, 0, &mut results)?;
        }
        Ok((CpuStorage::F32(results), Shape::from((images, op.values))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let name = &self.0.name;
        let reason = format!(
            "the plan of `{name}` has no gradient; the reference engine (`EngineKind::Reference`) has one"
        );
        Err(candle_core::Error::Msg(reason).bt())
    }
}
