//! EfficientNet (Tan and Le, arXiv:1905.11946) and what timm builds from the same blocks: lite and
//! EdgeTPU variants, MobileNet-V2, MnasNet, FBNet-C, Single-Path NAS.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/efficientnet.py`.

use super::Error;
use super::efficientnet_blocks::{ConvNorm, SqueezeExcite, Style, conv_norm, trunk};
use super::efficientnet_builder::{Depth, round_channels, stages};
use crate::nn::graph::{Activation, Builder, Graph};

/// A definition that variants scale.
struct Design {
    /// Block strings, a slice a stage.
    blocks: &'static [&'static [&'static str]],
    /// Channels of the stem.
    stem: usize,
    /// Channels of the head.
    head: Head,
    act: Activation,
    /// Stem, first and last stage are not scaled.
    fix: bool,
    /// Stages grow to the nearest number of blocks instead of the next.
    round: bool,
}

/// How the head's channels follow the width.
#[derive(Clone, Copy)]
enum Head {
    /// Always this many.
    Fixed(usize),
    /// Rounded like all channels.
    Scaled(usize),
    /// Scaled, but never fewer (MobileNet-V2).
    AtLeast(usize),
}

/// Where the weights come from decides padding and epsilon.
#[derive(Clone, Copy)]
enum Port {
    /// Trained in PyTorch: symmetric padding, 1e-5.
    Torch,
    /// Ported from TensorFlow: `SAME` padding, 1e-3.
    Tensorflow,
    /// Trained in PyTorch with TensorFlow's epsilon (timm's `fbnetc_100` when pretrained).
    TorchEps1e3,
}

/// Name, design, width and depth multipliers, port.
struct Variant(&'static str, &'static Design, f64, f64, Port);

use Port::{Tensorflow, Torch, TorchEps1e3};

#[rustfmt::skip]
const VARIANTS: &[Variant] = &[
    Variant("efficientnet_b0", &EFFICIENTNET, 1.0, 1.0, Torch),
    Variant("efficientnet_b1", &EFFICIENTNET, 1.0, 1.1, Torch),
    Variant("efficientnet_b2", &EFFICIENTNET, 1.1, 1.2, Torch),
    Variant("efficientnet_b3", &EFFICIENTNET, 1.2, 1.4, Torch),
    Variant("efficientnet_b4", &EFFICIENTNET, 1.4, 1.8, Torch),
    Variant("efficientnet_b5", &EFFICIENTNET, 1.6, 2.2, Torch),
    Variant("efficientnet_b6", &EFFICIENTNET, 1.8, 2.6, Torch),
    Variant("efficientnet_b7", &EFFICIENTNET, 2.0, 3.1, Torch),
    Variant("efficientnet_b8", &EFFICIENTNET, 2.2, 3.6, Torch),
    Variant("efficientnet_l2", &EFFICIENTNET, 4.3, 5.3, Torch),
    Variant("tf_efficientnet_b0", &EFFICIENTNET, 1.0, 1.0, Tensorflow),
    Variant("tf_efficientnet_b1", &EFFICIENTNET, 1.0, 1.1, Tensorflow),
    Variant("tf_efficientnet_b2", &EFFICIENTNET, 1.1, 1.2, Tensorflow),
    Variant("tf_efficientnet_b3", &EFFICIENTNET, 1.2, 1.4, Tensorflow),
    Variant("tf_efficientnet_b4", &EFFICIENTNET, 1.4, 1.8, Tensorflow),
    Variant("tf_efficientnet_b5", &EFFICIENTNET, 1.6, 2.2, Tensorflow),
    Variant("tf_efficientnet_b6", &EFFICIENTNET, 1.8, 2.6, Tensorflow),
    Variant("tf_efficientnet_b7", &EFFICIENTNET, 2.0, 3.1, Tensorflow),
    Variant("tf_efficientnet_b8", &EFFICIENTNET, 2.2, 3.6, Tensorflow),
    Variant("tf_efficientnet_l2", &EFFICIENTNET, 4.3, 5.3, Tensorflow),
    Variant("efficientnet_lite0", &LITE, 1.0, 1.0, Torch),
    Variant("efficientnet_lite1", &LITE, 1.0, 1.1, Torch),
    Variant("efficientnet_lite2", &LITE, 1.1, 1.2, Torch),
    Variant("efficientnet_lite3", &LITE, 1.2, 1.4, Torch),
    Variant("efficientnet_lite4", &LITE, 1.4, 1.8, Torch),
    Variant("tf_efficientnet_lite0", &LITE, 1.0, 1.0, Tensorflow),
    Variant("tf_efficientnet_lite1", &LITE, 1.0, 1.1, Tensorflow),
    Variant("tf_efficientnet_lite2", &LITE, 1.1, 1.2, Tensorflow),
    Variant("tf_efficientnet_lite3", &LITE, 1.2, 1.4, Tensorflow),
    Variant("tf_efficientnet_lite4", &LITE, 1.4, 1.8, Tensorflow),
    Variant("efficientnet_es", &EDGE, 1.0, 1.0, Torch),
    Variant("efficientnet_em", &EDGE, 1.0, 1.1, Torch),
    Variant("efficientnet_el", &EDGE, 1.2, 1.4, Torch),
    Variant("tf_efficientnet_es", &EDGE, 1.0, 1.0, Tensorflow),
    Variant("tf_efficientnet_em", &EDGE, 1.0, 1.1, Tensorflow),
    Variant("tf_efficientnet_el", &EDGE, 1.2, 1.4, Tensorflow),
    Variant("mobilenetv2_100", &MOBILENET_V2, 1.0, 1.0, Torch),
    Variant("mobilenetv2_140", &MOBILENET_V2, 1.4, 1.0, Torch),
    Variant("mobilenetv2_110d", &MOBILENET_V2_FIXED, 1.1, 1.2, Torch),
    Variant("mobilenetv2_120d", &MOBILENET_V2_FIXED, 1.2, 1.4, Torch),
    Variant("mnasnet_100", &MNASNET_B1, 1.0, 1.0, Torch),
    Variant("semnasnet_100", &MNASNET_A1, 1.0, 1.0, Torch),
    Variant("fbnetc_100", &FBNET_C, 1.0, 1.0, TorchEps1e3),
    Variant("spnasnet_100", &SPNASNET, 1.0, 1.0, Torch),
    Variant("mixnet_s", &MIXNET_S, 1.0, 1.0, Torch),
    Variant("mixnet_m", &MIXNET_M, 1.0, 1.0, Torch),
    Variant("mixnet_l", &MIXNET_M, 1.3, 1.0, Torch),
    Variant("mixnet_xl", &MIXNET_M, 1.6, 1.2, Torch),
    Variant("tf_mixnet_s", &MIXNET_S, 1.0, 1.0, Tensorflow),
    Variant("tf_mixnet_m", &MIXNET_M, 1.0, 1.0, Tensorflow),
    Variant("tf_mixnet_l", &MIXNET_M, 1.3, 1.0, Tensorflow),
];

const EFFICIENTNET: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16_se0.25"],
        &["ir_r2_k3_s2_e6_c24_se0.25"],
        &["ir_r2_k5_s2_e6_c40_se0.25"],
        &["ir_r3_k3_s2_e6_c80_se0.25"],
        &["ir_r3_k5_s1_e6_c112_se0.25"],
        &["ir_r4_k5_s2_e6_c192_se0.25"],
        &["ir_r1_k3_s1_e6_c320_se0.25"],
    ],
    stem: 32,
    head: Head::Scaled(1280),
    act: Activation::Silu,
    fix: false,
    round: false,
};

