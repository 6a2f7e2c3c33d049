//! Gluon's Xception-65 (Chen et al., arXiv:1802.02611): the aligned Xception with a norm between the halves of its
//! separable convolutions.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/gluon_xception.py` of timm 0.4.12; timm 1.0 has
//! the file no more.

use super::layers::{EPS, classify, conv, norm_relu};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId};

pub(super) struct Config;

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(&[("gluon_xception65", Config)], graph);

fn graph(name: &str, _: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut builder, x) = Builder::new(name, 3, classes);
    let b = &mut builder;
    let x = conv(b, x, "conv1", 32, [3, 2, 1]);
    let x = norm_relu(b, x, "bn1", "act1");
    let x = conv(b, x, "conv2", 64, [3, 1, 1]);
    let x = norm_relu(b, x, "bn2", "act2");
    b.tap(x, "stem");
    let x = block(b, x, "block1", [128; 3], 2, false);
    let x = b.activation("block1_act", x, Activation::Relu);
    b.tap(x, "stage1");
    let x = block(b, x, "block2", [256; 3], 2, false);
    let x = block(b, x, "block3", [728; 3], 2, true);
    let x = (4..20).fold(x, |x, i| block(b, x, &format!("mid.block{i}"), [728; 3], 1, true));
    let x = block(b, x, "block20", [728, 1024, 1024], 2, true);
    let mut x = b.activation("block20_act", x, Activation::Relu);
    for (i, out) in [(3, 1536), (4, 1536), (5, 2048)] {
        x = separable(b, x, &format!("conv{i}"), out, 1);
        x = norm_relu(b, x, &format!("bn{i}"), &format!("act{i}"));
    }
    // timm's features are what the striding blocks begin with.
    b.tap_named("block3.rep.act1", "stage2");
    b.tap_named("block20.rep.act1", "stage3");
    b.tap(x, "stage4");
    classify(b, x, "fc", classes);
    Ok(builder.finish("fc", "conv1")?)
}

/// A depthwise 3×3 convolution, its norm, a 1×1 convolution.
fn separable(b: &mut Builder, x: NodeId, name: &str, out: usize, stride: usize) -> NodeId {
    let channels = b.channels(x);
    let x = conv(b, x, &format!("{name}.conv_dw"), channels, [3, stride, channels]);
    let x = b.batch_norm(&format!("{name}.bn"), x, EPS, false);
    conv(b, x, &format!("{name}.conv_pw"), out, [1, 1, 1])
}

fn block(
    b: &mut Builder,
    x: NodeId,
    name: &str,
    outs: [usize; 3],
    stride: usize,
    relu_first: bool,
) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let out = outs[2];
    let shortcut = if b.channels(x) != out || stride != 1 {
        let y = conv(b, x, &path("skip.conv1"), out, [1, stride, 1]);
        b.batch_norm(&path("skip.bn1"), y, EPS, false)
    } else {
        x
    };
    let mut y = x;
    for (i, out) in outs.into_iter().enumerate() {
        if i > 0 || relu_first {
            y = b.activation(&path(&format!("rep.act{}", i + 1)), y, Activation::Relu);
        }
        y = separable(b, y, &path(&format!("rep.conv{}", i + 1)), out, if i == 2 { stride } else { 1 });
        y = b.batch_norm(&path(&format!("rep.bn{}", i + 1)), y, EPS, i == 2);
    }
    b.add(&path("add"), &[y, shortcut])
}
