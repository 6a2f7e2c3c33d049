//! VoVNet (Lee et al., arXiv:1904.09730) with effective squeeze-excite (arXiv:1911.06667): blocks whose last
//! convolution reads all their others.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/vovnet.py`.

use super::layers::{ConvNormAct, classify, conv, norm_relu, point};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId, Padding, PoolKind, Window};

pub(super) struct Config {
    /// Channels of the stem's convolutions.
    stem: [usize; 3],
    /// Channels of a block's 3×3 convolutions, and of its output, a stage.
    mid: [usize; 4],
    out: [usize; 4],
    /// 3×3 convolutions a block.
    layers: usize,
    /// Blocks a stage.
    blocks: [usize; 4],
    /// Depthwise-separable convolutions.
    depthwise: bool,
}

const VARIANTS: &[(&str, Config)] = &[
    (
        "ese_vovnet19b_dw",
        Config { stem: [64, 64, 64], layers: 3, blocks: [1, 1, 1, 1], depthwise: true, ..ESE39 },
    ),
    ("ese_vovnet39b", ESE39),
];

const ESE39: Config = Config {
    stem: [64, 64, 128],
    mid: [128, 160, 192, 224],
    out: [256, 512, 768, 1024],
    layers: 5,
    blocks: [1, 1, 2, 2],
    depthwise: false,
};

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let [first, second, third] = config.stem;
    let x = ConvNormAct::new(first, 3, 2).add(&mut b, x, "stem.0");
    let x = three(&mut b, x, "stem.1", second, 1, config.depthwise);
    b.tap(x, "stem");
    let mut x = three(&mut b, x, "stem.2", third, 2, config.depthwise);
    for (stage, ((&mid, &out), &blocks)) in config.mid.iter().zip(&config.out).zip(&config.blocks).enumerate()
    {
        if stage > 0 {
            let window = Window { ceil: true, ..Window::square(3, 2, Padding::all(0)) };
            x = b.pool(&format!("stages.{stage}.pool"), x, PoolKind::Max, window);
        }
        for i in 0..blocks {
            let residual = i > 0;
            let attention = i + 1 == blocks;
            let name = format!("stages.{stage}.blocks.{i}");
            x = block(&mut b, x, &name, config, [mid, out], [residual, attention]);
        }
        b.tap(x, &format!("stage{}", stage + 1));
    }
    classify(&mut b, x, "head.fc", classes);
    Ok(b.finish("head.fc", "stem.0.conv")?)
}

/// A 3×3 convolution with norm and ReLU, depthwise-separable or not.
fn three(b: &mut Builder, x: NodeId, name: &str, out: usize, stride: usize, depthwise: bool) -> NodeId {
    if !depthwise {
        return ConvNormAct::new(out, 3, stride).add(b, x, name);
    }
    let channels = b.channels(x);
    let x = conv(b, x, &format!("{name}.conv_dw"), channels, [3, stride, channels]);
    let x = conv(b, x, &format!("{name}.conv_pw"), out, [1, 1, 1]);
    norm_relu(b, x, &format!("{name}.bn"), &format!("{name}.bn.act"))
}

fn block(
    b: &mut Builder,
    x: NodeId,
    name: &str,
    config: &Config,
    [mid, out]: [usize; 2],
    [residual, attention]: [bool; 2],
) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let mut y = x;
    if config.depthwise && b.channels(x) != mid {
        y = ConvNormAct::new(mid, 1, 1).add(b, y, &path("conv_reduction"));
    }
    let mut all = vec![x];
    for i in 0..config.layers {
        y = three(b, y, &path(&format!("conv_mid.{i}")), mid, 1, config.depthwise);
        all.push(y);
    }
    let y = b.concat(&path("conv_mid.cat"), &all);
    let last = ConvNormAct { zero_init_last: residual, ..ConvNormAct::new(out, 1, 1) };
    let mut y = last.add(b, y, &path("conv_concat"));
    if attention {
        let gate = b.global_average_pool(&path("attn.mean"), y);
        let gate = b.conv(&path("attn.fc"), gate, point(out));
        let gate = b.activation(&path("attn.gate"), gate, Activation::HardSigmoid);
        y = b.mul(&path("attn.mul"), y, gate);
    }
    if residual { b.add(&path("add"), &[y, x]) } else { y }
}
