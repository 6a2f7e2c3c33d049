//! Which layers a card runs, and where their maps lie.
//!
//! In: a graph, the size of the image, the nodes whose values are wanted. Out: a [`Layout`] for one image; a batch has each
//! map of all its images one after another. Called by [`super::Plan`]. The layers are those of `lower`, but that a 1×1
//! convolution in front of a depthwise one is a layer of its own.

use crate::arena::{self, Need};
use crate::graph::{Graph, NodeId, Op, Shape, Window};
use crate::lower::{self, Conv, Fusion, Layer, LayerKind, Value};

/// A map: NHWC, a pixel's channels filled up to a multiple of 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FeatureMap {
    /// Values from the arena's beginning, for a batch of one.
    pub(super) at: usize,
    /// `[height, width]`.
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
    /// Values from a pixel to the next.
    pub(super) pitch: usize,
}

impl FeatureMap {
    fn new([_, channels, height, width]: Shape) -> Self {
        FeatureMap { at: 0, size: [height, width], channels, pitch: quads(channels) }
    }

    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values of an image's.
    pub(super) fn len(&self) -> usize {
        self.pixels() * self.pitch
    }
}

/// Filled up to a multiple of 4.
pub(super) fn quads(channels: usize) -> usize {
    channels.next_multiple_of(4)
}

/// Maps begin at multiples of so many values: 256 bytes.
const ALIGN: usize = 64;

/// The layers of a network and their maps.
pub(super) struct Layout {
    pub(super) layers: Vec<Layer>,
    maps: Vec<FeatureMap>,
    /// What each layer needs besides while it runs.
    pub(super) scratch: Vec<usize>,
    /// Values of one image.
    pub(super) total: usize,
    /// One for each node that was asked for.
    pub(super) outputs: Vec<FeatureMap>,
}

impl Layout {
    pub(super) fn new(graph: &Graph, shapes: &[Shape], outputs: &[NodeId]) -> Layout {
        let lowered = lower::lower(graph, shapes, outputs, Fusion::Rules);
        let mut layers = Vec::with_capacity(lowered.layers.len());
        for mut layer in lowered.layers {
            if let LayerKind::Conv(conv) = &mut layer.kind
                && let Some((expand, from)) = conv.expand.take()
            {
                let name = layer.name.clone();
                layers.push(Layer { name, kind: LayerKind::Conv(*expand), input: from, output: layer.input });
            }
            layers.push(layer);
        }
        let shape = |node: &usize| FeatureMap::new(shapes.get(*node).copied().unwrap_or_default());
        let mut maps: Vec<FeatureMap> = lowered.shape_of.iter().map(shape).collect();
        let of = |value: Value| maps.get(value).copied().unwrap_or_default();

        let mut needs: Vec<(Value, Need)> = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            for value in layer.writes() {
                needs.push((value, Need { first: index, last: index, len: of(value).len() }));
            }
            for value in layer.reads() {
                if let Some((_, need)) = needs.iter_mut().find(|(v, _)| *v == value) {
                    need.last = index;
                }
            }
        }
        for (_, need) in needs.iter_mut().filter(|(value, _)| outputs.contains(&NodeId(*value))) {
            need.last = layers.len();
        }
        let mut all: Vec<Need> = needs.iter().map(|(_, need)| *need).collect();
        all.extend(layers.iter().enumerate().map(|(index, layer)| {
            let len = scratch(layer, of(layer.input), of(layer.output));
            Need { first: index, last: index, len }
        }));
        let (offsets, total) = arena::place(&all, ALIGN);
        for ((value, _), offset) in needs.iter().zip(&offsets) {
            if let Some(map) = maps.get_mut(*value) {
                map.at = *offset;
            }
        }
        let scratch = offsets.into_iter().skip(needs.len()).collect();
        let outputs = outputs.iter().map(|node| maps.get(node.0).copied().unwrap_or_default()).collect();
        Layout { layers, maps, scratch, total, outputs }
    }

    pub(super) fn map(&self, value: Value) -> FeatureMap {
        self.maps.get(value).copied().unwrap_or_default()
    }
}

/// Values that a layer needs besides while it runs, for one image.
fn scratch(layer: &Layer, input: FeatureMap, output: FeatureMap) -> usize {
    match &layer.kind {
        LayerKind::Conv(conv @ Conv { mean: Some(_), .. }) => {
            DepthwiseShape::of(&output, &conv.window).blocks().max(parts(&output)) * output.pitch
        }
        LayerKind::Mean => parts(&input) * input.pitch,
        LayerKind::Plain(Op::GroupNorm { .. }, _) => (2 * parts(&input) + 3) * input.pitch,
        LayerKind::Plain(Op::CondConv { out, groups, window, .. }, _) => {
            Filters::of(input.channels, *out, *groups, window).len()
        }
        LayerKind::Conv(_)
        | LayerKind::Image
        | LayerKind::Elementwise(_)
        | LayerKind::Pool(..)
        | LayerKind::Concat(_)
        | LayerKind::Slice { .. }
        | LayerKind::Plain(..) => 0,
    }
}

