//! The vocabulary that architectures are written in.
//!
//! In: calls of a [`Builder`] from a file in `arch/`. Out: a [`Graph`], nodes in topological order that
//! name their weights by state-dict name. Read by `nn::describe`, `nn::reference` and `nn::plan`, which
//! an arch file never hears of. A graph does not depend on the input's size: [`Graph::shapes`] resolves
//! it, and every reader calls that one function, so that padding is worked out in one place.

use zoo_common::error::{Class, Classify};

pub use zoo_kernels::activation::{Activation, PoolKind};

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Index of a weight in [`Graph::weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

/// `[images, channels, height, width]`. A vector per image (pooled features, logits) is `[n, c, 1, 1]`.
pub type Shape = [usize; 4];

/// What a weight is for. Decides how *seeded* stand-in weights are drawn, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Convolution or linear weight; `fan_in` is the number of elements of one output's filter.
    Filter {
        /// Elements of one output's filter (of one expert's, for CondConv).
        fan_in: usize,
    },
    /// Scale of a normalisation. `last` marks the last norm of the branch of a block that has a shortcut.
    NormWeight {
        /// Last norm of a residual branch: seeded smaller, so that deep nets stay well conditioned.
        last: bool,
    },
    /// Shift of a normalisation, or the bias of a convolution or linear layer.
    Bias,
    /// Batch norm's running mean.
    RunningMean,
    /// Batch norm's running variance.
    RunningVar,
    /// Batch norm's step counter (int64, 0-d): converted and listed, never required and never read.
    BatchesTracked,
    /// Any other vector or scalar.
    Other,
}

/// A tensor the architecture needs, under its state-dict name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Name in timm's state dict, such as `blocks.0.0.conv_dw.weight`.
    pub name: String,
    /// Shape in torch's order: `[out, in / groups, kh, kw]` for a convolution.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
}

impl Weight {
    /// Elements of the tensor.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&d| d as u64).product()
    }

    /// Whether timm counts it as a parameter (buffers such as running statistics are not).
    pub fn is_parameter(&self) -> bool {
        !matches!(self.role, Role::RunningMean | Role::RunningVar | Role::BatchesTracked)
    }

    /// Whether loading must find it.
    pub fn is_required(&self) -> bool {
        self.role != Role::BatchesTracked
    }
}

/// How a window meets the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Fixed: `[top, bottom, left, right]`.
    Explicit([usize; 4]),
    /// TensorFlow's `SAME`: the output is `ceil(input / stride)`, the odd pixel goes to the bottom and
    /// right (timm's `Conv2dSame`, `timm/layers/padding.py`).
    Same,
}

impl Padding {
    /// The same number of pixels on all four sides.
    pub const fn all(pad: usize) -> Self {
        Padding::Explicit([pad; 4])
    }

    /// torch's 'same for stride 1': `((stride - 1) + dilation * (kernel - 1)) / 2` on every side
    /// (timm's `get_padding`).
    pub const fn symmetric(kernel: usize, stride: usize, dilation: usize) -> Self {
        Padding::all((stride - 1 + dilation * (kernel - 1)) / 2)
    }
}

/// Window geometry shared by convolutions and pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// `[height, width]`.
    pub kernel: [usize; 2],
    /// `[vertical, horizontal]`.
    pub stride: [usize; 2],
    /// `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// What lies beyond the border.
    pub padding: Padding,
    /// Pools only: a last partial window counts (torch's `ceil_mode`).
    pub ceil: bool,
}

