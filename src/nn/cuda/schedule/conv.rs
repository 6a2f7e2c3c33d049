//! The steps of convolutions: dense, grouped, depthwise, fully connected, and those with filters of each image's own.
//!
//! In: a convolution with all that `lower` joined to it. Out: one launch, and walks over the output for what its kernel
//! cannot apply. Called by [`super::Scheduler`].

use super::super::arguments::{Conv, Depthwise, Linear, Mix, is_fused};
use super::super::error::Error;
use super::super::layout::{DepthwiseShape, Filters, parts};
use super::super::pack::is_linear;
use super::super::step::{Step, Work};
use super::super::tile::{Form, Tile};
use super::{At, Scheduler};
use crate::graph::Window;
use crate::lower::{self, Value};

impl Scheduler<'_> {
    pub(super) fn conv(&self, at: &At<'_>, conv: &lower::Conv, to: &mut Vec<Step>) -> Result<(), Error> {
        let At { input, output, .. } = at;
        let int = |value: usize| self.int(at, value);
        // What its own kernel cannot apply is a walk over the output.
        let alone = is_fused(conv.activation) && is_fused(conv.post_activation);
        let activation = if alone { conv.activation } else { None };
        if is_linear(conv, input) {
            let a = Linear {
                input: self.map(input),
                weight: self.weight(at, 0),
                bias: self.weight(at, 1),
                output: self.map(output),
                depth: int(input.pitch)?,
                outputs: int(output.pitch)?,
                activation: conv.activation.into(),
                ..Linear::default()
            };
            return self.push(at, "linear", Work::Linear(a), to);
        }
        if conv.depthwise() {
            let shape = DepthwiseShape::of(output, &conv.window);
            let mut a = self.depthwise(at, &conv.window, &shape)?;
            a.activation = activation.into();
            // Where the activation is a walk of its own the sums are of what it makes.
            a.sums = if alone && conv.mean.is_some() { self.scratch(at) } else { 0 };
            self.push(at, shape.kernel, Work::Depthwise(a, shape.blocks(), shape.threads as u32), to)?;
            if !alone {
                self.walk(at, conv.activation, None, to)?;
            }
            let Some(mean) = conv.mean else { return Ok(()) };
            let mean = self.layout.map(mean);
            if alone {
                return self.mean(at, a.sums, shape.blocks(), output, &mean, to);
            }
            let sums = self.sums(at, output)?;
            self.push(at, "sums_over_pixels", Work::Sums(sums), to)?;
            return self.mean(at, sums.sums, parts(output), output, &mean, to);
        }
        let filters = Filters::of(conv.inputs, conv.outputs, conv.groups, &conv.window);
        let is_point = conv.window.kernel == [1, 1]
            && conv.window.stride == [1, 1]
            && conv.window.pads(input.size) == [0; 4]
            && filters.blocks == 1;
        let form = match (conv.scale_by, is_point) {
            (Some(_), _) => Form::Gate,
            (None, true) => Form::Point,
            (None, false) => Form::Any,
        };
        let mut a = self.dense(at, &conv.window, &filters)?;
        a.gate = self.value(conv.scale_by);
        a.before = activation.into();
        if alone {
            a.residual = self.value(conv.residual);
            a.after = conv.post_activation.into();
        }
        let tile = self.tile(output.pixels() * self.batch, &filters);
        a.tiles_x = int(filters.columns.div_ceil(tile.columns))?;
        self.push(at, tile.kernel(form), Work::Conv(a, tile, output.pixels(), filters.blocks), to)?;
        if !alone {
            match conv.residual {
                Some(_) => {
                    self.walk(at, conv.activation, None, to)?;
                    self.walk(at, conv.post_activation, conv.residual, to)?;
                }
                None => self.walk(at, conv.activation, None, to)?,
            }
        }
        Ok(())
    }

    fn tile(&self, rows: usize, filters: &Filters) -> Tile {
        Tile::for_layer(rows, filters.columns, filters.blocks, self.device.info().processors)
    }

    /// A convolution that is not depthwise, but for what is joined to it and its tile.
    fn dense(&self, at: &At<'_>, window: &Window, filters: &Filters) -> Result<Conv, Error> {
        let At { input, output, .. } = at;
        let int = |value: usize| self.int(at, value);
        let [top, _, left, _] = window.pads(input.size);
        if filters.blocks > MAX_GRID || output.pixels().saturating_mul(self.batch) > i32::MAX as usize {
            return Err(
                self.too_large(at, format!("{} groups of {} pixels", filters.blocks, output.pixels()))
            );
        }
        Ok(Conv {
            input: self.map(input),
            weight: self.weight(at, 0),
            bias: self.weight(at, 1),
            output: self.map(output),
            columns: int(filters.columns)?,
            depth: int(filters.depth())?,
            height: int(input.size[0])?,
            width: int(input.size[1])?,
            channels: int(filters.channels)?,
            pitch: int(input.pitch)?,
            out_width: int(output.size[1])?,
            out_pixels: int(output.pixels())?,
            taps_x: int(window.kernel[1])?,
            stride_y: int(window.stride[0])?,
            stride_x: int(window.stride[1])?,
            dilation_y: int(window.dilation[0])?,
            dilation_x: int(window.dilation[1])?,
            top: int(top)?,
            left: int(left)?,
            weight_pitch: int(filters.columns)?,
            out_pitch: int(output.pitch)?,
            ..Conv::default()
        })
    }

    /// A depthwise convolution, but for what is joined to it.
    fn depthwise(&self, at: &At<'_>, window: &Window, shape: &DepthwiseShape) -> Result<Depthwise, Error> {
        let At { input, output, .. } = at;
        let int = |value: usize| self.int(at, value);
        let [top, _, left, _] = window.pads(input.size);
        Ok(Depthwise {
            input: self.map(input),
            weight: self.weight(at, 0),
            bias: self.weight(at, 1),
            output: self.map(output),
            height: int(input.size[0])?,
            width: int(input.size[1])?,
            out_height: int(output.size[0])?,
            out_width: int(output.size[1])?,
            channels: int(output.pitch)?,
            top: int(top)?,
            left: int(left)?,
            dilation_y: int(window.dilation[0])?,
            dilation_x: int(window.dilation[1])?,
            stride_y: int(window.stride[0])?,
            stride_x: int(window.stride[1])?,
            taps_y: int(window.kernel[0])?,
            taps_x: int(window.kernel[1])?,
            lanes: int(shape.lanes)?,
            chunk: int(DepthwiseShape::CHUNK)?,
            blocks_x: int(shape.blocks_x)?,
            blocks: int(shape.blocks())?,
            ..Depthwise::default()
        })
    }

    /// The experts' filters mixed for each image, and each image convolved with its own.
    pub(super) fn cond_conv(
        &self,
        at: &At<'_>,
        (experts, groups, window): (usize, usize, &Window),
        values: &[Value],
        to: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let At { input, output, .. } = at;
        let filters = Filters::of(input.channels, output.channels, groups, window);
        let share = self.layout.map(values.get(1).copied().unwrap_or_default());
        let mixed = self.scratch(at);
        let mix = Mix {
            experts: self.weight(at, 0),
            share: self.map(&share),
            weight: mixed,
            quads: filters.len() as i64 / 4,
            count: self.int(at, experts)?,
            pitch: self.int(at, share.pitch)?,
            ..Mix::default()
        };
        self.push(at, "mix_experts", Work::Mix(mix), to)?;
        let steps = [input.len(), filters.len(), output.len()];
        if filters.is_depthwise {
            let shape = DepthwiseShape::of(output, window);
            let a = Depthwise { weight: mixed, ..self.depthwise(at, window, &shape)? };
            let work = Work::OwnDepthwise(a, shape.blocks(), shape.threads as u32, steps);
            return self.push(at, shape.kernel, work, to);
        }
        let tile = self.tile(output.pixels(), &filters);
        let tiles_x = self.int(at, filters.columns.div_ceil(tile.columns))?;
        let a = Conv { weight: mixed, tiles_x, ..self.dense(at, window, &filters)? };
        let work = Work::OwnConv(a, tile, output.pixels(), filters.blocks, steps);
        self.push(at, tile.kernel(Form::Any), work, to)
    }
}

/// Most blocks along the second and third side of a grid.
const MAX_GRID: usize = 65_535;
