//! The operations, and all that follows from one and the shapes of its inputs: its output's shape, its weights,
//! its multiply-adds.
//!
//! In: input shapes. Out: an output shape, or what does not fit. Called by [`super::Builder`] as a node is wired and
//! by [`super::Graph::shapes`]; both use [`Op::infer`], so there is one truth. No `match` here or in a reader has a
//! wildcard: the compiler names every place that a new operation needs.

use super::weight::{Role, WeightId};
use super::window::{MAX_WINDOW, Padding, Window};
use super::{Activation, PoolKind, Shape};

/// One operation. Each has exactly one output.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image batch.
    Input {
        /// Channels it must have.
        channels: usize,
    },
    /// 2-d convolution. One input.
    Conv {
        /// `[out, in / groups, kh, kw]`.
        weight: WeightId,
        /// `[out]`.
        bias: Option<WeightId>,
        /// Output channels.
        out: usize,
        /// Groups; depthwise where it equals the input's channels.
        groups: usize,
        /// Geometry.
        window: Window,
    },
    /// Batch normalisation with running statistics. One input.
    BatchNorm {
        /// Scale `[c]`.
        weight: WeightId,
        /// Shift `[c]`.
        bias: WeightId,
        /// Running mean `[c]`.
        mean: WeightId,
        /// Running variance `[c]`.
        var: WeightId,
        /// Added to the variance.
        eps: f32,
    },
    /// Pointwise non-linearity. One input.
    Activation(Activation),
    /// Sum of two or more inputs of one shape.
    Add,
    /// Product of a map `[n, c, h, w]` (first input) and a gate `[n, c, 1, 1]` or a map of the same shape.
    Mul,
    /// Concatenation over channels of two or more inputs.
    Concat,
    /// Channels `start .. start + len` of one input.
    Slice {
        /// First channel.
        start: usize,
        /// Number of channels.
        len: usize,
    },
    /// Pool over a window. One input.
    Pool(PoolKind, Window),
    /// Mean over height and width: `[n, c, 1, 1]`. One input.
    GlobalAveragePool,
    /// Fully connected layer on `[n, c, 1, 1]`. One input.
    Linear {
        /// `[out, in]`.
        weight: WeightId,
        /// `[out]`.
        bias: Option<WeightId>,
        /// Output features.
        out: usize,
    },
    /// Normalisation over groups of channels and all pixels, by the image's own mean and variance. One input.
    GroupNorm {
        /// Scale `[c]`.
        weight: WeightId,
        /// Shift `[c]`.
        bias: WeightId,
        /// Groups of channels.
        groups: usize,
        /// Added to the variance.
        eps: f32,
    },
    /// Every value times a constant. One input.
    Scale(f32),
    /// Each pixel `factor`×`factor` times: nearest neighbour. One input.
    Upsample {
        /// Outputs for each pixel, along either side.
        factor: usize,
    },
    /// Softmax over `parts` of a vector `[n, c, 1, 1]` (timm's `RadixSoftmax`). The input's channels are `groups` of
    /// `parts` runs, the output's `parts` of `groups` runs. One input.
    Softmax {
        /// Values that share a sum of one.
        parts: usize,
        /// Outer groups of the input.
        groups: usize,
    },
    /// Rows and columns around a map, which what follows sees as any others. One input.
    Pad {
        /// `[top, bottom, left, right]`.
        pads: [usize; 4],
        /// What they hold.
        mode: PadMode,
    },
    /// A map without some rows and columns of its border. One input.
    Crop {
        /// `[top, bottom, left, right]`.
        crops: [usize; 4],
    },
    /// A binomial filter over every channel by itself, without padding (timm's `BlurPool2d`, whose padding is
    /// [`Op::Pad`]). One input.
    Blur {
        /// Taps along either side.
        size: usize,
        /// Pixels from an output to the next.
        stride: usize,
    },
    /// Blocks of `block`×`block` pixels into channels: channel `(row · block + column) · c + channel`. One input.
    SpaceToDepth {
        /// Side of a block.
        block: usize,
    },
    /// A convolution along the channels of `[n, c, 1, 1]`, zeros beyond the ends (efficient channel attention). One
    /// input.
    ChannelConv {
        /// `[1, 1, k]`.
        weight: WeightId,
        /// Taps, an odd number.
        kernel: usize,
    },
    /// A convolution whose filters are a mixture of experts' (CondConv). Two inputs: a map, and each expert's share
    /// `[n, experts, 1, 1]`.
    CondConv {
        /// `[experts, out · in / groups · kh · kw]`.
        weight: WeightId,
        /// Experts.
        experts: usize,
        /// Output channels.
        out: usize,
        /// Groups; depthwise where it equals the input's channels.
        groups: usize,
        /// Geometry.
        window: Window,
    },
    /// Nothing: there to see the compiler name every reader that an operation needs (`tests/it/readers.rs`).
    #[cfg(zoo_extra_op)]
    Extra,
}

