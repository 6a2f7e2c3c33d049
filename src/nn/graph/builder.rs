//! Builds a [`Graph`] layer by layer, with timm's module paths as names.
//!
//! In: calls from a file in `arch/`. Out: a graph that was checked. A node is checked as it is wired, on a nominal
//! image; what does not fit is kept, and [`Builder::finish`] says it: an arch file reads like the paper's table and
//! has one place for errors.

use std::collections::HashSet;

use zoo_common::error::{Class, Classify};

use super::op::{Op, PadMode};
use super::weight::{Role, Transform, Weight, WeightId};
use super::window::Window;
use super::{Activation, Graph, Node, NodeId, PoolKind, Shape, ShapeError};

/// Sides of the image that nodes are checked on as they are wired: large enough for any network's windows, and a
/// multiple of every network's strides.
pub(super) const NOMINAL_SIDE: usize = 512;

/// Why a graph is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A node cannot take what it reads.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Two tensors of one name.
    #[error("`{graph}` declares weight `{weight}` twice")]
    Twice {
        /// The graph's name.
        graph: String,
        /// The state-dict name.
        weight: String,
    },
    /// A tensor that loading would demand and nothing would read, or that is read more than once.
    #[error("weight `{weight}` of `{graph}` is read by {readers} operations, not by one")]
    Readers {
        /// The graph's name.
        graph: String,
        /// The state-dict name.
        weight: String,
        /// How many operations read it.
        readers: usize,
    },
}

impl Classify for BuildError {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// Builds a [`Graph`].
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    /// Of every node, on the nominal image.
    shapes: Vec<Shape>,
    problem: Option<ShapeError>,
}

/// What a convolution is, apart from its name and input.
#[derive(Clone, Copy, Debug)]
pub struct ConvSpec {
    /// Output channels.
    pub out: usize,
    /// Groups.
    pub groups: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// Geometry.
    pub window: Window,
}

impl Builder {
    /// Starts a graph for images of `channels` channels; the returned node is the image.
    pub fn new(name: &str, channels: usize, classes: usize) -> (Self, NodeId) {
        Self::for_image(name, [channels, NOMINAL_SIDE, NOMINAL_SIDE], classes)
    }

    /// The same, checked as it is wired on an image of `[channels, height, width]`: for networks that fit no other.
    pub fn for_image(name: &str, [channels, height, width]: [usize; 3], classes: usize) -> (Self, NodeId) {
        let mut builder = Builder {
            graph: Graph {
                name: name.to_owned(),
                nodes: vec![Node {
                    op: Op::Input { channels },
                    inputs: Vec::new(),
                    name: "input".to_owned(),
                    taps: Vec::new(),
                }],
                weights: Vec::new(),
                classifier: String::new(),
                first_conv: String::new(),
                classes,
                ignore: Vec::new(),
            },
            shapes: Vec::new(),
            problem: None,
        };
        builder.shapes.push([1, channels, height, width]);
        (builder, NodeId(0))
    }

    /// Channels of a node's output; 0 where the node did not fit, which [`Builder::finish`] says.
    pub fn channels(&self, node: NodeId) -> usize {
        self.shapes.get(node.0).map_or(0, |shape| shape[1])
    }

    /// The name of the architecture being built.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// Adds a node and declares its weights under `name`, which are numbered from the next one on.
    fn wire(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let index = self.graph.nodes.len();
        let node = Node { op, inputs: inputs.to_vec(), name: name.to_owned(), taps: Vec::new() };
        let shape = match self.graph.input_shapes(index, &node, &self.shapes) {
            Ok(shapes) => {
                for tensor in node.op.tensors(&shapes) {
                    self.declare(name, tensor.leaf, tensor.shape, tensor.role);
                }
                self.graph.infer(&node, &shapes)
            }
            Err(problem) => Err(problem),
        };
        let shape = match shape {
            Ok(shape) => shape,
            Err(problem) => {
                self.problem.get_or_insert(problem);
                [0; 4]
            }
        };
        self.graph.nodes.push(node);
        self.shapes.push(shape);
        NodeId(index)
    }

    fn declare(&mut self, name: &str, leaf: &str, shape: Vec<usize>, role: Role) {
        let name = format!("{name}.{leaf}");
        self.graph.weights.push(Weight { name, shape, role, transform: Transform::None });
    }

    /// The numbers that the next weights declared will have.
    fn next<const N: usize>(&self) -> [WeightId; N] {
        std::array::from_fn(|i| WeightId(self.graph.weights.len() + i))
    }

    fn weight_mut(&mut self, id: WeightId) -> Option<&mut Weight> {
        self.graph.weights.get_mut(id.0)
    }

    /// A convolution; weights `NAME.weight` and, with a bias, `NAME.bias`.
    pub fn conv(&mut self, name: &str, x: NodeId, spec: ConvSpec) -> NodeId {
        self.conv_with(name, x, spec, Transform::None)
    }

