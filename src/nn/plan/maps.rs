//! The maps that layers exchange, and where in the arena each lies.
//!
//! In: layers (`lower`), the shapes of nodes. Out: a [`FeatureMap`] for every value. Called by `build`.

use crate::graph::{Op, Shape};
use zoo_kernels::memory::LINE;
use zoo_kernels::pack;
use zoo_kernels::stem::Planes;

use super::context::{FeatureMap, Region};
use super::group_norm::GroupNorm;
use super::packer::Mixed;
use super::sizes::taps;
use crate::arena::{self, Need};
use crate::lower::{Conv, Layer, LayerKind, Lowered, Value};

/// The maps of all values.
pub(super) struct Maps {
    maps: Vec<FeatureMap>,
    pub(super) lanes: usize,
    /// Values of the arena.
    pub(super) total: usize,
    /// The image, and whether it must become a map.
    pub(super) image: Option<Value>,
    pub(super) image_map: bool,
}

impl Maps {
    pub(super) fn new(lowered: &Lowered, shapes: &[Shape], outputs: &[Value], lanes: usize) -> Self {
        let map = |&node: &usize| {
            let [_, channels, h, w] = shapes.get(node).copied().unwrap_or_default();
            FeatureMap::new([h, w], channels, lanes)
        };
        let image = lowered.layers.iter().find(|l| l.kind == LayerKind::Image).map(|l| l.output);
        let image_map = image.is_some_and(|i| outputs.contains(&i) || image_needed(lowered, i));
        Maps { maps: lowered.shape_of.iter().map(map).collect(), lanes, total: 0, image, image_map }
    }

    pub(super) fn of(&self, value: Value) -> FeatureMap {
        self.maps.get(value).copied().unwrap_or(FeatureMap::new([0; 2], 0, self.lanes))
    }

    /// Places every value that some layer writes, and what a layer needs besides while it runs (the
    /// scaled map or weights behind a gate), whose places are returned. The outputs live to the end.
    pub(super) fn place(&mut self, lowered: &Lowered, outputs: &[Value]) -> Vec<Region> {
        let mut needs: Vec<(Value, Need)> = Vec::new();
        for (index, layer) in lowered.layers.iter().enumerate() {
            for value in layer.writes() {
                let used = layer.kind != LayerKind::Image || self.image_map;
                let len = if used { self.of(value).len(self.lanes) } else { 0 };
                needs.push((value, Need { first: index, last: index, len }));
            }
            for value in layer.reads() {
                if let Some((_, need)) = needs.iter_mut().find(|(v, _)| *v == value) {
                    need.last = index;
                }
            }
        }
        for (_, need) in needs.iter_mut().filter(|(value, _)| outputs.contains(value)) {
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
        let region = |(at, need): (usize, &Need)| Region { at, len: need.len };
        offsets.into_iter().zip(&all).skip(values).map(region).collect()
    }

    /// The image inside the border that the first convolution needs.
    pub(super) fn planes(conv: &Conv, image: FeatureMap, output: FeatureMap) -> Planes {
        Planes::new(
            [image.channels, image.size[0], image.size[1]],
            output.size,
            &taps(&conv.window, image.size),
        )
    }

    /// What a layer behind a gate needs, the smaller of its scaled input and its scaled weights; what a depthwise one
    /// with a mean does, sums of two halves; the first convolution, the image's planes; a group norm, its sums and
    /// factors; a mixed convolution, its filters.
    fn extra(&self, layer: &Layer) -> usize {
        match &layer.kind {
            LayerKind::Conv(conv @ Conv { scale_by: Some(_), .. }) => {
                let input = self.of(layer.input);
                if gate_on_weights(conv, &input) {
                    pack::packed_len(conv.outputs, conv.inputs, self.lanes)
                } else {
                    input.len(self.lanes)
                }
            }
            LayerKind::Conv(Conv { mean: Some(_), .. }) => 2 * self.of(layer.output).pitch(self.lanes),
            LayerKind::Conv(conv) if Some(layer.input) == self.image && is_stem(conv) => {
                Self::planes(conv, self.of(layer.input), self.of(layer.output)).len()
            }
            LayerKind::Plain(op, _) => {
                let input = self.of(layer.input);
                if matches!(op, Op::GroupNorm { .. }) {
                    return GroupNorm::work_values(&input, self.lanes);
                }
                Mixed::of(op, input.channels).map_or(0, |mixed| mixed.packed_len(self.lanes))
            }
            LayerKind::Conv(_)
            | LayerKind::Image
            | LayerKind::Elementwise(_)
            | LayerKind::Pool(..)
            | LayerKind::Mean
            | LayerKind::Concat(_)
            | LayerKind::Slice { .. } => 0,
        }
    }
}

/// Whether a gate scales the weights rather than the map.
pub(super) fn gate_on_weights(conv: &Conv, input: &FeatureMap) -> bool {
    input.pixels() > conv.outputs
}

/// Whether the image must become a map: some layer other than an ordinary convolution reads it.
pub(super) fn image_needed(lowered: &Lowered, image: Value) -> bool {
    lowered.layers.iter().any(|layer| {
        let stem = matches!(&layer.kind, LayerKind::Conv(conv) if layer.input == image && is_stem(conv));
        layer.kind != LayerKind::Image && !stem && layer.reads().contains(&image)
    })
}

/// A convolution that can be computed from the image as it comes.
pub(super) fn is_stem(conv: &Conv) -> bool {
    conv.groups == 1 && conv.residual.is_none() && conv.scale_by.is_none()
}
