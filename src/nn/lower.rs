//! Which nodes of a graph become one layer: the fusions, as rules.
//!
//! In: a [`Graph`], the nodes whose values are wanted. Out: layers in order, each with what it reads and the one or two
//! values it writes. Nothing here knows weights' values or instruction sets; adding a fusion is adding a rule here
//! and what runs it in `instr`. An operation that no rule knows is a layer of its own, [`LayerKind::Plain`]. Called by
//! the engines (`plan`, `cuda`).
//!
//! The rules, each only where nobody else reads what lies between:
//! - a convolution takes the batch norm behind it, then an activation, then a sum with an earlier value,
//!   then an activation;
//! - a depthwise convolution also writes its mean, where a squeeze-excite asks for it;
//! - a 1×1 convolution takes the gate in front of it;
//! - a depthwise convolution takes the 1×1 convolution in front of it, panel by panel;
//! - what is left over (gate, norm, sum, activation) joins into one walk over the map.

use crate::graph::{Activation, Graph, NodeId, Op, PoolKind, Shape, WeightId, Window};

/// A value that layers exchange: the output of a node, or of a sum's first part.
pub(crate) type Value = usize;

/// Batch norm's tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Norm {
    pub(crate) weight: WeightId,
    pub(crate) bias: WeightId,
    pub(crate) mean: WeightId,
    pub(crate) var: WeightId,
    pub(crate) eps: f32,
}

/// A convolution or fully connected layer with all that was joined to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conv {
    pub(crate) weight: WeightId,
    pub(crate) bias: Option<WeightId>,
    pub(crate) norm: Option<Norm>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) groups: usize,
    pub(crate) window: Window,
    pub(crate) activation: Option<Activation>,
    pub(crate) residual: Option<Value>,
    pub(crate) post_activation: Option<Activation>,
    /// A factor for each input channel.
    pub(crate) scale_by: Option<Value>,
    /// Where the mean over the output's pixels goes.
    pub(crate) mean: Option<Value>,
    /// A 1×1 convolution that makes the input, with its own input.
    pub(crate) expand: Option<(Box<Conv>, Value)>,
}

impl Conv {
    pub(crate) fn depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.inputs && self.inputs == self.outputs
    }

    /// One tap, no stride and no border: a matrix product.
    pub(crate) fn point(&self) -> bool {
        self.window.is_point() && self.groups == 1
    }
}

/// One walk over a map, value by value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Elementwise {
    pub(crate) scale_by: Option<Value>,
    pub(crate) norm: Option<Norm>,
    pub(crate) add: Option<Value>,
    pub(crate) mul: Option<Value>,
    pub(crate) activation: Option<Activation>,
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LayerKind {
    Image,
    Conv(Conv),
    Elementwise(Elementwise),
    Pool(PoolKind, Window),
    Mean,
    Concat(Vec<Value>),
    Slice {
        start: usize,
    },
    /// An operation by its definition, and what it reads.
    Plain(Op, Vec<Value>),
}

/// A layer: its first input, and the value it writes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) kind: LayerKind,
    pub(crate) input: Value,
    pub(crate) output: Value,
}

impl Layer {
    /// Every value it reads.
    pub(crate) fn reads(&self) -> Vec<Value> {
        match &self.kind {
            LayerKind::Image => Vec::new(),
            LayerKind::Concat(values) | LayerKind::Plain(_, values) => values.clone(),
            LayerKind::Conv(c) => {
                let input = c.expand.as_ref().map_or(self.input, |(_, value)| *value);
                [Some(input), c.residual, c.scale_by].into_iter().flatten().collect()
            }
            LayerKind::Elementwise(e) => {
                [Some(self.input), e.scale_by, e.add, e.mul].into_iter().flatten().collect()
            }
            LayerKind::Pool(..) | LayerKind::Mean | LayerKind::Slice { .. } => vec![self.input],
        }
    }

