//! DenseNet (Huang et al., arXiv:1608.06993): every layer reads all before it in its block.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/densenet.py`.

use super::layers::{average, classify, conv, norm_relu};
use super::resnet::max_pool;
use super::{Error, Family, Renamed};
use crate::nn::graph::{Builder, Graph, NodeId, Padding, Window};

pub(super) struct Config {
    /// Channels that a layer adds.
    growth: usize,
    /// Layers a block.
    blocks: [usize; 4],
    /// A stem of three 3×3 convolutions, and a blur behind its pool.
    blur: bool,
}

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("densenet121", Config { growth: 32, blocks: [6, 12, 24, 16], blur: false }),
    ("densenetblur121d", Config { growth: 32, blocks: [6, 12, 24, 16], blur: true }),
    ("densenet161", Config { growth: 48, blocks: [6, 12, 36, 24], blur: false }),
    ("densenet169", Config { growth: 32, blocks: [6, 12, 32, 32], blur: false }),
    ("densenet201", Config { growth: 32, blocks: [6, 12, 48, 32], blur: false }),
];

/// A layer's bottleneck, in units of what it adds.
const BOTTLENECK: usize = 4;

/// Files from before torch 0.4 have dots inside of a layer's name, `denselayer1.norm.1.weight`: timm's
/// `_filter_torchvision_pretrained`.
fn checkpoint_filter(name: &str) -> Option<Renamed> {
    let (block, rest) = name.rsplit_once(".denselayer")?;
    let (layer, rest) = rest.split_once('.')?;
    let (part, rest) = rest.split_once('.')?;
    let (number, leaf) = rest.split_once('.')?;
    let is_layer = !layer.is_empty() && layer.bytes().all(|b| b.is_ascii_digit());
    let known = matches!(part, "norm" | "relu" | "conv") && matches!(number, "1" | "2");
    (is_layer && known).then(|| Renamed::to(format!("{block}.denselayer{layer}.{part}{number}.{leaf}")))
}

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph).with_filter(checkpoint_filter);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let &Config { growth, blocks, blur } = config;
    let (mut b, x) = Builder::new(name, 3, classes);
    // Channels, kernel and stride of the stem's convolutions.
    let stem: &[(usize, usize, usize)] =
        if blur { &[(growth, 3, 2), (growth, 3, 1), (2 * growth, 3, 1)] } else { &[(2 * growth, 7, 2)] };
    let mut x = x;
    for (i, &(out, kernel, stride)) in stem.iter().enumerate() {
        x = conv(&mut b, x, &format!("features.conv{i}"), out, [kernel, stride, 1]);
        x = norm_relu(&mut b, x, &format!("features.norm{i}"), &format!("features.norm{i}.act"));
    }
    b.tap(x, "stem");
    let mut x = max_pool(&mut b, x, "features.pool0", blur);
    for (i, &layers) in blocks.iter().enumerate() {
        for j in 0..layers {
            let layer = format!("features.denseblock{}.denselayer{}", i + 1, j + 1);
            let added = dense_layer(&mut b, x, &layer, growth);
            x = b.concat(&format!("{layer}.cat"), &[x, added]);
        }
        if i + 1 < blocks.len() {
            b.tap(x, &format!("stage{}", i + 1));
            let path = |part: &str| format!("features.transition{}.{part}", i + 1);
            x = norm_relu(&mut b, x, &path("norm"), &path("norm.act"));
            let half = b.channels(x) / 2;
            x = conv(&mut b, x, &path("conv"), half, [1, 1, 1]);
            x = b.pool(&path("pool"), x, average(true), Window::square(2, 2, Padding::all(0)));
        }
    }
    let x = norm_relu(&mut b, x, "features.norm5", "features.norm5.act");
    b.tap(x, "stage4");
    classify(&mut b, x, "classifier", classes);
    Ok(b.finish("classifier", "features.conv0")?)
}

fn dense_layer(b: &mut Builder, x: NodeId, name: &str, growth: usize) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let x = norm_relu(b, x, &path("norm1"), &path("norm1.act"));
    let x = conv(b, x, &path("conv1"), BOTTLENECK * growth, [1, 1, 1]);
    let x = norm_relu(b, x, &path("norm2"), &path("norm2.act"));
    conv(b, x, &path("conv2"), growth, [3, 1, 1])
}
