//! High-resolution networks (Wang et al., arXiv:1908.07919): branches of several resolutions side by side, each fused with
//! all others again and again.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/hrnet.py`.

use super::layers::{EPS, conv, norm_relu};
use super::resnet::{BASIC, BOTTLENECK, Config as Block, residual};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, ConvSpec, Graph, NodeId, Padding, Window};

pub(super) struct Config {
    /// Blocks and planes of the first stage.
    first: (usize, usize),
    /// Fusions in each of the other stages, which have two, three and four branches.
    modules: [usize; 3],
    /// Blocks between fusions.
    blocks: usize,
    /// Channels of the branch of the highest resolution; each lower one has twice as many.
    width: usize,
}

const fn full(width: usize) -> Config {
    Config { first: (4, 64), modules: [1, 4, 3], blocks: 4, width }
}

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("hrnet_w18_small", Config { first: (1, 32), modules: [1, 1, 1], blocks: 2, width: 16 }),
    ("hrnet_w18_small_v2", Config { first: (2, 64), modules: [1, 3, 2], blocks: 2, width: 18 }),
    ("hrnet_w18", full(18)),
    ("hrnet_w30", full(30)),
    ("hrnet_w32", full(32)),
    ("hrnet_w40", full(40)),
    ("hrnet_w44", full(44)),
    ("hrnet_w48", full(48)),
    ("hrnet_w64", full(64)),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

const LAYERS: [usize; 4] = [0; 4];

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let x = conv(&mut b, x, "conv1", 64, [3, 2, 1]);
    let x = norm_relu(&mut b, x, "bn1", "act1");
    b.tap(x, "stem");
    let x = conv(&mut b, x, "conv2", 64, [3, 2, 1]);
    let mut x = norm_relu(&mut b, x, "bn2", "act2");
    let (blocks, planes) = config.first;
    let bottleneck = Block::new(BOTTLENECK, LAYERS);
    for i in 0..blocks {
        x = residual(&mut b, x, &format!("layer1.{i}"), &bottleneck, planes, 1);
    }
    let mut branches = vec![x];
    for (i, &modules) in config.modules.iter().enumerate() {
        branches = transition(&mut b, &branches, &format!("transition{}", i + 1), config.width);
        for module in 0..modules {
            branches = fuse(&mut b, branches, &format!("stage{}.{module}", i + 2), config);
        }
    }
    // The head: each branch widened, then from the highest resolution down.
    for (i, x) in branches.iter_mut().enumerate() {
        *x = residual(&mut b, *x, &format!("incre_modules.{i}.0"), &bottleneck, 32 << i, 1);
        b.tap(*x, &format!("stage{}", i + 1));
    }
    let mut branches = branches.into_iter();
    let mut y = branches.next().unwrap_or(x);
    for (i, x) in branches.enumerate() {
        let window = Window::square(3, 2, Padding::all(1));
        let down = step(&mut b, y, &format!("downsamp_modules.{i}"), 256 << i, window);
        y = b.add(&format!("downsamp_modules.{i}.add"), &[x, down]);
    }
    let y = step(&mut b, y, "final_layer", 2048, Window::POINT);
    super::layers::classify(&mut b, y, "classifier", classes);
    Ok(b.finish("classifier", "conv1")?)
}

/// A convolution with a bias, norm and ReLU, in torch's `Sequential`.
fn step(b: &mut Builder, x: NodeId, name: &str, out: usize, window: Window) -> NodeId {
    let x = b.conv(&format!("{name}.0"), x, ConvSpec { out, groups: 1, bias: true, window });
    norm_relu(b, x, &format!("{name}.1"), &format!("{name}.2"))
}

/// One branch more, at half the lowest resolution; the others get their channels where they have others.
fn transition(b: &mut Builder, branches: &[NodeId], name: &str, width: usize) -> Vec<NodeId> {
    let mut next: Vec<NodeId> = branches.to_vec();
    for (i, x) in next.iter_mut().enumerate() {
        if b.channels(*x) != width << i {
            *x = super::layers::sequential(b, *x, &format!("{name}.{i}"), width << i, [3, 1, 1]);
        }
    }
    if let Some(&last) = branches.last() {
        let i = branches.len();
        next.push(super::layers::sequential(b, last, &format!("{name}.{i}.0"), width << i, [3, 2, 1]));
    }
    next
}

/// Some blocks on every branch, then each branch the sum of all, brought to its resolution.
fn fuse(b: &mut Builder, branches: Vec<NodeId>, name: &str, config: &Config) -> Vec<NodeId> {
    let basic = Block::new(BASIC, LAYERS);
    let mut from = branches;
    for (i, x) in from.iter_mut().enumerate() {
        for block in 0..config.blocks {
            *x = residual(b, *x, &format!("{name}.branches.{i}.{block}"), &basic, config.width << i, 1);
        }
    }
    let mut fused = Vec::with_capacity(from.len());
    for i in 0..from.len() {
        let mut sum: Option<NodeId> = None;
        for (j, &x) in from.iter().enumerate() {
            let y = bring(b, x, &format!("{name}.fuse_layers.{i}.{j}"), [j, i], config.width);
            sum = Some(match sum {
                Some(sum) => b.add(&format!("{name}.sum.{i}.{j}"), &[sum, y]),
                None => y,
            });
        }
        let sum = sum.unwrap_or(NodeId(0));
        fused.push(b.activation(&format!("{name}.fuse_act.{i}"), sum, Activation::Relu));
    }
    fused
}

/// Branch `from` at the resolution and with the channels of branch `to`.
fn bring(b: &mut Builder, x: NodeId, name: &str, [from, to]: [usize; 2], width: usize) -> NodeId {
    if from > to {
        let y = conv(b, x, &format!("{name}.0"), width << to, [1, 1, 1]);
        let y = b.batch_norm(&format!("{name}.1"), y, EPS, false);
        return b.upsample(&format!("{name}.2"), y, 1 << (from - to));
    }
    let steps = to - from;
    let mut y = x;
    for k in 0..steps {
        let last = k + 1 == steps;
        let out = if last { width << to } else { width << from };
        y = conv(b, y, &format!("{name}.{k}.0"), out, [3, 2, 1]);
        y = b.batch_norm(&format!("{name}.{k}.1"), y, EPS, false);
        if !last {
            y = b.activation(&format!("{name}.{k}.2"), y, Activation::Relu);
        }
    }
    y
}