impl Window {
    /// A square window with dilation 1.
    pub const fn square(kernel: usize, stride: usize, padding: Padding) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding, ceil: false }
    }

    /// Pixels of padding `[top, bottom, left, right]` for an input of `[height, width]`.
    pub fn pads(&self, input: [usize; 2]) -> [usize; 4] {
        match self.padding {
            Padding::Explicit(p) => p,
            Padding::Same => {
                let total = |i: usize| {
                    let span = (self.kernel[i] - 1) * self.dilation[i] + 1;
                    let out = input[i].div_ceil(self.stride[i]);
                    (out.saturating_sub(1) * self.stride[i] + span).saturating_sub(input[i])
                };
                let (v, h) = (total(0), total(1));
                [v / 2, v - v / 2, h / 2, h - h / 2]
            }
        }
    }

    /// `[height, width]` of the output; `None` where the window does not fit into the padded input.
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let pads = self.pads(input);
        let side = |i: usize| {
            let padded = input[i] + pads[2 * i] + pads[2 * i + 1];
            let span = (self.kernel[i] - 1) * self.dilation[i] + 1;
            let room = padded.checked_sub(span)?;
            let mut out = room / self.stride[i] + 1;
            // torch: with ceil_mode a window may start in the left padding or the input, not beyond it.
            if self.ceil && room % self.stride[i] != 0 && out * self.stride[i] < input[i] + pads[2 * i] {
                out += 1;
            }
            Some(out)
        };
        Some([side(0)?, side(1)?])
    }
}

/// One operation. Each has exactly one output.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image batch.
    Input {
        /// Channels it must have.
        channels: usize,
    },
    /// 2-d convolution. One input.
    Conv {
        /// `[out, in / groups, kh, kw]`.
        weight: WeightId,
        /// `[out]`.
        bias: Option<WeightId>,
        /// Output channels.
        out: usize,
        /// Groups; depthwise where it equals the input's channels.
        groups: usize,
        /// Geometry.
        window: Window,
    },
    /// Batch normalisation with running statistics. One input.
    BatchNorm {
        /// Scale `[c]`.
        weight: WeightId,
        /// Shift `[c]`.
        bias: WeightId,
        /// Running mean `[c]`.
        mean: WeightId,
        /// Running variance `[c]`.
        var: WeightId,
        /// Added to the variance.
        eps: f32,
    },
    /// Pointwise non-linearity. One input.
    Activation(Activation),
    /// Sum of two or more inputs of one shape.
    Add,
    /// Product of a map `[n, c, h, w]` (first input) and a gate `[n, c, 1, 1]` or a map of the same shape.
    Mul,
    /// Concatenation over channels of two or more inputs.
    Concat,
    /// Channels `start .. start + len` of one input.
    Slice {
        /// First channel.
        start: usize,
        /// Number of channels.
        len: usize,
    },
    /// Pool over a window. One input.
    Pool(PoolKind, Window),
    /// Mean over height and width: `[n, c, 1, 1]`. One input.
    GlobalAveragePool,
    /// Fully connected layer on `[n, c, 1, 1]`. One input.
    Linear {
        /// `[out, in]`.
        weight: WeightId,
        /// `[out]`.
        bias: Option<WeightId>,
        /// Output features.
        out: usize,
    },
}

/// An operation, what it reads, and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// What it reads: earlier nodes only.
    pub inputs: Vec<NodeId>,
    /// timm's module path, such as `blocks.0.0.conv_dw`.
    pub name: String,
    /// Names under which features can be asked for: `stem`, `stage1` …, `map`, `pool`, `logits`. A node
    /// can have several: the last stage of a ResNet is also its final map.
    pub taps: Vec<String>,
}

/// Why a graph cannot run on an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("layer `{layer}` of `{graph}` cannot take {input}: {problem}")]
pub struct ShapeError {
    /// The graph's name.
    pub graph: String,
    /// The node's name.
    pub layer: String,
    /// The input's shape, for people.
    pub input: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A network: typed nodes in topological order and the weights they name.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Architecture name, such as `tf_efficientnet_b0`.
    pub name: String,
    /// Topological order; the first is the only [`Op::Input`], the last is the result.
    pub nodes: Vec<Node>,
    /// Every tensor of the state dict, in timm's order, buffers included.
    pub weights: Vec<Weight>,
    /// State-dict prefix of the classifier, such as `classifier`.
    pub classifier: String,
    /// State-dict prefix of the first convolution, such as `conv_stem`.
    pub first_conv: String,
    /// Number of classes.
    pub classes: usize,
    /// Prefixes of tensors that published files have and timm drops when it loads them, such as an
    /// auxiliary head's.
    pub ignore: Vec<String>,
}

