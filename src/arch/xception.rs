//! Xception (Chollet, arXiv:1610.02357), as ported from Keras: depthwise-separable convolutions after ReLU.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/xception.py`.

use super::layers::{EPS, classify, conv, norm_relu};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, ConvSpec, Graph, NodeId, Padding, PoolKind, Window};

pub(super) struct Config;

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(&[("legacy_xception", Config)], graph);

/// Of each block: output channels, separable convolutions, stride, whether the first of them grows the channels.
const BLOCKS: [(usize, usize, usize, bool); 12] = [
    (128, 2, 2, true),
    (256, 2, 2, true),
    (728, 2, 2, true),
    (728, 3, 1, true),
    (728, 3, 1, true),
    (728, 3, 1, true),
    (728, 3, 1, true),
    (728, 3, 1, true),
    (728, 3, 1, true),
    (728, 3, 1, true),
    (728, 3, 1, true),
    (1024, 2, 2, false),
];

fn graph(name: &str, _: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let valid = |out, stride| {
        let window = Window::square(3, stride, Padding::all(0));
        ConvSpec { out, groups: 1, bias: false, window }
    };
    let x = b.conv("conv1", x, valid(32, 2));
    let x = norm_relu(&mut b, x, "bn1", "act1");
    let x = b.conv("conv2", x, valid(64, 1));
    let mut x = norm_relu(&mut b, x, "bn2", "act2");
    b.tap(x, "stem");
    for (i, spec) in BLOCKS.into_iter().enumerate() {
        x = block(&mut b, x, i + 1, spec);
    }
    for (i, out) in [(3, 1536), (4, 2048)] {
        x = separable(&mut b, x, &format!("conv{i}"), out);
        x = norm_relu(&mut b, x, &format!("bn{i}"), &format!("act{i}"));
    }
    b.tap(x, "stage4");
    classify(&mut b, x, "fc", classes);
    Ok(b.finish("fc", "conv1")?)
}

/// A depthwise 3×3 convolution and a 1×1: `NAME.conv1`, `NAME.pointwise`.
fn separable(b: &mut Builder, x: NodeId, name: &str, out: usize) -> NodeId {
    let channels = b.channels(x);
    let x = conv(b, x, &format!("{name}.conv1"), channels, [3, 1, channels]);
    conv(b, x, &format!("{name}.pointwise"), out, [1, 1, 1])
}

fn block(
    b: &mut Builder,
    x: NodeId,
    number: usize,
    (out, count, stride, grow_first): (usize, usize, usize, bool),
) -> NodeId {
    let name = format!("block{number}");
    let input = b.channels(x);
    let shortcut = if input != out || stride != 1 {
        let y = conv(b, x, &format!("{name}.skip"), out, [1, stride, 1]);
        b.batch_norm(&format!("{name}.skipbn"), y, EPS, false)
    } else {
        x
    };
    let mut layer = 0;
    let mut path = || {
        layer += 1;
        format!("{name}.rep.{}", layer - 1)
    };
    let mut y = x;
    for i in 0..count {
        // The first block starts after a ReLU.
        if i > 0 || number > 1 {
            y = b.activation(&path(), y, Activation::Relu);
        }
        // timm's features are what the next block begins with.
        if let (0, Some(stage)) = (i, [2, 3, 12].iter().position(|&n| n == number)) {
            b.tap(y, &format!("stage{}", stage + 1));
        }
        let last = i + 1 == count;
        y = separable(b, y, &path(), if grow_first || last { out } else { input });
        y = b.batch_norm(&path(), y, EPS, last);
    }
    if stride != 1 {
        y = b.pool(&path(), y, PoolKind::Max, Window::square(3, stride, Padding::all(1)));
    }
    b.add(&format!("{name}.add"), &[y, shortcut])
}
