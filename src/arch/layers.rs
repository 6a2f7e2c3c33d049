//! Layers that many architectures share: convolutions without bias padded to keep the size, norms with
//! ReLU, the squeeze-excite module of `timm/layers/squeeze_excite.py`, the pooled linear head.
//!
//! In: a builder and a name. Out: nodes. Called by the files of ResNet-like families.

use crate::nn::graph::{Activation, Builder, ConvSpec, NodeId, Padding, Window};

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
    let point = |out| ConvSpec { out, groups: 1, bias: true, window: Window::square(1, 1, Padding::all(0)) };
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
