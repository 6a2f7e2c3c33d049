//! Res2Net (arXiv:1904.01169): ResNet whose 3×3 convolution is a chain over parts of the channels.
//!
//! In: a name. Out: a graph. Called by `arch::build`; the blocks' middle also by the ResNet and DLA
//! files. Source: `timm/models/res2net.py`.

use super::Family;
use super::layers::{conv, norm_relu};
use super::resnet::{self, Block, Config};
use crate::nn::graph::{Builder, NodeId, Padding, PoolKind, Window};

const R50: [usize; 4] = [3, 4, 6, 3];

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("res2net50_14w_8s", Config::new(Block::Bottle2neck(8), R50).groups(1, 14)),
    ("res2net50_26w_4s", Config::new(Block::Bottle2neck(4), R50).groups(1, 26)),
    ("res2net50_26w_6s", Config::new(Block::Bottle2neck(6), R50).groups(1, 26)),
    ("res2net50_26w_8s", Config::new(Block::Bottle2neck(8), R50).groups(1, 26)),
    ("res2net50_48w_2s", Config::new(Block::Bottle2neck(2), R50).groups(1, 48)),
    ("res2net101_26w_4s", Config::new(Block::Bottle2neck(4), [3, 4, 23, 3]).groups(1, 26)),
    ("res2next50", Config::new(Block::Bottle2neck(4), R50).groups(8, 4)),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> =
    Family { variants: VARIANTS, graph: resnet::graph, checkpoint_filter: None };

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
            b.pool(&path("pool"), last, PoolKind::Average { count_padding: true }, window)
        } else {
            last
        });
    }
    b.concat(&path("cat"), &parts)
}
