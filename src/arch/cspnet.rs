//! Cross stage partial networks (Wang et al., arXiv:1911.11929): half of a stage's channels bypass its blocks.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/cspnet.py`.

use super::layers::{ConvNormAct, classify};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId, Padding, PoolKind, Window};

/// What a stage repeats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// 1×1, 3×3, 1×1.
    Bottleneck,
    /// 1×1, 3×3.
    Dark,
}

struct Stage {
    depth: usize,
    out: usize,
    stride: usize,
    /// Channels of the expansion before the split, in units of `out`.
    expand: f64,
    /// Channels of a block's 3×3 convolution, in units of the block's.
    bottle: f64,
    /// Channels of a block, in units of `out`.
    block: f64,
}

pub(super) struct Config {
    /// Kernel and channels of the stem; with 7×7 it strides, and a maximum follows.
    stem: (usize, usize),
    stages: &'static [Stage],
    groups: usize,
    /// The expansion has no activation.
    cross_linear: bool,
    /// The convolution that halves the resolution makes the stage's channels.
    down_growth: bool,
    kind: Block,
}

const fn stage(depth: usize, out: usize, stride: usize, [expand, bottle, block]: [f64; 3]) -> Stage {
    Stage { depth, out, stride, expand, bottle, block }
}

const RESNET: Config = Config {
    stem: (7, 64),
    stages: &[
        stage(3, 128, 1, [2.0, 0.5, 1.0]),
        stage(3, 256, 2, [2.0, 0.5, 1.0]),
        stage(5, 512, 2, [2.0, 0.5, 1.0]),
        stage(2, 1024, 2, [2.0, 0.5, 1.0]),
    ],
    groups: 1,
    cross_linear: true,
    down_growth: false,
    kind: Block::Bottleneck,
};

const RESNEXT: Config = Config {
    stages: &[
        stage(3, 256, 1, [1.0, 1.0, 0.5]),
        stage(3, 512, 2, [1.0, 1.0, 0.5]),
        stage(5, 1024, 2, [1.0, 1.0, 0.5]),
        stage(2, 2048, 2, [1.0, 1.0, 0.5]),
    ],
    groups: 32,
    ..RESNET
};

const DARKNET: Config = Config {
    stem: (3, 32),
    stages: &[
        stage(1, 64, 2, [2.0, 0.5, 1.0]),
        stage(2, 128, 2, [1.0, 1.0, 0.5]),
        stage(8, 256, 2, [1.0, 1.0, 0.5]),
        stage(8, 512, 2, [1.0, 1.0, 0.5]),
        stage(4, 1024, 2, [1.0, 1.0, 0.5]),
    ],
    groups: 1,
    cross_linear: false,
    down_growth: true,
    kind: Block::Dark,
};

const VARIANTS: &[(&str, Config)] =
    &[("cspdarknet53", DARKNET), ("cspresnet50", RESNET), ("cspresnext50", RESNEXT)];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

const ACT: Activation = Activation::LeakyRelu(0.01);

const fn unit(out: usize, kernel: usize, stride: usize) -> ConvNormAct {
    ConvNormAct::new(out, kernel, stride).act(Some(ACT))
}

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let (kernel, out) = config.stem;
    let pooled = kernel == 7;
    let mut x = unit(out, kernel, if pooled { 2 } else { 1 }).add(&mut b, x, "stem.conv1");
    b.tap(x, "stem");
    if pooled {
        x = b.pool("stem.pool", x, PoolKind::Max, Window::square(3, 2, Padding::all(1)));
    }
    for (i, stage) in config.stages.iter().enumerate() {
        x = cross_stage(&mut b, x, &format!("stages.{i}"), config, stage);
        b.tap(x, &format!("stage{}", i + 1));
    }
    classify(&mut b, x, "head.fc", classes);
    Ok(b.finish("head.fc", "stem.conv1.conv")?)
}

fn part(channels: usize, ratio: f64) -> usize {
    (channels as f64 * ratio).round_ties_even() as usize
}

fn cross_stage(b: &mut Builder, x: NodeId, name: &str, config: &Config, stage: &Stage) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let mut x = x;
    if stage.stride != 1 {
        let out = if config.down_growth { stage.out } else { b.channels(x) };
        x = unit(out, 3, stage.stride).groups(config.groups).add(b, x, &path("conv_down"));
    }
    let expanded = part(stage.out, stage.expand);
    let act = (!config.cross_linear).then_some(ACT);
    let x = unit(expanded, 1, 1).act(act).add(b, x, &path("conv_exp"));
    let half = expanded / 2;
    let bypass = b.slice(&path("split.0"), x, 0, half);
    let mut y = b.slice(&path("split.1"), x, half, half);
    let out = part(stage.out, stage.block);
    for i in 0..stage.depth {
        y = block(b, y, &path(&format!("blocks.{i}")), config, out, part(out, stage.bottle));
    }
    let y = unit(half, 1, 1).add(b, y, &path("conv_transition_b"));
    let y = b.concat(&path("cat"), &[bypass, y]);
    unit(stage.out, 1, 1).add(b, y, &path("conv_transition"))
}

fn block(b: &mut Builder, x: NodeId, name: &str, config: &Config, out: usize, mid: usize) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let y = unit(mid, 1, 1).add(b, x, &path("conv1"));
    match config.kind {
        Block::Dark => {
            let last = ConvNormAct { zero_init_last: true, ..unit(out, 3, 1) };
            let y = last.groups(config.groups).add(b, y, &path("conv2"));
            b.add(&path("add"), &[y, x])
        }
        Block::Bottleneck => {
            let y = unit(mid, 3, 1).groups(config.groups).add(b, y, &path("conv2"));
            let y = unit(out, 1, 1).linear(true).add(b, y, &path("conv3"));
            let y = b.add(&path("add"), &[y, x]);
            b.activation(&path("act3"), y, ACT)
        }
    }
}