/// What rows and columns around a map hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// Zeros.
    Zero,
    /// The map mirrored at its border pixels, which are not repeated.
    Reflect,
}

/// A tensor that an operation reads: the last part of its state-dict name, its shape, what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Such as `weight`.
    pub leaf: &'static str,
    /// In torch's order.
    pub shape: Vec<usize>,
    /// How stand-ins are drawn.
    pub role: Role,
}

/// Why an operation cannot take its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub String);

fn misfit<T>(problem: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit(problem.into()))
}

impl Op {
    /// The weights it reads, in the order of [`Op::tensors`].
    pub fn weights(&self) -> Vec<WeightId> {
        self.clone().weights_mut().into_iter().map(|id| *id).collect()
    }

    /// The same, to renumber them.
    pub(super) fn weights_mut(&mut self) -> Vec<&mut WeightId> {
        match self {
            Op::Conv { weight, bias, .. } | Op::Linear { weight, bias, .. } => {
                std::iter::once(weight).chain(bias.as_mut()).collect()
            }
            Op::BatchNorm { weight, bias, mean, var, .. } => vec![weight, bias, mean, var],
            Op::GroupNorm { weight, bias, .. } => vec![weight, bias],
            Op::ChannelConv { weight, .. } | Op::CondConv { weight, .. } => vec![weight],
            Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::Input { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool => Vec::new(),
        }
    }

    /// The tensors it reads, for inputs of these shapes.
    pub fn tensors(&self, inputs: &[Shape]) -> Vec<Tensor> {
        let channels = inputs.first().map_or(0, |s| s[1]);
        let filter = |shape: Vec<usize>| {
            let fan_in = shape.iter().skip(1).product();
            Tensor { leaf: "weight", shape, role: Role::Filter { fan_in } }
        };
        let vector = |leaf, len, role| Tensor { leaf, shape: vec![len], role };
        let norm = Role::NormWeight { zero_init_last: false };
        match self {
            Op::Conv { bias, out, groups, window, .. } => {
                let [kh, kw] = window.kernel;
                let weight = filter(vec![*out, channels.checked_div(*groups).unwrap_or(0), kh, kw]);
                let bias = bias.map(|_| vector("bias", *out, Role::Bias));
                std::iter::once(weight).chain(bias).collect()
            }
            Op::Linear { bias, out, .. } => {
                let bias = bias.map(|_| vector("bias", *out, Role::Bias));
                std::iter::once(filter(vec![*out, channels])).chain(bias).collect()
            }
            Op::BatchNorm { .. } => vec![
                vector("weight", channels, norm),
                vector("bias", channels, Role::Bias),
                vector("running_mean", channels, Role::RunningMean),
                vector("running_var", channels, Role::RunningVar),
            ],
            Op::GroupNorm { .. } => {
                vec![vector("weight", channels, norm), vector("bias", channels, Role::Bias)]
            }
            Op::ChannelConv { kernel, .. } => vec![filter(vec![1, 1, *kernel])],
            Op::CondConv { experts, out, groups, window, .. } => {
                let [kh, kw] = window.kernel;
                let each = channels.checked_div(*groups).unwrap_or(0) * kh * kw;
                let shape = vec![*experts, out * each];
                // Shares of a half each of so many experts: as one filter where they are four.
                let fan_in = (each * experts / 4).max(1);
                vec![Tensor { leaf: "weight", shape, role: Role::Filter { fan_in } }]
            }
            Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::Input { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool => Vec::new(),
        }
    }

    /// A short name for people: `conv`, `batch_norm`, `silu` ….
    pub fn kind(&self) -> String {
        match self {
            Op::Input { .. } => "input".into(),
            Op::Conv { .. } => "conv".into(),
            Op::BatchNorm { .. } => "batch_norm".into(),
            Op::Activation(a) => a.to_string(),
            Op::Add => "add".into(),
            Op::Mul => "mul".into(),
            Op::Concat => "concat".into(),
            Op::Slice { .. } => "slice".into(),
            Op::Pool(PoolKind::Max, _) => "max_pool".into(),
            Op::Pool(PoolKind::Average { .. }, _) => "avg_pool".into(),
            Op::GlobalAveragePool => "global_avg_pool".into(),
            Op::Linear { .. } => "linear".into(),
            Op::GroupNorm { .. } => "group_norm".into(),
            Op::Scale(_) => "scale".into(),
            Op::Upsample { .. } => "upsample".into(),
            Op::Softmax { .. } => "softmax".into(),
            Op::Pad { .. } => "pad".into(),
            Op::Crop { .. } => "crop".into(),
            Op::Blur { .. } => "blur".into(),
            Op::SpaceToDepth { .. } => "space_to_depth".into(),
            Op::ChannelConv { .. } => "channel_conv".into(),
            Op::CondConv { .. } => "cond_conv".into(),
        }
    }

    /// The output's shape for inputs of these shapes; [`Op::Input`] is given the image's.
    ///
    /// # Errors
    /// What does not fit: the number of inputs, their channels, height or width, or the operation itself.
    pub fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let first = match inputs {
            [] => return misfit("it has no input"),
            [first, ..] => *first,
        };
        let [n, c, h, w] = first;
        let least = match self {
            Op::Add | Op::Mul | Op::Concat | Op::CondConv { .. } => 2,
            Op::GroupNorm { .. }
            | Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::ChannelConv { .. }
            | Op::Input { .. }
            | Op::Conv { .. }
            | Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::Linear { .. } => 1,
        };
        if inputs.len() < least {
            return misfit(format!("it has {} inputs, not {least}", inputs.len()));
        }
        match self {
            Op::Input { channels } if c == *channels => Ok(first),
            Op::Input { channels } => misfit(format!("the image has {c} channels, not {channels}")),
            Op::Conv { out, groups, window, .. } => {
                if *groups == 0 || !c.is_multiple_of(*groups) || !out.is_multiple_of(*groups) {
                    return misfit(format!("{c} channels in and {out} out are not {groups} groups"));
                }
                windowed(window, first, *out)
            }
            Op::Pool(_, window) => windowed(window, first, c),
            Op::BatchNorm { .. } | Op::Activation(_) => Ok(first),
            Op::Add => {
                if inputs.iter().all(|s| *s == first) {
                    Ok(first)
                } else {
                    misfit("its inputs differ in shape")
                }
            }
            Op::Mul => match inputs {
                [_, gate] if *gate == first || *gate == [n, c, 1, 1] => Ok(first),
                _ => misfit("the gate fits neither the map nor its channels"),
            },
            Op::Concat => {
                if inputs.iter().all(|s| (s[0], s[2], s[3]) == (n, h, w)) {
                    Ok([n, inputs.iter().map(|s| s[1]).sum(), h, w])
                } else {
                    misfit("its inputs differ in height or width")
                }
            }
            Op::Slice { start, len } => match start.checked_add(*len) {
                Some(end) if end <= c && *len > 0 => Ok([n, *len, h, w]),
                _ => misfit(format!("channels {start}..{} of {c}", start.saturating_add(*len))),
            },
            Op::GroupNorm { groups, .. } => {
                if *groups == 0 || !c.is_multiple_of(*groups) {
                    return misfit(format!("{c} channels are not {groups} groups"));
                }
                Ok(first)
            }
            Op::Scale(_) => Ok(first),
            Op::Upsample { factor } => match (h.checked_mul(*factor), w.checked_mul(*factor)) {
                (Some(h), Some(w)) if *factor > 0 => Ok([n, c, h, w]),
                _ => misfit(format!("{h}x{w} pixels, each {factor}x{factor} times")),
            },
            Op::Softmax { parts, groups } => match parts.checked_mul(*groups) {
                _ if (h, w) != (1, 1) => misfit("a softmax takes pooled features"),
                Some(runs) if runs > 0 && c.is_multiple_of(runs) => Ok(first),
                _ => misfit(format!("{c} channels are not {groups} groups of {parts} parts")),
            },
            Op::Pad { pads, mode } => {
                let [top, bottom, left, right] = *pads;
                let most = pads.iter().copied().max().unwrap_or(0);
                let few = match mode {
                    PadMode::Zero => false,
                    PadMode::Reflect => h.min(w) <= most,
                };
                if few || most > MAX_WINDOW {
                    return misfit(format!("{h}x{w} pixels have no padding of {most}"));
                }
                Ok([n, c, h + top + bottom, w + left + right])
            }
            Op::Crop { crops: [top, bottom, left, right] } => {
                let rest = |side: usize, a: &usize, b: &usize| {
                    side.checked_sub(*a)?.checked_sub(*b).filter(|&rest| rest > 0)
                };
                match (rest(h, top, bottom), rest(w, left, right)) {
                    (Some(h), Some(w)) => Ok([n, c, h, w]),
                    _ => misfit(format!("nothing is left of {h}x{w} pixels")),
                }
            }
            Op::Blur { size, stride } => windowed(&Window::square(*size, *stride, Padding::all(0)), first, c),
            Op::SpaceToDepth { block } => {
                if *block == 0 || !h.is_multiple_of(*block) || !w.is_multiple_of(*block) {
                    return misfit(format!("{h}x{w} pixels are not blocks of {block}x{block}"));
                }
                Ok([n, c * block * block, h / block, w / block])
            }
            Op::ChannelConv { kernel, .. } => match (h, w) {
                (1, 1) if kernel % 2 == 1 => Ok(first),
                (1, 1) => misfit(format!("a kernel of {kernel} has no middle")),
                _ => misfit("a convolution over channels takes pooled features"),
            },
            Op::CondConv { experts, out, groups, window, .. } => {
                if *groups == 0 || !c.is_multiple_of(*groups) || !out.is_multiple_of(*groups) {
                    return misfit(format!("{c} channels in and {out} out are not {groups} groups"));
                }
                match inputs {
                    [_, share] if *share == [n, *experts, 1, 1] => windowed(window, first, *out),
                    _ => misfit(format!("the routing is not one value for each of {experts} experts")),
                }
            }
            Op::GlobalAveragePool => Ok([n, c, 1, 1]),
            Op::Linear { out, .. } => match (h, w) {
                (1, 1) if *out > 0 && c > 0 => Ok([n, *out, 1, 1]),
                (1, 1) => misfit(format!("a linear layer from {c} features to {out}")),
                _ => misfit("a linear layer takes pooled features"),
            },
        }
    }

    /// Multiply-adds for inputs of these shapes and an output of that: of convolutions and linear layers.
    pub fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        let [n, _, h, w] = output.map(|d| d as u64);
        let filters =
            |tensors: Vec<Tensor>| tensors.first().map_or(0, |t| t.shape.iter().map(|&d| d as u64).product());
        match self {
            Op::Conv { .. } | Op::Linear { .. } => filters(self.tensors(inputs)) * n * h * w,
            // A mixed convolution counts for nothing, as in the figures of timm's pages (224 M for
            // `tf_efficientnet_cc_b0_4e`, 1.25 for each multiply-add of its other convolutions).
            Op::CondConv { .. } => 0,
            Op::GroupNorm { .. }
            | Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. }
            | Op::ChannelConv { .. }
            | Op::Input { .. }
            | Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool => 0,
        }
    }
}

/// The output of a window over a map, with so many channels.
fn windowed(window: &Window, [n, c, h, w]: Shape, out: usize) -> Result<Shape, Misfit> {
    if let Some(problem) = window.problem() {
        return misfit(problem);
    }
    if out == 0 || c == 0 {
        return misfit(format!("{c} channels in and {out} out: there is nothing to compute"));
    }
    match window.output([h, w]) {
        Some([oh, ow]) => Ok([n, out, oh, ow]),
        None => {
            let [kh, kw] = window.kernel;
            misfit(format!("a window of {kh}x{kw} does not fit into {h}x{w} pixels"))
        }
    }
}
