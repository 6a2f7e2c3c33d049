//! Which nodes of a graph become one layer: the fusions, as rules.
//!
//! In: a [`Graph`]. Out: layers in order, each with what it reads and the one or two values it writes.
//! Nothing here knows weights' values or instruction sets; adding a fusion is adding a rule here
//! and what runs it in `steps`. Called by [`super::Plan::new`].
//!
//! The rules, each only where nobody else reads what lies between:
//! - a convolution takes the batch norm behind it, then an activation, then a sum with an earlier value,
//!   then an activation;
//! - a depthwise convolution also writes its mean, where a squeeze-excite asks for it;
//! - a 1×1 convolution takes the gate in front of it;
//! - a depthwise convolution takes the 1×1 convolution in front of it, panel by panel;
//! - what is left over (gate, norm, sum, activation) joins into one pass over the map.

use crate::graph::{Activation, Graph, NodeId, Op, Padding, PoolKind, Shape, WeightId, Window};

/// A value that layers exchange: the output of a node, or of a sum's first part.
pub(super) type Value = usize;

/// Batch norm's tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Norm {
    pub(super) weight: WeightId,
    pub(super) bias: WeightId,
    pub(super) mean: WeightId,
    pub(super) var: WeightId,
    pub(super) eps: f32,
}

/// A convolution or fully connected layer with all that was joined to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conv {
    pub(super) weight: WeightId,
    pub(super) bias: Option<WeightId>,
    pub(super) norm: Option<Norm>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) groups: usize,
    pub(super) window: Window,
    pub(super) activation: Option<Activation>,
    pub(super) residual: Option<Value>,
    pub(super) after: Option<Activation>,
    /// A factor for each input channel.
    pub(super) gate: Option<Value>,
    /// Where the mean over the output's pixels goes.
    pub(super) mean: Option<Value>,
    /// A 1×1 convolution that makes the input, with its own input.
    pub(super) expand: Option<(Box<Conv>, Value)>,
}

impl Conv {
    pub(super) fn depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.inputs && self.inputs == self.outputs
    }

    /// One tap, no stride and no border: a matrix product.
    pub(super) fn point(&self) -> bool {
        self.window.kernel == [1; 2]
            && self.window.stride == [1; 2]
            && matches!(self.window.padding, Padding::Same | Padding::Explicit([0, 0, 0, 0]))
            && self.groups == 1
    }
}

/// One pass over a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pass {
    pub(super) gate: Option<Value>,
    pub(super) norm: Option<Norm>,
    pub(super) plus: Option<Value>,
    pub(super) times: Option<Value>,
    pub(super) activation: Option<Activation>,
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Image,
    Conv(Conv),
    Pass(Pass),
    Pool(PoolKind, Window),
    Mean,
    Concat(Vec<Value>),
    Slice { start: usize },
}

/// A layer: its first input, and the value it writes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) input: Value,
    pub(super) output: Value,
}

impl Layer {
    /// Every value it reads.
    pub(super) fn reads(&self) -> Vec<Value> {
        let mut reads = match &self.kind {
            Kind::Image => Vec::new(),
            Kind::Concat(values) => values.clone(),
            Kind::Conv(Conv { expand: Some((_, value)), .. }) => vec![*value],
            _ => vec![self.input],
        };
        match &self.kind {
            Kind::Conv(c) => reads.extend([c.residual, c.gate].into_iter().flatten()),
            Kind::Pass(p) => reads.extend([p.gate, p.plus, p.times].into_iter().flatten()),
            _ => {}
        }
        reads
    }

    /// Every value it writes.
    pub(super) fn writes(&self) -> Vec<Value> {
        match &self.kind {
            Kind::Conv(Conv { mean: Some(mean), .. }) => vec![self.output, *mean],
            _ => vec![self.output],
        }
    }
}

/// The layers of a graph, and how many values they exchange. A value below `graph.nodes.len()` has the
/// shape of that node; the others that of [`Lowered::shape_of`].
pub(super) struct Lowered {
    pub(super) layers: Vec<Layer>,
    /// For every value, the node whose shape it has.
    pub(super) shape_of: Vec<usize>,
}

/// Joins the nodes that the result depends on into layers. `shapes` are the nodes' shapes.
pub(super) fn lower(graph: &Graph, shapes: &[Shape]) -> Lowered {
    let count = graph.nodes.len();
    let live = live(graph);
    let mut users = vec![0usize; count];
    for (node, _) in graph.nodes.iter().zip(&live).filter(|(_, live)| **live) {
        for NodeId(i) in &node.inputs {
            if let Some(u) = users.get_mut(*i) {
                *u += 1;
            }
        }
    }
    let mut lowering = Lowering { graph, shapes, users, layers: Vec::new(), shape_of: (0..count).collect() };
    for index in (0..count).filter(|&i| live.get(i) == Some(&true)) {
        lowering.node(index);
    }
    Lowered { layers: lowering.layers.into_iter().flatten().collect(), shape_of: lowering.shape_of }
}