    /// The same, whose weight is transformed before it is used.
    pub fn conv_with(&mut self, name: &str, x: NodeId, spec: ConvSpec, transform: Transform) -> NodeId {
        let ConvSpec { out, groups, bias, window } = spec;
        let [weight, bias_id] = self.next();
        let bias = bias.then_some(bias_id);
        let node = self.wire(name, Op::Conv { weight, bias, out, groups, window }, &[x]);
        if let Some(weight) = self.weight_mut(weight) {
            weight.transform = transform;
        }
        node
    }

    /// Batch normalisation; the five tensors of torch's `BatchNorm2d` under `NAME.`. `zero_init_last` says that it
    /// is the last norm of the branch of a block that has a shortcut ([`Role::NormWeight`]).
    pub fn batch_norm(&mut self, name: &str, x: NodeId, eps: f32, zero_init_last: bool) -> NodeId {
        let [weight, bias, mean, var] = self.next();
        let node = self.wire(name, Op::BatchNorm { weight, bias, mean, var, eps }, &[x]);
        self.declare(name, "num_batches_tracked", Vec::new(), Role::BatchesTracked);
        if let Some(weight) = self.weight_mut(weight) {
            weight.role = Role::NormWeight { zero_init_last };
        }
        node
    }

    /// A pointwise non-linearity.
    pub fn activation(&mut self, name: &str, x: NodeId, kind: Activation) -> NodeId {
        self.wire(name, Op::Activation(kind), &[x])
    }

    /// The sum of maps of one shape.
    pub fn add(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        self.wire(name, Op::Add, inputs)
    }

    /// A map times its gate.
    pub fn mul(&mut self, name: &str, map: NodeId, gate: NodeId) -> NodeId {
        self.wire(name, Op::Mul, &[map, gate])
    }

    /// Concatenation over channels.
    pub fn concat(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        self.wire(name, Op::Concat, inputs)
    }

    /// Some of a map's channels.
    pub fn slice(&mut self, name: &str, x: NodeId, start: usize, len: usize) -> NodeId {
        self.wire(name, Op::Slice { start, len }, &[x])
    }

    /// A pool over a window.
    pub fn pool(&mut self, name: &str, x: NodeId, kind: PoolKind, window: Window) -> NodeId {
        self.wire(name, Op::Pool(kind, window), &[x])
    }

    /// The mean over height and width.
    pub fn global_average_pool(&mut self, name: &str, x: NodeId) -> NodeId {
        self.wire(name, Op::GlobalAveragePool, &[x])
    }

    /// A fully connected layer; weights `NAME.weight` and, with a bias, `NAME.bias`.
    pub fn linear(&mut self, name: &str, x: NodeId, out: usize, bias: bool) -> NodeId {
        let [weight, bias_id] = self.next();
        self.wire(name, Op::Linear { weight, bias: bias.then_some(bias_id), out }, &[x])
    }

    /// Group normalisation; weights `NAME.weight` and `NAME.bias`. `zero_init_last` as in [`Builder::batch_norm`].
    pub fn group_norm(
        &mut self,
        name: &str,
        x: NodeId,
        groups: usize,
        eps: f32,
        zero_init_last: bool,
    ) -> NodeId {
        let [weight, bias] = self.next();
        let node = self.wire(name, Op::GroupNorm { weight, bias, groups, eps }, &[x]);
        if let Some(weight) = self.weight_mut(weight) {
            weight.role = Role::NormWeight { zero_init_last };
        }
        node
    }

    /// Every value times a constant.
    pub fn scale(&mut self, name: &str, x: NodeId, factor: f32) -> NodeId {
        self.wire(name, Op::Scale(factor), &[x])
    }

    /// Each pixel `factor`×`factor` times.
    pub fn upsample(&mut self, name: &str, x: NodeId, factor: usize) -> NodeId {
        self.wire(name, Op::Upsample { factor }, &[x])
    }

    /// A softmax over `parts` of pooled features ([`Op::Softmax`]).
    pub fn softmax(&mut self, name: &str, x: NodeId, parts: usize, groups: usize) -> NodeId {
        self.wire(name, Op::Softmax { parts, groups }, &[x])
    }

    /// Rows and columns around a map: `[top, bottom, left, right]`.
    pub fn pad(&mut self, name: &str, x: NodeId, pads: [usize; 4], mode: PadMode) -> NodeId {
        self.wire(name, Op::Pad { pads, mode }, &[x])
    }

    /// A map without some of its border: `[top, bottom, left, right]`.
    pub fn crop(&mut self, name: &str, x: NodeId, crops: [usize; 4]) -> NodeId {
        self.wire(name, Op::Crop { crops }, &[x])
    }

    /// timm's `BlurPool2d`: a binomial filter of `size` taps after mirroring the border, every `stride` pixels.
    pub fn blur_pool(&mut self, name: &str, x: NodeId, size: usize, stride: usize) -> NodeId {
        let pad = (stride.saturating_sub(1) + size.saturating_sub(1)) / 2;
        let x = self.pad(&format!("{name}.pad"), x, [pad; 4], PadMode::Reflect);
        self.wire(name, Op::Blur { size, stride }, &[x])
    }

