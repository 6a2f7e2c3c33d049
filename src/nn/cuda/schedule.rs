//! From layers to steps: each layer's launches, with every address and size but those of the batch.
//!
//! In: a [`Layout`], where the arena and the packed weights are on the card, the batch. Out: [`Step`]s. Called by
//! [`super::Plan`].

use std::sync::Arc;

use super::arguments::{ActivationArg, Copy, Elementwise, Image, Mean, Pool, Sums};
use super::driver::{Device, Memory};
use super::error::Error;
use super::layout::{FeatureMap, Layout, PART, parts};
use super::step::{Step, Work};
use crate::graph::{Activation, PoolKind};
use crate::lower::{Layer, LayerKind, Value};

mod conv;
mod plain;

/// What steps are made of.
pub(super) struct Scheduler<'a> {
    pub(super) device: &'a Arc<Device>,
    pub(super) model: &'a str,
    pub(super) layout: &'a Layout,
    /// Each layer's regions (`pack`).
    pub(super) weights: &'a [Vec<Memory>],
    pub(super) arena: &'a Memory,
    pub(super) batch: usize,
}

/// A layer as its steps are made.
struct At<'a> {
    index: usize,
    layer: &'a Layer,
    input: FeatureMap,
    output: FeatureMap,
}

impl Scheduler<'_> {
    /// The steps of a pass.
    pub(super) fn steps(&self) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for (index, layer) in self.layout.layers.iter().enumerate() {
            let (input, output) = (self.layout.map(layer.input), self.layout.map(layer.output));
            self.layer(&At { index, layer, input, output }, &mut steps)?;
        }
        Ok(steps)
    }

    fn push(&self, at: &At<'_>, kernel: &'static str, work: Work, to: &mut Vec<Step>) -> Result<(), Error> {
        to.push(Step { layer: at.index, function: self.device.kernel(kernel)?, work });
        Ok(())
    }

    /// Where a batch's maps begin that begin at `at` for one image.
    fn place(&self, at: usize) -> u64 {
        self.arena.address(at * self.batch)
    }

    fn map(&self, map: &FeatureMap) -> u64 {
        self.place(map.at)
    }

    fn value(&self, value: Option<Value>) -> u64 {
        value.map_or(0, |value| self.map(&self.layout.map(value)))
    }

    fn scratch(&self, at: &At<'_>) -> u64 {
        self.place(self.layout.scratch.get(at.index).copied().unwrap_or(0))
    }

    /// The address of a layer's region; of the arena where it has none, which no kernel then reads.
    fn weight(&self, at: &At<'_>, region: usize) -> u64 {
        let regions = self.weights.get(at.index).map(Vec::as_slice).unwrap_or_default();
        regions.get(region).map_or(0, |memory| memory.address(0))
    }

    fn too_large(&self, at: &At<'_>, what: String) -> Error {
        Error::TooLarge { model: self.model.to_owned(), layer: at.layer.name.clone(), what }
    }

    /// Kernels count in 32 bits.
    fn int(&self, at: &At<'_>, value: usize) -> Result<i32, Error> {
        i32::try_from(value).map_err(|_| self.too_large(at, format!("{value} values")))
    }

    fn layer(&self, at: &At<'_>, to: &mut Vec<Step>) -> Result<(), Error> {
        let At { layer, input, output, .. } = at;
        let int = |value: usize| self.int(at, value);
        // Everything that is counted over a batch.
        int(output.len().max(input.len()).saturating_mul(self.batch) / 4)?;
        let (from, out) = (self.map(input), self.map(output));
        let [height, width] = input.size;
        let [out_height, out_width] = output.size;
        let quads = output.len() / 4;
        match &layer.kind {
            LayerKind::Image => {
                let a = Image {
                    output: out,
                    pixels: int(output.pixels())?,
                    channels: int(output.channels)?,
                    pitch: int(output.pitch)?,
                    ..Image::default()
                };
                self.push(at, "image", Work::Image(a, output.len()), to)
            }
            LayerKind::Conv(conv) => self.conv(at, conv, to),
            LayerKind::Elementwise(work) => {
                let has_norm = work.norm.is_some();
                let a = Elementwise {
                    gate: self.value(work.scale_by),
                    scale: if has_norm { self.weight(at, 0) } else { 0 },
                    shift: if has_norm { self.weight(at, 1) } else { 0 },
                    addend: self.value(work.add),
                    factor: self.value(work.mul),
                    ..self.elementwise(at, work.activation)?
                };
                self.push(at, "elementwise", Work::Elementwise(a, quads), to)
            }
            LayerKind::Pool(kind, window) => {
                let [top, bottom, left, right] = window.pads(input.size);
                let a = Pool {
                    input: from,
                    output: out,
                    channels: int(input.pitch)?,
                    height: int(height)?,
                    width: int(width)?,
                    out_height: int(out_height)?,
                    out_width: int(out_width)?,
                    taps_y: int(window.kernel[0])?,
                    taps_x: int(window.kernel[1])?,
                    stride_y: int(window.stride[0])?,
                    stride_x: int(window.stride[1])?,
                    dilation_y: int(window.dilation[0])?,
                    dilation_x: int(window.dilation[1])?,
                    top: int(top)?,
                    left: int(left)?,
                    bottom: int(bottom)?,
                    right: int(right)?,
                    kind: match kind {
                        PoolKind::Max => 0,
                        PoolKind::Average { count_padding: false } => 1,
                        PoolKind::Average { count_padding: true } => 2,
                    },
                    ..Pool::default()
                };
                self.push(at, "pool", Work::Pool(a, quads), to)
            }
            LayerKind::Mean => {
                let a = self.sums(at, input)?;
                self.push(at, "sums_over_pixels", Work::Sums(a), to)?;
                self.mean(at, a.sums, parts(input), input, output, to)
            }
            LayerKind::Concat(values) => {
                let mut first = 0;
                for (i, value) in values.iter().enumerate() {
                    let part = self.layout.map(*value);
                    // The last one also fills up the pixel.
                    let written = if i + 1 == values.len() { output.pitch - first } else { part.channels };
                    let to_address = self.place(output.at) + first as u64 * 4;
                    self.copy(at, [self.map(&part), to_address], &part, (part.channels, written, first), to)?;
                    first += part.channels;
                }
                Ok(())
            }
            LayerKind::Slice { start } => {
                let from = from + *start as u64 * 4;
                self.copy(at, [from, out], input, (output.channels, output.pitch, *start), to)
            }
            LayerKind::Plain(op, values) => self.plain(at, op, values, to),
        }
    }

    /// A walk over a layer's output, in place.
    fn walk(
        &self,
        at: &At<'_>,
        activation: Option<Activation>,
        addend: Option<Value>,
        to: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let a = Elementwise {
            input: self.map(&at.output),
            addend: self.value(addend),
            ..self.elementwise(at, activation)?
        };
        self.push(at, "elementwise", Work::Elementwise(a, at.output.len() / 4), to)
    }

    fn elementwise(&self, at: &At<'_>, activation: Option<Activation>) -> Result<Elementwise, Error> {
        Ok(Elementwise {
            input: self.map(&at.input),
            output: self.map(&at.output),
            channels: self.int(at, at.output.pitch)?,
            pixels: self.int(at, at.output.pixels())?,
            activation: ActivationArg::from(activation),
            ..Elementwise::default()
        })
    }

    /// The mean of `of`'s pixels, from sums over `parts` parts.
    fn mean(
        &self,
        at: &At<'_>,
        sums: u64,
        parts: usize,
        of: &FeatureMap,
        output: &FeatureMap,
        to: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let a = Mean {
            sums,
            output: self.map(output),
            parts: self.int(at, parts)?,
            channels: self.int(at, output.pitch)?,
            count: of.pixels() as f32,
            ..Mean::default()
        };
        self.push(at, "mean_of_sums", Work::Mean(a), to)
    }

    /// Sums over a map's pixels into the scratch.
    fn sums(&self, at: &At<'_>, of: &FeatureMap) -> Result<Sums, Error> {
        Ok(Sums {
            input: self.map(of),
            sums: self.scratch(at),
            pixels: self.int(at, of.pixels())?,
            channels: self.int(at, of.pitch)?,
            chunk: self.int(at, PART)?,
            parts: self.int(at, parts(of))?,
            ..Sums::default()
        })
    }

    /// Some channels of every pixel of a map to another map; `first` is where they lie beside whole quads.
    fn copy(
        &self,
        at: &At<'_>,
        [input, output]: [u64; 2],
        from: &FeatureMap,
        (channels, written, first): (usize, usize, usize),
        to: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let a = Copy {
            input,
            output,
            channels: self.int(at, channels)?,
            written: self.int(at, written)?,
            from: self.int(at, from.pitch)?,
            to: self.int(at, at.output.pitch)?,
            ..Copy::default()
        };
        let in_quads = channels == written && channels.is_multiple_of(4) && first.is_multiple_of(4);
        let count = from.pixels() * written;
        if in_quads {
            self.push(at, "copy_quads", Work::Copy(a, count / 4), to)
        } else {
            self.push(at, "copy", Work::Copy(a, count), to)
        }
    }
}
