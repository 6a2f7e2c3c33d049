//! Deep layer aggregation (Yu et al., arXiv:1707.06484): trees of blocks whose roots read all below them;
//! with Res2Net's blocks too.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/dla.py`.

use super::layers::{EPS, conv, norm_relu, sequential};
use super::res2net::{self, Middle};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, ConvSpec, Graph, NodeId, Padding, PoolKind, Window};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1 through half the channels.
    Bottleneck,
    /// The same in a hierarchy of four parts.
    Bottle2neck,
}

#[derive(Clone, Copy)]
pub(super) struct Config {
    block: Block,
    /// Depth of levels 0 to 5.
    levels: [usize; 6],
    channels: [usize; 6],
    cardinality: usize,
    base_width: usize,
    /// Roots add their first child.
    root_shortcut: bool,
}

impl Config {
    const fn new(block: Block, levels: [usize; 6], channels: [usize; 6]) -> Self {
        Config { block, levels, channels, cardinality: 1, base_width: 64, root_shortcut: false }
    }

    const fn groups(self, cardinality: usize, base_width: usize) -> Self {
        Config { cardinality, base_width, ..self }
    }

    const fn root_shortcut(self) -> Self {
        Config { root_shortcut: true, ..self }
    }
}

const COMPACT: [usize; 6] = [16, 32, 64, 64, 128, 256];
const WIDE: [usize; 6] = [16, 32, 128, 256, 512, 1024];
const L46: [usize; 6] = [1, 1, 1, 2, 2, 1];
const L60: [usize; 6] = [1, 1, 1, 2, 3, 1];
const L102: [usize; 6] = [1, 1, 1, 3, 4, 1];
const L169: [usize; 6] = [1, 1, 2, 3, 5, 1];

use Block::{Basic, Bottle2neck, Bottleneck};

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("dla34", Config::new(Basic, L46, [16, 32, 64, 128, 256, 512])),
    ("dla46_c", Config::new(Bottleneck, L46, COMPACT)),
    ("dla46x_c", Config::new(Bottleneck, L46, COMPACT).groups(32, 4)),
    ("dla60", Config::new(Bottleneck, L60, WIDE)),
    ("dla60_res2net", Config::new(Bottle2neck, L60, WIDE).groups(1, 28)),
    ("dla60_res2next", Config::new(Bottle2neck, L60, WIDE).groups(8, 4)),
    ("dla60x", Config::new(Bottleneck, L60, WIDE).groups(32, 4)),
    ("dla60x_c", Config::new(Bottleneck, L60, COMPACT).groups(32, 4)),
    ("dla102", Config::new(Bottleneck, L102, WIDE).root_shortcut()),
    ("dla102x", Config::new(Bottleneck, L102, WIDE).groups(32, 4).root_shortcut()),
    ("dla102x2", Config::new(Bottleneck, L102, WIDE).groups(64, 4).root_shortcut()),
    ("dla169", Config::new(Bottleneck, L169, WIDE).root_shortcut()),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

fn graph(name: &str, c: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let [c0, c1, ..] = c.channels;
    let [l0, l1, ..] = c.levels;
    let mut x = sequential(&mut b, x, "base_layer", c0, [7, 1, 1]);
    for (level, channels, convs, stride) in [("level0", c0, l0, 1), ("level1", c1, l1, 2)] {
        for i in 0..convs {
            let stride = if i == 0 { stride } else { 1 };
            x = conv(&mut b, x, &format!("{level}.{}", 3 * i), channels, [3, stride, 1]);
            let (norm, relu) = (format!("{level}.{}", 3 * i + 1), format!("{level}.{}", 3 * i + 2));
            x = norm_relu(&mut b, x, &norm, &relu);
        }
    }
    b.tap(x, "stem");
    for (i, (&levels, &channels)) in c.levels.iter().zip(&c.channels).enumerate().skip(2) {
        let name = format!("level{i}");
        let spec = Tree { levels, channels, stride: 2, level_root: i > 2 };
        x = tree(&mut b, x, &name, c, &spec, Vec::new());
        b.tap(x, &format!("stage{}", i - 1));
    }
    b.tap(x, "map");
    let x = b.global_average_pool("global_pool", x);
    b.tap(x, "pool");
    let window = Window::square(1, 1, Padding::all(0));
    let x = b.conv("fc", x, ConvSpec { out: classes, groups: 1, bias: true, window });
    b.tap(x, "logits");
    Ok(b.finish("fc", "base_layer.0")?)
}

