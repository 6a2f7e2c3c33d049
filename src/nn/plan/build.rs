//! From layers to steps: sizes resolved, memory placed, weights folded and packed.
//!
//! In: a graph's layers (`lower`), the shapes of its nodes, the weights. Out: the steps of a pass and the
//! packed weights, which lie in the order in which a pass reads them. Called by [`super::Plan::new`],
//! once a plan.

use crate::graph::{Graph, Shape};
use crate::weights::Weights;
use zoo_kernels::conv::Taps;
use zoo_kernels::memory::{Buffer, Filling};
use zoo_kernels::ring::Ring;
use zoo_kernels::winograd::{self, Tiling};
use zoo_kernels::{Isa, pack};

use super::depthwise::{Depthwise, Expand};
use super::lower::{Conv, Kind, Layer, Lowered, Pass, Value};
use super::maps::{Maps, gate_on_weights, is_stem};
use super::packer::{Affine, Packer};
use super::sizes::{macs, packed_values, taps, weight_values, winograd_side};
use super::stem::Stem;
use super::steps::{Action, Dense, Map, Step};
use super::winograd::Winograd;
use super::{Error, LayerInfo};

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
    // All at once: a copy into more memory would be held together with the old.
    let values: usize = lowered.layers.iter().map(|layer| packed_values(layer, &maps)).sum();
    let memory = || Error::Memory { model: graph.name.clone(), bytes: values.saturating_mul(4) };
    let packed = Filling::new(Buffer::zeroed(values).ok_or_else(memory)?);
    let mut builder = Builder { packer: Packer { graph, weights, isa, packed }, steps: Vec::new() };
    for (index, layer) in lowered.layers.iter().enumerate() {
        builder.layer(index, layer, &maps, extra.get(index).copied().unwrap_or(0))?;
        weights.forget();
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
        Action::Depthwise(Depthwise { expand: Some(expand), .. }) => expand.block.inputs,
        _ => 0,
    });
    let zeros = zeros.max().unwrap_or(0);
    let scratch = builder.steps.iter().map(|step| step.action.scratch(isa)).max().unwrap_or(0);
    let (steps, arena) = (builder.steps, maps.total);
    let weights = builder.packer.packed.finish().ok_or_else(memory)?;
    Ok(Built { steps, weights, arena, scratch, zeros, output, layers })
}

struct Builder<'a> {
    packer: Packer<'a>,
    steps: Vec<Step>,
}

impl Builder<'_> {
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
            Kind::Conv(conv) if conv.depthwise() => {
                self.depthwise(index, conv, [input, output], maps, extra)?
            }
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
            let affine = self.packer.affine(norm)?;
            scale = Some(self.packer.align());
            pack::pad(&affine.scale, self.packer.isa.lanes(), &mut self.packer.packed);
            shift = Some(self.packer.align());
            pack::pad(&affine.shift, self.packer.isa.lanes(), &mut self.packer.packed);
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
            let planes = Maps::planes(conv, input, output);
            let places = planes.places(&taps);
            if let Some(block) = self.packer.blocks(conv, true)?.pop() {
                let activation = conv.activation;
                self.push(index, Action::Planes(planes, extra));
                let stem = Stem { planes, at: extra, places, output, taps, block, activation };
                self.push(index, Action::Stem(stem));
            }
            return Ok(());
        }
        if let Some(side) = winograd_side(conv, output.size) {
            return self.winograd(index, conv, [input, output], side, maps);
        }
        let blocks = self.packer.blocks(conv, false)?;
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
        let weight = self.packer.tensor(conv.weight)?;
        let Affine { scale, shift } = self.packer.folded(conv)?;
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
        let weights = self.packer.align();
        for matrix in transformed.chunks_exact(weight.len() / 9) {
            let value = |o: usize, i: usize| matrix.get(o * conv.inputs + i).copied().unwrap_or(0.0);
            pack::pack(conv.outputs, conv.inputs, self.packer.isa, &mut self.packer.packed, value);
        }
        let bias = self.packer.align();
        pack::pad(&shift, self.packer.isa.lanes(), &mut self.packer.packed);
        let action = Action::Winograd(Winograd {
            input,
            output,
            tiling,
            weights,
            bias,
            matrix: pack::packed_len(conv.outputs, conv.inputs, self.packer.isa.lanes()),
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
        [input, output]: [Map; 2],
        maps: &Maps,
        extra: usize,
    ) -> Result<(), Error> {
        let expand = match &conv.expand {
            Some((expand, value)) => match self.packer.blocks(expand, false)?.pop() {
                Some(block) => {
                    let from = maps.of(*value);
                    Some(Expand { input: from, block, activation: expand.activation })
                }
                None => None,
            },
            None => None,
        };
        let weight = self.packer.tensor(conv.weight)?;
        let Affine { scale, shift } = self.packer.folded(conv)?;
        let taps = taps(&conv.window, input.size);
        let weights = self.packer.align();
        let count = taps.count();
        let value = |o: usize, tap: usize| match (weight.get(o * count + tap), scale.get(o)) {
            (Some(w), Some(s)) => w * s,
            _ => 0.0,
        };
        pack::pack(conv.outputs, count, self.packer.isa, &mut self.packer.packed, value);
        let bias = self.packer.align();
        pack::pad(&shift, self.packer.isa.lanes(), &mut self.packer.packed);
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
            bias,
            activation: conv.activation,
            sums: conv.mean.map(|_| extra),
        };
        let halved = step.halved();
        self.push(index, Action::Depthwise(step));
        if let Some(mean) = conv.mean {
            let output_at = maps.of(mean).at;
            self.push(index, Action::MeanOfHalves { map: output, sums: extra, halved, output: output_at });
        }
        Ok(())
    }
}
