//! Res2Net (arXiv:1904.01169): ResNet whose 3×3 convolution is a chain over parts of the channels.
//!
//! In: a name. Out: a graph. Called by `arch::build`; the blocks' middle also by the DLA
//! file. Source: `timm/models/res2net.py`.

use super::Family;
use super::layers::{EPS, average, conv, norm_relu};
use super::resnet::{self, Block, Branch, Config};
use crate::nn::graph::{Builder, NodeId, Padding, Window};

const R50: [usize; 4] = [3, 4, 6, 3];

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("res2net50_14w_8s", Config::new(block::<8>(), R50).groups(1, 14)),
    ("res2net50_26w_4s", Config::new(block::<4>(), R50).groups(1, 26)),
    ("res2net50_26w_6s", Config::new(block::<6>(), R50).groups(1, 26)),
    ("res2net50_26w_8s", Config::new(block::<8>(), R50).groups(1, 26)),
    ("res2net50_48w_2s", Config::new(block::<2>(), R50).groups(1, 48)),
    ("res2net101_26w_4s", Config::new(block::<4>(), [3, 4, 23, 3]).groups(1, 26)),
    ("res2next50", Config::new(block::<4>(), R50).groups(8, 4)),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, resnet::graph);

/// The bottleneck with its 3×3 convolution in a hierarchy of so many parts.
const fn block<const SCALE: usize>() -> Block {
    Block { expansion: 4, branch: branch::<SCALE>, act: "relu" }
}

fn branch<const SCALE: usize>(b: &mut Builder, x: NodeId, at: &Branch<'_>) -> NodeId {
    let (width, groups) = (at.width(), at.config.cardinality);
    let middle_of = Middle { width, scale: SCALE, stride: at.stride, first: at.projects, groups };
    let y = middle(b, x, at.name, &middle_of);
    let y = conv(b, y, &at.path("conv3"), at.out, [1, 1, 1]);
    b.batch_norm(&at.path("bn3"), y, EPS, true)
}

/// The parts of a block's middle.
pub(super) struct Middle {
    /// Channels a part.
    pub(super) width: usize,
    /// Parts.
    pub(super) scale: usize,
    pub(super) stride: usize,
    /// The first block of a stage does not chain its parts, and pools the last one.
    pub(super) first: bool,
    pub(super) groups: usize,
}

/// `conv1`, `bn1`, `convs` and `bns` under `name`: everything before `conv3`.
pub(super) fn middle(b: &mut Builder, x: NodeId, name: &str, m: &Middle) -> NodeId {
    let path = |layer: &str| format!("{name}.{layer}");
    let x = conv(b, x, &path("conv1"), m.width * m.scale, [1, 1, 1]);
    let x = norm_relu(b, x, &path("bn1"), &path("relu1"));
    let part = |b: &mut Builder, i: usize| b.slice(&path(&format!("split.{i}")), x, i * m.width, m.width);
    let from = b.weights();
    let mut parts: Vec<NodeId> = Vec::with_capacity(m.scale);
    for i in 0..m.scale.max(2) - 1 {
        let own = part(b, i);
        let y = match parts.last() {
            Some(&before) if !m.first => b.add(&path(&format!("sum.{i}")), &[before, own]),
            _ => own,
        };
        let y = conv(b, y, &path(&format!("convs.{i}")), m.width, [3, m.stride, m.groups]);
        parts.push(norm_relu(b, y, &path(&format!("bns.{i}")), &path(&format!("relus.{i}"))));
    }
    // timm's state dict has all the convolutions before all the norms.
    b.sort_weights(from, |weight| !weight.contains(".convs."));
    if m.scale > 1 {
        let last = part(b, m.scale - 1);
        parts.push(if m.first {
            let window = Window::square(3, m.stride, Padding::all(1));
            b.pool(&path("pool"), last, average(true), window)
        } else {
            last
        });
    }
    b.concat(&path("cat"), &parts)
}
