//! What follows from a layer's shape alone: multiply-adds, sizes of weights, which algorithm it gets.
//!
//! In: a layer (`lower`) and the maps it works on. Out: numbers. Called by `build` and `packer`.

use crate::graph::{Graph, Op, Shape, WeightId, Window};
use zoo_kernels::conv::Taps;
use zoo_kernels::groups::Groups;
use zoo_kernels::memory::LINE;
use zoo_kernels::pack;
use zoo_kernels::winograd::Tile;

use super::maps::Maps;
use super::packer::Mixed;
use crate::lower::{Conv, Elementwise, Layer, LayerKind};

/// Winograd's tiles where a convolution is to be computed by them; a group's outputs must be whole vectors then.
pub(super) fn winograd_tile(conv: &Conv, output: [usize; 2], lanes: usize) -> Option<Tile> {
    let (w, groups) = (&conv.window, groups(conv));
    let fits = w.kernel == [3; 2] && w.stride == [1; 2] && w.dilation == [1; 2];
    let whole = groups.count == 1 || groups.outputs.is_multiple_of(lanes);
    Tile::of(&groups, output).filter(|_| fits && whole && conv.scale_by.is_none())
}

/// Multiply-adds of a layer's convolutions.
pub(super) fn macs(layer: &Layer, maps: &Maps, shapes: &[Shape]) -> u64 {
    let of = |conv: &Conv, pixels: usize| (pixels * filter_values(conv)) as u64;
    match &layer.kind {
        LayerKind::Conv(conv) => {
            let expand =
                conv.expand.as_ref().map_or(0, |(expand, _)| of(expand, maps.of(layer.input).pixels()));
            of(conv, maps.of(layer.output).pixels()) + expand
        }
        LayerKind::Plain(op, values) => {
            let shape = |value: &usize| shapes.get(*value).copied().unwrap_or_default();
            let inputs: Vec<Shape> = values.iter().map(shape).collect();
            op.macs(&inputs, shape(&layer.output))
        }
        LayerKind::Image
        | LayerKind::Elementwise(_)
        | LayerKind::Pool(..)
        | LayerKind::Mean
        | LayerKind::Concat(_)
        | LayerKind::Slice { .. } => 0,
    }
}

/// Values, at most, that a layer's packed weights take.
pub(super) fn packed_values(graph: &Graph, layer: &Layer, maps: &Maps) -> usize {
    let lanes = maps.lanes;
    let of = |conv: &Conv, output: [usize; 2]| {
        let [kh, kw] = conv.window.kernel;
        let winograd = winograd_tile(conv, output, lanes);
        let taps = winograd.map_or(kh * kw, Tile::matrices);
        let outside = pack::packed_len(conv.outputs, 1, lanes) + 2 * LINE;
        if conv.depthwise() {
            return pack::packed_len(conv.outputs, taps, lanes) + outside;
        }
        let groups = groups(conv);
        if groups.count > 1 && winograd.is_none() {
            return groups.packed_len(taps, lanes).iter().sum::<usize>() + 2 * LINE;
        }
        groups.count * pack::packed_len(groups.outputs, groups.inputs * taps, lanes) + outside
    };
    match &layer.kind {
        LayerKind::Conv(conv) => {
            let expand = conv.expand.as_ref().map_or(0, |(expand, _)| of(expand, maps.of(layer.input).size));
            of(conv, maps.of(layer.output).size) + expand
        }
        LayerKind::Elementwise(Elementwise { norm: Some(_), .. }) => {
            2 * (maps.of(layer.input).pitch(lanes) + LINE)
        }
        LayerKind::Plain(op, values) => {
            let first = maps.of(values.first().copied().unwrap_or(layer.input));
            let plain =
                op.weights().iter().map(|id| elements(graph, *id).next_multiple_of(LINE)).sum::<usize>();
            // As they are, or by vector code: a constant for every channel; every expert's filters and a bias of zeros.
            let scale = if matches!(op, Op::Scale(_)) { first.pitch(lanes) + LINE } else { 0 };
            let mixed = Mixed::of(op, first.channels).map_or(0, |mixed| {
                mixed.experts * mixed.packed_len(lanes) + pack::packed_len(mixed.outputs, 1, lanes) + 2 * LINE
            });
            plain.max(scale).max(mixed)
        }
        LayerKind::Image
        | LayerKind::Elementwise(_)
        | LayerKind::Pool(..)
        | LayerKind::Mean
        | LayerKind::Concat(_)
        | LayerKind::Slice { .. } => 0,
    }
}

/// The groups of a convolution.
pub(super) fn groups(conv: &Conv) -> Groups {
    let count = conv.groups.max(1);
    Groups { count, inputs: conv.inputs / count, outputs: conv.outputs / count }
}

/// Values of a convolution's filters.
fn filter_values(conv: &Conv) -> usize {
    conv.outputs * groups(conv).inputs * conv.window.kernel.iter().product::<usize>()
}

/// Values of a layer's filters.
pub(super) fn weight_values(graph: &Graph, layer: &Layer) -> usize {
    match &layer.kind {
        LayerKind::Conv(conv) => {
            filter_values(conv) + conv.expand.as_ref().map_or(0, |(expand, _)| filter_values(expand))
        }
        LayerKind::Plain(op, _) => op.weights().iter().map(|id| elements(graph, *id)).sum(),
        LayerKind::Image
        | LayerKind::Elementwise(_)
        | LayerKind::Pool(..)
        | LayerKind::Mean
        | LayerKind::Concat(_)
        | LayerKind::Slice { .. } => 0,
    }
}

/// Values of a tensor.
fn elements(graph: &Graph, id: WeightId) -> usize {
    graph.weight(id).map_or(0, |weight| weight.elements() as usize)
}

/// A window with its padding resolved.
pub(super) fn taps(window: &Window, input: [usize; 2]) -> Taps {
    let [top, _, left, _] = window.pads(input);
    Taps { kernel: window.kernel, stride: window.stride, dilation: window.dilation, pad: [top, left] }
}
