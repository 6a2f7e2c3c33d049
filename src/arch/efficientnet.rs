//! EfficientNet (Tan and Le, arXiv:1905.11946) and what timm builds from the same blocks: lite and
//! EdgeTPU variants, MobileNet-V2, MnasNet, FBNet-C, Single-Path NAS.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/efficientnet.py`.

use super::efficientnet_blocks::{BlockCfg, ConvNorm, SqueezeExcite, conv_norm, trunk};
use super::efficientnet_builder::{Depth, round_channels, stages};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph};

/// A definition that variants scale.
struct ModelCfg {
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
enum Origin {
    /// Trained in PyTorch: symmetric padding, 1e-5.
    Torch,
    /// Ported from TensorFlow: `SAME` padding, 1e-3.
    Tensorflow,
    /// Trained in PyTorch with TensorFlow's epsilon (timm's `fbnetc_100` when pretrained).
    TorchEps1e3,
}

/// A definition, scaled.
pub(super) struct Config {
    model: &'static ModelCfg,
    width: f64,
    depth: f64,
    origin: Origin,
    /// Multiplies the experts of conditional convolutions.
    experts: usize,
    /// Channels were pruned away ([`super::pruned`]).
    pruned: bool,
}

/// Definition, width and depth multipliers, origin of the weights.
const fn scaled(model: &'static ModelCfg, width: f64, depth: f64, origin: Origin) -> Config {
    Config { model, width, depth, origin, experts: 1, pruned: false }
}

const fn pruned(config: Config) -> Config {
    Config { pruned: true, ..config }
}

use Origin::{Tensorflow, Torch, TorchEps1e3};

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("efficientnet_b0", scaled(&EFFICIENTNET, 1.0, 1.0, Torch)),
    ("efficientnet_b1", scaled(&EFFICIENTNET, 1.0, 1.1, Torch)),
    ("efficientnet_b2", scaled(&EFFICIENTNET, 1.1, 1.2, Torch)),
    ("efficientnet_b3", scaled(&EFFICIENTNET, 1.2, 1.4, Torch)),
    ("efficientnet_b1_pruned", pruned(scaled(&EFFICIENTNET, 1.0, 1.1, Tensorflow))),
    ("efficientnet_b2_pruned", pruned(scaled(&EFFICIENTNET, 1.1, 1.2, Tensorflow))),
    ("efficientnet_b3_pruned", pruned(scaled(&EFFICIENTNET, 1.2, 1.4, Tensorflow))),
    ("tf_efficientnet_cc_b0_4e", scaled(&CONDCONV, 1.0, 1.0, Tensorflow)),
    ("tf_efficientnet_cc_b0_8e", Config { experts: 2, ..scaled(&CONDCONV, 1.0, 1.0, Tensorflow) }),
    ("tf_efficientnet_cc_b1_8e", Config { experts: 2, ..scaled(&CONDCONV, 1.0, 1.1, Tensorflow) }),
    ("efficientnet_b4", scaled(&EFFICIENTNET, 1.4, 1.8, Torch)),
    ("efficientnet_b5", scaled(&EFFICIENTNET, 1.6, 2.2, Torch)),
    ("efficientnet_b6", scaled(&EFFICIENTNET, 1.8, 2.6, Torch)),
    ("efficientnet_b7", scaled(&EFFICIENTNET, 2.0, 3.1, Torch)),
    ("efficientnet_b8", scaled(&EFFICIENTNET, 2.2, 3.6, Torch)),
    ("efficientnet_l2", scaled(&EFFICIENTNET, 4.3, 5.3, Torch)),
    ("tf_efficientnet_b0", scaled(&EFFICIENTNET, 1.0, 1.0, Tensorflow)),
    ("tf_efficientnet_b1", scaled(&EFFICIENTNET, 1.0, 1.1, Tensorflow)),
    ("tf_efficientnet_b2", scaled(&EFFICIENTNET, 1.1, 1.2, Tensorflow)),
    ("tf_efficientnet_b3", scaled(&EFFICIENTNET, 1.2, 1.4, Tensorflow)),
    ("tf_efficientnet_b4", scaled(&EFFICIENTNET, 1.4, 1.8, Tensorflow)),
    ("tf_efficientnet_b5", scaled(&EFFICIENTNET, 1.6, 2.2, Tensorflow)),
    ("tf_efficientnet_b6", scaled(&EFFICIENTNET, 1.8, 2.6, Tensorflow)),
    ("tf_efficientnet_b7", scaled(&EFFICIENTNET, 2.0, 3.1, Tensorflow)),
    ("tf_efficientnet_b8", scaled(&EFFICIENTNET, 2.2, 3.6, Tensorflow)),
    ("tf_efficientnet_l2", scaled(&EFFICIENTNET, 4.3, 5.3, Tensorflow)),
    ("efficientnet_lite0", scaled(&LITE, 1.0, 1.0, Torch)),
    ("efficientnet_lite1", scaled(&LITE, 1.0, 1.1, Torch)),
    ("efficientnet_lite2", scaled(&LITE, 1.1, 1.2, Torch)),
    ("efficientnet_lite3", scaled(&LITE, 1.2, 1.4, Torch)),
    ("efficientnet_lite4", scaled(&LITE, 1.4, 1.8, Torch)),
    ("tf_efficientnet_lite0", scaled(&LITE, 1.0, 1.0, Tensorflow)),
    ("tf_efficientnet_lite1", scaled(&LITE, 1.0, 1.1, Tensorflow)),
    ("tf_efficientnet_lite2", scaled(&LITE, 1.1, 1.2, Tensorflow)),
    ("tf_efficientnet_lite3", scaled(&LITE, 1.2, 1.4, Tensorflow)),
    ("tf_efficientnet_lite4", scaled(&LITE, 1.4, 1.8, Tensorflow)),
    ("efficientnet_es", scaled(&EDGE, 1.0, 1.0, Torch)),
    ("efficientnet_em", scaled(&EDGE, 1.0, 1.1, Torch)),
    ("efficientnet_el", scaled(&EDGE, 1.2, 1.4, Torch)),
    ("tf_efficientnet_es", scaled(&EDGE, 1.0, 1.0, Tensorflow)),
    ("tf_efficientnet_em", scaled(&EDGE, 1.0, 1.1, Tensorflow)),
    ("tf_efficientnet_el", scaled(&EDGE, 1.2, 1.4, Tensorflow)),
    ("mobilenetv2_100", scaled(&MOBILENET_V2, 1.0, 1.0, Torch)),
    ("mobilenetv2_140", scaled(&MOBILENET_V2, 1.4, 1.0, Torch)),
    ("mobilenetv2_110d", scaled(&MOBILENET_V2_FIXED, 1.1, 1.2, Torch)),
    ("mobilenetv2_120d", scaled(&MOBILENET_V2_FIXED, 1.2, 1.4, Torch)),
    ("mnasnet_100", scaled(&MNASNET_B1, 1.0, 1.0, Torch)),
    ("semnasnet_100", scaled(&MNASNET_A1, 1.0, 1.0, Torch)),
    ("fbnetc_100", scaled(&FBNET_C, 1.0, 1.0, TorchEps1e3)),
    ("spnasnet_100", scaled(&SPNASNET, 1.0, 1.0, Torch)),
    ("mixnet_s", scaled(&MIXNET_S, 1.0, 1.0, Torch)),
    ("mixnet_m", scaled(&MIXNET_M, 1.0, 1.0, Torch)),
    ("mixnet_l", scaled(&MIXNET_M, 1.3, 1.0, Torch)),
    ("mixnet_xl", scaled(&MIXNET_M, 1.6, 1.2, Torch)),
    ("tf_mixnet_s", scaled(&MIXNET_S, 1.0, 1.0, Tensorflow)),
    ("tf_mixnet_m", scaled(&MIXNET_M, 1.0, 1.0, Tensorflow)),
    ("tf_mixnet_l", scaled(&MIXNET_M, 1.3, 1.0, Tensorflow)),
];