impl Graph {
    /// The node that yields the logits.
    pub fn output(&self) -> NodeId {
        NodeId(self.nodes.len().saturating_sub(1))
    }

    /// The node that carries `tap`.
    pub fn tap(&self, tap: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.taps.iter().any(|t| t == tap)).map(NodeId)
    }

    /// Every tap with its node, in the order of the nodes.
    pub fn taps(&self) -> impl Iterator<Item = (&str, NodeId)> {
        let of = |(i, n): (usize, _)| {
            let node: &Node = n;
            node.taps.iter().map(move |t| (t.as_str(), NodeId(i)))
        };
        self.nodes.iter().enumerate().flat_map(of)
    }

    /// A weight by its index.
    pub fn weight(&self, id: WeightId) -> Option<&Weight> {
        self.weights.get(id.0)
    }

    /// Trainable parameters, as `sum(p.numel() for p in model.parameters())`.
    pub fn params(&self) -> u64 {
        self.weights.iter().filter(|w| w.is_parameter()).map(Weight::elements).sum()
    }

    /// The output shape of every node for an input of `[images, channels, height, width]`.
    ///
    /// # Errors
    /// A [`ShapeError`] that names the first layer that does not fit.
    pub fn shapes(&self, input: Shape) -> Result<Vec<Shape>, ShapeError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let ins: Vec<Shape> = node.inputs.iter().filter_map(|i| shapes.get(i.0).copied()).collect();
            let out = node.op.shape(&ins, input).map_err(|problem| ShapeError {
                graph: self.name.clone(),
                layer: node.name.clone(),
                input: ins.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", "),
                problem,
            })?;
            shapes.push(out);
        }
        Ok(shapes)
    }
}

impl Classify for ShapeError {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

impl Op {
    /// The weights it reads.
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Op::Conv { weight, bias, .. } | Op::Linear { weight, bias, .. } => {
                std::iter::once(*weight).chain(*bias).collect()
            }
            Op::BatchNorm { weight, bias, mean, var, .. } => vec![*weight, *bias, *mean, *var],
            Op::Input { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool => Vec::new(),
        }
    }

    fn weights_mut(&mut self) -> Vec<&mut WeightId> {
        match self {
            Op::Conv { weight, bias, .. } | Op::Linear { weight, bias, .. } => {
                std::iter::once(weight).chain(bias.as_mut()).collect()
            }
            Op::BatchNorm { weight, bias, mean, var, .. } => vec![weight, bias, mean, var],
            _ => Vec::new(),
        }
    }

    /// A short name for people: `conv`, `batch_norm`, `silu` ….
    pub fn kind(&self) -> String {
        match self {
            Op::Input { .. } => "input".into(),
            Op::Conv { .. } => "conv".into(),
            Op::BatchNorm { .. } => "batch_norm".into(),
            Op::Activation(a) => a.to_string(),
            Op::Add => "add".into(),
            Op::Mul => "mul".into(),
            Op::Concat => "concat".into(),
            Op::Slice { .. } => "slice".into(),
            Op::Pool(PoolKind::Max, _) => "max_pool".into(),
            Op::Pool(PoolKind::Average { .. }, _) => "avg_pool".into(),
            Op::GlobalAveragePool => "global_avg_pool".into(),
            Op::Linear { .. } => "linear".into(),
        }
    }

