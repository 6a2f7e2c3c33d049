//! A graph run with plain candle operations, nothing folded and nothing fused: the truth that the fast
//! plan is tested against.
//!
//! In: a graph, its weights, a candle device. Out: logits and tapped features. Called by tests, `zoo
//! verify --engine reference` and fine-tuning ([`Reference::trainable`]: every operation has the gradient that torch has).
//! Images run one at a time: candle's matrix product gives a row other bits inside a batch.

mod gradient;
mod operations;

use candle_core::{Device, Tensor, Var};

use super::graph::{Graph, Node, NodeId, Op, PadMode, Shape, ShapeError, Transform, ValueError, WeightId};
use super::load;
use super::weights::Weights;
use operations::{Mode, activate, pad, reflect};
use zoo_common::error::{Class, Classify};

/// Why a network could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input does not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The weights do not fit.
    #[error(transparent)]
    Load(#[from] load::Error),
    /// A tensor that is there cannot be read.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Another number of values than the shape says.
    #[error("an image of shape {shape:?} has {expected} values, not {found}")]
    Values {
        /// The shape that came with them.
        shape: Shape,
        /// Its elements.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// No such tap.
    #[error("`{graph}` has no features named `{tap}`; it has {}", .known.join(", "))]
    Tap {
        /// The graph.
        graph: String,
        /// What was asked for.
        tap: String,
        /// What there is.
        known: Vec<String>,
    },
    /// candle refused a layer.
    #[error("layer `{layer}`: {source}")]
    Candle {
        /// The node.
        layer: String,
        /// candle's own words.
        #[source]
        source: candle_core::Error,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Shape(e) => e.class(),
            Error::Load(e) => e.class(),
            Error::Values { .. } | Error::Tap { .. } => Class::BadInput,
            Error::Value(_) | Error::Candle { .. } => Class::World,
        }
    }
}

type CandleResult = candle_core::Result<Tensor>;

/// A graph with its weights on a candle device.
#[derive(Debug)]
pub struct Reference {
    graph: Graph,
    device: Device,
    /// By [`WeightId`]; `None` where no operation reads it.
    weights: Vec<Option<Tensor>>,
    /// By [`NodeId`]: the last node that reads it.
    last_use: Vec<usize>,
    /// Whether a gradient will be asked for.
    mode: Mode,
}

/// An error of candle's in a layer.
fn failed(layer: &str) -> impl FnOnce(candle_core::Error) -> Error {
    let layer = layer.to_owned();
    move |source| Error::Candle { layer, source }
}

