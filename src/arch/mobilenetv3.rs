//! MobileNet-V3 (arXiv:1905.02244): EfficientNet's blocks with hard-swish, and a head that pools before
//! its last convolution.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/mobilenetv3.py`.

use super::efficientnet_blocks::{BlockCfg, ConvNorm, SqueezeExcite, conv_norm, trunk};
use super::efficientnet_builder::{Depth, round_channels, stages};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, ConvSpec, Graph, Padding, Window};

struct ModelCfg {
    /// Block strings, a slice a stage.
    blocks: &'static [&'static [&'static str]],
    act: Activation,
    se: SqueezeExcite,
    /// Channels of the head.
    head: usize,
    /// Whether the head's convolution has a bias.
    head_bias: bool,
}

/// A definition, scaled.
pub(super) struct Config {
    model: &'static ModelCfg,
    width: f64,
    /// TensorFlow's `SAME` padding.
    same: bool,
    /// Batch norm's epsilon.
    eps: f32,
}

/// Definition, width, `SAME` padding, epsilon.
const fn scaled(model: &'static ModelCfg, width: f64, same: bool, eps: f32) -> Config {
    Config { model, width, same, eps }
}

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("mobilenetv3_large_100", scaled(&LARGE, 1.0, false, 1e-5)),
    ("mobilenetv3_rw", scaled(&LARGE_RW, 1.0, false, 1e-3)),
    ("tf_mobilenetv3_large_075", scaled(&LARGE, 0.75, true, 1e-3)),
    ("tf_mobilenetv3_large_100", scaled(&LARGE, 1.0, true, 1e-3)),
    ("tf_mobilenetv3_large_minimal_100", scaled(&LARGE_MINIMAL, 1.0, true, 1e-3)),
    ("tf_mobilenetv3_small_075", scaled(&SMALL, 0.75, true, 1e-3)),
    ("tf_mobilenetv3_small_100", scaled(&SMALL, 1.0, true, 1e-3)),
    ("tf_mobilenetv3_small_minimal_100", scaled(&SMALL_MINIMAL, 1.0, true, 1e-3)),
];

/// Of the expanded channels, to a multiple of 8, ReLU inside whatever the block has.
const SE: SqueezeExcite = SqueezeExcite {
    from_expanded: true,
    divisible: true,
    act: Some(Activation::Relu),
    gate: Activation::HardSigmoid,
};

const LARGE: ModelCfg = ModelCfg {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16_nre"],
        &["ir_r1_k3_s2_e4_c24_nre", "ir_r1_k3_s1_e3_c24_nre"],
        &["ir_r3_k5_s2_e3_c40_se0.25_nre"],
        &["ir_r1_k3_s2_e6_c80", "ir_r1_k3_s1_e2.5_c80", "ir_r2_k3_s1_e2.3_c80"],
        &["ir_r2_k3_s1_e6_c112_se0.25"],
        &["ir_r3_k5_s2_e6_c160_se0.25"],
        &["cn_r1_k1_s1_c960"],
    ],
    act: Activation::HardSwish,
    se: SE,
    head: 1280,
    head_bias: true,
};

/// timm's own first attempt: no shortcut in the first block, the block's activation in squeeze-excite.
const LARGE_RW: ModelCfg = ModelCfg {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16_nre_noskip"],
        &["ir_r1_k3_s2_e4_c24_nre", "ir_r1_k3_s1_e3_c24_nre"],
        &["ir_r3_k5_s2_e3_c40_se0.25_nre"],
        &["ir_r1_k3_s2_e6_c80", "ir_r1_k3_s1_e2.5_c80", "ir_r2_k3_s1_e2.3_c80"],
        &["ir_r2_k3_s1_e6_c112_se0.25"],
        &["ir_r3_k5_s2_e6_c160_se0.25"],
        &["cn_r1_k1_s1_c960"],
    ],
    se: SqueezeExcite { divisible: false, act: None, ..SE },
    head_bias: false,
    ..LARGE
};

const LARGE_MINIMAL: ModelCfg = ModelCfg {
    blocks: &[
        &["ds_r1_k3_s1_e1_c16"],
        &["ir_r1_k3_s2_e4_c24", "ir_r1_k3_s1_e3_c24"],
        &["ir_r3_k3_s2_e3_c40"],
        &["ir_r1_k3_s2_e6_c80", "ir_r1_k3_s1_e2.5_c80", "ir_r2_k3_s1_e2.3_c80"],
        &["ir_r2_k3_s1_e6_c112"],
        &["ir_r3_k3_s2_e6_c160"],
        &["cn_r1_k1_s1_c960"],
    ],
    act: Activation::Relu,
    ..LARGE
};

const SMALL: ModelCfg = ModelCfg {
    blocks: &[
        &["ds_r1_k3_s2_e1_c16_se0.25_nre"],
        &["ir_r1_k3_s2_e4.5_c24_nre", "ir_r1_k3_s1_e3.67_c24_nre"],
        &["ir_r1_k5_s2_e4_c40_se0.25", "ir_r2_k5_s1_e6_c40_se0.25"],
        &["ir_r2_k5_s1_e3_c48_se0.25"],
        &["ir_r3_k5_s2_e6_c96_se0.25"],
        &["cn_r1_k1_s1_c576"],
    ],
    head: 1024,
    ..LARGE
};

const SMALL_MINIMAL: ModelCfg = ModelCfg {
    blocks: &[
        &["ds_r1_k3_s2_e1_c16"],
        &["ir_r1_k3_s2_e4.5_c24", "ir_r1_k3_s1_e3.67_c24"],
        &["ir_r1_k3_s2_e4_c40", "ir_r2_k3_s1_e6_c40"],
        &["ir_r2_k3_s1_e3_c48"],
        &["ir_r3_k3_s2_e6_c96"],
        &["cn_r1_k1_s1_c576"],
    ],
    act: Activation::Relu,
    ..SMALL
};

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let &Config { model, width, same, eps } = config;
    let depth = Depth { multiplier: 1.0, round: false, fix_first_last: false };
    let stages = stages(name, model.blocks, depth)?;
    let cfg = BlockCfg { same, eps, act: model.act, width, se: model.se };
    let (mut b, x) = Builder::new(name, 3, classes);
    let first = ConvNorm {
        conv: "conv_stem",
        norm: "bn1",
        kernels: &[3],
        stride: 2,
        out: round_channels(16, width),
        depthwise: false,
        act: Some(model.act),
        zero_init_last: false,
        routing: None,
    };
    let x = conv_norm(&mut b, x, &cfg, &first);
    b.tap(x, "stem");
    let x = trunk(&mut b, x, &cfg, &stages);
    b.tap(x, "map");
    let x = b.global_average_pool("global_pool", x);
    let window = Window::square(1, 1, Padding::all(0));
    let head = ConvSpec { out: model.head, groups: 1, bias: model.head_bias, window };
    let x = b.conv("conv_head", x, head);
    let x = b.activation("act2", x, model.act);
    b.tap(x, "pool");
    let x = b.linear("classifier", x, classes, true);
    b.tap(x, "logits");
    Ok(b.finish("classifier", "conv_stem")?)
}
