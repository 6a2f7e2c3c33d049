//! The steps of operations that are layers by themselves.
//!
//! In: an operation and its maps. Out: a launch or a few. Called by [`super::Scheduler`].

use super::super::arguments::{Blocks, Blur, ChannelConv, Elementwise, Frame, GroupNorm, Softmax, Sums};
use super::super::error::Error;
use super::super::layout::parts;
use super::super::step::{Step, Work};
use super::{At, Scheduler};
use crate::graph::{Op, PadMode};
use crate::lower::Value;

impl Scheduler<'_> {
    pub(super) fn plain(
        &self,
        at: &At<'_>,
        op: &Op,
        values: &[Value],
        to: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let At { input, output, .. } = at;
        let int = |value: usize| self.int(at, value);
        let (from, out) = (self.map(input), self.map(output));
        let [height, width] = input.size;
        let [out_height, out_width] = output.size;
        let quads = output.len() / 4;
        let count = output.len();
        let frame = |top: i32, left: i32, reflect: bool, factor: usize| -> Result<Work, Error> {
            let a = Frame {
                input: from,
                output: out,
                channels: int(input.pitch)?,
                height: int(height)?,
                width: int(width)?,
                out_height: int(out_height)?,
                out_width: int(out_width)?,
                top,
                left,
                reflect: i32::from(reflect),
                factor: int(factor)?,
                ..Frame::default()
            };
            Ok(Work::Frame(a, quads))
        };
        match op {
            Op::GroupNorm { groups, eps, .. } => self.group_norm(at, *groups, *eps, to),
            Op::Scale(_) => {
                let a = Elementwise {
                    scale: self.weight(at, 0),
                    shift: self.weight(at, 1),
                    ..self.elementwise(at, None)?
                };
                self.push(at, "elementwise", Work::Elementwise(a, quads), to)
            }
            Op::Upsample { factor } => self.push(at, "frame", frame(0, 0, false, *factor)?, to),
            Op::Pad { pads: [top, _, left, _], mode } => {
                let reflect = match mode {
                    PadMode::Zero => false,
                    PadMode::Reflect => true,
                };
                self.push(at, "frame", frame(int(*top)?, int(*left)?, reflect, 1)?, to)
            }
            Op::Crop { crops: [top, _, left, _] } => {
                self.push(at, "frame", frame(-int(*top)?, -int(*left)?, false, 1)?, to)
            }
            Op::Softmax { parts, groups } => {
                let run = input.channels / (parts * groups).max(1);
                let a = Softmax {
                    input: from,
                    output: out,
                    channels: int(output.channels)?,
                    pitch: int(output.pitch)?,
                    parts: int(*parts)?,
                    groups: int(*groups)?,
                    run: int(run)?,
                    ..Softmax::default()
                };
                self.push(at, "softmax", Work::Softmax(a, count), to)
            }
            Op::Blur { size, stride } => {
                let a = Blur {
                    input: from,
                    output: out,
                    channels: int(input.pitch)?,
                    height: int(height)?,
                    width: int(width)?,
                    out_height: int(out_height)?,
                    out_width: int(out_width)?,
                    size: int(*size)?,
                    stride: int(*stride)?,
                    ..Blur::default()
                };
                self.push(at, "blur", Work::Blur(a, quads), to)
            }
            Op::SpaceToDepth { block } => {
                let a = Blocks {
                    input: from,
                    output: out,
                    channels: int(input.channels)?,
                    pitch: int(input.pitch)?,
                    width: int(width)?,
                    out_pixels: int(output.pixels())?,
                    out_width: int(out_width)?,
                    out_channels: int(output.channels)?,
                    out_pitch: int(output.pitch)?,
                    block: int(*block)?,
                    ..Blocks::default()
                };
                self.push(at, "space_to_depth", Work::Blocks(a, count), to)
            }
            Op::ChannelConv { kernel, .. } => {
                let a = ChannelConv {
                    input: from,
                    weight: self.weight(at, 0),
                    output: out,
                    channels: int(output.channels)?,
                    pitch: int(output.pitch)?,
                    taps: int(*kernel)?,
                    ..ChannelConv::default()
                };
                self.push(at, "channel_conv", Work::ChannelConv(a, count), to)
            }
            Op::CondConv { experts, groups, window, .. } => {
                self.cond_conv(at, (*experts, *groups, window), values, to)
            }
            // `lower` makes layers of these.
            Op::Input { .. }
            | Op::Conv { .. }
            | Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::Linear { .. } => Err(self.too_large(at, format!("`{}` by itself", op.kind()))),
        }
    }

    /// Means, distances from them and their squares, and a walk that brings both to what the norm asks.
    fn group_norm(&self, at: &At<'_>, groups: usize, eps: f32, to: &mut Vec<Step>) -> Result<(), Error> {
        let input = &at.input;
        let each = input.channels / groups.max(1);
        let row = (input.pitch * self.batch) as u64 * 4;
        let squares = self.scratch(at) + parts(input) as u64 * row;
        let mean = squares + parts(input) as u64 * row;
        let (scale, shift) = (mean + row, mean + 2 * row);
        let sums = self.sums(at, input)?;
        let norm = GroupNorm {
            sums: sums.sums,
            squares,
            weight: self.weight(at, 0),
            bias: self.weight(at, 1),
            mean,
            parts: sums.parts,
            channels: sums.channels,
            groups: self.int(at, groups)?,
            each: self.int(at, each)?,
            count: (input.pixels() * each) as f32,
            eps,
            ..GroupNorm::default()
        };
        self.push(at, "sums_over_pixels", Work::Sums(sums), to)?;
        self.push(at, "group_norm", Work::GroupNorm(norm), to)?;
        self.push(at, "sums_over_pixels", Work::Sums(Sums { centre: mean, squares, ..sums }), to)?;
        self.push(at, "group_norm", Work::GroupNorm(GroupNorm { scale, shift, ..norm }), to)?;
        let a = Elementwise { centre: mean, scale, shift, own: 1, ..self.elementwise(at, None)? };
        self.push(at, "elementwise", Work::Elementwise(a, at.output.len() / 4), to)
    }
}
