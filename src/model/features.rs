//! Features: what a network has before its classifier, in timm's three forms.
//!
//! In: a graph, and which level is wanted ([`FeatureLevel`]). Out: [`FeatureInfo`], a line for each tensor: its node,
//! channels, reduction and shape. Read by [`super::Network::features_only`], `zoo features` and `finetune`.

use std::collections::BTreeSet;

use super::Error;
use crate::nn::graph::{Graph, NodeId};

/// Side of the image that reductions are counted on: a multiple of every network's strides.
const NOMINAL_SIDE: usize = 512;

/// Which features are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureLevel {
    /// One vector an image, `[channels]`: what timm's model gives with `num_classes=0`.
    Pool,
    /// The last map, `[channels, height, width]`: timm's `forward_features`.
    Map,
    /// The last map of each resolution: timm's `features_only`. With timm's `out_indices`, where they are given: the
    /// positions of those that are wanted, negative ones from the end.
    Pyramid(Option<Vec<isize>>),
    /// The map that the last stage begins with: the last level of the pyramid but one, or where that lies inside a block
    /// the block's input.
    LastStageInput,
}

/// What is known of a tensor of features, as timm's `feature_info` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureInfo {
    /// `pool`, `map`, `pyramid.0` … or `logits`.
    pub name: String,
    /// The layer that it is the result of, such as `layer4.1.act2`.
    pub module: String,
    /// Channels.
    pub channels: usize,
    /// How many pixels of the image, a side, one of its pixels stands for; of `pool`, of the map that it is the mean of.
    pub reduction: usize,
    /// Of one image: `[channels, height, width]`, or `[channels]`.
    pub shape: Vec<usize>,
    /// The node in the graph.
    pub node: NodeId,
}

impl FeatureInfo {
    /// Values of one image.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// The logits of a graph.
    pub(super) fn logits(graph: &Graph) -> Self {
        let node = graph.output();
        let module = graph.nodes.get(node.0).map(|n| n.name.clone()).unwrap_or_default();
        let (name, channels) = ("logits".to_owned(), graph.classes);
        FeatureInfo { name, module, channels, reduction: 0, shape: vec![channels], node }
    }
}

/// What a level of `graph` consists of, for images of `[channels, height, width]`.
///
/// # Errors
/// An image size that the graph cannot take; [`Error::OutIndex`] for a position that the pyramid does not have, or has
/// been asked for already.
pub fn feature_info(
    graph: &Graph,
    level: &FeatureLevel,
    image: [usize; 3],
) -> Result<Vec<FeatureInfo>, Error> {
    let [channels, height, width] = image;
    let shapes = graph.shapes([1, channels, height, width])?;
    let nominal = graph.shapes([1, channels, NOMINAL_SIDE, NOMINAL_SIDE]);
    let side = if nominal.is_ok() { NOMINAL_SIDE } else { height };
    let nominal = nominal.as_ref().unwrap_or(&shapes);
    let info = |name: String, node: NodeId, of: NodeId| {
        let [_, channels, h, w] = shapes.get(node.0).copied().unwrap_or_default();
        let rows = nominal.get(of.0).map_or(1, |shape| shape[2].max(1));
        // Windows without padding lose some rows: 512 become 14, not 16.
        let reduction = 1 << (side as f64 / rows as f64).log2().round() as u32;
        let shape = if name == "pool" { vec![channels] } else { vec![channels, h, w] };
        let module = graph.nodes.get(node.0).map(|n| n.name.clone()).unwrap_or_default();
        FeatureInfo { name, module, channels, reduction, shape, node }
    };
    let find = |tap: &'static str| {
        graph.tap(tap).ok_or_else(|| Error::NoLevel { arch: graph.name.clone(), level: tap })
    };
    let map = find("map")?;
    match level {
        FeatureLevel::LastStageInput => {
            let none = || Error::NoLevel { arch: graph.name.clone(), level: "last stage's input" };
            let level = *pyramid(graph, nominal).iter().rev().nth(1).ok_or_else(none)?;
            let node = single_input(graph, nominal, level)
                .map_err(|reads| Error::SeveralInputs { arch: graph.name.clone(), reads })?;
            Ok(vec![info("last_stage_input".into(), node, node)])
        }
        FeatureLevel::Pool => Ok(vec![info("pool".into(), find("pool")?, map)]),
        FeatureLevel::Map => Ok(vec![info("map".into(), map, map)]),
        FeatureLevel::Pyramid(wanted) => {
            let nodes = pyramid(graph, nominal);
            let chosen = choose(&graph.name, nodes.len(), wanted.as_deref())?;
            let level = |at: usize| nodes.get(at).map(|&node| info(format!("pyramid.{at}"), node, node));
            Ok(chosen.into_iter().filter_map(level).collect())
        }
    }
}