/// Without squeeze-excite and with ReLU6, so that it quantises well.
const LITE: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16"],
        &["ir_r2_k3_s2_e6_c24"],
        &["ir_r2_k5_s2_e6_c40"],
        &["ir_r3_k3_s2_e6_c80"],
        &["ir_r3_k5_s1_e6_c112"],
        &["ir_r4_k5_s2_e6_c192"],
        &["ir_r1_k3_s1_e6_c320"],
    ],
    stem: 32,
    head: Head::Fixed(1280),
    act: Activation::Relu6,
    fix: true,
    round: false,
};

const EDGE: Design = Design {
    blocks: &[
        &["er_r1_k3_s1_e4_c24_fc24_noskip"],
        &["er_r2_k3_s2_e8_c32"],
        &["er_r4_k3_s2_e8_c48"],
        &["ir_r5_k5_s2_e8_c96"],
        &["ir_r4_k5_s1_e8_c144"],
        &["ir_r2_k5_s2_e8_c192"],
    ],
    stem: 32,
    head: Head::Scaled(1280),
    act: Activation::Relu,
    fix: false,
    round: false,
};

/// arXiv:1801.04381.
const MOBILENET_V2: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_c16"],
        &["ir_r2_k3_s2_e6_c24"],
        &["ir_r3_k3_s2_e6_c32"],
        &["ir_r4_k3_s2_e6_c64"],
        &["ir_r3_k3_s1_e6_c96"],
        &["ir_r3_k3_s2_e6_c160"],
        &["ir_r1_k3_s1_e6_c320"],
    ],
    stem: 32,
    head: Head::AtLeast(1280),
    act: Activation::Relu6,
    fix: false,
    round: false,
};

