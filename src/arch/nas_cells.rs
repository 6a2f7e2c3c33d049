//! What the cells of NASNet and PNASNet are made of: ReLU in front of convolutions, pairs of separable convolutions, a
//! reduction of two paths, one of them shifted by a pixel; and what stands before and after the cells.
//!
//! In: a builder and a name. Out: nodes. Called by the nasnet and pnasnet files.

use super::layers::{ConvNormAct, average, classify, conv};
use crate::nn::graph::{Activation, Builder, ConvSpec, NodeId, PadMode, Padding, PoolKind, Window};

/// Added to every variance.
pub(super) const EPS: f32 = 1e-3;

/// What an architecture of either file is made to.
pub(super) struct Config {
    /// Channels of the stem.
    pub(super) stem: usize,
    /// Channels of the first stage's cells.
    pub(super) channels: usize,
}

/// The first convolution, without padding, and its norm; tapped as the stem.
pub(super) fn stem(b: &mut Builder, image: NodeId, name: &str, config: &Config) -> NodeId {
    let window = Window::square(3, 2, Padding::all(0));
    let first = ConvNormAct { window, ..ConvNormAct::new(config.stem, 3, 2) };
    let x = first.eps(EPS).act(None).add(b, image, name);
    b.tap(x, "stem");
    x
}

/// ReLU, the last stage's tap, and the classifier.
pub(super) fn head(b: &mut Builder, x: NodeId, classes: usize) {
    let x = b.activation("act", x, Activation::Relu);
    b.tap(x, "stage4");
    classify(b, x, "last_linear", classes);
}

/// ReLU, a 1×1 convolution, norm: `NAME.conv`, `NAME.bn`.
pub(super) fn act_conv_norm(b: &mut Builder, x: NodeId, name: &str, out: usize, stride: usize) -> NodeId {
    let x = b.activation(&format!("{name}.act"), x, Activation::Relu);
    let x = conv(b, x, &format!("{name}.conv"), out, [1, stride, 1]);
    b.batch_norm(&format!("{name}.bn"), x, EPS, false)
}

/// Two separable convolutions, each behind a ReLU, the first with a stride; in the stem the first already has the
/// output's channels. `[out, kernel, stride]`.
pub(super) fn separables(
    b: &mut Builder,
    x: NodeId,
    name: &str,
    [out, kernel, stride]: [usize; 3],
    stem: bool,
) -> NodeId {
    let input = b.channels(x);
    let middle = if stem { out } else { input };
    let mut x = x;
    for (i, (out, stride)) in [(middle, stride), (out, 1)].into_iter().enumerate() {
        let path = |part: &str| format!("{name}.{part}");
        let groups = b.channels(x);
        let window = Window::square(kernel, stride, Padding::Same);
        x = b.activation(&path(&format!("act_{}", i + 1)), x, Activation::Relu);
        let spec = ConvSpec { out: groups, groups, bias: false, window };
        x = b.conv(&path(&format!("separable_{}.depthwise_conv2d", i + 1)), x, spec);
        x = conv(b, x, &path(&format!("separable_{}.pointwise_conv2d", i + 1)), out, [1, 1, 1]);
        x = b.batch_norm(&path(&format!("bn_sep_{}", i + 1)), x, EPS, false);
    }
    x
}

/// A 3×3 maximum.
pub(super) fn maximum(b: &mut Builder, x: NodeId, name: &str, stride: usize) -> NodeId {
    b.pool(name, x, PoolKind::Max, Window::square(3, stride, Padding::Same))
}

/// A 3×3 mean. timm's leaves padding out of the divisor where it does not stride; where it does, the padding is part of
/// the map by then and counts.
pub(super) fn mean(b: &mut Builder, x: NodeId, name: &str, stride: usize) -> NodeId {
    b.pool(name, x, average(stride > 1), Window::square(3, stride, Padding::Same))
}

/// Half the resolution by two paths that take every other pixel, the second those one further down and to the right;
/// each makes `out` channels: `NAME.path_1.conv`, `NAME.path_2.conv`, `NAME.final_path_bn`.
pub(super) fn factorized(b: &mut Builder, x: NodeId, name: &str, out: usize) -> NodeId {
    let path = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    let x = b.activation(&path("act"), x, Activation::Relu);
    let every_other = Window::square(1, 2, Padding::all(0));
    let first = b.pool(&path("path_1.avgpool"), x, average(true), every_other);
    let first = conv(b, first, &path("path_1.conv"), out, [1, 1, 1]);
    // In this order a map of one pixel, too, is left with one: of padding.
    let second = b.pad(&path("path_2.pad"), x, [0, 1, 0, 1], PadMode::Zero);
    let second = b.crop(&path("path_2.crop"), second, [1, 0, 1, 0]);
    let second = b.pool(&path("path_2.avgpool"), second, average(true), every_other);
    let second = conv(b, second, &path("path_2.conv"), out, [1, 1, 1]);
    let x = b.concat(&path("path.cat"), &[first, second]);
    b.batch_norm(&path("final_path_bn"), x, EPS, false)
}