    /// Every value it writes.
    pub(crate) fn writes(&self) -> Vec<Value> {
        match &self.kind {
            LayerKind::Conv(Conv { mean, .. }) => std::iter::once(self.output).chain(*mean).collect(),
            LayerKind::Image
            | LayerKind::Elementwise(_)
            | LayerKind::Pool(..)
            | LayerKind::Mean
            | LayerKind::Concat(_)
            | LayerKind::Slice { .. }
            | LayerKind::Plain(..) => vec![self.output],
        }
    }
}

/// The layers of a graph, and how many values they exchange. A value below `graph.nodes.len()` has the
/// shape of that node; the others that of [`Lowered::shape_of`].
pub(crate) struct Lowered {
    pub(crate) layers: Vec<Layer>,
    /// For every value, the node whose shape it has.
    pub(crate) shape_of: Vec<usize>,
}

/// How much is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fusion {
    /// All that a rule knows.
    Rules,
    /// Nothing: every operation by its definition.
    Off,
}

/// Joins the nodes that `outputs` depend on into layers. `shapes` are the nodes' shapes. A value that is wanted is not
/// joined with what reads it.
pub(crate) fn lower(graph: &Graph, shapes: &[Shape], outputs: &[NodeId], fusion: Fusion) -> Lowered {
    let count = graph.nodes.len();
    let live = live(graph, outputs);
    let mut users = vec![0usize; count];
    let read = graph.nodes.iter().zip(&live).filter(|(_, live)| **live).flat_map(|(node, _)| &node.inputs);
    for NodeId(i) in read.chain(outputs) {
        if let Some(u) = users.get_mut(*i) {
            *u += 1;
        }
    }
    let mut lowering = Lowering { graph, shapes, users, layers: Vec::new(), shape_of: (0..count).collect() };
    for index in (0..count).filter(|&i| live.get(i) == Some(&true)) {
        match fusion {
            Fusion::Rules => lowering.node(index),
            Fusion::Off => lowering.plain(index),
        }
    }
    Lowered { layers: lowering.layers.into_iter().flatten().collect(), shape_of: lowering.shape_of }
}

/// Which nodes the outputs depend on.
fn live(graph: &Graph, outputs: &[NodeId]) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    for NodeId(i) in outputs {
        if let Some(l) = live.get_mut(*i) {
            *l = true;
        }
    }
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if live.get(index) == Some(&true) {
            for NodeId(i) in &node.inputs {
                if let Some(l) = live.get_mut(*i) {
                    *l = true;
                }
            }
        }
    }
    live
}

struct Lowering<'a> {
    graph: &'a Graph,
    shapes: &'a [Shape],
    users: Vec<usize>,
    /// `None` where a layer has joined a later one.
    layers: Vec<Option<Layer>>,
    shape_of: Vec<usize>,
}

