//! The first SENet ports (arXiv:1709.01507): ResNets that stride in their first convolution, pool with
//! `ceil`, and carry squeeze-excite as `se_module`.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/senet.py`.

use super::layers::{EPS, classify, conv, norm_relu, squeeze_excite};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId, Padding, PoolKind, Window};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// SENet-154's: 1×1 to twice the planes, 3×3 in 64 groups to four times.
    Senet,
    /// SE-ResNet's, which strides in the 1×1 convolution.
    Resnet,
    /// SE-ResNeXt's, 32 groups of 4 channels a 64 planes.
    Resnext,
    /// Two 3×3 convolutions.
    Basic,
}

pub(super) struct Config {
    block: Block,
    /// Blocks a stage.
    layers: [usize; 4],
}

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("legacy_senet154", Config { block: Block::Senet, layers: [3, 8, 36, 3] }),
    ("legacy_seresnet18", Config { block: Block::Basic, layers: [2, 2, 2, 2] }),
    ("legacy_seresnet34", Config { block: Block::Basic, layers: [3, 4, 6, 3] }),
    ("legacy_seresnet50", Config { block: Block::Resnet, layers: [3, 4, 6, 3] }),
    ("legacy_seresnet101", Config { block: Block::Resnet, layers: [3, 4, 23, 3] }),
    ("legacy_seresnet152", Config { block: Block::Resnet, layers: [3, 8, 36, 3] }),
    ("legacy_seresnext26_32x4d", Config { block: Block::Resnext, layers: [2, 2, 2, 2] }),
    ("legacy_seresnext50_32x4d", Config { block: Block::Resnext, layers: [3, 4, 6, 3] }),
    ("legacy_seresnext101_32x4d", Config { block: Block::Resnext, layers: [3, 4, 23, 3] }),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let &Config { block, layers } = config;
    let (mut b, mut x) = Builder::new(name, 3, classes);
    // Widths of the stem's convolutions; SENet-154 has three of 3×3, the others one of 7×7.
    let stem: &[usize] = if block == Block::Senet { &[64, 64, 128] } else { &[64] };
    for (i, &width) in stem.iter().enumerate() {
        let geometry = [if stem.len() > 1 { 3 } else { 7 }, if i == 0 { 2 } else { 1 }, 1];
        x = conv(&mut b, x, &format!("layer0.conv{}", i + 1), width, geometry);
        x = norm_relu(&mut b, x, &format!("layer0.bn{}", i + 1), &format!("layer0.relu{}", i + 1));
    }
    b.tap(x, "stem");
    let window = Window { ceil: true, ..Window::square(3, 2, Padding::all(0)) };
    x = b.pool("pool0", x, PoolKind::Max, window);
    for (stage, (&blocks, planes)) in layers.iter().zip([64, 128, 256, 512]).enumerate() {
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            x = residual(&mut b, x, &format!("layer{}.{i}", stage + 1), block, planes, stride);
        }
        b.tap(x, &format!("stage{}", stage + 1));
    }
    classify(&mut b, x, "last_linear", classes);
    Ok(b.finish("last_linear", "layer0.conv1")?)
}

fn residual(b: &mut Builder, x: NodeId, name: &str, block: Block, planes: usize, stride: usize) -> NodeId {
    let path = |layer: &str| format!("{name}.{layer}");
    let out = if block == Block::Basic { planes } else { planes * 4 };
    // Channels and geometry of each convolution of the branch.
    let convs: &[(usize, [usize; 3])] = match block {
        Block::Senet => &[(planes * 2, [1, 1, 1]), (out, [3, stride, 64]), (out, [1, 1, 1])],
        Block::Resnet => &[(planes, [1, stride, 1]), (planes, [3, 1, 1]), (out, [1, 1, 1])],
        Block::Resnext => &[(planes * 2, [1, 1, 1]), (planes * 2, [3, stride, 32]), (out, [1, 1, 1])],
        Block::Basic => &[(planes, [3, stride, 1]), (out, [3, 1, 1])],
    };
    let mut y = x;
    for (i, &(channels, geometry)) in convs.iter().enumerate() {
        let last = i + 1 == convs.len();
        y = conv(b, y, &path(&format!("conv{}", i + 1)), channels, geometry);
        y = b.batch_norm(&path(&format!("bn{}", i + 1)), y, EPS, last);
        // timm's basic block rectifies what squeeze-excite looks at, too.
        if !last || block == Block::Basic {
            y = b.activation(&path(&format!("relu{}", i + 1)), y, Activation::Relu);
        }
    }
    let y = squeeze_excite(b, y, &path("se_module"), out / 16);
    let shortcut = if stride != 1 || b.channels(x) != out {
        let kernel = if block == Block::Senet && stride != 1 { 3 } else { 1 };
        let x = conv(b, x, &path("downsample.0"), out, [kernel, stride, 1]);
        b.batch_norm(&path("downsample.1"), x, EPS, false)
    } else {
        x
    };
    let y = b.add(&path("add"), &[y, shortcut]);
    b.activation(&path("relu"), y, Activation::Relu)
}
