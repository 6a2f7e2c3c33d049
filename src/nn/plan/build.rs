//! From layers to steps: sizes resolved, memory placed, weights folded and packed.
//!
//! In: a graph's layers (`lower`), the shapes of its nodes, the weights. Out: the steps of a pass and the
//! packed weights, which lie in the order in which a pass reads them. Called by [`super::Plan::new`],
//! once a plan.

use crate::nn::graph::{Graph, Shape, WeightId, Window};
use crate::nn::kernels::Isa;
use crate::nn::kernels::conv::Taps;
use crate::nn::kernels::depthwise::Ring;
use crate::nn::kernels::memory::LINE;
use crate::nn::kernels::pack;
use crate::nn::kernels::winograd::{self, Tiling};
use crate::nn::weights::Weights;

use super::arena::{self, Need};
use super::lower::{Conv, Kind, Layer, Lowered, Norm, Pass, Value};
use super::steps::{Action, Block, Dense, Depthwise, Expand, Map, Stem, Step};
use super::winograd::Winograd;
use super::{Error, LayerInfo};

/// What a plan is made of.
pub(super) struct Built {
    pub(super) steps: Vec<Step>,
    pub(super) weights: Vec<f32>,
    /// Values of activations.
    pub(super) arena: usize,
    /// Values of scratch a thread.
    pub(super) scratch: usize,
    /// Zeros that stand for what lies beyond a border.
    pub(super) zeros: usize,
    pub(super) output: Map,
    /// Of every layer: its name and its multiply-adds.
    pub(super) layers: Vec<LayerInfo>,
}

/// Makes the steps of `lowered` on one image.
pub(super) fn build(
    graph: &Graph,
    weights: &dyn Weights,
    lowered: &Lowered,
    shapes: &[Shape],
    isa: Isa,
) -> Result<Built, Error> {
    let mut maps = Maps::new(lowered, shapes, isa.lanes());
    let extra = maps.place(lowered);
    let mut builder = Builder { graph, weights, lanes: isa.lanes(), packed: Vec::new(), steps: Vec::new() };
    for (index, layer) in lowered.layers.iter().enumerate() {
        builder.layer(index, layer, &maps, extra.get(index).copied().unwrap_or(0))?;
    }
    let info = |layer: &Layer| {
        let maps_of: usize =
            layer.reads().into_iter().chain(layer.writes()).map(|v| maps.of(v).len(isa.lanes())).sum();
        let bytes = 4 * (maps_of + weight_values(layer));
        LayerInfo { name: layer.name.clone(), macs: macs(layer, &maps), bytes }
    };
    let layers = lowered.layers.iter().map(info).collect();
    let output = maps.of(lowered.layers.last().map_or(0, |l| l.output));
    let zeros = builder.steps.iter().map(|step| match &step.action {
        Action::Dense(dense) => dense.input.channels,
        Action::Winograd(w) => w.input.vectors.max(w.output.vectors) * isa.lanes(),
        Action::Stem(stem) => stem.block.inputs,
        Action::Depthwise(Depthwise { expand: Some(expand), .. }) => expand.block.inputs,
        _ => 0,
    });
    let zeros = zeros.max().unwrap_or(0);
    let scratch = builder.steps.iter().map(|step| step.action.scratch(isa.lanes())).max().unwrap_or(0);
    let (steps, weights, arena) = (builder.steps, builder.packed, maps.total);
    Ok(Built { steps, weights, arena, scratch, zeros, output, layers })
}

/// The maps of all values.
struct Maps {
    maps: Vec<Map>,
    lanes: usize,
    total: usize,
    /// The image, and whether it must become a map.
    image: Option<Value>,
    image_map: bool,
}

impl Maps {
    fn new(lowered: &Lowered, shapes: &[Shape], lanes: usize) -> Self {
        let map = |&node: &usize| {
            let [_, channels, h, w] = shapes.get(node).copied().unwrap_or_default();
            Map { at: 0, size: [h, w], channels, vectors: pack::vectors(channels, lanes) }
        };
        let image = lowered.layers.iter().find(|l| l.kind == Kind::Image).map(|l| l.output);
        let image_map = image.is_some_and(|i| image_needed(lowered, i));
        Maps { maps: lowered.shape_of.iter().map(map).collect(), lanes, total: 0, image, image_map }
    }

