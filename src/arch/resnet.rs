//! ResNet (He et al., arXiv:1512.03385) and what timm builds with it: Gluon's c, d and s variants (Bag of
//! Tricks, arXiv:1812.01187), ResNeXt (arXiv:1611.05431), wide ResNet (arXiv:1605.07146), SE-ResNet and
//! SENet-154 (arXiv:1709.01507).
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/resnet.py`.

use super::efficientnet_builder::make_divisible;
use super::layers::{EPS, classify, conv, norm_relu, squeeze_excite};
use super::{Error, Family, res2net};
use crate::nn::graph::{Activation, Builder, Graph, NodeId, Padding, PoolKind, Window};

/// The residual branch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1 with four times the channels.
    Bottleneck,
    /// The bottleneck with its 3×3 convolution in a hierarchy of so many parts (Res2Net).
    Bottle2neck(usize),
}

impl Block {
    const fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck | Block::Bottle2neck(_) => 4,
        }
    }
}

/// What comes before the first pool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stem {
    /// One 7×7 convolution.
    Single,
    /// Three 3×3 convolutions, the first two of this width, the third of twice that.
    Deep(usize),
    /// Likewise, the first of three quarters of it.
    Tiered(usize),
}

#[derive(Clone, Copy)]
pub(super) struct Config {
    block: Block,
    /// Blocks a stage.
    layers: [usize; 4],
    stem: Stem,
    /// Groups of the 3×3 convolution.
    cardinality: usize,
    /// Its channels a group, for 64 planes.
    base_width: usize,
    /// The shortcut's projection halves by a 2×2 average instead of a stride (d variants).
    avg_down: bool,
    /// Squeeze-excite after the last norm.
    se: bool,
    /// The branch's first convolution has only a part of the second's channels (SENet-154).
    reduce_first: usize,
    /// Kernel of a striding shortcut.
    down_kernel: usize,
}

impl Config {
    pub(super) const fn new(block: Block, layers: [usize; 4]) -> Self {
        Config {
            block,
            layers,
            stem: Stem::Single,
            cardinality: 1,
            base_width: 64,
            avg_down: false,
            se: false,
            reduce_first: 1,
            down_kernel: 1,
        }
    }

    const fn stem(self, stem: Stem) -> Self {
        Config { stem, ..self }
    }

    /// The 'd' variant.
    const fn d(self) -> Self {
        Config { stem: Stem::Deep(32), avg_down: true, ..self }
    }

    pub(super) const fn groups(self, cardinality: usize, base_width: usize) -> Self {
        Config { cardinality, base_width, ..self }
    }

    const fn se(self) -> Self {
        Config { se: true, ..self }
    }
}

const R18: Config = Config::new(Block::Basic, [2, 2, 2, 2]);
const R34: Config = Config::new(Block::Basic, [3, 4, 6, 3]);
const R26: Config = Config::new(Block::Bottleneck, [2, 2, 2, 2]);
const R50: Config = Config::new(Block::Bottleneck, [3, 4, 6, 3]);
const R101: Config = Config::new(Block::Bottleneck, [3, 4, 23, 3]);
const R152: Config = Config::new(Block::Bottleneck, [3, 8, 36, 3]);
const R200: Config = Config::new(Block::Bottleneck, [3, 24, 36, 3]);
const SENET: Config = Config { reduce_first: 2, down_kernel: 3, ..R152.groups(64, 4).se() };

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("resnet18", R18),
    ("resnet18d", R18.d()),
    ("resnet34", R34),
    ("resnet34d", R34.d()),
    ("resnet26", R26),
    ("resnet26d", R26.d()),
    ("resnet50", R50),
    ("resnet50c", R50.stem(Stem::Deep(32))),
    ("resnet50d", R50.d()),
    ("resnet50s", R50.stem(Stem::Deep(64))),
    ("resnet101", R101),
    ("resnet101c", R101.stem(Stem::Deep(32))),
    ("resnet101d", R101.d()),
    ("resnet101s", R101.stem(Stem::Deep(64))),
    ("resnet152", R152),
    ("resnet152c", R152.stem(Stem::Deep(32))),
    ("resnet152d", R152.d()),
    ("resnet152s", R152.stem(Stem::Deep(64))),
    ("resnet200d", R200.d()),
    ("wide_resnet50_2", R50.groups(1, 128)),
    ("wide_resnet101_2", R101.groups(1, 128)),
    ("resnext50_32x4d", R50.groups(32, 4)),
    ("resnext50d_32x4d", R50.groups(32, 4).d()),
    ("resnext101_32x4d", R101.groups(32, 4)),
    ("resnext101_32x8d", R101.groups(32, 8)),
    ("resnext101_32x16d", R101.groups(32, 16)),
    ("resnext101_32x32d", R101.groups(32, 32)),
    ("resnext101_64x4d", R101.groups(64, 4)),
    ("seresnet50", R50.se()),
    ("seresnet152d", R152.d().se()),
    ("seresnext26d_32x4d", R26.groups(32, 4).d().se()),
    ("seresnext26t_32x4d", R26.groups(32, 4).d().se().stem(Stem::Tiered(32))),
    ("seresnext50_32x4d", R50.groups(32, 4).se()),
    ("seresnext101_32x4d", R101.groups(32, 4).se()),
    ("seresnext101_64x4d", R101.groups(64, 4).se()),
    ("senet154", SENET.stem(Stem::Deep(64))),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family { variants: VARIANTS, graph, checkpoint_filter: None };

pub(super) fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let (x, first_conv) = stem(&mut b, x, config.stem);
    b.tap(x, "stem");
    let mut x = b.pool("maxpool", x, PoolKind::Max, Window::square(3, 2, Padding::all(1)));
    for (stage, (&blocks, planes)) in config.layers.iter().zip([64, 128, 256, 512]).enumerate() {
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            x = residual(&mut b, x, &format!("layer{}.{i}", stage + 1), config, planes, stride);
        }
        b.tap(x, &format!("stage{}", stage + 1));
    }
    classify(&mut b, x, "fc", classes);
    Ok(b.finish("fc", first_conv)?)
}

/// The stem's output and the first convolution's name.
fn stem(b: &mut Builder, x: NodeId, stem: Stem) -> (NodeId, &'static str) {
    let (first, width) = match stem {
        Stem::Single => {
            let x = conv(b, x, "conv1", 64, [7, 2, 1]);
            return (norm_relu(b, x, "bn1", "act1"), "conv1");
        }
        Stem::Deep(width) => (width, width),
        Stem::Tiered(width) => (width / 4 * 3, width),
    };
    let x = conv(b, x, "conv1.0", first, [3, 2, 1]);
    let x = norm_relu(b, x, "conv1.1", "conv1.2");
    let x = conv(b, x, "conv1.3", width, [3, 1, 1]);
    let x = norm_relu(b, x, "conv1.4", "conv1.5");
    let x = conv(b, x, "conv1.6", 2 * width, [3, 1, 1]);
    (norm_relu(b, x, "bn1", "act1"), "conv1.0")
}

fn residual(b: &mut Builder, x: NodeId, name: &str, c: &Config, planes: usize, stride: usize) -> NodeId {
    let path = |layer: &str| format!("{name}.{layer}");
    let out = planes * c.block.expansion();
    let projects = stride != 1 || b.channels(x) != out;
    let (y, last) = match c.block {
        Block::Basic => {
            let y = conv(b, x, &path("conv1"), planes / c.reduce_first, [3, stride, 1]);
            let y = norm_relu(b, y, &path("bn1"), &path("act1"));
            let y = conv(b, y, &path("conv2"), out, [3, 1, 1]);
            (b.batch_norm(&path("bn2"), y, EPS, true), "act2")
        }
        Block::Bottleneck => {
            let width = planes * c.base_width / 64 * c.cardinality;
            let y = conv(b, x, &path("conv1"), width / c.reduce_first, [1, 1, 1]);
            let y = norm_relu(b, y, &path("bn1"), &path("act1"));
            let y = conv(b, y, &path("conv2"), width, [3, stride, c.cardinality]);
            let y = norm_relu(b, y, &path("bn2"), &path("act2"));
            let y = conv(b, y, &path("conv3"), out, [1, 1, 1]);
            (b.batch_norm(&path("bn3"), y, EPS, true), "act3")
        }
        Block::Bottle2neck(scale) => {
            let width = planes * c.base_width / 64 * c.cardinality;
            let middle = res2net::Middle { width, scale, stride, first: projects, groups: c.cardinality };
            let y = res2net::middle(b, x, name, &middle);
            let y = conv(b, y, &path("conv3"), out, [1, 1, 1]);
            (b.batch_norm(&path("bn3"), y, EPS, true), "relu")
        }
    };
    // A sixteenth of the channels, to a multiple of 8.
    let reduced = make_divisible(out as f64 / 16.0, 8);
    let y = if c.se { squeeze_excite(b, y, &path("se"), reduced) } else { y };
    let shortcut = if projects { project(b, x, &path("downsample"), c, out, stride) } else { x };
    let y = b.add(&path("add"), &[y, shortcut]);
    b.activation(&path(last), y, Activation::Relu)
}

/// The shortcut where resolution or channels change.
fn project(b: &mut Builder, x: NodeId, name: &str, c: &Config, out: usize, stride: usize) -> NodeId {
    if !c.avg_down {
        let kernel = if stride == 1 { 1 } else { c.down_kernel };
        let x = conv(b, x, &format!("{name}.0"), out, [kernel, stride, 1]);
        return b.batch_norm(&format!("{name}.1"), x, EPS, false);
    }
    let window = Window { ceil: true, ..Window::square(2, stride, Padding::all(0)) };
    let x = match stride {
        1 => x,
        _ => b.pool(&format!("{name}.0"), x, PoolKind::Average { count_padding: false }, window),
    };
    let x = conv(b, x, &format!("{name}.1"), out, [1, 1, 1]);
    b.batch_norm(&format!("{name}.2"), x, EPS, false)
}