    fn shape(&self, ins: &[Shape], image: Shape) -> Result<Shape, String> {
        let first = || ins.first().copied().ok_or_else(|| "it has no input".to_owned());
        let windowed = |w: &Window, out: Option<usize>| {
            let [n, c, h, width] = first()?;
            let [oh, ow] = w.output([h, width]).ok_or_else(|| {
                format!("a window of {}x{} does not fit into {h}x{width} pixels", w.kernel[0], w.kernel[1])
            })?;
            Ok([n, out.unwrap_or(c), oh, ow])
        };
        match self {
            Op::Input { channels } if image[1] == *channels => Ok(image),
            Op::Input { channels } => Err(format!("the image has {} channels, not {channels}", image[1])),
            Op::Conv { out, window, .. } => windowed(window, Some(*out)),
            Op::Pool(_, window) => windowed(window, None),
            Op::BatchNorm { .. } | Op::Activation(_) => first(),
            Op::Add => match first()? {
                f if ins.iter().all(|s| *s == f) => Ok(f),
                _ => Err("its inputs differ in shape".into()),
            },
            Op::Mul => {
                let f = first()?;
                match ins.get(1) {
                    Some(g) if *g == f || *g == [f[0], f[1], 1, 1] => Ok(f),
                    _ => Err("the gate fits neither the map nor its channels".into()),
                }
            }
            Op::Concat => {
                let f = first()?;
                match ins.iter().all(|s| (s[0], s[2], s[3]) == (f[0], f[2], f[3])) {
                    true => Ok([f[0], ins.iter().map(|s| s[1]).sum(), f[2], f[3]]),
                    false => Err("its inputs differ in height or width".into()),
                }
            }
            Op::Slice { start, len } => match first()? {
                [n, c, h, w] if start + len <= c => Ok([n, *len, h, w]),
                [_, c, ..] => Err(format!("channels {start}..{} of {c}", start + len)),
            },
            Op::GlobalAveragePool => first().map(|[n, c, ..]| [n, c, 1, 1]),
            Op::Linear { out, .. } => match first()? {
                [n, _, 1, 1] => Ok([n, *out, 1, 1]),
                _ => Err("a linear layer takes pooled features".into()),
            },
        }
    }
}

