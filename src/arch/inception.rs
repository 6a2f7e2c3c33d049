//! What the Inception networks' files share: convolutions of any shape with norm and ReLU, chains of them, and modules
//! that join branches.
//!
//! In: a builder and a name. Out: nodes. Called by `inception_v3`, `inception_v4` and `inception_resnet_v2`.

use super::layers::{ConvNormAct, average};
use crate::nn::graph::{Activation, Builder, NodeId, Padding, PoolKind, Window};

/// Added to every variance.
const EPS: f32 = 1e-3;

/// A convolution of a branch: channels, kernel `[height, width]`, stride, padding `[vertical, horizontal]`.
pub(super) type Unit = (usize, [usize; 2], usize, [usize; 2]);

/// 1×1.
pub(super) const fn one(out: usize) -> Unit {
    (out, [1, 1], 1, [0, 0])
}

/// A kernel that keeps the size.
pub(super) const fn same(out: usize, kernel: [usize; 2]) -> Unit {
    (out, kernel, 1, [kernel[0] / 2, kernel[1] / 2])
}

/// 3×3 without padding.
pub(super) const fn valid(out: usize, stride: usize) -> Unit {
    (out, [3, 3], stride, [0, 0])
}

/// Adds a convolution with norm and ReLU under `name`.
pub(super) fn unit(b: &mut Builder, x: NodeId, name: &str, (out, kernel, stride, [v, h]): Unit) -> NodeId {
    let window = Window { kernel, ..Window::square(1, stride, Padding::Explicit([v, v, h, h])) };
    let act = Some(Activation::Relu);
    ConvNormAct { out, window, groups: 1, eps: EPS, act, zero_init_last: false }.add(b, x, name)
}

/// Convolutions after each other, each under its own name.
pub(super) fn chain(b: &mut Builder, x: NodeId, units: &[(String, Unit)]) -> NodeId {
    units.iter().fold(x, |x, (name, spec)| unit(b, x, name, *spec))
}

/// The same under `NAME.0`, `NAME.1` ….
pub(super) fn sequence(b: &mut Builder, x: NodeId, name: &str, units: &[Unit]) -> NodeId {
    let units: Vec<_> = units.iter().enumerate().map(|(i, unit)| (format!("{name}.{i}"), *unit)).collect();
    chain(b, x, &units)
}

/// A 3×3 maximum of stride 2 without padding.
pub(super) fn max_pool(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    b.pool(name, x, PoolKind::Max, Window::square(3, 2, Padding::all(0)))
}

/// A 3×3 mean that keeps the size.
pub(super) fn mean_pool(b: &mut Builder, x: NodeId, name: &str, count_padding: bool) -> NodeId {
    b.pool(name, x, average(count_padding), Window::square(3, 1, Padding::all(1)))
}
