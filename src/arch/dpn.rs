//! Dual path networks (Chen et al., arXiv:1707.01629): a residual path and a dense path side by side in one map.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/dpn.py`.

use super::layers::ConvNormAct;
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, ConvSpec, Graph, NodeId, Padding, PoolKind, Window};

pub(super) struct Config {
    /// A 3×3 stem and a quarter of the residual path's channels.
    small: bool,
    /// Channels of the stem.
    stem: usize,
    /// Channels of the 3×3 convolutions of the first stage.
    k_r: usize,
    /// Their groups.
    groups: usize,
    /// The last convolution is two, each after the same norm ('b').
    split: bool,
    /// Blocks a stage.
    k_sec: [usize; 4],
    /// Channels that a block adds to the dense path.
    inc_sec: [usize; 4],
}

const DPN68: Config = Config {
    small: true,
    stem: 10,
    k_r: 128,
    groups: 32,
    split: false,
    k_sec: [3, 4, 12, 3],
    inc_sec: [16, 32, 32, 64],
};

/// A network with a 7×7 stem.
const fn large(stem: usize, k_r: usize, groups: usize, k_sec: [usize; 4], inc_sec: [usize; 4]) -> Config {
    Config { small: false, stem, k_r, groups, split: false, k_sec, inc_sec }
}

const VARIANTS: &[(&str, Config)] = &[
    ("dpn68", DPN68),
    ("dpn68b", Config { split: true, ..DPN68 }),
    ("dpn92", large(64, 96, 32, [3, 4, 20, 3], [16, 32, 24, 128])),
    ("dpn98", large(96, 160, 40, [3, 6, 20, 3], [16, 32, 32, 128])),
    ("dpn107", large(128, 200, 50, [4, 8, 20, 3], [20, 64, 64, 128])),
    ("dpn131", large(128, 160, 40, [4, 8, 28, 3], [16, 32, 32, 128])),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

/// Added to every variance.
const EPS: f32 = 1e-3;

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let kernel = if config.small { 3 } else { 7 };
    let x = ConvNormAct::new(config.stem, kernel, 2).eps(EPS).add(&mut b, x, "features.conv1_1");
    b.tap(x, "stem");
    let mut x = b.pool("features.conv1_pool", x, PoolKind::Max, Window::square(3, 2, Padding::all(1)));
    for (stage, (&depth, &inc)) in config.k_sec.iter().zip(&config.inc_sec).enumerate() {
        let residual = (64 << stage) * if config.small { 1 } else { 4 };
        let block =
            Block { width: config.k_r << stage, residual, inc, groups: config.groups, split: config.split };
        for i in 0..depth {
            let projects = (i == 0).then_some(if stage == 0 { 1 } else { 2 });
            x = block.add(&mut b, x, &format!("features.conv{}_{}", stage + 2, i + 1), projects);
        }
        b.tap(x, &format!("stage{}", stage + 1));
    }
    let x = norm_act(&mut b, x, "features.conv5_bn_ac", false);
    b.tap(x, "map");
    let x = b.global_average_pool("global_pool", x);
    b.tap(x, "pool");
    let x = b.conv("classifier", x, super::layers::point(classes));
    b.tap(x, "logits");
    Ok(b.finish("classifier", "features.conv1_1.conv")?)
}

/// `NAME.bn` and ReLU.
fn norm_act(b: &mut Builder, x: NodeId, name: &str, zero_init_last: bool) -> NodeId {
    let x = b.batch_norm(&format!("{name}.bn"), x, EPS, zero_init_last);
    b.activation(&format!("{name}.bn.act"), x, Activation::Relu)
}

/// `BnActConv2d`: norm, ReLU, then a convolution to `out` channels: `[kernel, stride, groups]`.
fn norm_act_conv(
    b: &mut Builder,
    x: NodeId,
    name: &str,
    out: usize,
    geometry: [usize; 3],
    zero_init_last: bool,
) -> NodeId {
    let x = norm_act(b, x, name, zero_init_last);
    super::layers::conv(b, x, &format!("{name}.conv"), out, geometry)
}

struct Block {
    /// Channels of the 3×3 convolution.
    width: usize,
    /// Channels of the residual path: the map's first.
    residual: usize,
    /// Channels that are added to the dense path: the rest.
    inc: usize,
    groups: usize,
    split: bool,
}

impl Block {
    /// Adds it under `name`; with a stride, the first of a stage, which projects what it adds to.
    fn add(&self, b: &mut Builder, x: NodeId, name: &str, projects: Option<usize>) -> NodeId {
        let path = |part: &str| format!("{name}.{part}");
        let stride = projects.unwrap_or(1);
        let shortcut = match projects {
            Some(stride) => {
                let out = self.residual + 2 * self.inc;
                norm_act_conv(b, x, &path(&format!("c1x1_w_s{stride}")), out, [1, stride, 1], false)
            }
            None => x,
        };
        let y = norm_act_conv(b, x, &path("c1x1_a"), self.width, [1, 1, 1], false);
        let y = norm_act_conv(b, y, &path("c3x3_b"), self.width, [3, stride, self.groups], false);
        let (added, joined) = if self.split {
            let y = norm_act(b, y, &path("c1x1_c"), true);
            let spec = |out| ConvSpec { out, groups: 1, bias: false, window: Window::POINT };
            (b.conv(&path("c1x1_c1"), y, spec(self.residual)), b.conv(&path("c1x1_c2"), y, spec(self.inc)))
        } else {
            let y = norm_act_conv(b, y, &path("c1x1_c"), self.residual + self.inc, [1, 1, 1], true);
            (b.slice(&path("out1"), y, 0, self.residual), b.slice(&path("out2"), y, self.residual, self.inc))
        };
        let dense = b.channels(shortcut).saturating_sub(self.residual);
        let residual = b.slice(&path("x_s1"), shortcut, 0, self.residual);
        let dense = b.slice(&path("x_s2"), shortcut, self.residual, dense);
        let residual = b.add(&path("add"), &[residual, added]);
        b.concat(&path("cat"), &[residual, dense, joined])
    }
}
