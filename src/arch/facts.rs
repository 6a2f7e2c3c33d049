//! What an architecture says by itself, without weights: exact parameters, multiply-adds at a size.
//!
//! In: an architecture's name and a size. Out: [`Facts`], or nothing where zoo does not know the architecture or it
//! cannot take the size. Called by tables, the linter and benchmarks.

use std::sync::OnceLock;

use crate::nn::describe::describe;
use crate::nn::graph::Graph;

/// Classes of a network of which nobody says how many it has: timm's default of `num_classes`.
pub const DEFAULT_CLASSES: usize = 1000;

/// Channels of the images that the registry's networks take: red, green, blue.
pub const IMAGE_CHANNELS: usize = 3;

/// What is known of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of convolutions and linear layers, for one image.
    pub macs: u64,
}

/// The facts of the index's architectures at the sizes of its pages, so that a table of all models need not build 261
/// graphs: `ARCH HEIGHT WIDTH PARAMS MACS` by tabs, sorted. `tests/it/arch.rs` holds that they are what the graphs say, and
/// writes them anew with `ZOO_UPDATE=1`.
const RECORDED: &str = include_str!("facts.tsv");

/// The facts of an architecture with [`DEFAULT_CLASSES`], for images of `[height, width]` pixels.
pub fn facts(arch: &str, size: [usize; 2]) -> Option<Facts> {
    recorded(arch, size).or_else(|| of_graph(&super::build(arch, DEFAULT_CLASSES).ok()?, size))
}

/// The same, only where they are on record: nothing is built for it.
pub fn recorded(arch: &str, [height, width]: [usize; 2]) -> Option<Facts> {
    static LINES: OnceLock<Vec<&str>> = OnceLock::new();
    let lines = LINES.get_or_init(|| RECORDED.lines().collect());
    let key = format!("{arch}\t{height}\t{width}\t");
    let line = lines.get(lines.partition_point(|line| *line < key.as_str()))?;
    let (params, macs) = line.strip_prefix(&key)?.split_once('\t')?;
    Some(Facts { params: params.parse().ok()?, macs: macs.parse().ok()? })
}

/// The facts of a graph, for images of `[height, width]` pixels.
pub fn of_graph(graph: &Graph, [height, width]: [usize; 2]) -> Option<Facts> {
    let described = describe(graph, [1, IMAGE_CHANNELS, height, width]).ok()?;
    Some(Facts { params: described.params, macs: described.macs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_those_that_timm_prints() {
        // timm 1.0.31: `sum(p.numel() for p in model.parameters())`; tests/golden/architectures.json has them all.
        assert_eq!(facts("resnet18", [224, 224]).map(|f| f.params), Some(11_689_512));
        let (small, large) = (facts("resnet18", [64, 64]), facts("resnet18", [128, 128]));
        assert!(small.map(|f| f.macs) < large.map(|f| f.macs));
        assert_eq!(facts("no_such_net", [224, 224]), None);
        assert_eq!(facts("resnet18", [0, 224]), None);
    }
}