    fn of(&self, value: Value) -> Map {
        self.maps.get(value).copied().unwrap_or(Map { at: 0, size: [0; 2], channels: 0, vectors: 0 })
    }

    /// Places every value that some layer writes, and what a layer needs besides while it runs (the
    /// scaled map or weights behind a gate), whose offsets are returned.
    fn place(&mut self, lowered: &Lowered) -> Vec<usize> {
        let mut needs: Vec<(Value, Need)> = Vec::new();
        for (index, layer) in lowered.layers.iter().enumerate() {
            for value in layer.writes() {
                let used = layer.kind != Kind::Image || self.image_map;
                let len = if used { self.of(value).len(self.lanes) } else { 0 };
                needs.push((value, Need { first: index, last: index, len }));
            }
            for value in layer.reads() {
                if let Some((_, need)) = needs.iter_mut().find(|(v, _)| *v == value) {
                    need.last = index;
                }
            }
        }
        if let Some((_, need)) = needs.last_mut() {
            need.last = lowered.layers.len();
        }
        let values = needs.len();
        let mut all: Vec<Need> = needs.iter().map(|(_, need)| *need).collect();
        for (index, layer) in lowered.layers.iter().enumerate() {
            all.push(Need { first: index, last: index, len: self.extra(layer) });
        }
        let (offsets, total) = arena::place(&all, LINE);
        for ((value, _), offset) in needs.iter().zip(&offsets) {
            if let Some(map) = self.maps.get_mut(*value) {
                map.at = *offset;
            }
        }
        self.total = total;
        offsets.into_iter().skip(values).collect()
    }

    /// What a layer behind a gate needs: the smaller of its scaled input and its scaled weights.
    fn extra(&self, layer: &Layer) -> usize {
        match &layer.kind {
            Kind::Conv(conv @ Conv { gate: Some(_), .. }) => {
                let input = self.of(layer.input);
                match gate_on_weights(conv, &input) {
                    true => pack::packed_len(conv.outputs, conv.inputs, self.lanes),
                    false => input.len(self.lanes),
                }
            }
            _ => 0,
        }
    }
}

/// Whether a gate scales the weights rather than the map.
fn gate_on_weights(conv: &Conv, input: &Map) -> bool {
    input.pixels() > conv.outputs
}

/// Whether the image must become a map: some layer other than an ordinary convolution reads it.
fn image_needed(lowered: &Lowered, image: Value) -> bool {
    lowered.layers.iter().any(|layer| {
        let stem = matches!(&layer.kind, Kind::Conv(conv) if layer.input == image && is_stem(conv));
        layer.kind != Kind::Image && !stem && layer.reads().contains(&image)
    })
}

/// A convolution that can be computed from the image as it comes.
fn is_stem(conv: &Conv) -> bool {
    conv.groups == 1 && conv.residual.is_none() && conv.gate.is_none()
}

/// A factor and an addend for each output channel.
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

struct Builder<'a> {
    graph: &'a Graph,
    weights: &'a dyn Weights,
    lanes: usize,
    packed: Vec<f32>,
    steps: Vec<Step>,
}

