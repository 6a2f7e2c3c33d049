//! The blocks of the EfficientNet family, as nodes: depthwise-separable, inverted residual, edge
//! residual, convolution with norm; squeeze-excite.
//!
//! In: [`Block`]s and a [`BlockCfg`]. Out: nodes in a [`Builder`] under timm's names. Called by the
//! efficientnet and mobilenetv3 files. Source: `timm/models/_efficientnet_blocks.py`.

use super::efficientnet_builder::{Block, BlockType, make_divisible, round_channels};
use crate::nn::graph::{Activation, Builder, ConvSpec, NodeId, Padding, Window};

/// What the blocks of one network have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockCfg {
    /// TensorFlow's `SAME` instead of symmetric padding.
    pub(super) same: bool,
    /// Added to batch norm's variance.
    pub(super) eps: f32,
    /// Where a block does not say its own.
    pub(super) act: Activation,
    /// Multiplies channels.
    pub(super) width: f64,
    /// Squeeze-excite.
    pub(super) se: SqueezeExcite,
}

/// The kinds of squeeze-excite in this family.
#[derive(Clone, Copy, Debug)]
pub(super) struct SqueezeExcite {
    /// The ratio is of the expanded channels, not of the block's input.
    pub(super) from_expanded: bool,
    /// The reduced channels are rounded to a multiple of 8 instead of the nearest integer.
    pub(super) divisible: bool,
    /// Activation between the two convolutions; `None` for the block's.
    pub(super) act: Option<Activation>,
    /// What makes the gate.
    pub(super) gate: Activation,
}

impl SqueezeExcite {
    /// EfficientNet's.
    pub(super) const EFFICIENTNET: Self =
        SqueezeExcite { from_expanded: false, divisible: false, act: None, gate: Activation::Sigmoid };
}

impl BlockCfg {
    fn window(&self, kernel: usize, stride: usize) -> Window {
        let padding = if self.same { Padding::Same } else { Padding::symmetric(kernel, stride, 1) };
        Window::square(kernel, stride, padding)
    }
}

/// A convolution without bias, its norm and, with `act`, its activation.
pub(super) struct ConvNorm<'a> {
    pub(super) conv: &'a str,
    pub(super) norm: &'a str,
    /// One, or several that are mixed over groups of the channels.
    pub(super) kernels: &'a [usize],
    pub(super) stride: usize,
    pub(super) out: usize,
    pub(super) depthwise: bool,
    pub(super) act: Option<Activation>,
    /// The last norm of the branch of a block with a shortcut.
    pub(super) zero_init_last: bool,
    /// Each expert's share of the filters, where they are a mixture.
    pub(super) routing: Option<NodeId>,
}

/// Adds a [`ConvNorm`].
pub(super) fn conv_norm(b: &mut Builder, x: NodeId, cfg: &BlockCfg, layer: &ConvNorm<'_>) -> NodeId {
    let ConvNorm { conv, norm, kernels, stride, out, depthwise, act, zero_init_last, routing } = *layer;
    let add = |b: &mut Builder, x, name: &str, kernel, out| {
        let groups = if depthwise { b.channels(x) } else { 1 };
        let window = cfg.window(kernel, stride);
        let spec = ConvSpec { out, groups, bias: false, window };
        match routing {
            Some(routing) => {
                let experts = b.channels(routing);
                b.cond_conv(name, [x, routing], experts, spec)
            }
            None => b.conv(name, x, spec),
        }
    };
    let x = match *kernels {
        [kernel] => add(b, x, conv, kernel, out),
        _ => {
            let inputs = split(b.channels(x), kernels.len());
            let outputs = split(out, kernels.len());
            let mut start = 0;
            let mut parts = Vec::with_capacity(kernels.len());
            for (i, (&kernel, (len, out))) in kernels.iter().zip(inputs.into_iter().zip(outputs)).enumerate()
            {
                let part = b.slice(&format!("{conv}.split.{i}"), x, start, len);
                parts.push(add(b, part, &format!("{conv}.{i}"), kernel, out));
                start += len;
            }
            b.concat(&format!("{conv}.cat"), &parts)
        }
    };
    let x = b.batch_norm(norm, x, cfg.eps, zero_init_last);
    match act {
        Some(act) => b.activation(&format!("{norm}.act"), x, act),
        None => x,
    }
}

/// Channels of each of `parts` groups, the remainder with the first (timm's `_split_channels`).
fn split(channels: usize, parts: usize) -> Vec<usize> {
    let each = channels / parts.max(1);
    let mut split = vec![each; parts];
    if let Some(first) = split.first_mut() {
        *first += channels - each * parts;
    }
    split
}

