//! From layers to steps: sizes resolved, memory placed, weights folded and packed.
//!
//! In: a graph's layers (`lower`), the shapes of its nodes, the weights. Out: the steps of a pass and the
//! packed weights, which lie in the order in which a pass reads them. Called by [`super::Plan::new`],
//! once a plan.

use crate::graph::{Graph, Op, Shape, Window};
use crate::weights::Weights;
use zoo_kernels::conv::Taps;
use zoo_kernels::grouped::GroupedShape;
use zoo_kernels::memory::{Buffer, BufferWriter};
use zoo_kernels::ring::Ring;
use zoo_kernels::winograd::{self, MAX_MATRICES, Tile, Tiling};
use zoo_kernels::{Isa, pack};

use super::context::{Block, FeatureMap, Region};
use super::dense::Dense;
use super::depthwise::{Depthwise, Expand};
use super::group_norm::{GroupNorm, Stage};
use super::grouped::Grouped;
use super::instr::{Instr, Step};
use super::maps::{Maps, gate_on_weights, is_stem};
use super::packer::{Mixed, Packer};
use super::plain::Plain;
use super::sizes::{groups, macs, packed_values, taps, weight_values, winograd_tile};
use super::stem::Stem;
use super::winograd::Winograd;
use super::{Error, LayerInfo};
use crate::fold::Affine;
use crate::lower::{Conv, Elementwise, Fusion, Layer, LayerKind, Lowered, Value};

/// What a plan is made of.
pub(super) struct Built {
    pub(super) steps: Vec<Step>,
    pub(super) weights: Buffer,
    /// Values of activations.
    pub(super) arena: usize,
    /// Values of scratch a thread.
    pub(super) scratch: usize,
    /// Zeros that stand for what lies beyond a border.
    pub(super) zeros: usize,
    /// One for each value that was asked for.
    pub(super) outputs: Vec<FeatureMap>,
    /// Of every layer: its name and its multiply-adds.
    pub(super) layers: Vec<LayerInfo>,
}

/// Makes the steps of `lowered` on one image.
pub(super) fn build(
    graph: &Graph,
    weights: &dyn Weights,
    (lowered, fusion): (&Lowered, Fusion),
    shapes: &[Shape],
    outputs: &[Value],
    isa: Isa,
) -> Result<Built, Error> {
    let mut maps = Maps::new(lowered, shapes, outputs, isa.lanes());
    let extra = maps.place(lowered, outputs);
    // All at once: a copy into more memory would be held together with the old.
    let values: usize = lowered.layers.iter().map(|layer| packed_values(graph, layer, &maps)).sum();
    let memory = || Error::Memory { model: graph.name.clone(), bytes: values.saturating_mul(4) };
    let packed = BufferWriter::new(Buffer::zeroed(values).ok_or_else(memory)?);
    let packer = Packer { graph, weights, isa, packed };
    let mut builder = Builder { packer, steps: Vec::new(), vectorised: fusion == Fusion::Rules };
    for (index, layer) in lowered.layers.iter().enumerate() {
        let extra = extra.get(index).copied().unwrap_or(Region { at: 0, len: 0 });
        builder.layer(index, layer, &maps, extra)?;
        weights.release_pages();
    }
    let info = |layer: &Layer| {
        let maps_of: usize =
            layer.reads().into_iter().chain(layer.writes()).map(|v| maps.of(v).len(isa.lanes())).sum();
        let bytes = maps_of.saturating_add(weight_values(graph, layer)).saturating_mul(4);
        LayerInfo { name: layer.name.clone(), macs: macs(layer, &maps, shapes), bytes }
    };
    let layers = lowered.layers.iter().map(info).collect();
    let outputs = outputs.iter().map(|value| maps.of(*value)).collect();
    let zeros = builder.steps.iter().map(|step| step.instr.zeros(isa)).max().unwrap_or(0);
    let scratch = builder.steps.iter().map(|step| step.instr.scratch(isa)).max().unwrap_or(0);
    let (steps, arena) = (builder.steps, maps.total);
    let weights = builder.packer.packed.finish().ok_or_else(memory)?;
    Ok(Built { steps, weights, arena, scratch, zeros, outputs, layers })
}

struct Builder<'a> {
    packer: Packer<'a>,
    steps: Vec<Step>,
    /// Whether operations that no rule knows may run by vector code.
    vectorised: bool,
}