impl<'a> Builder<'a> {
    /// A tensor's values, of the shape that the graph says.
    fn tensor(&self, id: WeightId) -> Result<std::borrow::Cow<'a, [f32]>, Error> {
        let Some(weight) = self.graph.weights.get(id.0) else {
            return Err(Error::Missing {
                model: self.graph.name.clone(),
                tensor: format!("weight {}", id.0),
            });
        };
        let missing = || Error::Missing { model: self.graph.name.clone(), tensor: weight.name.clone() };
        let view = self.weights.get(&weight.name).ok_or_else(missing)?;
        if *view.shape != *weight.shape || view.values.len() as u64 != weight.elements() {
            return Err(Error::Shape {
                model: self.graph.name.clone(),
                tensor: weight.name.clone(),
                expected: weight.shape.clone(),
                found: view.shape.to_vec(),
            });
        }
        Ok(view.values)
    }

    /// Batch norm with running statistics as a factor and an addend, worked out in double.
    fn affine(&self, norm: &Norm) -> Result<Affine, Error> {
        let (weight, bias) = (self.tensor(norm.weight)?, self.tensor(norm.bias)?);
        let (mean, var) = (self.tensor(norm.mean)?, self.tensor(norm.var)?);
        let mut affine = Affine { scale: Vec::new(), shift: Vec::new() };
        for (((w, b), m), v) in weight.iter().zip(&*bias).zip(&*mean).zip(&*var) {
            let scale = f64::from(*w) / (f64::from(*v) + f64::from(norm.eps)).sqrt();
            affine.scale.push(scale as f32);
            affine.shift.push((f64::from(*b) - f64::from(*m) * scale) as f32);
        }
        Ok(affine)
    }

    /// What norm and bias of a convolution come to together.
    fn folded(&self, conv: &Conv) -> Result<Affine, Error> {
        let mut affine = match &conv.norm {
            Some(norm) => self.affine(norm)?,
            None => Affine { scale: vec![1.0; conv.outputs], shift: vec![0.0; conv.outputs] },
        };
        if let Some(bias) = conv.bias {
            for ((shift, scale), b) in affine.shift.iter_mut().zip(&affine.scale).zip(&*self.tensor(bias)?) {
                *shift += scale * b;
            }
        }
        Ok(affine)
    }

    /// Starts a new cache line in the packed weights, and says where.
    fn align(&mut self) -> usize {
        self.packed.resize(self.packed.len().next_multiple_of(LINE), 0.0);
        self.packed.len()
    }

    /// Packs a convolution: taps, then channels, with groups joined until their outputs fill whole
    /// vectors (what a group does not read is multiplied by zero).
    fn blocks(&mut self, conv: &Conv, torch_order: bool) -> Result<Vec<Block>, Error> {
        let weight = self.tensor(conv.weight)?;
        let Affine { scale, shift } = self.folded(conv)?;
        let [kh, kw] = conv.window.kernel;
        let taps = kh * kw;
        let (gi, go) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
        let joined = (lcm(go, self.lanes) / go.max(1)).min(conv.groups).max(1);
        let mut blocks = Vec::new();
        for first in (0..conv.groups).step_by(joined) {
            let groups = joined.min(conv.groups - first);
            let (inputs, outputs) = (groups * gi, groups * go);
            let value = |o: usize, tap: usize, i: usize| {
                let output = first * go + o;
                let own = o / go.max(1) == i / gi.max(1);
                let at = (output * gi + i % gi.max(1)) * taps + tap;
                match (own, weight.get(at), scale.get(output)) {
                    (true, Some(w), Some(s)) => w * s,
                    _ => 0.0,
                }
            };
            let weights = self.align();
            let depth = inputs * taps;
            pack::pack(outputs, depth, self.lanes, &mut self.packed, |o, d| match torch_order {
                true => value(o, d % taps, d / taps),
                false => value(o, d / inputs, d % inputs),
            });
            let bias = self.align();
            let shift = shift.get(first * go..first * go + outputs).unwrap_or_default();
            pack::pad(shift, self.lanes, &mut self.packed);
            blocks.push(Block {
                first_input: first * gi,
                inputs: if torch_order { depth } else { inputs },
                first_output: first * go,
                vectors: pack::vectors(outputs, self.lanes),
                weights,
                bias,
            });
        }
        Ok(blocks)
    }

    fn push(&mut self, layer: usize, action: Action) {
        self.steps.push(Step { layer, action });
    }

    fn layer(&mut self, index: usize, layer: &Layer, maps: &Maps, extra: usize) -> Result<(), Error> {
        let output = maps.of(layer.output);
        let input = maps.of(layer.input);
        match &layer.kind {
            Kind::Image => {
                if maps.image_map {
                    self.push(index, Action::Image(output));
                }
            }
            Kind::Conv(conv) if conv.depthwise() => self.depthwise(index, conv, input, output, maps)?,
            Kind::Conv(conv) => self.dense(index, layer, conv, maps, extra)?,
            Kind::Pass(pass) => self.pass(index, pass, input, output, maps)?,
            Kind::Pool(kind, window) => {
                let [_, bottom, _, right] = window.pads(input.size);
                let taps = taps(window, input.size);
                self.push(index, Action::Pool { kind: *kind, taps, pad_end: [bottom, right], input, output });
            }
            Kind::Mean => self.push(index, Action::Mean { input, output: output.at }),
            Kind::Concat(values) => {
                let mut at = 0;
                for value in values {
                    let from = maps.of(*value);
                    let channels = from.channels;
                    self.push(index, Action::Copy { from, first: 0, to: output, at, channels });
                    at += channels;
                }
            }
            Kind::Slice { start } => {
                let channels = output.channels;
                self.push(index, Action::Copy { from: input, first: *start, to: output, at: 0, channels });
            }
        }
        Ok(())
    }

    fn pass(&mut self, index: usize, pass: &Pass, map: Map, output: Map, maps: &Maps) -> Result<(), Error> {
        let at = |value: &Option<Value>| value.map(|v| maps.of(v).at);
        let (mut scale, mut shift) = (None, None);
        if let Some(norm) = &pass.norm {
            let affine = self.affine(norm)?;
            scale = Some(self.align());
            pack::pad(&affine.scale, self.lanes, &mut self.packed);
            shift = Some(self.align());
            pack::pad(&affine.shift, self.lanes, &mut self.packed);
        }
        let action = Action::Pass {
            map,
            gate: at(&pass.gate),
            scale,
            shift,
            plus: at(&pass.plus),
            times: at(&pass.times),
            activation: pass.activation,
            output: output.at,
        };
        self.push(index, action);
        Ok(())
    }

    fn dense(
        &mut self,
        index: usize,
        layer: &Layer,
        conv: &Conv,
        maps: &Maps,
        extra: usize,
    ) -> Result<(), Error> {
        let (mut input, output) = (maps.of(layer.input), maps.of(layer.output));
        if Some(layer.input) == maps.image && is_stem(conv) {
            let taps = taps(&conv.window, input.size);
            let image = [input.channels, input.size[0], input.size[1]];
            if let Some(block) = self.blocks(conv, true)?.pop() {
                let activation = conv.activation;
                self.push(index, Action::Stem(Stem { image, output, taps, block, activation }));
            }
            return Ok(());
        }
        if let Some(side) = winograd_side(conv, output.size) {
            return self.winograd(index, conv, [input, output], side, maps);
        }
        let blocks = self.blocks(conv, false)?;
        let residual = conv.residual.map(|v| maps.of(v).at);
        if let ([block], true, [1, 1], [1, 1], None, None) =
            (blocks.as_slice(), conv.point(), input.size, output.size, conv.gate, residual)
        {
            let (block, activation) = (*block, conv.activation);
            let (input, depth, output) = (input.at, conv.inputs, output.at);
            self.push(index, Action::Vector { input, depth, output, block, activation });
            return Ok(());
        }
        let mut scaled = None;
        if let (Some(gate), Some(block)) = (conv.gate, blocks.first()) {
            let gate = maps.of(gate).at;
            if gate_on_weights(conv, &input) {
                scaled = Some(extra);
                self.push(index, Action::ScaleWeights { block: *block, gate, output: extra });
            } else {
                let pass = Pass::default();
                self.pass(index, &pass, input, Map { at: extra, ..input }, maps)?;
                if let Some(Step { action: Action::Pass { gate: slot, .. }, .. }) = self.steps.last_mut() {
                    *slot = Some(gate);
                }
                input.at = extra;
            }
        }
        let mut taps = taps(&conv.window, input.size);
        let (mut from, mut to) = (input, output);
        if conv.point() {
            // One long row: no tile ever meets its end.
            from.size = [1, input.pixels()];
            to.size = [1, output.pixels()];
            taps = Taps::POINT;
        }
        self.push(
            index,
            Action::Dense(Dense {
                input: from,
                output: to,
                taps,
                blocks,
                activation: conv.activation,
                residual,
                after: conv.after,
                scaled,
            }),
        );
        Ok(())
    }

    fn winograd(
        &mut self,
        index: usize,
        conv: &Conv,
        [input, output]: [Map; 2],
        side: usize,
        maps: &Maps,
    ) -> Result<(), Error> {
        let weight = self.tensor(conv.weight)?;
        let Affine { scale, shift } = self.folded(conv)?;
        let [top, _, left, _] = conv.window.pads(input.size);
        let tiling = Tiling { side, input: input.size, output: output.size, pad: [top, left] };
        let matrices = tiling.matrices();
        let mut transformed = vec![0.0; matrices * weight.len() / 9];
        let mut all = [0.0; 36];
        for (i, window) in weight.chunks_exact(9).enumerate() {
            winograd::filter(side, window, &mut all);
            let factor = scale.get(i / conv.inputs.max(1)).copied().unwrap_or(0.0);
            for (to, value) in transformed.iter_mut().skip(i).step_by(weight.len() / 9).zip(all) {
                *to = (value * f64::from(factor)) as f32;
            }
        }
        let weights = self.align();
        for matrix in transformed.chunks_exact(weight.len() / 9) {
            let value = |o: usize, i: usize| matrix.get(o * conv.inputs + i).copied().unwrap_or(0.0);
            pack::pack(conv.outputs, conv.inputs, self.lanes, &mut self.packed, value);
        }
        let bias = self.align();
        pack::pad(&shift, self.lanes, &mut self.packed);
        let action = Action::Winograd(Winograd {
            input,
            output,
            tiling,
            weights,
            bias,
            matrix: pack::packed_len(conv.outputs, conv.inputs, self.lanes),
            activation: conv.activation,
            residual: conv.residual.map(|v| maps.of(v).at),
            after: conv.after,
        });
        self.push(index, action);
        Ok(())
    }

    fn depthwise(
        &mut self,
        index: usize,
        conv: &Conv,
        input: Map,
        output: Map,
        maps: &Maps,
    ) -> Result<(), Error> {
        let expand = match &conv.expand {
            Some((expand, value)) => match self.blocks(expand, false)?.pop() {
                Some(block) => {
                    let from = maps.of(*value);
                    Some(Expand { input: from, block, activation: expand.activation })
                }
                None => None,
            },
            None => None,
        };
        let weight = self.tensor(conv.weight)?;
        let Affine { scale, shift } = self.folded(conv)?;
        let taps = taps(&conv.window, input.size);
        let weights = self.align();
        let count = taps.count();
        let value = |o: usize, tap: usize| match (weight.get(o * count + tap), scale.get(o)) {
            (Some(w), Some(s)) => w * s,
            _ => 0.0,
        };
        pack::pack(conv.outputs, count, self.lanes, &mut self.packed, value);
        let bias = self.align();
        pack::pad(&shift, self.lanes, &mut self.packed);
        let action = Action::Depthwise(Depthwise {
            expand,
            input,
            output,
            taps,
            ring: Ring::new(input.size, output.size, &taps, self.lanes),
            weights,
            bias,
            activation: conv.activation,
            mean: conv.mean.map(|v| maps.of(v).at),
        });
        self.push(index, action);
        Ok(())
    }
}