fn squeeze_excite(
    b: &mut Builder,
    x: NodeId,
    cfg: &BlockCfg,
    name: &str,
    ratio: f64,
    act: Activation,
) -> NodeId {
    let channels = b.channels(x);
    let reduced = channels as f64 * ratio;
    let reduced =
        if cfg.se.divisible { make_divisible(reduced, 8) } else { reduced.round_ties_even() as usize };
    let window = Window::square(1, 1, Padding::all(0));
    let point = |out| ConvSpec { out, groups: 1, bias: true, window };
    let gate = b.global_average_pool(&format!("{name}.mean"), x);
    let gate = b.conv(&format!("{name}.conv_reduce"), gate, point(reduced));
    let gate = b.activation(&format!("{name}.act1"), gate, cfg.se.act.unwrap_or(act));
    let gate = b.conv(&format!("{name}.conv_expand"), gate, point(channels));
    let gate = b.activation(&format!("{name}.gate"), gate, cfg.se.gate);
    b.mul(&format!("{name}.mul"), x, gate)
}

/// Adds a block under `name`.
pub(super) fn block(b: &mut Builder, x: NodeId, cfg: &BlockCfg, name: &str, block: &Block) -> NodeId {
    let act = block.act.unwrap_or(cfg.act);
    let input = b.channels(x);
    let out = round_channels(block.out, cfg.width);
    let fits = block.stride == 1 && input == out;
    // `cn` blocks have a shortcut only where their string asks for one; the others unless it forbids it.
    let skip = fits && block.skip.unwrap_or(block.kind != BlockType::ConvNormAct);
    let path = |layer: &str| format!("{name}.{layer}");
    let from = b.weights();
    let routing = (block.experts > 0).then(|| {
        let pooled = b.global_average_pool(&path("routing_fn.mean"), x);
        let shares = b.linear(&path("routing_fn"), pooled, block.experts, true);
        b.activation(&path("routing_fn.act"), shares, Activation::Sigmoid)
    });
    let add = |b: &mut Builder, y: NodeId, conv: &str, norm: &str, l: ConvNorm<'_>| {
        conv_norm(b, y, cfg, &ConvNorm { conv: &path(conv), norm: &path(norm), ..l })
    };
    let base = ConvNorm {
        conv: "",
        norm: "",
        kernels: &block.kernels,
        stride: 1,
        out,
        depthwise: false,
        act: Some(act),
        zero_init_last: false,
        routing,
    };
    let ratio = block.se / if cfg.se.from_expanded { 1.0 } else { block.expand };
    let se = |b: &mut Builder, y| {
        if block.se > 0.0 { squeeze_excite(b, y, cfg, &path("se"), ratio, act) } else { y }
    };
    let expand = ConvNorm { kernels: &block.expand_kernels, ..base };
    let project = ConvNorm { kernels: &block.project_kernels, act: None, zero_init_last: skip, ..base };
    let y = match block.kind {
        BlockType::DepthwiseSeparable => {
            let depthwise = ConvNorm { stride: block.stride, out: input, depthwise: true, ..base };
            let y = add(b, x, "conv_dw", "bn1", depthwise);
            let y = se(b, y);
            add(b, y, "conv_pw", "bn2", project)
        }
        BlockType::InvertedResidual => {
            let mid = make_divisible(input as f64 * block.expand, 8);
            let y = add(b, x, "conv_pw", "bn1", ConvNorm { out: mid, ..expand });
            let depthwise = ConvNorm { stride: block.stride, out: mid, depthwise: true, ..base };
            let y = add(b, y, "conv_dw", "bn2", depthwise);
            let y = se(b, y);
            add(b, y, "conv_pwl", "bn3", project)
        }
        BlockType::EdgeResidual => {
            let from = match block.force_in {
                0 => input,
                forced => round_channels(forced, cfg.width),
            };
            let mid = make_divisible(from as f64 * block.expand, 8);
            let y = add(b, x, "conv_exp", "bn1", ConvNorm { stride: block.stride, out: mid, ..base });
            let y = se(b, y);
            add(b, y, "conv_pwl", "bn2", project)
        }
        BlockType::ConvNormAct => {
            let layer = ConvNorm { stride: block.stride, zero_init_last: skip, ..base };
            add(b, x, "conv", "bn1", layer)
        }
    };
    // timm's state dict has the routing last.
    b.sort_weights(from, |weight| weight.contains(".routing_fn."));
    if skip { b.add(&path("add"), &[y, x]) } else { y }
}

/// Adds all stages under `blocks.STAGE.BLOCK`, and taps `stage1`, `stage2` … where timm's
/// `features_only` looks: at the last block before the resolution changes, and at the end.
pub(super) fn trunk(b: &mut Builder, mut x: NodeId, cfg: &BlockCfg, stages: &[Vec<Block>]) -> NodeId {
    let mut level = 0;
    for (i, stage) in stages.iter().enumerate() {
        for (j, spec) in stage.iter().enumerate() {
            x = block(b, x, cfg, &format!("blocks.{i}.{j}"), spec);
        }
        let next = stages.get(i + 1).and_then(|s| s.first());
        if next.is_none_or(|n| n.stride > 1) {
            level += 1;
            b.tap(x, &format!("stage{level}"));
        }
    }
    x
}
