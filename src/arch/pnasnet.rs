//! PNASNet-5 (Liu et al., arXiv:1712.00559): one cell, found by a progressive search.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/pnasnet.py`.

use super::layers::conv;
use super::nas_cells::{Config, EPS, act_conv_norm, factorized, head, maximum, separables, stem};
use super::{Error, Family};
use crate::nn::graph::{Builder, Graph, NodeId};

/// What this file offers.
pub(super) static FAMILY: Family<Config> =
    Family::new(&[("pnasnet5large", Config { stem: 96, channels: 216 })], graph).with_label_offset(1);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut builder, x) = Builder::new(name, 3, classes);
    let b = &mut builder;
    let c = config.channels;
    let conv0 = stem(b, x, "conv_0", config);
    let right = act_conv_norm(b, conv0, "cell_stem_0.conv_1x1", c / 4, 1);
    let stem0 = combine(b, "cell_stem_0", [conv0, right], c / 4, 2, true);
    let stem1 = cell(b, "cell_stem_1", [conv0, stem0], c / 2, [true, true]);
    let (mut before, mut x) = (stem0, stem1);
    for i in 0..12 {
        // The first stage has the resolution of its input; the others' first cell halves it, and the one behind it
        // brings the earlier of its inputs to it.
        let (stage, reduces) = (i / 4, i == 4 || i == 8);
        let matches = i == 0 || i == 5 || i == 9;
        let y = cell(b, &format!("cell_{i}"), [before, x], c << stage, [reduces, matches]);
        (before, x) = (x, y);
    }
    // timm's features are what the next cell begins with.
    for (at, tap) in [("cell_stem_1", "stage1"), ("cell_4", "stage2"), ("cell_8", "stage3")] {
        b.tap_named(&format!("{at}.conv_1x1.act"), tap);
    }
    head(b, x, classes);
    Ok(builder.finish("last_linear", "conv_0.conv")?)
}

fn cell(
    b: &mut Builder,
    name: &str,
    [left, right]: [NodeId; 2],
    out: usize,
    [reduces, matches]: [bool; 2],
) -> NodeId {
    let previous = format!("{name}.conv_prev_1x1");
    let left = if matches {
        factorized(b, left, &previous, out / 2)
    } else {
        act_conv_norm(b, left, &previous, out, 1)
    };
    let right = act_conv_norm(b, right, &format!("{name}.conv_1x1"), out, 1);
    combine(b, name, [left, right], out, if reduces { 2 } else { 1 }, false)
}

/// Five sums of pairs, side by side.
fn combine(
    b: &mut Builder,
    name: &str,
    [left, right]: [NodeId; 2],
    out: usize,
    stride: usize,
    stem: bool,
) -> NodeId {
    let path = |part: &str| format!("{name}.comb_iter_{part}");
    let sum = |b: &mut Builder, i: usize, pair: [NodeId; 2]| b.add(&format!("{name}.comb_iter_{i}"), &pair);
    let first = separables(b, left, &path("0_left"), [out, 5, stride], stem);
    let second = if stem {
        let y = maximum(b, left, &path("0_right.max_pool"), stride);
        let y = conv(b, y, &path("0_right.conv"), out, [1, 1, 1]);
        b.batch_norm(&path("0_right.bn"), y, EPS, false)
    } else {
        maximum(b, left, &path("0_right"), stride)
    };
    let zero = sum(b, 0, [first, second]);
    let pair = [
        separables(b, right, &path("1_left"), [out, 7, stride], false),
        maximum(b, right, &path("1_right"), stride),
    ];
    let one = sum(b, 1, pair);
    let pair = [
        separables(b, right, &path("2_left"), [out, 5, stride], false),
        separables(b, right, &path("2_right"), [out, 3, stride], false),
    ];
    let two = sum(b, 2, pair);
    let pair = [
        separables(b, two, &path("3_left"), [out, 3, 1], false),
        maximum(b, right, &path("3_right"), stride),
    ];
    let three = sum(b, 3, pair);
    let first = separables(b, left, &path("4_left"), [out, 3, stride], stem);
    let second = if stride > 1 { act_conv_norm(b, right, &path("4_right"), out, stride) } else { right };
    let four = sum(b, 4, [first, second]);
    b.concat(&format!("{name}.cat"), &[zero, one, two, three, four])
}