impl Lowering<'_> {
    /// The layer that writes `value`, where nothing else reads it.
    fn only_maker(&mut self, value: Value) -> Option<&mut Layer> {
        if self.users.get(value) != Some(&1) {
            return None;
        }
        self.layers.iter_mut().flatten().rfind(|l| l.output == value)
    }

    /// The place of the layer that writes `value`.
    fn place(&self, value: Value) -> Option<usize> {
        self.layers.iter().rposition(|l| l.as_ref().is_some_and(|l| l.writes().contains(&value)))
    }

    fn push(&mut self, index: usize, kind: LayerKind, input: Value) {
        let name = self.graph.nodes.get(index).map(|n| n.name.clone()).unwrap_or_default();
        self.layers.push(Some(Layer { name, kind, input, output: index }));
    }

    /// A node as a layer of its own.
    fn plain(&mut self, index: usize) {
        let Some(node) = self.graph.nodes.get(index) else { return };
        let inputs: Vec<Value> = node.inputs.iter().map(|i| i.0).collect();
        let first = inputs.first().copied().unwrap_or(index);
        let kind = match &node.op {
            Op::Input { .. } => LayerKind::Image,
            op @ (Op::GroupNorm { .. }
            | Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::ChannelConv { .. }
            | Op::CondConv { .. }
            | Op::Conv { .. }
            | Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::Linear { .. }) => LayerKind::Plain(op.clone(), inputs),
        };
        self.push(index, kind, first);
    }

    fn node(&mut self, index: usize) {
        let Some(node) = self.graph.nodes.get(index) else { return };
        let inputs: Vec<Value> = node.inputs.iter().map(|i| i.0).collect();
        let first = inputs.first().copied().unwrap_or(0);
        match &node.op {
            Op::Input { .. } => self.push(index, LayerKind::Image, index),
            Op::Conv { weight, bias, out, groups, window } => {
                self.conv(index, first, *weight, *bias, *out, *groups, *window);
            }
            Op::Linear { weight, bias, out } => {
                self.conv(index, first, *weight, *bias, *out, 1, Window::POINT);
            }
            Op::BatchNorm { weight, bias, mean, var, eps } => {
                let norm = Norm { weight: *weight, bias: *bias, mean: *mean, var: *var, eps: *eps };
                self.norm(index, first, norm);
            }
            Op::Activation(activation) => self.activation(index, first, *activation),
            Op::Add => self.add(index, &inputs),
            Op::Mul => self.mul(index, first, inputs.get(1).copied().unwrap_or(first)),
            Op::Concat => self.push(index, LayerKind::Concat(inputs), first),
            Op::Slice { start, .. } => self.push(index, LayerKind::Slice { start: *start }, first),
            Op::Pool(kind, window) => self.push(index, LayerKind::Pool(*kind, *window), first),
            Op::GlobalAveragePool => self.mean(index, first),
            Op::GroupNorm { .. }
            | Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::ChannelConv { .. }
            | Op::CondConv { .. } => self.plain(index),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of `Op::Conv`, and where it stands")]
    fn conv(
        &mut self,
        index: usize,
        input: Value,
        weight: WeightId,
        bias: Option<WeightId>,
        outputs: usize,
        groups: usize,
        window: Window,
    ) {
        let inputs = self.shapes.get(input).map_or(0, |shape| shape[1]);
        let mut conv = Conv {
            weight,
            bias,
            norm: None,
            inputs,
            outputs,
            groups,
            window,
            activation: None,
            residual: None,
            post_activation: None,
            scale_by: None,
            mean: None,
            expand: None,
        };
        let mut input = input;
        if conv.point() {
            if let Some((scale_by, map)) = self.take_gate(input) {
                conv.scale_by = Some(scale_by);
                input = map;
            }
        } else if conv.depthwise()
            && let Some((expand, value)) = self.take_expand(input)
        {
            conv.expand = Some((Box::new(expand), value));
        }
        self.push(index, LayerKind::Conv(conv), input);
    }

    /// The gate and the map of a product that only the next layer reads; the product is dropped.
    fn take_gate(&mut self, value: Value) -> Option<(Value, Value)> {
        let layer = self.only_maker(value)?;
        let LayerKind::Elementwise(Elementwise {
            scale_by: Some(scale_by),
            norm: None,
            add: None,
            mul: None,
            activation: None,
        }) = layer.kind
        else {
            return None;
        };
        let map = layer.input;
        self.drop_layer(value);
        Some((scale_by, map))
    }

    /// A plain 1×1 convolution that only the next layer reads, and its input; it is dropped.
    fn take_expand(&mut self, value: Value) -> Option<(Conv, Value)> {
        let layer = self.only_maker(value)?;
        let LayerKind::Conv(conv) = &layer.kind else { return None };
        let plain = conv.point() && conv.residual.is_none() && conv.scale_by.is_none();
        let taken = plain.then(|| (conv.clone(), layer.input))?;
        self.drop_layer(value);
        Some(taken)
    }

    fn drop_layer(&mut self, value: Value) {
        for layer in &mut self.layers {
            if layer.as_ref().is_some_and(|l| l.output == value) {
                *layer = None;
            }
        }
    }

    fn norm(&mut self, index: usize, input: Value, norm: Norm) {
        if let Some(layer) = self.only_maker(input)
            && let LayerKind::Conv(conv) = &mut layer.kind
            && conv.norm.is_none()
            && conv.activation.is_none()
            && conv.residual.is_none()
        {
            conv.norm = Some(norm);
            layer.output = index;
            return;
        }
        self.push(
            index,
            LayerKind::Elementwise(Elementwise { norm: Some(norm), ..Elementwise::default() }),
            input,
        );
    }

    fn activation(&mut self, index: usize, input: Value, activation: Activation) {
        if let Some(layer) = self.only_maker(input) {
            let slot = match &mut layer.kind {
                LayerKind::Conv(conv) if conv.residual.is_some() => Some(&mut conv.post_activation),
                LayerKind::Conv(conv) => Some(&mut conv.activation),
                LayerKind::Elementwise(work) => Some(&mut work.activation),
                LayerKind::Image
                | LayerKind::Pool(..)
                | LayerKind::Mean
                | LayerKind::Concat(_)
                | LayerKind::Slice { .. }
                | LayerKind::Plain(..) => None,
            };
            if let Some(slot) = slot.filter(|s| s.is_none()) {
                *slot = Some(activation);
                layer.output = index;
                return;
            }
        }
        self.push(
            index,
            LayerKind::Elementwise(Elementwise { activation: Some(activation), ..Elementwise::default() }),
            input,
        );
    }

    fn add(&mut self, index: usize, inputs: &[Value]) {
        let (&first, rest) = match inputs.split_first() {
            Some(split) => split,
            None => return,
        };
        let mut sum = first;
        for (i, &value) in rest.iter().enumerate() {
            let output = if i + 1 == rest.len() { index } else { self.new_value(index) };
            self.add_two(index, output, sum, value);
            sum = output;
        }
    }

    fn new_value(&mut self, node: usize) -> Value {
        self.shape_of.push(node);
        self.users.push(1);
        self.shape_of.len() - 1
    }

    fn add_two(&mut self, index: usize, output: Value, a: Value, b: Value) {
        // The later of the two takes the earlier one in.
        let (late, early) = if self.place(a) > self.place(b) { (a, b) } else { (b, a) };
        if late != early
            && let Some(layer) = self.only_maker(late)
        {
            let slot = match &mut layer.kind {
                LayerKind::Conv(conv) if !conv.depthwise() && conv.post_activation.is_none() => {
                    Some(&mut conv.residual)
                }
                LayerKind::Elementwise(work) if work.activation.is_none() && work.mul.is_none() => {
                    Some(&mut work.add)
                }
                LayerKind::Conv(_)
                | LayerKind::Elementwise(_)
                | LayerKind::Image
                | LayerKind::Pool(..)
                | LayerKind::Mean
                | LayerKind::Concat(_)
                | LayerKind::Slice { .. }
                | LayerKind::Plain(..) => None,
            };
            if let Some(slot) = slot.filter(|s| s.is_none()) {
                *slot = Some(early);
                layer.output = output;
                return;
            }
        }
        self.push(
            index,
            LayerKind::Elementwise(Elementwise { add: Some(early), ..Elementwise::default() }),
            late,
        );
        if let Some(Some(layer)) = self.layers.last_mut() {
            layer.output = output;
        }
    }

    fn mul(&mut self, index: usize, map: Value, scale_by: Value) {
        let work = match self.shapes.get(scale_by) {
            Some([_, _, 1, 1]) => Elementwise { scale_by: Some(scale_by), ..Elementwise::default() },
            Some(_) | None => Elementwise { mul: Some(scale_by), ..Elementwise::default() },
        };
        self.push(index, LayerKind::Elementwise(work), map);
    }

    fn mean(&mut self, index: usize, input: Value) {
        let maker = self.layers.iter_mut().flatten().rfind(|l| l.output == input);
        if let Some(Layer { kind: LayerKind::Conv(conv), .. }) = maker
            && conv.depthwise()
            && conv.mean.is_none()
        {
            conv.mean = Some(index);
            return;
        }
        self.push(index, LayerKind::Mean, input);
    }
}
