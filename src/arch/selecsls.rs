//! SelecSLS (Mehta et al., arXiv:1907.00837): selective long and short range skips by concatenation.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/selecsls.py`.

use super::layers::{classify, sequential};
use super::{Error, Family};
use crate::nn::graph::{Builder, Graph, NodeId};

/// A block: inner channels, output channels, whether it starts a level (and halves the resolution).
type Block = (usize, usize, bool);
/// A convolution of the head: channels, kernel, stride.
type Head = (usize, usize, usize);

const FEATURES_42: &[Block] = &[
    (64, 64, true),
    (64, 128, false),
    (144, 144, true),
    (144, 288, false),
    (304, 304, true),
    (304, 480, false),
];

const FEATURES_60: &[Block] = &[
    (64, 64, true),
    (64, 128, false),
    (128, 128, true),
    (128, 128, false),
    (128, 288, false),
    (288, 288, true),
    (288, 288, false),
    (288, 288, false),
    (288, 416, false),
];

pub(super) struct Config {
    blocks: &'static [Block],
    head: &'static [Head],
}

const fn config(blocks: &'static [Block], head: &'static [Head]) -> Config {
    Config { blocks, head }
}

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("selecsls42b", config(FEATURES_42, &[(960, 3, 2), (1024, 3, 1), (1280, 3, 2), (1024, 1, 1)])),
    ("selecsls60", config(FEATURES_60, &[(756, 3, 2), (1024, 3, 1), (1024, 3, 2), (1280, 1, 1)])),
    ("selecsls60b", config(FEATURES_60, &[(756, 3, 2), (1024, 3, 1), (1280, 3, 2), (1024, 1, 1)])),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let &Config { blocks, head } = config;
    let (mut b, x) = Builder::new(name, 3, classes);
    let mut x = sequential(&mut b, x, "stem", 32, [3, 2, 1]);
    b.tap(x, "stem");
    let mut level = 0;
    // The output of the level's first block, which the others read again.
    let mut skip = x;
    for (i, &(mid, out, first)) in blocks.iter().enumerate() {
        x = block(&mut b, x, &format!("features.{i}"), mid, out, (!first).then_some(skip));
        if first {
            skip = x;
        }
        if blocks.get(i + 1).is_none_or(|next| next.2) {
            level += 1;
            b.tap(x, &format!("stage{level}"));
        }
    }
    for (i, &(out, kernel, stride)) in head.iter().enumerate() {
        x = sequential(&mut b, x, &format!("head.{i}"), out, [kernel, stride, 1]);
        if i == 1 {
            b.tap(x, &format!("stage{}", level + 1));
        }
    }
    classify(&mut b, x, "fc", classes);
    Ok(b.finish("fc", "stem.0")?)
}

/// Six convolutions; the last reads three of them and the level's skip.
fn block(b: &mut Builder, x: NodeId, name: &str, mid: usize, out: usize, skip: Option<NodeId>) -> NodeId {
    let path = |layer: &str| format!("{name}.{layer}");
    let stride = if skip.is_none() { 2 } else { 1 };
    let d1 = sequential(b, x, &path("conv1"), mid, [3, stride, 1]);
    let y = sequential(b, d1, &path("conv2"), mid, [1, 1, 1]);
    let d2 = sequential(b, y, &path("conv3"), mid / 2, [3, 1, 1]);
    let y = sequential(b, d2, &path("conv4"), mid, [1, 1, 1]);
    let d3 = sequential(b, y, &path("conv5"), mid / 2, [3, 1, 1]);
    let inputs: Vec<NodeId> = [d1, d2, d3].into_iter().chain(skip).collect();
    let y = b.concat(&path("cat"), &inputs);
    sequential(b, y, &path("conv6"), out, [1, 1, 1])
}
