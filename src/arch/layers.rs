//! Layers that many architectures share: convolutions without bias padded to keep the size, norms with
//! ReLU, the squeeze-excite module of `timm/layers/squeeze_excite.py`, the pooled linear head.
//!
//! In: a builder and a name. Out: nodes. Called by the files of ResNet-like families.

use crate::nn::graph::{Activation, Builder, ConvSpec, NodeId, Padding, PoolKind, Window};

/// torch's default for batch norm.
pub(super) const EPS: f32 = 1e-5;

/// A convolution without bias under `name`, padded so that stride 1 keeps the size:
/// `[kernel, stride, groups]`.
pub(super) fn conv(b: &mut Builder, x: NodeId, name: &str, out: usize, geometry: [usize; 3]) -> NodeId {
    let [kernel, stride, groups] = geometry;
    let window = Window::square(kernel, stride, Padding::symmetric(kernel, stride, 1));
    b.conv(name, x, ConvSpec { out, groups, bias: false, window })
}

/// Batch norm, not the last of a residual branch, and ReLU.
pub(super) fn norm_relu(b: &mut Builder, x: NodeId, norm: &str, relu: &str) -> NodeId {
    let x = b.batch_norm(norm, x, EPS, false);
    b.activation(relu, x, Activation::Relu)
}

/// torch's `Sequential(Conv2d, BatchNorm2d, ReLU)`: `NAME.0`, `NAME.1`, `NAME.2`.
pub(super) fn sequential(b: &mut Builder, x: NodeId, name: &str, out: usize, geometry: [usize; 3]) -> NodeId {
    let x = conv(b, x, &format!("{name}.0"), out, geometry);
    norm_relu(b, x, &format!("{name}.1"), &format!("{name}.2"))
}

/// Squeeze-excite through `reduced` channels, with ReLU and a sigmoid gate.
pub(super) fn squeeze_excite(b: &mut Builder, x: NodeId, name: &str, reduced: usize) -> NodeId {
    let channels = b.channels(x);
    let gate = b.global_average_pool(&format!("{name}.mean"), x);
    let gate = b.conv(&format!("{name}.fc1"), gate, point(reduced));
    let gate = b.activation(&format!("{name}.act"), gate, Activation::Relu);
    let gate = b.conv(&format!("{name}.fc2"), gate, point(channels));
    let gate = b.activation(&format!("{name}.gate"), gate, Activation::Sigmoid);
    b.mul(&format!("{name}.mul"), x, gate)
}

/// The end of most networks: `x` is the last map, then its mean, then a linear layer under `name`.
pub(super) fn classify(b: &mut Builder, x: NodeId, name: &str, classes: usize) -> NodeId {
    b.tap(x, "map");
    let x = b.global_average_pool("global_pool", x);
    b.tap(x, "pool");
    let x = b.linear(name, x, classes, true);
    b.tap(x, "logits");
    x
}

/// timm's `ConvNormAct` apart from its name and input: a convolution without bias, `NAME.conv`, batch norm, `NAME.bn`,
/// and an activation.
#[derive(Clone, Copy)]
pub(super) struct ConvNormAct {
    pub(super) out: usize,
    pub(super) window: Window,
    pub(super) groups: usize,
    pub(super) eps: f32,
    pub(super) act: Option<Activation>,
    /// The last norm of the branch of a block with a shortcut.
    pub(super) zero_init_last: bool,
}

impl ConvNormAct {
    /// A square kernel padded so that stride 1 keeps the size; ReLU.
    pub(super) const fn new(out: usize, kernel: usize, stride: usize) -> Self {
        let window = Window::square(kernel, stride, Padding::symmetric(kernel, stride, 1));
        ConvNormAct { out, window, groups: 1, eps: EPS, act: Some(Activation::Relu), zero_init_last: false }
    }

    pub(super) const fn groups(self, groups: usize) -> Self {
        ConvNormAct { groups, ..self }
    }

    pub(super) const fn act(self, act: Option<Activation>) -> Self {
        ConvNormAct { act, ..self }
    }

    pub(super) const fn eps(self, eps: f32) -> Self {
        ConvNormAct { eps, ..self }
    }

    /// Without an activation, and the last norm of a residual branch where that is so.
    pub(super) const fn linear(self, zero_init_last: bool) -> Self {
        ConvNormAct { act: None, zero_init_last, ..self }
    }

    /// Adds it.
    pub(super) fn add(&self, b: &mut Builder, x: NodeId, name: &str) -> NodeId {
        let spec = ConvSpec { out: self.out, groups: self.groups, bias: false, window: self.window };
        let x = b.conv(&format!("{name}.conv"), x, spec);
        let x = b.batch_norm(&format!("{name}.bn"), x, self.eps, self.zero_init_last);
        match self.act {
            Some(act) => b.activation(&format!("{name}.bn.act"), x, act),
            None => x,
        }
    }
}

/// A 1×1 convolution with a bias.
pub(super) const fn point(out: usize) -> ConvSpec {
    ConvSpec { out, groups: 1, bias: true, window: Window::POINT }
}

/// The mean over a window, padding left out (`count_include_pad=False`) or not.
pub(super) const fn average(count_padding: bool) -> PoolKind {
    PoolKind::Average { count_padding }
}

/// Efficient channel attention (arXiv:1910.03151): a gate made by a convolution over neighbouring channels.
pub(super) fn channel_attention(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    // The kernel grows with the logarithm of the channels, and is odd.
    let taps = (((b.channels(x).max(1) as f64).log2() + 1.0) / 2.0) as usize;
    let kernel = if taps % 2 == 1 { taps } else { taps + 1 }.max(3);
    let gate = b.global_average_pool(&format!("{name}.mean"), x);
    let gate = b.channel_conv(&format!("{name}.conv"), gate, kernel);
    let gate = b.activation(&format!("{name}.gate"), gate, Activation::Sigmoid);
    b.mul(&format!("{name}.mul"), x, gate)
}

/// Several maps, each weighed by its run of the channels of `weights`, and their sum.
pub(super) fn weighted_sum(b: &mut Builder, name: &str, maps: &[NodeId], weights: NodeId) -> NodeId {
    let mut sum: Option<NodeId> = None;
    for (i, &map) in maps.iter().enumerate() {
        let channels = b.channels(map);
        let weight = b.slice(&format!("{name}.weight.{i}"), weights, i * channels, channels);
        let weighed = b.mul(&format!("{name}.mul.{i}"), map, weight);
        sum = Some(match sum {
            Some(sum) => b.add(&format!("{name}.sum.{i}"), &[sum, weighed]),
            None => weighed,
        });
    }
    sum.unwrap_or(weights)
}