/// Builds a [`Graph`] layer by layer, with timm's module paths as names.
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    channels: Vec<usize>,
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
        let mut builder = Builder {
            graph: Graph {
                name: name.to_owned(),
                nodes: Vec::new(),
                weights: Vec::new(),
                classifier: String::new(),
                first_conv: String::new(),
                classes,
                ignore: Vec::new(),
            },
            channels: Vec::new(),
        };
        let image = builder.push(Op::Input { channels }, &[], "input", channels);
        (builder, image)
    }

    /// Channels of a node's output.
    pub fn channels(&self, node: NodeId) -> usize {
        self.channels.get(node.0).copied().unwrap_or(0)
    }

    fn push(&mut self, op: Op, inputs: &[NodeId], name: &str, channels: usize) -> NodeId {
        self.graph.nodes.push(Node { op, inputs: inputs.to_vec(), name: name.to_owned(), taps: Vec::new() });
        self.channels.push(channels);
        NodeId(self.graph.nodes.len() - 1)
    }

    fn weight(&mut self, name: String, shape: &[usize], role: Role) -> WeightId {
        self.graph.weights.push(Weight { name, shape: shape.to_vec(), role });
        WeightId(self.graph.weights.len() - 1)
    }

    /// A convolution; weights `NAME.weight` and, with a bias, `NAME.bias`.
    pub fn conv(&mut self, name: &str, x: NodeId, spec: ConvSpec) -> NodeId {
        let ConvSpec { out, groups, bias, window } = spec;
        let [kh, kw] = window.kernel;
        let per_group = self.channels(x) / groups.max(1);
        let role = Role::Filter { fan_in: per_group * kh * kw };
        let weight = self.weight(format!("{name}.weight"), &[out, per_group, kh, kw], role);
        let bias = bias.then(|| self.weight(format!("{name}.bias"), &[out], Role::Bias));
        self.push(Op::Conv { weight, bias, out, groups, window }, &[x], name, out)
    }

    /// Batch normalisation; the five tensors of torch's `BatchNorm2d` under `NAME.`. `last` says that it
    /// is the last norm of the branch of a block that has a shortcut ([`Role::NormWeight`]).
    pub fn batch_norm(&mut self, name: &str, x: NodeId, eps: f32, last: bool) -> NodeId {
        let c = self.channels(x);
        let weight = self.weight(format!("{name}.weight"), &[c], Role::NormWeight { last });
        let bias = self.weight(format!("{name}.bias"), &[c], Role::Bias);
        let mean = self.weight(format!("{name}.running_mean"), &[c], Role::RunningMean);
        let var = self.weight(format!("{name}.running_var"), &[c], Role::RunningVar);
        self.weight(format!("{name}.num_batches_tracked"), &[], Role::BatchesTracked);
        self.push(Op::BatchNorm { weight, bias, mean, var, eps }, &[x], name, c)
    }

    /// A pointwise non-linearity.
    pub fn activation(&mut self, name: &str, x: NodeId, kind: Activation) -> NodeId {
        let c = self.channels(x);
        self.push(Op::Activation(kind), &[x], name, c)
    }

    /// The sum of maps of one shape.
    pub fn add(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        let c = inputs.first().map_or(0, |&x| self.channels(x));
        self.push(Op::Add, inputs, name, c)
    }

    /// A map times its gate.
    pub fn mul(&mut self, name: &str, map: NodeId, gate: NodeId) -> NodeId {
        let c = self.channels(map);
        self.push(Op::Mul, &[map, gate], name, c)
    }

    /// Concatenation over channels.
    pub fn concat(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        let c = inputs.iter().map(|&x| self.channels(x)).sum();
        self.push(Op::Concat, inputs, name, c)
    }

    /// Some of a map's channels.
    pub fn slice(&mut self, name: &str, x: NodeId, start: usize, len: usize) -> NodeId {
        self.push(Op::Slice { start, len }, &[x], name, len)
    }

    /// A pool over a window.
    pub fn pool(&mut self, name: &str, x: NodeId, kind: PoolKind, window: Window) -> NodeId {
        let c = self.channels(x);
        self.push(Op::Pool(kind, window), &[x], name, c)
    }

    /// The mean over height and width.
    pub fn global_average_pool(&mut self, name: &str, x: NodeId) -> NodeId {
        let c = self.channels(x);
        self.push(Op::GlobalAveragePool, &[x], name, c)
    }

    /// A fully connected layer; weights `NAME.weight` and, with a bias, `NAME.bias`.
    pub fn linear(&mut self, name: &str, x: NodeId, out: usize, bias: bool) -> NodeId {
        let fan_in = self.channels(x);
        let weight = self.weight(format!("{name}.weight"), &[out, fan_in], Role::Filter { fan_in });
        let bias = bias.then(|| self.weight(format!("{name}.bias"), &[out], Role::Bias));
        self.push(Op::Linear { weight, bias, out }, &[x], name, out)
    }

    /// Gives a node a name that features can be asked for by.
    pub fn tap(&mut self, node: NodeId, tap: &str) {
        if let Some(n) = self.graph.nodes.get_mut(node.0) {
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
        for id in self.graph.nodes.iter_mut().flat_map(|n| n.op.weights_mut()) {
            if let Some(&new) = id.0.checked_sub(from).and_then(|i| new_place.get(i)) {
                id.0 = new;
            }
        }
    }

    /// Says that published files may have tensors under this prefix that timm drops ([`Graph::ignore`]).
    pub fn ignore(&mut self, prefix: &str) {
        self.graph.ignore.push(prefix.to_owned());
    }

    /// The graph; the last node added is its result.
    pub fn finish(mut self, classifier: &str, first_conv: &str) -> Graph {
        classifier.clone_into(&mut self.graph.classifier);
        first_conv.clone_into(&mut self.graph.first_conv);
        self.graph
    }
}
