//! ResNeSt (Zhang et al., arXiv:2004.08955): ResNet 'd' whose 3×3 convolution makes several maps, weighed by split
//! attention.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/resnest.py`, `timm/layers/split_attn.py`.

use super::Family;
use super::efficientnet_builder::make_divisible;
use super::layers::{EPS, average, conv, norm_relu, weighted_sum};
use super::resnet::{self, Block, Branch, Config, Stem};
use crate::nn::graph::{Activation, Builder, ConvSpec, NodeId, Padding, Window};

const BLOCK: Block = Block { expansion: 4, branch, act: "act3" };

/// The 'd' variant with two maps.
const fn d(layers: [usize; 4]) -> Config {
    Config::new(BLOCK, layers).d().split(2, false)
}

/// The same with a stem twice as wide.
const fn e(layers: [usize; 4]) -> Config {
    d(layers).stem(Stem::Deep(64))
}

const R50: [usize; 4] = [3, 4, 6, 3];

const VARIANTS: &[(&str, Config)] = &[
    ("resnest14d", d([1, 1, 1, 1])),
    ("resnest26d", d([2, 2, 2, 2])),
    ("resnest50d", d(R50)),
    ("resnest50d_1s4x24d", d(R50).groups(4, 24).split(1, true)),
    ("resnest50d_4s2x40d", d(R50).groups(2, 40).split(4, true)),
    ("resnest101e", e([3, 4, 23, 3])),
    ("resnest200e", e([3, 24, 36, 3])),
    ("resnest269e", e([3, 30, 48, 8])),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, resnet::graph);

fn branch(b: &mut Builder, x: NodeId, at: &Branch<'_>) -> NodeId {
    let width = at.width();
    let (radix, pool_first) = at.config.split;
    let y = conv(b, x, &at.path("conv1"), width, [1, 1, 1]);
    let mut y = norm_relu(b, y, &at.path("bn1"), &at.path("act1"));
    // Where the resolution halves, a mean does it, not the convolution.
    let pool = |b: &mut Builder, y: NodeId, name: &str, here: bool| {
        if !here || at.stride == 1 {
            return y;
        }
        b.pool(&at.path(name), y, average(true), Window::square(3, at.stride, Padding::all(1)))
    };
    y = pool(b, y, "avd_first", pool_first);
    y = split_attention(b, y, &at.path("conv2"), width, radix, at.config.cardinality);
    y = pool(b, y, "avd_last", !pool_first);
    let y = conv(b, y, &at.path("conv3"), at.out, [1, 1, 1]);
    b.batch_norm(&at.path("bn3"), y, EPS, true)
}

fn split_attention(
    b: &mut Builder,
    x: NodeId,
    name: &str,
    width: usize,
    radix: usize,
    groups: usize,
) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let y = conv(b, x, &path("conv"), width * radix, [3, 1, groups * radix]);
    let y = norm_relu(b, y, &path("bn0"), &path("act0"));
    let maps: Vec<NodeId> = match radix {
        1 => vec![y],
        _ => (0..radix).map(|i| b.slice(&path(&format!("split.{i}")), y, i * width, width)).collect(),
    };
    let sum = if radix > 1 { b.add(&path("sum"), &maps) } else { y };
    let spec = |out| ConvSpec { out, groups, bias: true, window: Window::POINT };
    let reduced = make_divisible((width * radix) as f64 * 0.25, 8).max(32);
    let gate = b.global_average_pool(&path("mean"), sum);
    let gate = b.conv(&path("fc1"), gate, spec(reduced));
    let gate = norm_relu(b, gate, &path("bn1"), &path("act1"));
    let gate = b.conv(&path("fc2"), gate, spec(width * radix));
    if radix == 1 {
        let gate = b.activation(&path("rsoftmax"), gate, Activation::Sigmoid);
        return b.mul(&path("mul"), y, gate);
    }
    let weights = b.softmax(&path("rsoftmax"), gate, radix, groups);
    weighted_sum(b, name, &maps, weights)
}