impl Reference {
    /// Checks `weights` against `graph` and puts them on `device`.
    ///
    /// # Errors
    /// Weights that are missing, left over or of another shape; a device without room.
    pub fn new(graph: &Graph, weights: &dyn Weights, device: &Device) -> Result<Self, Error> {
        load::check(graph, weights)?;
        let mut tensors = vec![None; graph.weights.len()];
        let mut last_use: Vec<usize> = (0..graph.nodes.len()).collect();
        for (i, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                if let Some(last) = last_use.get_mut(input.0) {
                    *last = i;
                }
            }
            for id in node.op.weights() {
                if let (Some(weight), Some(slot)) = (graph.weight(id), tensors.get_mut(id.0)) {
                    let values = graph.value(id, weights)?;
                    let tensor = Tensor::from_slice(&values, weight.shape.as_slice(), device);
                    *slot =
                        Some(tensor.map_err(|source| Error::Candle { layer: weight.name.clone(), source })?);
                }
            }
        }
        let mode = Mode::Inference;
        Ok(Reference { graph: graph.clone(), device: device.clone(), weights: tensors, last_use, mode })
    }

    /// A network to be trained on a processor: the tensors of these names are variables, which candle's autograd tells
    /// gradients of and which change the network when they are set. They are as the state dict has them; what their
    /// [`Transform`] makes of them is worked out in every pass.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn trainable(
        graph: &Graph,
        weights: &dyn Weights,
        names: &[String],
    ) -> Result<(Self, Vec<(String, Var)>), Error> {
        let mut reference = Self::new(graph, weights, &Device::Cpu)?;
        reference.mode = Mode::Training;
        let mut vars = Vec::with_capacity(names.len());
        for (at, weight) in graph.weights.iter().enumerate().filter(|(_, w)| names.contains(&w.name)) {
            let values = graph.stored(WeightId(at), weights)?;
            let var = Var::from_slice(&values, weight.shape.as_slice(), &Device::Cpu);
            let var = var.map_err(failed(&weight.name))?;
            if let Some(slot) = reference.weights.get_mut(at) {
                *slot = Some(var.as_tensor().clone());
            }
            vars.push((weight.name.clone(), var));
        }
        Ok((reference, vars))
    }

    /// The network's result for a batch of values of node `start`, of images of `[height, width]`, where nothing after
    /// that node reads what is before it.
    ///
    /// # Errors
    /// A node that is read and was not computed; what candle says.
    pub fn run_from(
        &self,
        start: NodeId,
        value: &Tensor,
        [height, width]: [usize; 2],
    ) -> Result<Tensor, Error> {
        let channels = match self.graph.nodes.first().map(|node| &node.op) {
            Some(Op::Input { channels }) => *channels,
            _ => 0,
        };
        let shapes = self.graph.shapes([1, channels, height, width])?;
        let mut values: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len()];
        if let Some(slot) = values.get_mut(start.0) {
            *slot = Some(value.clone());
        }
        let output = self.graph.output();
        self.compute(start.0 + 1, &mut values, &shapes, &[output])?;
        let none = || candle_core::Error::Msg("the network has no output".into());
        values.pop().flatten().ok_or_else(none).map_err(failed("output"))
    }

    /// Computes every node from `first` on, of values of those before it. What nothing reads any more is let go, but for
    /// what is `wanted`.
    fn compute(
        &self,
        first: usize,
        values: &mut [Option<Tensor>],
        shapes: &[Shape],
        wanted: &[NodeId],
    ) -> Result<(), Error> {
        for (i, node) in self.graph.nodes.iter().enumerate().skip(first) {
            let input = |x: &NodeId| values.get(x.0).cloned().flatten();
            let inputs: Option<Vec<Tensor>> = node.inputs.iter().map(input).collect();
            let missing = || candle_core::Error::Msg(format!("it reads what is before node {first}"));
            let inputs = inputs.ok_or_else(missing).map_err(failed(&node.name))?;
            let shape = shapes.get(i).copied().unwrap_or_default();
            let value = self.apply(node, &inputs, shape).map_err(failed(&node.name))?;
            if let Some(slot) = values.get_mut(i) {
                *slot = Some(value);
            }
            for input in &node.inputs {
                let done = self.last_use.get(input.0).is_some_and(|&last| last <= i);
                if done
                    && !wanted.contains(input)
                    && let Some(slot) = values.get_mut(input.0)
                {
                    *slot = None;
                }
            }
        }
        Ok(())
    }

    /// The logits of a batch of images, `[images, channels, height, width]` row-major: `classes` values
    /// an image.
    ///
    /// # Errors
    /// An input that does not fit.
    pub fn logits(&self, images: &[f32], shape: Shape) -> Result<Vec<f32>, Error> {
        let mut out = Vec::with_capacity(shape[0] * self.graph.classes);
        for image in self.images(images, shape)? {
            let found = self.run(&image, &[self.graph.output()])?;
            for tensor in found {
                out.extend(self.values("logits", &tensor)?);
            }
        }
        Ok(out)
    }

    /// The tapped features of a batch, a tensor `[images, channels, height, width]` for each of `taps`.
    ///
    /// # Errors
    /// An unknown tap, an input that does not fit.
    pub fn features(&self, images: &[f32], shape: Shape, taps: &[&str]) -> Result<Vec<Tensor>, Error> {
        let find = |&tap: &&str| {
            self.graph.tap(tap).ok_or_else(|| Error::Tap {
                graph: self.graph.name.clone(),
                tap: tap.to_owned(),
                known: self.graph.taps().map(|(t, _)| t.to_owned()).collect(),
            })
        };
        let nodes: Vec<NodeId> = taps.iter().map(find).collect::<Result<_, _>>()?;
        let mut found: Vec<Vec<Tensor>> = vec![Vec::new(); nodes.len()];
        for image in self.images(images, shape)? {
            for (list, tensor) in found.iter_mut().zip(self.run(&image, &nodes)?) {
                list.push(tensor);
            }
        }
        let stack = |(list, tap): (&Vec<Tensor>, &&str)| {
            Tensor::cat(list, 0).map_err(|source| Error::Candle { layer: (*tap).to_owned(), source })
        };
        found.iter().zip(taps).map(stack).collect()
    }

    /// One image `[1, channels, height, width]` through the graph; what `wanted` nodes yield, in order.
    ///
    /// # Errors
    /// An input that does not fit.
    pub fn run(&self, image: &Tensor, wanted: &[NodeId]) -> Result<Vec<Tensor>, Error> {
        let (n, c, h, w) = image.dims4().map_err(failed("input"))?;
        let shapes = self.graph.shapes([n, c, h, w])?;
        let mut values: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len()];
        // The image is the first node's value.
        if let Some(slot) = values.first_mut() {
            *slot = Some(image.clone());
        }
        self.compute(1, &mut values, &shapes, wanted)?;
        Ok(wanted.iter().filter_map(|x| values.get(x.0).cloned().flatten()).collect())
    }

    fn images(&self, images: &[f32], shape: Shape) -> Result<Vec<Tensor>, Error> {
        let [n, c, h, w] = shape;
        let expected = c * h * w;
        if expected.checked_mul(n) != Some(images.len()) {
            return Err(Error::Values { shape, expected: expected.saturating_mul(n), found: images.len() });
        }
        let tensor = |image: &[f32]| {
            Tensor::from_slice(image, &[1, c, h, w], &self.device)
                .map_err(|source| Error::Candle { layer: "input".into(), source })
        };
        images.chunks_exact(expected.max(1)).map(tensor).collect()
    }

    fn values(&self, layer: &str, tensor: &Tensor) -> Result<Vec<f32>, Error> {
        tensor
            .flatten_all()
            .and_then(|t| t.to_vec1())
            .map_err(|source| Error::Candle { layer: layer.to_owned(), source })
    }

    /// A weight as its operation reads it.
    fn weight(&self, id: WeightId) -> CandleResult {
        let tensor = self.weights.get(id.0).cloned().flatten();
        let none = || candle_core::Error::Msg(format!("weight {} is not loaded", id.0));
        let tensor = tensor.ok_or_else(none)?;
        let transform = self.graph.weight(id).map_or(Transform::None, |weight| weight.transform);
        let (eps, scaled) = match transform {
            // What is no variable was transformed when it was loaded.
            _ if !tensor.is_variable() => return Ok(tensor),
            Transform::None => return Ok(tensor),
            Transform::Standardise { eps } => (eps, None),
            Transform::Scaled { gain, gamma, eps } => (eps, Some((gain, gamma))),
        };
        let filters = tensor.flatten_from(1)?;
        let centred = filters.broadcast_sub(&filters.mean_keepdim(1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(1)? + f64::from(eps))?.sqrt()?;
        let mut filters = centred.broadcast_div(&deviation)?;
        if let Some((gain, gamma)) = scaled {
            let factor = f64::from(gamma) / (filters.dim(1)? as f64).sqrt();
            filters = filters.broadcast_mul(&(self.weight(gain)?.reshape(((), 1))? * factor)?)?;
        }
        filters.reshape(tensor.shape())
    }

    /// A vector weight, shaped to broadcast over a map.
    fn vector(&self, id: WeightId) -> CandleResult {
        self.weight(id)?.reshape((1, (), 1, 1))
    }

    fn apply(&self, node: &Node, inputs: &[Tensor], output: Shape) -> CandleResult {
        let missing = || candle_core::Error::Msg("an input is missing".into());
        let x = inputs.first().ok_or_else(missing)?;
        match &node.op {
            Op::Input { .. } => Ok(x.clone()),
            Op::Conv { weight, bias, groups, window, .. } => {
                let y = self.mode.convolve(x, &self.weight(*weight)?, *groups, window)?;
                match bias {
                    Some(bias) => y.broadcast_add(&self.vector(*bias)?),
                    None => Ok(y),
                }
            }
            Op::BatchNorm { weight, bias, mean, var, eps } => {
                // torch's order: the scale is 1/sqrt(var + eps) times the weight.
                let scale = (self.vector(*var)? + f64::from(*eps))?.sqrt()?.recip()?;
                let scale = (scale * self.vector(*weight)?)?;
                let x = x.broadcast_sub(&self.vector(*mean)?)?;
                x.broadcast_mul(&scale)?.broadcast_add(&self.vector(*bias)?)
            }
            Op::Activation(kind) => activate(x, *kind, self.mode),
            Op::Add => inputs.iter().skip(1).try_fold(x.clone(), |sum, y| sum + y),
            Op::Mul => x.broadcast_mul(inputs.get(1).ok_or_else(missing)?),
            Op::Concat => Tensor::cat(inputs, 1),
            Op::Slice { start, len } => x.narrow(1, *start, *len),
            Op::Pool(kind, window) => self.mode.pool(x, *kind, window, output),
            Op::GlobalAveragePool => x.mean_keepdim((2, 3)),
            Op::GroupNorm { weight, bias, groups, eps } => {
                let (n, c, h, w) = x.dims4()?;
                let y = x.reshape((n, *groups, c / groups * h * w))?;
                let y = y.broadcast_sub(&y.mean_keepdim(2)?)?;
                let scale = (y.sqr()?.mean_keepdim(2)? + f64::from(*eps))?.sqrt()?;
                let y = y.broadcast_div(&scale)?.reshape((n, c, h, w))?;
                y.broadcast_mul(&self.vector(*weight)?)?.broadcast_add(&self.vector(*bias)?)
            }
            Op::Scale(factor) => x * f64::from(*factor),
            Op::Upsample { .. } => {
                let [_, _, h, w] = output;
                self.mode.upsample(x, [h, w])
            }
            Op::Softmax { parts, groups } => {
                let (n, c, ..) = x.dims4()?;
                let y =
                    x.reshape((n, *groups, *parts, c / (groups * parts)))?.transpose(1, 2)?.contiguous()?;
                let y = y.broadcast_sub(&y.max_keepdim(1)?.detach())?.exp()?;
                y.broadcast_div(&y.sum_keepdim(1)?)?.reshape((n, c, 1, 1))
            }
            Op::Pad { pads, mode: PadMode::Zero } => pad(x, *pads, 0.0),
            Op::Pad { pads, mode: PadMode::Reflect } => reflect(x, *pads),
            Op::Crop { crops: [top, _, left, _] } => {
                let [_, _, h, w] = output;
                x.narrow(2, *top, h)?.narrow(3, *left, w)?.contiguous()
            }
            Op::Blur { size, stride } => {
                let (_, c, ..) = x.dims4()?;
                let mut row = vec![1f64];
                for k in 1..*size {
                    row.push(row.last().copied().unwrap_or(1.0) * (size - k) as f64 / k as f64);
                }
                let sum: f64 = row.iter().sum();
                let filter = row.iter().flat_map(|a| row.iter().map(move |b| (a * b / (sum * sum)) as f32));
                let filter = Tensor::from_vec(filter.collect::<Vec<_>>(), (1, 1, *size, *size), x.device())?;
                self.mode.conv2d(x, &filter.repeat((c, 1, 1, 1))?, *stride, 1, c)
            }
            Op::SpaceToDepth { block } => {
                let ((n, c, ..), [_, channels, h, w]) = (x.dims4()?, output);
                let y = x.reshape(&[n, c, h, *block, w, *block][..])?;
                y.permute(vec![0, 3, 5, 1, 2, 4])?.contiguous()?.reshape((n, channels, h, w))
            }
            Op::ChannelConv { weight, kernel } => {
                let (n, c, ..) = x.dims4()?;
                let y = x.reshape((n, 1, c))?.conv1d(&self.weight(*weight)?, kernel / 2, 1, 1, 1)?;
                y.reshape((n, c, 1, 1))
            }
            Op::CondConv { weight, experts, out, groups, window } => {
                // Each image has filters of its own: a batch is one image with as many groups more.
                let ((n, c, h, w), [kh, kw]) = (x.dims4()?, window.kernel);
                let shares = inputs.get(1).ok_or_else(missing)?.reshape((n, *experts))?;
                let filters = shares.matmul(&self.weight(*weight)?)?;
                let filters = filters.reshape((n * out, c / (*groups).max(1), kh, kw))?;
                let y = self.mode.convolve(&x.reshape((1, n * c, h, w))?, &filters, n * groups, window)?;
                let (_, _, h, w) = y.dims4()?;
                y.reshape((n, *out, h, w))
            }
            Op::Linear { weight, bias, out } => {
                let (n, c, ..) = x.dims4()?;
                let y = x.reshape((n, c))?.matmul(&self.weight(*weight)?.t()?)?;
                let y = match bias {
                    Some(bias) => y.broadcast_add(&self.weight(*bias)?)?,
                    None => y,
                };
                y.reshape((n, *out, 1, 1))
            }
        }
    }
}

#[cfg(test)]
mod tests;