impl Builder<'_> {
    fn push(&mut self, layer: usize, instr: Instr) {
        self.steps.push(Step { layer, instr });
    }

    fn layer(&mut self, index: usize, layer: &Layer, maps: &Maps, extra: Region) -> Result<(), Error> {
        let output = maps.of(layer.output);
        let input = maps.of(layer.input);
        match &layer.kind {
            LayerKind::Image => {
                if maps.image_map {
                    self.push(index, Instr::Image(output));
                }
            }
            LayerKind::Conv(conv) if conv.depthwise() => {
                self.depthwise(index, conv, [input, output], maps, extra)?
            }
            LayerKind::Conv(conv) => self.dense(index, layer, conv, maps, extra)?,
            LayerKind::Elementwise(work) => self.elementwise(index, work, input, output, maps)?,
            LayerKind::Pool(kind, window) => {
                let [_, bottom, _, right] = window.pads(input.size);
                let taps = taps(window, input.size);
                self.push(index, Instr::Pool { kind: *kind, taps, pad_end: [bottom, right], input, output });
            }
            LayerKind::Mean => self.push(index, Instr::GlobalAvgPool { input, output }),
            LayerKind::Concat(values) => {
                let mut at = 0;
                for value in values {
                    let from = maps.of(*value);
                    let channels = from.channels;
                    self.push(index, Instr::Copy { from, first: 0, to: output, at, channels });
                    at += channels;
                }
            }
            LayerKind::Slice { start } => {
                let channels = output.channels;
                self.push(index, Instr::Copy { from: input, first: *start, to: output, at: 0, channels });
            }
            LayerKind::Plain(op, values) => {
                let inputs = values.iter().map(|value| maps.of(*value)).collect();
                self.alone(index, op, inputs, output, extra)?;
            }
        }
        Ok(())
    }

    /// An operation that no rule joins with others.
    fn alone(
        &mut self,
        index: usize,
        op: &Op,
        inputs: Vec<FeatureMap>,
        output: FeatureMap,
        extra: Region,
    ) -> Result<(), Error> {
        if !self.vectorised {
            return self.plain(index, op, inputs, output);
        }
        match op {
            Op::GroupNorm { groups, eps, .. } => {
                if let ([weight, bias], [input]) = (&*self.packer.plain(op)?, inputs.as_slice()) {
                    let (groups, eps, input, weights) = (*groups, *eps, *input, [*weight, *bias]);
                    for stage in [Stage::Sums, Stage::Factors, Stage::Apply] {
                        let norm = GroupNorm { stage, input, output, groups, eps, weights, work: extra };
                        self.push(index, Instr::GroupNorm(norm));
                    }
                }
            }
            Op::Scale(factor) => {
                if let [map] = *inputs.as_slice() {
                    let scale = Some(self.packer.vector(&vec![*factor; map.channels]));
                    let instr = Instr::Elementwise {
                        map,
                        scale_by: None,
                        scale,
                        shift: None,
                        add: None,
                        mul: None,
                        activation: None,
                        output,
                    };
                    self.push(index, instr);
                }
            }
            Op::CondConv { window, .. } => {
                let channels = inputs.first().map_or(0, |input| input.channels);
                match (Mixed::of(op, channels), inputs.as_slice()) {
                    (Some(mixed), &[input, shares]) => {
                        self.mixed(index, &mixed, window, [input, shares, output], extra)?;
                    }
                    _ => self.plain(index, op, inputs, output)?,
                }
            }
            Op::BatchNorm { .. }
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::ChannelConv { .. }
            | Op::Input { .. }
            | Op::Conv { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::Linear { .. } => self.plain(index, op, inputs, output)?,
        }
        Ok(())
    }

    /// An operation by itself, on maps as they are.
    fn plain(
        &mut self,
        index: usize,
        op: &Op,
        inputs: Vec<FeatureMap>,
        output: FeatureMap,
    ) -> Result<(), Error> {
        let weights = self.packer.plain(op)?;
        let vectorised = self.vectorised;
        self.push(index, Instr::Plain(Plain { op: op.clone(), inputs, output, weights, vectorised }));
        Ok(())
    }

    /// A convolution whose filters are mixed for each image, at a place in the arena, out of several experts'.
    fn mixed(
        &mut self,
        index: usize,
        mixed: &Mixed,
        window: &Window,
        [input, shares, output]: [FeatureMap; 3],
        extra: Region,
    ) -> Result<(), Error> {
        let experts = self.packer.experts(mixed)?;
        let bias = self.packer.vector(&vec![0.0; mixed.outputs]);
        self.push(index, Instr::MixWeights { experts, shares, output: extra });
        let taps = taps(window, input.size);
        if mixed.inputs == input.channels {
            let (input, output, taps) = if window.is_point() {
                (input.in_one_row(), output.in_one_row(), Taps::POINT)
            } else {
                (input, output, taps)
            };
            let block = Block { inputs: mixed.inputs, vectors: output.vectors, weights: extra, bias };
            let dense = Dense {
                input,
                output,
                taps,
                block,
                activation: None,
                residual: None,
                post_activation: None,
                scaled: Some(extra),
            };
            self.push(index, Instr::Dense(dense));
        } else {
            let width = self.packer.isa.panel() * self.packer.isa.lanes();
            let depthwise = Depthwise {
                expand: None,
                input,
                output,
                taps,
                ring: Ring::new(input.size, output.size, &taps, width),
                weights: extra,
                mixed: Some(extra),
                bias,
                activation: None,
                sums: None,
            };
            self.push(index, Instr::Depthwise(depthwise));
        }
        Ok(())
    }

    fn elementwise(
        &mut self,
        index: usize,
        work: &Elementwise,
        map: FeatureMap,
        output: FeatureMap,
        maps: &Maps,
    ) -> Result<(), Error> {
        let of = |value: &Option<Value>| value.map(|v| maps.of(v));
        let (mut scale, mut shift) = (None, None);
        if let Some(norm) = &work.norm {
            let affine = self.packer.affine(norm)?;
            scale = Some(self.packer.vector(&affine.scale));
            shift = Some(self.packer.vector(&affine.shift));
        }
        let instr = Instr::Elementwise {
            map,
            scale_by: of(&work.scale_by),
            scale,
            shift,
            add: of(&work.add),
            mul: of(&work.mul),
            activation: work.activation,
            output,
        };
        self.push(index, instr);
        Ok(())
    }

    fn dense(
        &mut self,
        index: usize,
        layer: &Layer,
        conv: &Conv,
        maps: &Maps,
        extra: Region,
    ) -> Result<(), Error> {
        let (mut input, output) = (maps.of(layer.input), maps.of(layer.output));
        if Some(layer.input) == maps.image && is_stem(conv) {
            let taps = taps(&conv.window, input.size);
            let planes = Maps::planes(conv, input, output);
            let places = planes.places(&taps);
            let (block, activation) = (self.packer.block(conv, true)?, conv.activation);
            self.push(index, Instr::Planes(planes, extra));
            let stem = Stem { planes, region: extra, places, output, taps, block, activation };
            self.push(index, Instr::Stem(stem));
            return Ok(());
        }
        if let Some(tile) = winograd_tile(conv, output.size, maps.lanes) {
            return self.winograd(index, conv, [input, output], tile, maps);
        }
        if conv.groups > 1 {
            return self.grouped(index, conv, [input, output], maps);
        }
        let block = self.packer.block(conv, false)?;
        let residual = conv.residual.map(|v| maps.of(v));
        if let (true, [1, 1], [1, 1], None, None) =
            (conv.point(), input.size, output.size, conv.scale_by, residual)
        {
            let activation = conv.activation;
            self.push(index, Instr::Vector { input, output, block, activation });
            return Ok(());
        }
        let mut scaled = None;
        if let Some(scale_by) = conv.scale_by {
            if gate_on_weights(conv, &input) {
                scaled = Some(extra);
                let scale_by = maps.of(scale_by);
                self.push(index, Instr::ScaleWeights { block, scale_by, output: extra });
            } else {
                let work = Elementwise { scale_by: Some(scale_by), ..Elementwise::default() };
                let scaled = FeatureMap { at: extra.at, ..input };
                self.elementwise(index, &work, input, scaled, maps)?;
                input = scaled;
            }
        }
        let mut taps = taps(&conv.window, input.size);
        let (mut from, mut to) = (input, output);
        if conv.point() {
            (from, to, taps) = (input.in_one_row(), output.in_one_row(), Taps::POINT);
        }
        self.push(
            index,
            Instr::Dense(Dense {
                input: from,
                output: to,
                taps,
                block,
                activation: conv.activation,
                residual,
                post_activation: conv.post_activation,
                scaled,
            }),
        );
        Ok(())
    }

    fn grouped(
        &mut self,
        index: usize,
        conv: &Conv,
        [input, output]: [FeatureMap; 2],
        maps: &Maps,
    ) -> Result<(), Error> {
        let groups = groups(conv);
        let [weights, bias] = self.packer.grouped(conv, &groups)?;
        let taps = taps(&conv.window, input.size);
        let shape = GroupedShape::new(groups, taps, input.size, output.size, self.packer.isa);
        let activation = conv.activation;
        self.push(index, Instr::Grouped(Grouped { input, output, shape, weights, bias, activation }));
        if conv.residual.is_some() {
            let work = Elementwise {
                add: conv.residual,
                activation: conv.post_activation,
                ..Elementwise::default()
            };
            self.elementwise(index, &work, output, output, maps)?;
        }
        Ok(())
    }

    fn winograd(
        &mut self,
        index: usize,
        conv: &Conv,
        [input, output]: [FeatureMap; 2],
        tile: Tile,
        maps: &Maps,
    ) -> Result<(), Error> {
        let weight = self.packer.tensor(conv.weight)?;
        let Affine { scale, shift } = self.packer.folded(conv)?;
        let [top, _, left, _] = conv.window.pads(input.size);
        let tiling = Tiling { tile, input: input.size, output: output.size, pad: [top, left] };
        let (matrices, groups) = (tiling.matrices(), groups(conv));
        let mut transformed = vec![0.0; matrices * weight.len() / 9];
        let mut all = [0.0; MAX_MATRICES];
        for (i, window) in weight.chunks_exact(9).enumerate() {
            winograd::filter(tile, window, &mut all);
            let factor = scale.get(i / groups.inputs.max(1)).copied().unwrap_or(0.0);
            for (to, value) in transformed.iter_mut().skip(i).step_by(weight.len() / 9).zip(all) {
                *to = (value * f64::from(factor)) as f32;
            }
        }
        let weights = self.packer.region(|to, isa| {
            for filters in transformed.chunks_exact(groups.inputs * groups.outputs) {
                let value =
                    |i: usize| move |o: usize| filters.get(o * groups.inputs + i).copied().unwrap_or(0.0);
                pack::pack(groups.outputs, groups.inputs, isa, to, value);
            }
        });
        let bias = self.packer.vector(&shift);
        let instr = Instr::Winograd(Winograd {
            input,
            output,
            tiling,
            weights,
            bias,
            groups,
            activation: conv.activation,
            residual: conv.residual.map(|v| maps.of(v)),
            post_activation: conv.post_activation,
        });
        self.push(index, instr);
        Ok(())
    }

    fn depthwise(
        &mut self,
        index: usize,
        conv: &Conv,
        [input, output]: [FeatureMap; 2],
        maps: &Maps,
        extra: Region,
    ) -> Result<(), Error> {
        let expand = match &conv.expand {
            Some((expand, value)) => {
                let block = self.packer.block(expand, false)?;
                Some(Expand { input: maps.of(*value), block, activation: expand.activation })
            }
            None => None,
        };
        let weight = self.packer.tensor(conv.weight)?;
        let Affine { scale, shift } = self.packer.folded(conv)?;
        let taps = taps(&conv.window, input.size);
        let count = taps.count();
        let (weight, scale) = (&weight[..], &scale[..]);
        let value = |tap: usize| {
            move |o: usize| match (weight.get(o * count + tap), scale.get(o)) {
                (Some(w), Some(s)) => w * s,
                _ => 0.0,
            }
        };
        let weights = self.packer.region(|to, isa| pack::pack(conv.outputs, count, isa, to, value));
        let bias = self.packer.vector(&shift);
        let step = Depthwise {
            expand,
            input,
            output,
            taps,
            ring: Ring::new(
                input.size,
                output.size,
                &taps,
                self.packer.isa.panel() * self.packer.isa.lanes(),
            ),
            weights,
            mixed: None,
            bias,
            activation: conv.activation,
            sums: conv.mean.map(|_| extra),
        };
        let halved = step.halved();
        self.push(index, Instr::Depthwise(step));
        if let Some(mean) = conv.mean {
            let mean = maps.of(mean);
            self.push(index, Instr::GlobalAvgPoolFinish { map: output, sums: extra, halved, output: mean });
        }
        Ok(())
    }
}