/// Which nodes the result depends on.
fn live(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    if let Some(last) = live.last_mut() {
        *last = true;
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

    fn push(&mut self, index: usize, kind: Kind, input: Value) {
        let name = self.graph.nodes.get(index).map(|n| n.name.clone()).unwrap_or_default();
        self.layers.push(Some(Layer { name, kind, input, output: index }));
    }

    fn node(&mut self, index: usize) {
        let Some(node) = self.graph.nodes.get(index) else { return };
        let inputs: Vec<Value> = node.inputs.iter().map(|i| i.0).collect();
        let first = inputs.first().copied().unwrap_or(0);
        match &node.op {
            Op::Input { .. } => self.push(index, Kind::Image, index),
            Op::Conv { weight, bias, out, groups, window } => {
                self.conv(index, first, *weight, *bias, *out, *groups, *window);
            }
            Op::Linear { weight, bias, out } => {
                let window = Window::square(1, 1, Padding::all(0));
                self.conv(index, first, *weight, *bias, *out, 1, window);
            }
            Op::BatchNorm { weight, bias, mean, var, eps } => {
                let norm = Norm { weight: *weight, bias: *bias, mean: *mean, var: *var, eps: *eps };
                self.norm(index, first, norm);
            }
            Op::Activation(activation) => self.activation(index, first, *activation),
            Op::Add => self.add(index, &inputs),
            Op::Mul => self.mul(index, first, inputs.get(1).copied().unwrap_or(first)),
            Op::Concat => self.push(index, Kind::Concat(inputs), first),
            Op::Slice { start, .. } => self.push(index, Kind::Slice { start: *start }, first),
            Op::Pool(kind, window) => self.push(index, Kind::Pool(*kind, *window), first),
            Op::GlobalAveragePool => self.mean(index, first),
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
            after: None,
            gate: None,
            mean: None,
            expand: None,
        };
        let mut input = input;
        if conv.point() {
            if let Some((gate, map)) = self.take_gate(input) {
                conv.gate = Some(gate);
                input = map;
            }
        } else if conv.depthwise()
            && let Some((expand, value)) = self.take_expand(input)
        {
            conv.expand = Some((Box::new(expand), value));
        }
        self.push(index, Kind::Conv(conv), input);
    }

    /// The gate and the map of a product that only the next layer reads; the product is dropped.
    fn take_gate(&mut self, value: Value) -> Option<(Value, Value)> {
        let layer = self.only_maker(value)?;
        let Kind::Pass(Pass { gate: Some(gate), norm: None, plus: None, times: None, activation: None }) =
            layer.kind
        else {
            return None;
        };
        let map = layer.input;
        self.drop_layer(value);
        Some((gate, map))
    }

    /// A plain 1×1 convolution that only the next layer reads, and its input; it is dropped.
    fn take_expand(&mut self, value: Value) -> Option<(Conv, Value)> {
        let layer = self.only_maker(value)?;
        let Kind::Conv(conv) = &layer.kind else { return None };
        let plain = conv.point() && conv.residual.is_none() && conv.gate.is_none();
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
            && let Kind::Conv(conv) = &mut layer.kind
            && conv.norm.is_none()
            && conv.activation.is_none()
            && conv.residual.is_none()
        {
            conv.norm = Some(norm);
            layer.output = index;
            return;
        }
        self.push(index, Kind::Pass(Pass { norm: Some(norm), ..Pass::default() }), input);
    }

    fn activation(&mut self, index: usize, input: Value, activation: Activation) {
        if let Some(layer) = self.only_maker(input) {
            let slot = match &mut layer.kind {
                Kind::Conv(conv) if conv.residual.is_some() => Some(&mut conv.after),
                Kind::Conv(conv) => Some(&mut conv.activation),
                Kind::Pass(pass) => Some(&mut pass.activation),
                _ => None,
            };
            if let Some(slot) = slot.filter(|s| s.is_none()) {
                *slot = Some(activation);
                layer.output = index;
                return;
            }
        }
        self.push(index, Kind::Pass(Pass { activation: Some(activation), ..Pass::default() }), input);
    }

    fn add(&mut self, index: usize, inputs: &[Value]) {
        let (&first, rest) = match inputs.split_first() {
            Some(split) => split,
            None => return,
        };
        let mut sum = first;
        for (i, &value) in rest.iter().enumerate() {
            let output = if i + 1 == rest.len() { index } else { self.fresh(index) };
            self.add_two(index, output, sum, value);
            sum = output;
        }
    }

    fn fresh(&mut self, node: usize) -> Value {
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
                Kind::Conv(conv) if !conv.depthwise() && conv.after.is_none() => Some(&mut conv.residual),
                Kind::Pass(pass) if pass.activation.is_none() && pass.times.is_none() => Some(&mut pass.plus),
                _ => None,
            };
            if let Some(slot) = slot.filter(|s| s.is_none()) {
                *slot = Some(early);
                layer.output = output;
                return;
            }
        }
        self.push(index, Kind::Pass(Pass { plus: Some(early), ..Pass::default() }), late);
        if let Some(Some(layer)) = self.layers.last_mut() {
            layer.output = output;
        }
    }

    fn mul(&mut self, index: usize, map: Value, gate: Value) {
        let pass = match matches!(self.shapes.get(gate), Some([_, _, 1, 1])) {
            true => Pass { gate: Some(gate), ..Pass::default() },
            false => Pass { times: Some(gate), ..Pass::default() },
        };
        self.push(index, Kind::Pass(pass), map);
    }

    fn mean(&mut self, index: usize, input: Value) {
        let maker = self.layers.iter_mut().flatten().rfind(|l| l.output == input);
        if let Some(Layer { kind: Kind::Conv(conv), .. }) = maker
            && conv.depthwise()
            && conv.mean.is_none()
        {
            conv.mean = Some(index);
            return;
        }
        self.push(index, Kind::Mean, input);
    }
}