    /// Blocks of pixels into channels.
    pub fn space_to_depth(&mut self, name: &str, x: NodeId, block: usize) -> NodeId {
        self.wire(name, Op::SpaceToDepth { block }, &[x])
    }

    /// A convolution along the channels of pooled features; weight `NAME.weight`.
    pub fn channel_conv(&mut self, name: &str, x: NodeId, kernel: usize) -> NodeId {
        let [weight] = self.next();
        self.wire(name, Op::ChannelConv { weight, kernel }, &[x])
    }

    /// A convolution without bias whose experts are mixed by `routing`; weight `NAME.weight`.
    pub fn cond_conv(
        &mut self,
        name: &str,
        [x, routing]: [NodeId; 2],
        experts: usize,
        spec: ConvSpec,
    ) -> NodeId {
        let ConvSpec { out, groups, window, .. } = spec;
        let [weight] = self.next();
        self.wire(name, Op::CondConv { weight, experts, out, groups, window }, &[x, routing])
    }

    /// Gives a node a name that features can be asked for by.
    pub fn tap(&mut self, node: NodeId, tap: &str) {
        if let Some(n) = self.graph.nodes.get_mut(node.0) {
            n.taps.push(tap.to_owned());
        }
    }

    /// The same for the node of that name, where it was added by a function that does not know its tap.
    pub fn tap_named(&mut self, node: &str, tap: &str) {
        if let Some(n) = self.graph.nodes.iter_mut().find(|n| n.name == node) {
            n.taps.push(tap.to_owned());
        }
    }

    /// How many weights there are so far, for [`Builder::sort_weights`].
    pub fn weights(&self) -> usize {
        self.graph.weights.len()
    }

    /// Sorts the weights added since `from` by `key`, keeping the order of equal ones: where timm's state
    /// dict lists a block's tensors in another order than data flows through them.
    pub fn sort_weights<K: Ord>(&mut self, from: usize, key: impl Fn(&str) -> K) {
        let Some(added) = self.graph.weights.get(from..) else { return };
        let mut order: Vec<usize> = (0..added.len()).collect();
        order.sort_by_key(|&i| added.get(i).map(|w| key(&w.name)));
        let mut new_place = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            if let Some(place) = new_place.get_mut(old) {
                *place = from + new;
            }
        }
        let sorted: Vec<Weight> = order.iter().filter_map(|&i| added.get(i).cloned()).collect();
        self.graph.weights.truncate(from);
        self.graph.weights.extend(sorted);
        let renumber = |id: &mut WeightId| {
            if let Some(&new) = id.0.checked_sub(from).and_then(|i| new_place.get(i)) {
                id.0 = new;
            }
        };
        self.graph.nodes.iter_mut().flat_map(|n| n.op.weights_mut()).for_each(renumber);
        for weight in &mut self.graph.weights {
            match &mut weight.transform {
                Transform::None | Transform::Standardise { .. } => {}
                Transform::Scaled { gain, .. } => renumber(gain),
            }
        }
    }

    /// Says that published files may have tensors under this prefix that timm drops ([`Graph::ignore`]).
    pub fn ignore(&mut self, prefix: &str) {
        self.graph.ignore.push(prefix.to_owned());
    }

    /// The graph; the last node added is its result.
    ///
    /// # Errors
    /// The first node that did not fit as it was wired, a weight declared twice, one that no operation reads, or
    /// more than one does.
    pub fn finish(mut self, classifier: &str, first_conv: &str) -> Result<Graph, BuildError> {
        if let Some(problem) = self.problem {
            return Err(problem.into());
        }
        classifier.clone_into(&mut self.graph.classifier);
        first_conv.clone_into(&mut self.graph.first_conv);
        let graph = self.graph;
        let mut names = HashSet::new();
        if let Some(weight) = graph.weights.iter().find(|w| !names.insert(&w.name)) {
            return Err(BuildError::Twice { graph: graph.name.clone(), weight: weight.name.clone() });
        }
        let mut readers = vec![0usize; graph.weights.len()];
        let gains = graph.weights.iter().filter_map(|weight| match weight.transform {
            Transform::None | Transform::Standardise { .. } => None,
            Transform::Scaled { gain, .. } => Some(gain),
        });
        for id in graph.nodes.iter().flat_map(|n| n.op.weights()).chain(gains) {
            if let Some(count) = readers.get_mut(id.0) {
                *count += 1;
            }
        }
        for (weight, readers) in graph.weights.iter().zip(readers) {
            if readers != usize::from(weight.is_required()) {
                let (graph, weight) = (graph.name.clone(), weight.name.clone());
                return Err(BuildError::Readers { graph, weight, readers });
            }
        }
        Ok(graph)
    }
}