/// The side of Winograd's tiles where a convolution is to be computed so.
fn winograd_side(conv: &Conv, output: [usize; 2]) -> Option<usize> {
    let w = &conv.window;
    let fits = w.kernel == [3; 2] && w.stride == [1; 2] && w.dilation == [1; 2] && conv.groups == 1;
    let side = winograd::side(conv.inputs, conv.outputs, output);
    (fits && conv.gate.is_none() && side > 0).then_some(side)
}

/// Multiply-adds of a layer's convolutions.
fn macs(layer: &Layer, maps: &Maps) -> u64 {
    let of = |conv: &Conv, pixels: usize| {
        let [kh, kw] = conv.window.kernel;
        (pixels * conv.outputs * (conv.inputs / conv.groups.max(1)) * kh * kw) as u64
    };
    match &layer.kind {
        Kind::Conv(conv) => {
            let expand =
                conv.expand.as_ref().map_or(0, |(expand, _)| of(expand, maps.of(layer.input).pixels()));
            of(conv, maps.of(layer.output).pixels()) + expand
        }
        _ => 0,
    }
}

/// Values of a layer's filters.
fn weight_values(layer: &Layer) -> usize {
    let of = |conv: &Conv| {
        let [kh, kw] = conv.window.kernel;
        conv.outputs * (conv.inputs / conv.groups.max(1)) * kh * kw
    };
    match &layer.kind {
        Kind::Conv(conv) => of(conv) + conv.expand.as_ref().map_or(0, |(expand, _)| of(expand)),
        _ => 0,
    }
}

/// A window with its padding resolved.
fn taps(window: &Window, input: [usize; 2]) -> Taps {
    let [top, _, left, _] = window.pads(input);
    Taps { kernel: window.kernel, stride: window.stride, dilation: window.dilation, pad: [top, left] }
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a.max(1), b.max(1));
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a.max(1) / x * b.max(1)
}
