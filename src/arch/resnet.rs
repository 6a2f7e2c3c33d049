//! ResNet (He et al., arXiv:1512.03385) and what timm builds with it: Gluon's c, d and s variants (Bag of
//! Tricks, arXiv:1812.01187), ResNeXt (arXiv:1611.05431), wide ResNet (arXiv:1605.07146), SE-ResNet and
//! SENet-154 (arXiv:1709.01507).
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/resnet.py`.

use super::efficientnet_builder::make_divisible;
use super::layers::{EPS, average, channel_attention, classify, conv, norm_relu, squeeze_excite};
use super::{Error, Family, pruned};
use crate::nn::graph::{Activation, Builder, Graph, NodeId, Padding, PoolKind, Window};

/// A block: how its residual branch is built. Each family that is a ResNet but for its blocks has its own.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// Output channels for each plane.
    pub(super) expansion: usize,
    /// Adds the branch, its last norm included.
    pub(super) branch: fn(&mut Builder, NodeId, &Branch<'_>) -> NodeId,
    /// The name of the activation behind the sum.
    pub(super) act: &'static str,
}

/// Where a block's branch stands.
pub(super) struct Branch<'a> {
    pub(super) name: &'a str,
    pub(super) config: &'a Config,
    pub(super) planes: usize,
    /// Output channels.
    pub(super) out: usize,
    pub(super) stride: usize,
    /// The shortcut is projected.
    pub(super) projects: bool,
}

impl Branch<'_> {
    pub(super) fn path(&self, layer: &str) -> String {
        format!("{}.{layer}", self.name)
    }

    /// Channels of the 3×3 convolution of a bottleneck.
    pub(super) fn width(&self) -> usize {
        self.planes * self.config.base_width / 64 * self.config.cardinality
    }

    /// A 3×3 convolution with norm and ReLU that strides, or behind which a blur does.
    fn three(&self, b: &mut Builder, x: NodeId, number: usize, out: usize, groups: usize) -> NodeId {
        let blurs = self.config.blur && self.stride == 2;
        let stride = if blurs { 1 } else { self.stride };
        let x = conv(b, x, &self.path(&format!("conv{number}")), out, [3, stride, groups]);
        let (norm, act) = (self.path(&format!("bn{number}")), self.path(&format!("act{number}")));
        let x = norm_relu(b, x, &norm, &act);
        if blurs { b.blur_pool(&self.path("aa"), x, 3, 2) } else { x }
    }
}

/// Two 3×3 convolutions.
pub(super) const BASIC: Block = Block { expansion: 1, branch: basic, act: "act2" };
/// 1×1, 3×3, 1×1 with four times the channels.
pub(super) const BOTTLENECK: Block = Block { expansion: 4, branch: bottleneck, act: "act3" };

fn basic(b: &mut Builder, x: NodeId, at: &Branch<'_>) -> NodeId {
    let y = at.three(b, x, 1, at.planes / at.config.reduce_first, 1);
    let y = conv(b, y, &at.path("conv2"), at.out, [3, 1, 1]);
    b.batch_norm(&at.path("bn2"), y, EPS, true)
}

fn bottleneck(b: &mut Builder, x: NodeId, at: &Branch<'_>) -> NodeId {
    let width = at.width();
    let y = conv(b, x, &at.path("conv1"), width / at.config.reduce_first, [1, 1, 1]);
    let y = norm_relu(b, y, &at.path("bn1"), &at.path("act1"));
    let y = at.three(b, y, 2, width, at.config.cardinality);
    let y = conv(b, y, &at.path("conv3"), at.out, [1, 1, 1]);
    b.batch_norm(&at.path("bn3"), y, EPS, true)
}

/// What weighs the branch's channels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attention {
    None,
    /// Squeeze-excite.
    Se,
    /// Efficient channel attention (arXiv:1910.03151).
    Eca,
}

/// What comes before the first pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stem {
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
    pub(super) cardinality: usize,
    /// Its channels a group, for 64 planes.
    base_width: usize,
    /// The shortcut's projection halves by a 2×2 average instead of a stride (d variants).
    avg_down: bool,
    /// After the last norm.
    attention: Attention,
    /// A blur halves the resolution, behind what would stride (anti-aliasing, arXiv:1904.11486).
    blur: bool,
    /// Channels were pruned away ([`super::pruned`]).
    pruned: bool,
    /// ResNeSt's: radix, and whether its mean pool comes before the 3×3 convolution.
    pub(super) split: (usize, bool),
    /// SKNet's: its attention's share of the channels, their divisor, and whether paths share the input.
    pub(super) selective: (f64, usize, bool),
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
            attention: Attention::None,
            blur: false,
            pruned: false,
            split: (1, false),
            selective: (0.0, 1, false),
            reduce_first: 1,
            down_kernel: 1,
        }
    }

    pub(super) const fn stem(self, stem: Stem) -> Self {
        Config { stem, ..self }
    }

    /// The 'd' variant: a deep stem, and a mean pool in front of the shortcut's projection.
    pub(super) const fn d(self) -> Self {
        Config { stem: Stem::Deep(32), ..self.avg_down() }
    }

    const fn avg_down(self) -> Self {
        Config { avg_down: true, ..self }
    }

    pub(super) const fn split(self, radix: usize, pool_first: bool) -> Self {
        Config { split: (radix, pool_first), ..self }
    }

    pub(super) const fn selective(self, selective: (f64, usize, bool)) -> Self {
        Config { selective, ..self }
    }

    const fn eca(self) -> Self {
        Config { attention: Attention::Eca, ..self }
    }

    const fn blur(self) -> Self {
        Config { blur: true, ..self }
    }

    const fn pruned(self) -> Self {
        Config { pruned: true, ..self }
    }

    pub(super) const fn groups(self, cardinality: usize, base_width: usize) -> Self {
        Config { cardinality, base_width, ..self }
    }

    const fn se(self) -> Self {
        Config { attention: Attention::Se, ..self }
    }
}

const R18: Config = Config::new(BASIC, [2, 2, 2, 2]);
const R34: Config = Config::new(BASIC, [3, 4, 6, 3]);
const R26: Config = Config::new(BOTTLENECK, [2, 2, 2, 2]);
const R50: Config = Config::new(BOTTLENECK, [3, 4, 6, 3]);
const R101: Config = Config::new(BOTTLENECK, [3, 4, 23, 3]);
const R152: Config = Config::new(BOTTLENECK, [3, 8, 36, 3]);
const R200: Config = Config::new(BOTTLENECK, [3, 24, 36, 3]);
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
    // timm 0.4.12 has it, 1.0 has not.
    ("ig_resnext101_32x48d", R101.groups(32, 48)),
    ("resnext101_64x4d", R101.groups(64, 4)),
    ("resnetblur50", R50.blur()),
    ("ecaresnetlight", Config::new(BOTTLENECK, [1, 1, 11, 3]).avg_down().eca()),
    ("ecaresnet50d", R50.d().eca()),
    ("ecaresnet50d_pruned", R50.d().eca().pruned()),
    ("ecaresnet101d", R101.d().eca()),
    ("ecaresnet101d_pruned", R101.d().eca().pruned()),
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
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

pub(super) fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let (x, first_conv) = stem(&mut b, x, config.stem);
    b.tap(x, "stem");
    let mut x = max_pool(&mut b, x, "maxpool", config.blur);
    for (stage, (&blocks, planes)) in config.layers.iter().zip([64, 128, 256, 512]).enumerate() {
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            x = residual(&mut b, x, &format!("layer{}.{i}", stage + 1), config, planes, stride);
        }
        b.tap(x, &format!("stage{}", stage + 1));
    }
    classify(&mut b, x, "fc", classes);
    let graph = b.finish("fc", first_conv)?;
    if config.pruned { pruned::prune(graph) } else { Ok(graph) }
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

/// The stem's pool; one that blurs moves by one pixel and leaves the stride to the blur.
pub(super) fn max_pool(b: &mut Builder, x: NodeId, name: &str, blur: bool) -> NodeId {
    if !blur {
        return b.pool(name, x, PoolKind::Max, Window::square(3, 2, Padding::all(1)));
    }
    let x = b.pool(&format!("{name}.0"), x, PoolKind::Max, Window::square(3, 1, Padding::all(1)));
    b.blur_pool(&format!("{name}.1"), x, 3, 2)
}

/// A block with its shortcut under `name`.
pub(super) fn residual(
    b: &mut Builder,
    x: NodeId,
    name: &str,
    config: &Config,
    planes: usize,
    stride: usize,
) -> NodeId {
    let Block { expansion, branch, act } = config.block;
    let out = planes * expansion;
    let projects = stride != 1 || b.channels(x) != out;
    let at = Branch { name, config, planes, out, stride, projects };
    let y = branch(b, x, &at);
    let y = match config.attention {
        Attention::None => y,
        // A sixteenth of the channels, to a multiple of 8.
        Attention::Se => squeeze_excite(b, y, &at.path("se"), make_divisible(out as f64 / 16.0, 8)),
        Attention::Eca => channel_attention(b, y, &at.path("se")),
    };
    let shortcut = if projects { project(b, x, &at.path("downsample"), config, out, stride) } else { x };
    let y = b.add(&at.path("add"), &[y, shortcut]);
    b.activation(&at.path(act), y, Activation::Relu)
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
        _ => b.pool(&format!("{name}.0"), x, average(false), window),
    };
    let x = conv(b, x, &format!("{name}.1"), out, [1, 1, 1]);
    b.batch_norm(&format!("{name}.2"), x, EPS, false)
}
