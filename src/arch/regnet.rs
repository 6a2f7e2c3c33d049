//! RegNet X and Y (Radosavovic et al., arXiv:2003.13678): widths on a quantised line.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/regnet.py`.

use super::layers::{EPS, classify, conv, norm_relu, squeeze_excite};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId};

/// Widths on a line, and what a block is.
pub(super) struct Config {
    /// `w0`: width of the line's start.
    initial: usize,
    /// `wa`: its slope, in channels a block.
    slope: f64,
    /// `wm`: the step between widths.
    multiplier: f64,
    /// Channels a group.
    group: usize,
    /// Blocks in all.
    depth: usize,
    /// Squeeze-excite (Y).
    se: bool,
}

/// An X network: `w0`, `wa`, `wm`, channels a group, blocks.
const fn x(initial: usize, slope: f64, multiplier: f64, group: usize, depth: usize) -> Config {
    Config { initial, slope, multiplier, group, depth, se: false }
}

/// A Y network: the same with squeeze-excite.
const fn y(initial: usize, slope: f64, multiplier: f64, group: usize, depth: usize) -> Config {
    Config { se: true, ..x(initial, slope, multiplier, group, depth) }
}

#[rustfmt::skip]
const VARIANTS: &[(&str, Config)] = &[
    ("regnetx_002", x(24, 36.44, 2.49, 8, 13)),
    ("regnetx_004", x(24, 24.48, 2.54, 16, 22)),
    ("regnetx_006", x(48, 36.97, 2.24, 24, 16)),
    ("regnetx_008", x(56, 35.73, 2.28, 16, 16)),
    ("regnetx_016", x(80, 34.01, 2.25, 24, 18)),
    ("regnetx_032", x(88, 26.31, 2.25, 48, 25)),
    ("regnetx_040", x(96, 38.65, 2.43, 40, 23)),
    ("regnetx_064", x(184, 60.83, 2.07, 56, 17)),
    ("regnetx_080", x(80, 49.56, 2.88, 120, 23)),
    ("regnetx_120", x(168, 73.36, 2.37, 112, 19)),
    ("regnetx_160", x(216, 55.59, 2.1, 128, 22)),
    ("regnetx_320", x(320, 69.86, 2.0, 168, 23)),
    ("regnety_002", y(24, 36.44, 2.49, 8, 13)),
    ("regnety_004", y(48, 27.89, 2.09, 8, 16)),
    ("regnety_006", y(48, 32.54, 2.32, 16, 15)),
    ("regnety_008", y(56, 38.84, 2.4, 16, 14)),
    ("regnety_016", y(48, 20.71, 2.65, 24, 27)),
    ("regnety_032", y(80, 42.63, 2.66, 24, 21)),
    ("regnety_040", y(96, 31.41, 2.24, 64, 22)),
    ("regnety_064", y(112, 33.22, 2.27, 72, 25)),
    ("regnety_080", y(192, 76.82, 2.19, 56, 17)),
    ("regnety_120", y(168, 73.36, 2.37, 112, 19)),
    ("regnety_160", y(200, 106.23, 2.48, 112, 18)),
    ("regnety_320", y(232, 115.89, 2.53, 232, 20)),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

/// Width, channels a group and blocks of each stage: block `i` wants `w0 + wa·i` channels, which is rounded
/// to the nearest `w0·wm^k`, to a multiple of 8, then to a multiple of the group.
fn stages(config: &Config) -> Vec<(usize, usize, usize)> {
    let &Config { initial: w0, slope: wa, multiplier: wm, group, depth, .. } = config;
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

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let x = conv(&mut b, x, "stem.conv", 32, [3, 2, 1]);
    let mut x = norm_relu(&mut b, x, "stem.bn", "stem.bn.act");
    b.tap(x, "stem");
    for (i, (width, group, blocks)) in stages(config).into_iter().enumerate() {
        for j in 0..blocks {
            let stride = if j == 0 { 2 } else { 1 };
            x = block(
                &mut b,
                x,
                &format!("s{}.b{}", i + 1, j + 1),
                [width, width / group, stride],
                config.se,
            );
        }
        b.tap(x, &format!("stage{}", i + 1));
    }
    classify(&mut b, x, "head.fc", classes);
    Ok(b.finish("head.fc", "stem.conv")?)
}

/// A bottleneck that does not narrow: `[channels, groups, stride]`.
fn block(b: &mut Builder, x: NodeId, name: &str, [width, groups, stride]: [usize; 3], se: bool) -> NodeId {
    let path = |layer: &str| format!("{name}.{layer}");
    let input = b.channels(x);
    let y = conv(b, x, &path("conv1.conv"), width, [1, 1, 1]);
    let y = norm_relu(b, y, &path("conv1.bn"), &path("conv1.bn.act"));
    let y = conv(b, y, &path("conv2.conv"), width, [3, stride, groups]);
    let y = norm_relu(b, y, &path("conv2.bn"), &path("conv2.bn.act"));
    let y = if se {
        // A quarter of the block's input.
        squeeze_excite(b, y, &path("se"), (input as f64 * 0.25).round_ties_even() as usize)
    } else {
        y
    };
    let y = conv(b, y, &path("conv3.conv"), width, [1, 1, 1]);
    let y = b.batch_norm(&path("conv3.bn"), y, EPS, true);
    let shortcut = if stride != 1 || input != width {
        let x = conv(b, x, &path("downsample.conv"), width, [1, stride, 1]);
        b.batch_norm(&path("downsample.bn"), x, EPS, false)
    } else {
        x
    };
    let y = b.add(&path("add"), &[y, shortcut]);
    b.activation(&path("act3"), y, Activation::Relu)
}