/// The last map of every resolution, finest first: the stages, and the stem where it is finer than the first of them.
fn pyramid(graph: &Graph, shapes: &[[usize; 4]]) -> Vec<NodeId> {
    let rows = |node: &NodeId| shapes.get(node.0).map_or(0, |shape| shape[2]);
    let stages: Vec<NodeId> =
        graph.taps().filter(|(tap, _)| tap.starts_with("stage")).map(|(_, node)| node).collect();
    let stem = graph.tap("stem").filter(|stem| stages.first().is_none_or(|first| rows(first) < rows(stem)));
    stem.into_iter().chain(stages).collect()
}

/// The last node up to `level`, of the same resolution, of which alone all later ones are made: `level` itself, or what the
/// block that it lies in begins with. Without any, the layers that what comes after `level` reads.
fn single_input(graph: &Graph, shapes: &[[usize; 4]], level: NodeId) -> Result<NodeId, Vec<String>> {
    let size = |node: NodeId| shapes.get(node.0).map(|[.., h, w]| [*h, *w]);
    let of_level = size(level);
    let reads = |last: NodeId| -> BTreeSet<NodeId> {
        let later = graph.nodes.iter().skip(last.0 + 1);
        later.flat_map(|node| &node.inputs).copied().filter(|input| *input <= last).collect()
    };
    // Back to where maps are finer.
    let stage = (0..=level.0).rev().map(NodeId).take_while(|node| size(*node) <= of_level);
    let name = |node: &NodeId| graph.nodes.get(node.0).map(|node| node.name.clone());
    stage
        .filter(|node| size(*node) == of_level)
        .find(|node| reads(*node).iter().eq([node]))
        .ok_or_else(|| reads(level).iter().filter_map(name).collect())
}

/// The positions that are meant, ascending, each once.
fn choose(arch: &str, levels: usize, wanted: Option<&[isize]>) -> Result<Vec<usize>, Error> {
    let Some(wanted) = wanted else { return Ok((0..levels).collect()) };
    let mut chosen = Vec::with_capacity(wanted.len());
    for &index in wanted {
        let refuse = || Error::OutIndex { arch: arch.to_owned(), index, levels };
        let at = if index < 0 { levels.checked_add_signed(index) } else { usize::try_from(index).ok() };
        let at = at.filter(|&at| at < levels && !chosen.contains(&at)).ok_or_else(refuse)?;
        chosen.push(at);
    }
    chosen.sort_unstable();
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;

    #[test]
    fn levels_are_chosen_as_timm_chooses_them() {
        assert_eq!(choose("net", 5, None).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(choose("net", 5, Some(&[4, -4])).unwrap(), [1, 4]);
        for (wrong, index) in [(&[5][..], "5"), (&[-6], "-6"), (&[1, 1], "1"), (&[4, -1], "-1")] {
            let error = choose("net", 5, Some(wrong)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{index}`")), "{error}");
        }
    }

    #[test]
    fn a_level_says_what_it_is() {
        let graph = arch::build("resnet18", 10).unwrap();
        let pool = feature_info(&graph, &FeatureLevel::Pool, [3, 64, 96]).unwrap();
        assert_eq!((pool[0].shape.as_slice(), pool[0].reduction), (&[512][..], 32));
        let map = feature_info(&graph, &FeatureLevel::Map, [3, 64, 96]).unwrap();
        assert_eq!(map[0].shape, [512, 2, 3]);
        let pyramid = feature_info(&graph, &FeatureLevel::Pyramid(None), [3, 64, 96]).unwrap();
        assert_eq!(pyramid.iter().map(|l| l.reduction).collect::<Vec<_>>(), [2, 4, 8, 16, 32]);
        assert_eq!((pyramid[0].name.as_str(), pyramid[0].module.as_str()), ("pyramid.0", "act1"));
        let before = feature_info(&graph, &FeatureLevel::LastStageInput, [3, 64, 96]).unwrap();
        assert_eq!(
            (before[0].module.as_str(), before[0].shape.as_slice()),
            ("layer3.1.act2", &[256, 4, 6][..])
        );
        // Its cells read the two before them.
        let nasnet = arch::build("nasnetalarge", 10).unwrap();
        let refused = feature_info(&nasnet, &FeatureLevel::LastStageInput, [3, 331, 331]).unwrap_err();
        assert!(refused.to_string().contains("reads 3 maps (`"), "{refused}");
    }
}
