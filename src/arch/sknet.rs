//! Selective kernel networks (Li et al., arXiv:1903.06586): ResNets whose 3×3 convolution is two, of different reach, and
//! an attention that chooses between them.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/sknet.py`, `timm/layers/selective_kernel.py`.

use super::Family;
use super::efficientnet_builder::make_divisible;
use super::layers::{ConvNormAct, norm_relu, weighted_sum};
use super::resnet::{self, Block, Branch, Config};
use crate::nn::graph::{Builder, ConvSpec, NodeId, Padding, Window};

const BASIC: Block = Block { expansion: 1, branch: basic, act: "act" };
const BOTTLENECK: Block = Block { expansion: 4, branch: bottleneck, act: "act" };

/// The attention's share of the channels, their divisor; the paths share the input.
const SHARED: (f64, usize, bool) = (1.0 / 8.0, 16, true);
const WHOLE: (f64, usize, bool) = (1.0 / 16.0, 32, false);

const VARIANTS: &[(&str, Config)] = &[
    ("skresnet18", Config::new(BASIC, [2, 2, 2, 2]).selective(SHARED)),
    ("skresnet34", Config::new(BASIC, [3, 4, 6, 3]).selective(SHARED)),
    ("skresnext50_32x4d", Config::new(BOTTLENECK, [3, 4, 6, 3]).groups(32, 4).selective(WHOLE)),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, resnet::graph);

fn basic(b: &mut Builder, x: NodeId, at: &Branch<'_>) -> NodeId {
    let y = selective(b, x, &at.path("conv1"), at, at.planes, 1);
    ConvNormAct::new(at.out, 3, 1).linear(true).add(b, y, &at.path("conv2"))
}

fn bottleneck(b: &mut Builder, x: NodeId, at: &Branch<'_>) -> NodeId {
    let y = ConvNormAct::new(at.width(), 1, 1).add(b, x, &at.path("conv1"));
    let y = selective(b, y, &at.path("conv2"), at, at.width(), at.config.cardinality);
    ConvNormAct::new(at.out, 1, 1).linear(true).add(b, y, &at.path("conv3"))
}

/// Two 3×3 convolutions, the second of dilation 2, and the softmax that weighs them.
fn selective(b: &mut Builder, x: NodeId, name: &str, at: &Branch<'_>, out: usize, groups: usize) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let (ratio, divisor, split) = at.config.selective;
    let half = b.channels(x) / 2;
    let paths = [1, 2].map(|dilation| {
        let number = dilation - 1;
        let x = if split { b.slice(&path(&format!("split.{number}")), x, number * half, half) } else { x };
        let padding = Padding::symmetric(3, at.stride, dilation);
        let window = Window { dilation: [dilation; 2], ..Window::square(3, at.stride, padding) };
        let conv = ConvNormAct { window, ..ConvNormAct::new(out, 3, 1).groups(groups) };
        conv.add(b, x, &path(&format!("paths.{number}")))
    });
    let spec = |out| ConvSpec { out, groups: 1, bias: false, window: Window::POINT };
    let sum = b.add(&path("sum"), &paths);
    let y = b.global_average_pool(&path("attn.mean"), sum);
    let y = b.conv(&path("attn.fc_reduce"), y, spec(make_divisible(out as f64 * ratio, divisor)));
    let y = norm_relu(b, y, &path("attn.bn"), &path("attn.act"));
    let y = b.conv(&path("attn.fc_select"), y, spec(2 * out));
    let weights = b.softmax(&path("attn.softmax"), y, 2, 1);
    weighted_sum(b, name, &paths, weights)
}
