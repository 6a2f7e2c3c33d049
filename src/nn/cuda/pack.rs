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

/// Outputs whose filters are arranged together: a cache line.
const ABREAST: usize = 16;

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
    // Outputs whose columns lie side by side: together they write whole cache lines. None of another group, which lies in
    // other rows, but of depthwise ones, whose rows are taps alone.
    let together = if filters.is_depthwise { outputs.max(1) } else { each_out };
    for group in 0..outputs.div_ceil(together) {
        for first in (0..together).step_by(ABREAST) {
            let count = ABREAST.min(together - first);
            let output = group * together + first;
            let of_block = joined * each_out;
            let (block, column, joint) = if filters.is_depthwise {
                (0, output, 0)
            } else {
                (output / of_block, output % of_block, group % joined)
            };
            let each = each_in * taps;
            let filter = |i: usize| weight.get((output + i) * each..).unwrap_or_default();
            let factor = |i: usize| scale.map_or(1.0, |s| s.get(output + i).copied().unwrap_or(0.0));
            let sources: [(&[f32], f32); ABREAST] =
                std::array::from_fn(|i| if i < count { (filter(i), factor(i)) } else { (&[][..], 0.0) });
            for at in 0..each {
                let (channel, tap) = (at / taps, at % taps);
                let row = block * taps * channels + tap * channels + joint * each_in + channel;
                let start = row * columns + column;
                let to = packed.get_mut(start..start + count).unwrap_or_default();
                for (to, (filter, factor)) in to.iter_mut().zip(&sources) {
                    *to = filter.get(at).copied().unwrap_or(0.0) * factor;
                }
            }
        }
    }
    debug_assert!(columns == quads(columns));
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Padding, Window};

    /// Every filter's value at the place of its block, tap, input and column, and zeros elsewhere.
    #[test]
    fn filters_lie_where_the_kernels_read_them() {
        for (inputs, outputs, groups, side) in [
            (3, 30, 1, 3),
            (128, 128, 32, 3),
            (96, 96, 32, 1),
            (10, 10, 5, 3),
            (30, 30, 30, 5),
            (40, 70, 1, 1),
        ] {
            let filters = Filters::of(inputs, outputs, groups, &Window::square(side, 1, Padding::all(0)));
            let (each_in, each_out, taps) = (inputs / groups, outputs / groups, side * side);
            let weight: Vec<f32> = (1..=outputs * each_in * taps).map(|i| i as f32).collect();
            let scale: Vec<f32> = (0..outputs).map(|o| 1.0 + o as f32).collect();
            let packed = arranged(filters, &weight, Some(&scale), [inputs, outputs, groups]);
            let mut expected = vec![0.0; filters.len()];
            for o in 0..outputs {
                for (i, tap) in (0..each_in).flat_map(|i| (0..taps).map(move |tap| (i, tap))) {
                    let of_block = filters.joined * each_out;
                    let (row, column) = if filters.is_depthwise {
                        (tap, o)
                    } else {
                        let input = o / each_out % filters.joined * each_in + i;
                        let block = o / of_block * taps * filters.channels;
                        (block + tap * filters.channels + input, o % of_block)
                    };
                    expected[row * filters.columns + column] =
                        weight[(o * each_in + i) * taps + tap] * scale[o];
                }
            }
            assert_eq!(packed, expected, "{inputs} {outputs} {groups} {side}");
        }
    }
}