const MOBILENET_V2_FIXED: Design = Design { head: Head::Fixed(1280), fix: true, ..MOBILENET_V2 };

/// arXiv:1807.11626, with squeeze-excite.
const MNASNET_A1: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16_noskip"],
        &["ir_r2_k3_s2_e6_c24"],
        &["ir_r3_k5_s2_e3_c40_se0.25"],
        &["ir_r4_k3_s2_e6_c80"],
        &["ir_r2_k3_s1_e6_c112_se0.25"],
        &["ir_r3_k5_s2_e6_c160_se0.25"],
        &["ir_r1_k3_s1_e6_c320"],
    ],
    stem: 32,
    head: Head::Fixed(1280),
    act: Activation::Relu,
    fix: false,
    round: false,
};

/// arXiv:1807.11626.
const MNASNET_B1: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_c16_noskip"],
        &["ir_r3_k3_s2_e3_c24"],
        &["ir_r3_k5_s2_e3_c40"],
        &["ir_r3_k5_s2_e6_c80"],
        &["ir_r2_k3_s1_e6_c96"],
        &["ir_r4_k5_s2_e6_c192"],
        &["ir_r1_k3_s1_e6_c320_noskip"],
    ],
    ..MNASNET_A1
};

/// arXiv:1812.03443.
const FBNET_C: Design = Design {
    blocks: &[
        &["ir_r1_k3_s1_e1_c16"],
        &["ir_r1_k3_s2_e6_c24", "ir_r2_k3_s1_e1_c24"],
        &["ir_r1_k5_s2_e6_c32", "ir_r1_k5_s1_e3_c32", "ir_r1_k5_s1_e6_c32", "ir_r1_k3_s1_e6_c32"],
        &["ir_r1_k5_s2_e6_c64", "ir_r1_k5_s1_e3_c64", "ir_r2_k5_s1_e6_c64"],
        &["ir_r3_k5_s1_e6_c112", "ir_r1_k5_s1_e3_c112"],
        &["ir_r4_k5_s2_e6_c184"],
        &["ir_r1_k3_s1_e6_c352"],
    ],
    stem: 16,
    head: Head::Fixed(1984),
    ..MNASNET_A1
};

/// arXiv:1904.02877.
const SPNASNET: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_c16_noskip"],
        &["ir_r3_k3_s2_e3_c24"],
        &["ir_r1_k5_s2_e6_c40", "ir_r3_k3_s1_e3_c40"],
        &["ir_r1_k5_s2_e6_c80", "ir_r3_k3_s1_e3_c80"],
        &["ir_r1_k5_s1_e6_c96", "ir_r3_k5_s1_e3_c96"],
        &["ir_r4_k5_s2_e6_c192"],
        &["ir_r1_k3_s1_e6_c320_noskip"],
    ],
    ..MNASNET_A1
};