struct Tree {
    levels: usize,
    channels: usize,
    stride: usize,
    /// The root reads the tree's downsampled input as well.
    level_root: bool,
}

/// A tree over `x`; its root also reads `children`.
fn tree(b: &mut Builder, x: NodeId, name: &str, c: &Config, t: &Tree, mut children: Vec<NodeId>) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let leaf = t.levels == 1;
    let mut bottom = x;
    if t.stride > 1 && (leaf || t.level_root) {
        let window = Window::square(t.stride, t.stride, Padding::all(0));
        bottom = b.pool(&path("downsample"), x, PoolKind::Max, window);
    }
    if t.level_root {
        children.push(bottom);
    }
    if !leaf {
        // The published files have a projection here that nothing reads; timm drops it.
        b.ignore(&path("project."));
        let below = Tree { levels: t.levels - 1, level_root: false, ..*t };
        let x1 = tree(b, x, &path("tree1"), c, &below, Vec::new());
        children.push(x1);
        return tree(b, x1, &path("tree2"), c, &Tree { stride: 1, ..below }, children);
    }
    let shortcut = if b.channels(x) == t.channels {
        bottom
    } else {
        let y = conv(b, bottom, &path("project.0"), t.channels, [1, 1, 1]);
        b.batch_norm(&path("project.1"), y, EPS, false)
    };
    let x1 = block(b, x, &path("tree1"), c, [t.channels, t.stride], shortcut);
    let x2 = block(b, x1, &path("tree2"), c, [t.channels, 1], x1);
    let mut inputs = vec![x2, x1];
    inputs.append(&mut children);
    let y = b.concat(&path("root.cat"), &inputs);
    let y = conv(b, y, &path("root.conv"), t.channels, [1, 1, 1]);
    let y = b.batch_norm(&path("root.bn"), y, EPS, false);
    let y = if c.root_shortcut { b.add(&path("root.add"), &[y, x2]) } else { y };
    b.activation(&path("root.relu"), y, Activation::Relu)
}

/// A block with its shortcut: `[channels, stride]`.
fn block(b: &mut Builder, x: NodeId, name: &str, c: &Config, of: [usize; 2], shortcut: NodeId) -> NodeId {
    let [out, stride] = of;
    let path = |layer: &str| format!("{name}.{layer}");
    let mid = out * c.base_width / 64 * c.cardinality / 2;
    let y = match c.block {
        Block::Basic => {
            let y = conv(b, x, &path("conv1"), out, [3, stride, 1]);
            let y = norm_relu(b, y, &path("bn1"), &path("relu1"));
            let y = conv(b, y, &path("conv2"), out, [3, 1, 1]);
            b.batch_norm(&path("bn2"), y, EPS, true)
        }
        Block::Bottleneck => {
            let y = conv(b, x, &path("conv1"), mid, [1, 1, 1]);
            let y = norm_relu(b, y, &path("bn1"), &path("relu1"));
            let y = conv(b, y, &path("conv2"), mid, [3, stride, c.cardinality]);
            let y = norm_relu(b, y, &path("bn2"), &path("relu2"));
            let y = conv(b, y, &path("conv3"), out, [1, 1, 1]);
            b.batch_norm(&path("bn3"), y, EPS, true)
        }
        Block::Bottle2neck => {
            let middle = Middle { width: mid, scale: 4, stride, first: stride > 1, groups: c.cardinality };
            let y = res2net::middle(b, x, name, &middle);
            let y = conv(b, y, &path("conv3"), out, [1, 1, 1]);
            b.batch_norm(&path("bn3"), y, EPS, true)
        }
    };
    let y = b.add(&path("add"), &[y, shortcut]);
    b.activation(&path("relu"), y, Activation::Relu)
}
