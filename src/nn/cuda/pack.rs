//! A layer's weights in the order in which its kernel reads them.
//!
//! In: a layer, its tensors. Out: runs of values, each a region of its own on the card. Called by [`super::Plan`], by as many
//! threads as there are.

use super::layout::{FeatureMap, Filters, quads};
use crate::fold::{Affine, Tensors};
use crate::graph::{Op, ValueError};
use crate::lower::{Conv, Layer, LayerKind};

/// The regions of a layer:
/// - convolution: filters (`[out, in]` for one of a single pixel), bias;
/// - elementwise with a norm, constant factor, group norm: scale, shift;
/// - convolution over channels: taps;
/// - CondConv: the experts' filters, a bias of zeros.
pub(super) fn pack(
    tensors: &Tensors<'_>,
    layer: &Layer,
    input: FeatureMap,
    output: FeatureMap,
) -> Result<Vec<Vec<f32>>, ValueError> {
    Ok(match &layer.kind {
        LayerKind::Conv(conv) => {
            let Affine { scale, shift } = tensors.folded(conv)?;
            let weight = tensors.tensor(conv.weight)?;
            let filters = if is_linear(conv, &input) {
                rows(&weight, &scale, conv, input.pitch, output.pitch)
            } else {
                let filters = Filters::of(conv.inputs, conv.outputs, conv.groups, &conv.window);
                arranged(filters, &weight, Some(&scale), [conv.inputs, conv.outputs, conv.groups])
            };
            vec![filters, padded(&shift, output.pitch)]
        }
        LayerKind::Elementwise(work) => match &work.norm {
            Some(norm) => {
                let Affine { scale, shift } = tensors.affine(norm)?;
                vec![padded(&scale, input.pitch), padded(&shift, input.pitch)]
            }
            None => Vec::new(),
        },
        LayerKind::Plain(op, _) => match op {
            Op::GroupNorm { weight, bias, .. } => {
                let of = |id| tensors.tensor(id).map(|values| padded(&values, input.pitch));
                vec![of(*weight)?, of(*bias)?]
            }
            Op::Scale(factor) => vec![vec![*factor; input.pitch], vec![0.0; input.pitch]],
            Op::ChannelConv { weight, .. } => vec![tensors.tensor(*weight)?.into_owned()],
            Op::CondConv { weight, experts, out, groups, window } => {
                let filters = Filters::of(input.channels, *out, *groups, window);
                let all = tensors.tensor(*weight)?;
                let of_one = |expert| arranged(filters, expert, None, [input.channels, *out, *groups]);
                let each = (all.len() / (*experts).max(1)).max(1);
                vec![all.chunks_exact(each).flat_map(of_one).collect(), vec![0.0; output.pitch]]
            }
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
            | Op::Linear { .. }
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. } => Vec::new(),
        },
        LayerKind::Image
        | LayerKind::Pool(..)
        | LayerKind::Mean
        | LayerKind::Concat(_)
        | LayerKind::Slice { .. } => Vec::new(),
    })
}

/// Whether a convolution is a product with the vector of an image: it has a kernel of its own.
pub(super) fn is_linear(conv: &Conv, input: &FeatureMap) -> bool {
    conv.point() && input.size == [1, 1] && conv.scale_by.is_none() && conv.residual.is_none()
}

fn padded(values: &[f32], len: usize) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(len.max(values.len()), 0.0);
    padded
}

/// `[out, in]`, both filled up.
fn rows(weight: &[f32], scale: &[f32], conv: &Conv, pitch: usize, outputs: usize) -> Vec<f32> {
    let mut packed = vec![0.0; outputs * pitch];
    let rows = weight.chunks_exact(conv.inputs.max(1));
    for ((row, scale), to) in rows.zip(scale).zip(packed.chunks_exact_mut(pitch.max(1))) {
        for (to, w) in to.iter_mut().zip(row) {
            *to = w * scale;
        }
    }
    packed
}

/// Filters of `[out, in / groups, taps]` as the kernels read them, times a factor an output.
fn arranged(
    filters: Filters,
    weight: &[f32],
    scale: Option<&[f32]>,
    [inputs, outputs, groups]: [usize; 3],
) -> Vec<f32> {
    let Filters { taps, channels, columns, joined, .. } = filters;
    let mut packed = vec![0.0; filters.len()];
    let (each_in, each_out) = ((inputs / groups.max(1)).max(1), (outputs / groups.max(1)).max(1));
    for (output, filter) in weight.chunks_exact(each_in * taps).enumerate() {
        let factor = scale.map_or(1.0, |s| s.get(output).copied().unwrap_or(0.0));
        let (block, column, group) = if filters.is_depthwise {
            (0, output, 0)
        } else {
            let of_block = joined * each_out;
            (output / of_block, output % of_block, output / each_out % joined)
        };
        for (channel, of_taps) in filter.chunks_exact(taps).enumerate() {
            for (tap, w) in of_taps.iter().enumerate() {
                let row = block * taps * channels + tap * channels + group * each_in + channel;
                let row = if filters.is_depthwise { tap } else { row };
                if let Some(to) = packed.get_mut(row * columns + column) {
                    *to = w * factor;
                }
            }
        }
    }
    debug_assert!(columns == quads(columns));
    packed
}