const EFFICIENTNET: ModelCfg = ModelCfg {
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

/// With filters mixed for each image in the last three stages (arXiv:1904.04971).
const CONDCONV: ModelCfg = ModelCfg {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16_se0.25"],
        &["ir_r2_k3_s2_e6_c24_se0.25"],
        &["ir_r2_k5_s2_e6_c40_se0.25"],
        &["ir_r3_k3_s2_e6_c80_se0.25"],
        &["ir_r3_k5_s1_e6_c112_se0.25_cc4"],
        &["ir_r4_k5_s2_e6_c192_se0.25_cc4"],
        &["ir_r1_k3_s1_e6_c320_se0.25_cc4"],
    ],
    ..EFFICIENTNET
};

/// Without squeeze-excite and with ReLU6, so that it quantises well.
const LITE: ModelCfg = ModelCfg {
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

const EDGE: ModelCfg = ModelCfg {
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
const MOBILENET_V2: ModelCfg = ModelCfg {
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

const MOBILENET_V2_FIXED: ModelCfg = ModelCfg { head: Head::Fixed(1280), fix: true, ..MOBILENET_V2 };

/// arXiv:1807.11626, with squeeze-excite.
const MNASNET_A1: ModelCfg = ModelCfg {
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
const MNASNET_B1: ModelCfg = ModelCfg {
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
const FBNET_C: ModelCfg = ModelCfg {
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
const SPNASNET: ModelCfg = ModelCfg {
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
const MIXNET_S: ModelCfg = ModelCfg {
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
const MIXNET_M: ModelCfg = ModelCfg {
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

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let &Config { model, width, depth, origin, experts, pruned } = config;
    let depth = Depth { multiplier: depth, round: model.round, fix_first_last: model.fix };
    let mut stages = stages(name, model.blocks, depth)?;
    stages.iter_mut().flatten().for_each(|block| block.experts *= experts);
    let (same, eps) = match origin {
        Origin::Torch => (false, 1e-5),
        Origin::Tensorflow => (true, 1e-3),
        Origin::TorchEps1e3 => (false, 1e-3),
    };
    let cfg = BlockCfg { same, eps, act: model.act, width, se: SqueezeExcite::EFFICIENTNET };
    let stem = if model.fix { model.stem } else { round_channels(model.stem, width) };
    let head = match model.head {
        Head::Fixed(c) => c,
        Head::Scaled(c) => round_channels(c, width),
        Head::AtLeast(c) => round_channels(c, width).max(c),
    };
    let act = Some(model.act);
    let base = ConvNorm {
        conv: "",
        norm: "",
        kernels: &[1],
        stride: 1,
        out: 0,
        depthwise: false,
        act,
        zero_init_last: false,
        routing: None,
    };

    let (mut b, x) = Builder::new(name, 3, classes);
    let first = ConvNorm { conv: "conv_stem", norm: "bn1", kernels: &[3], stride: 2, out: stem, ..base };
    let x = conv_norm(&mut b, x, &cfg, &first);
    b.tap(x, "stem");
    let x = trunk(&mut b, x, &cfg, &stages);
    let x = conv_norm(&mut b, x, &cfg, &ConvNorm { conv: "conv_head", norm: "bn2", out: head, ..base });
    b.tap(x, "map");
    let x = b.global_average_pool("global_pool", x);
    b.tap(x, "pool");
    let x = b.linear("classifier", x, classes, true);
    b.tap(x, "logits");
    let graph = b.finish("classifier", "conv_stem")?;
    if pruned { super::pruned::prune(graph) } else { Ok(graph) }
}
