//! RegNet X and Y (Radosavovic et al., arXiv:2003.13678): widths on a quantised line.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/regnet.py`.

use super::Error;
use super::layers::{EPS, classify, conv, norm_relu, squeeze_excite};
use crate::nn::graph::{Activation, Builder, Graph, NodeId};

/// Name, initial width, slope, multiplier, channels a group, blocks.
struct Variant(&'static str, usize, f64, f64, usize, usize);

#[rustfmt::skip]
const VARIANTS: &[Variant] = &[
    Variant("regnetx_002", 24, 36.44, 2.49, 8, 13),
    Variant("regnetx_004", 24, 24.48, 2.54, 16, 22),
    Variant("regnetx_006", 48, 36.97, 2.24, 24, 16),
    Variant("regnetx_008", 56, 35.73, 2.28, 16, 16),
    Variant("regnetx_016", 80, 34.01, 2.25, 24, 18),
    Variant("regnetx_032", 88, 26.31, 2.25, 48, 25),
    Variant("regnetx_040", 96, 38.65, 2.43, 40, 23),
    Variant("regnetx_064", 184, 60.83, 2.07, 56, 17),
    Variant("regnetx_080", 80, 49.56, 2.88, 120, 23),
    Variant("regnetx_120", 168, 73.36, 2.37, 112, 19),
    Variant("regnetx_160", 216, 55.59, 2.1, 128, 22),
    Variant("regnetx_320", 320, 69.86, 2.0, 168, 23),
    // Y: with squeeze-excite.
    Variant("regnety_002", 24, 36.44, 2.49, 8, 13),
    Variant("regnety_004", 48, 27.89, 2.09, 8, 16),
    Variant("regnety_006", 48, 32.54, 2.32, 16, 15),
    Variant("regnety_008", 56, 38.84, 2.4, 16, 14),
    Variant("regnety_016", 48, 20.71, 2.65, 24, 27),
    Variant("regnety_032", 80, 42.63, 2.66, 24, 21),
    Variant("regnety_040", 96, 31.41, 2.24, 64, 22),
    Variant("regnety_064", 112, 33.22, 2.27, 72, 25),
    Variant("regnety_080", 192, 76.82, 2.19, 56, 17),
    Variant("regnety_120", 168, 73.36, 2.37, 112, 19),
    Variant("regnety_160", 200, 106.23, 2.48, 112, 18),
    Variant("regnety_320", 232, 115.89, 2.53, 232, 20),
];

/// The names of this file.
pub(super) fn names() -> Vec<&'static str> {
    VARIANTS.iter().map(|v| v.0).collect()
}

/// The graph of `name`, where it is of this file.
pub(super) fn build(name: &str, classes: usize) -> Option<Result<Graph, Error>> {
    VARIANTS.iter().find(|v| v.0 == name).map(|v| Ok(graph(v, classes)))
}

/// Width, channels a group and blocks of each stage: block `i` wants `w0 + wa·i` channels, which is rounded
/// to the nearest `w0·wm^k`, to a multiple of 8, then to a multiple of the group.
fn stages(&Variant(_, w0, wa, wm, group, depth): &Variant) -> Vec<(usize, usize, usize)> {
    let mut stages: Vec<(usize, usize, usize)> = Vec::new();
    for i in 0..depth {
        let exponent = ((w0 as f64 + wa * i as f64) / w0 as f64).ln() / wm.ln();
        let width = w0 as f64 * wm.powf(exponent.round_ties_even());
        let width = (width / 8.0).round_ties_even() as usize * 8;
        match stages.last_mut() {
            Some((w, _, blocks)) if *w == width => *blocks += 1,
            _ => stages.push((width, group.min(width), 1)),
        }
    }
    for (width, group, _) in &mut stages {
        *width = (*width as f64 / *group as f64).round_ties_even() as usize * *group;
    }
    stages
}

fn graph(variant: &Variant, classes: usize) -> Graph {
    let name = variant.0;
    let (mut b, x) = Builder::new(name, 3, classes);
    let x = conv(&mut b, x, "stem.conv", 32, [3, 2, 1]);
    let mut x = norm_relu(&mut b, x, "stem.bn", "stem.bn.act");
    b.tap(x, "stem");
    let se = name.starts_with("regnety");
    for (i, (width, group, blocks)) in stages(variant).into_iter().enumerate() {
        for j in 0..blocks {
            let stride = if j == 0 { 2 } else { 1 };
            x = block(&mut b, x, &format!("s{}.b{}", i + 1, j + 1), [width, width / group, stride], se);
        }
        b.tap(x, &format!("stage{}", i + 1));
    }
    classify(&mut b, x, "head.fc", classes);
    b.finish("head.fc", "stem.conv")
}

/// A bottleneck that does not narrow: `[channels, groups, stride]`.
fn block(b: &mut Builder, x: NodeId, name: &str, [width, groups, stride]: [usize; 3], se: bool) -> NodeId {
    let path = |layer: &str| format!("{name}.{layer}");
    let input = b.channels(x);
    let y = conv(b, x, &path("conv1.conv"), width, [1, 1, 1]);
    let y = norm_relu(b, y, &path("conv1.bn"), &path("conv1.bn.act"));
    let y = conv(b, y, &path("conv2.conv"), width, [3, stride, groups]);
    let y = norm_relu(b, y, &path("conv2.bn"), &path("conv2.bn.act"));
    let y = match se {
        // A quarter of the block's input.
        true => squeeze_excite(b, y, &path("se"), (input as f64 * 0.25).round_ties_even() as usize),
        false => y,
    };
    let y = conv(b, y, &path("conv3.conv"), width, [1, 1, 1]);
    let y = b.batch_norm(&path("conv3.bn"), y, EPS, true);
    let shortcut = match stride != 1 || input != width {
        true => {
            let x = conv(b, x, &path("downsample.conv"), width, [1, stride, 1]);
            b.batch_norm(&path("downsample.bn"), x, EPS, false)
        }
        false => x,
    };
    let y = b.add(&path("add"), &[y, shortcut]);
    b.activation(&path("act3"), y, Activation::Relu)
}