/// Pixels whose sum is one part of a map's.
pub(super) const PART: usize = 1024;

/// The parts of a sum over a map's pixels: by its size alone.
pub(super) fn parts(map: &FeatureMap) -> usize {
    map.pixels().div_ceil(PART)
}

/// How a depthwise convolution's output is cut into blocks: by its size and its window alone.
pub(super) struct DepthwiseShape {
    pub(super) kernel: &'static str,
    pub(super) threads: usize,
    pub(super) lanes: usize,
    pub(super) blocks_y: usize,
    pub(super) blocks_x: usize,
}

impl DepthwiseShape {
    /// Output columns of a block.
    pub(super) const CHUNK: usize = 32;

    pub(super) fn of(output: &FeatureMap, window: &Window) -> Self {
        let plain = window.dilation == [1, 1];
        let (kernel, threads, rows) = match (window.kernel, window.stride) {
            ([3, 3], [1, 1]) if plain => ("depthwise_3_1", 256, 1),
            ([3, 3], [2, 2]) if plain => ("depthwise_3_2", 256, 1),
            ([5, 5], [1, 1]) if plain => ("depthwise_5_1", 128, 2),
            ([5, 5], [2, 2]) if plain => ("depthwise_5_2", 128, 2),
            ([7, 7], [1, 1]) if plain => ("depthwise_7_1", 256, 1),
            ([7, 7], [2, 2]) if plain => ("depthwise_7_2", 256, 1),
            _ => ("depthwise_any", 256, 1),
        };
        let lanes = (output.pitch / 4).next_power_of_two().min(32);
        let [height, width] = output.size;
        let blocks_y = height.div_ceil(threads / lanes * rows);
        DepthwiseShape { kernel, threads, lanes, blocks_y, blocks_x: width.div_ceil(Self::CHUNK) }
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks_x * self.blocks_y
    }
}

/// How a convolution's filters lie: `[blocks, depth, columns]`, the depth being taps, then channels. Groups are joined until
/// they fill a tile's width; what a group does not read is multiplied by zero. A depthwise one's are `[taps, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filters {
    pub(super) is_depthwise: bool,
    pub(super) blocks: usize,
    /// Groups of a block.
    pub(super) joined: usize,
    /// Input channels of a block.
    pub(super) channels: usize,
    /// Output channels of a block.
    pub(super) columns: usize,
    pub(super) taps: usize,
}

impl Filters {
    pub(super) fn of(inputs: usize, outputs: usize, groups: usize, window: &Window) -> Self {
        let taps = window.kernel[0] * window.kernel[1];
        let groups = groups.max(1);
        if groups > 1 && groups == inputs && inputs == outputs {
            let channels = quads(inputs);
            return Filters {
                is_depthwise: true,
                blocks: 1,
                joined: 1,
                channels: 1,
                columns: channels,
                taps,
            };
        }
        let (each_in, each_out) = (inputs / groups, outputs / groups);
        let fits = |joined: &usize| {
            groups.is_multiple_of(*joined)
                && (joined * each_in).is_multiple_of(4)
                && (joined * each_out).is_multiple_of(4)
                && joined * each_out >= 32
        };
        let joined = (1..groups).find(fits).unwrap_or(groups);
        let (channels, columns) = if joined == groups {
            (quads(inputs), quads(outputs))
        } else {
            (joined * each_in, joined * each_out)
        };
        Filters { is_depthwise: false, blocks: groups / joined, joined, channels, columns, taps }
    }

    /// Rows of a block.
    pub(super) fn depth(&self) -> usize {
        self.taps * self.channels
    }

    /// Values of all.
    pub(super) fn len(&self) -> usize {
        self.blocks * self.depth() * self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Padding;

    #[test]
    fn groups_are_joined_until_they_fill_a_tile() {
        let window = Window::square(3, 1, Padding::all(1));
        let of = |inputs, outputs, groups| {
            let f = Filters::of(inputs, outputs, groups, &window);
            (f.is_depthwise, f.blocks, f.joined, f.channels, f.columns)
        };
        assert_eq!(of(3, 30, 1), (false, 1, 1, 4, 32));
        assert_eq!(of(128, 128, 32), (false, 4, 8, 32, 32));
        assert_eq!(of(512, 512, 2), (false, 2, 1, 256, 256));
        // 3 channels a group are no whole quads, and 6 of 18 are none either: 4 groups are.
        assert_eq!(of(96, 96, 32), (false, 2, 16, 48, 48));
        assert_eq!(of(10, 10, 5), (false, 1, 5, 12, 12));
        assert_eq!(of(30, 30, 30), (true, 1, 1, 1, 32));
    }
}