/// arXiv:1907.09595: kernels mixed over groups of channels.
#[rustfmt::skip]
const MIXNET_S: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16"],
        &["ir_r1_k3_a1.1_p1.1_s2_e6_c24", "ir_r1_k3_a1.1_p1.1_s1_e3_c24"],
        &["ir_r1_k3.5.7_s2_e6_c40_se0.5_nsw", "ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw"],
        &["ir_r1_k3.5.7_p1.1_s2_e6_c80_se0.25_nsw", "ir_r2_k3.5_p1.1_s1_e6_c80_se0.25_nsw"],
        &["ir_r1_k3.5.7_a1.1_p1.1_s1_e6_c120_se0.5_nsw", "ir_r2_k3.5.7.9_a1.1_p1.1_s1_e3_c120_se0.5_nsw"],
        &["ir_r1_k3.5.7.9.11_s2_e6_c200_se0.5_nsw", "ir_r2_k3.5.7.9_p1.1_s1_e6_c200_se0.5_nsw"],
    ],
    stem: 16,
    head: Head::Fixed(1536),
    ..MNASNET_A1
};

#[rustfmt::skip]
const MIXNET_M: Design = Design {
    blocks: &[
        &["ds_r1_k3_s1_e1_c24"],
        &["ir_r1_k3.5.7_a1.1_p1.1_s2_e6_c32", "ir_r1_k3_a1.1_p1.1_s1_e3_c32"],
        &["ir_r1_k3.5.7.9_s2_e6_c40_se0.5_nsw", "ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw"],
        &["ir_r1_k3.5.7_s2_e6_c80_se0.25_nsw", "ir_r3_k3.5.7.9_a1.1_p1.1_s1_e6_c80_se0.25_nsw"],
        &["ir_r1_k3_s1_e6_c120_se0.5_nsw", "ir_r3_k3.5.7.9_a1.1_p1.1_s1_e3_c120_se0.5_nsw"],
        &["ir_r1_k3.5.7.9_s2_e6_c200_se0.5_nsw", "ir_r3_k3.5.7.9_p1.1_s1_e6_c200_se0.5_nsw"],
    ],
    stem: 24,
    round: true,
    ..MIXNET_S
};

/// The names of this file.
pub(super) fn names() -> Vec<&'static str> {
    VARIANTS.iter().map(|v| v.0).collect()
}

/// The graph of `name`, where it is of this file.
pub(super) fn build(name: &str, classes: usize) -> Option<Result<Graph, Error>> {
    VARIANTS.iter().find(|v| v.0 == name).map(|v| graph(v, classes))
}

fn graph(variant: &Variant, classes: usize) -> Result<Graph, Error> {
    let &Variant(name, design, width, depth, port) = variant;
    let depth = Depth { multiplier: depth, round: design.round, fix_first_last: design.fix };
    let stages = stages(name, design.blocks, depth)?;
    let (same, eps) = match port {
        Port::Torch => (false, 1e-5),
        Port::Tensorflow => (true, 1e-3),
        Port::TorchEps1e3 => (false, 1e-3),
    };
    let style = Style { same, eps, act: design.act, width, se: SqueezeExcite::EFFICIENTNET };
    let stem = if design.fix { design.stem } else { round_channels(design.stem, width) };
    let head = match design.head {
        Head::Fixed(c) => c,
        Head::Scaled(c) => round_channels(c, width),
        Head::AtLeast(c) => round_channels(c, width).max(c),
    };
    let act = Some(design.act);
    let base =
        ConvNorm { conv: "", norm: "", kernels: &[1], stride: 1, out: 0, depthwise: false, act, last: false };

    let (mut b, x) = Builder::new(name, 3, classes);
    let first = ConvNorm { conv: "conv_stem", norm: "bn1", kernels: &[3], stride: 2, out: stem, ..base };
    let x = conv_norm(&mut b, x, &style, &first);
    b.tap(x, "stem");
    let x = trunk(&mut b, x, &style, &stages);
    let x = conv_norm(&mut b, x, &style, &ConvNorm { conv: "conv_head", norm: "bn2", out: head, ..base });
    b.tap(x, "map");
    let x = b.global_average_pool("global_pool", x);
    b.tap(x, "pool");
    let x = b.linear("classifier", x, classes, true);
    b.tap(x, "logits");
    Ok(b.finish("classifier", "conv_stem"))
}
