//! NASNet-A (Zoph et al., arXiv:1707.07012): cells found by search, each reading the two before it.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/nasnet.py`.

use super::nas_cells::{Config, act_conv_norm, factorized, head, maximum, mean, separables, stem};
use super::{Error, Family};
use crate::nn::graph::{Builder, Graph, NodeId};

/// What this file offers.
pub(super) static FAMILY: Family<Config> =
    Family::new(&[("nasnetalarge", Config { stem: 96, channels: 168 })], graph).with_label_offset(1);

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut builder, x) = Builder::new(name, 3, classes);
    let b = &mut builder;
    let c = config.channels;
    let conv0 = stem(b, x, "conv0", config);
    let stem0 = stem_cell(b, "cell_stem_0", [conv0, conv0], c / 4, true);
    let stem1 = stem_cell(b, "cell_stem_1", [conv0, stem0], c / 2, false);
    // Each cell reads the two before it; the one behind a reduction skips what the reduction skipped.
    let (mut before, mut x) = (stem0, stem1);
    for stage in 0..3 {
        let out = c << stage;
        if stage > 0 {
            let reduced = reduction_cell(b, &format!("reduction_cell_{}", stage - 1), [x, before], out);
            x = reduced;
        }
        for i in 0..6 {
            let name = format!("cell_{}", 6 * stage + i);
            let y = cell(b, &name, [x, before], out, i == 0);
            (before, x) = (x, y);
        }
    }
    // timm's features are what the next cell begins with.
    for (at, tap) in
        [("cell_stem_1", "stage1"), ("reduction_cell_0", "stage2"), ("reduction_cell_1", "stage3")]
    {
        b.tap_named(&format!("{at}.conv_1x1.act"), tap);
    }
    head(b, x, classes);
    Ok(builder.finish("last_linear", "conv0.conv")?)
}

/// A cell of the stem, half the resolution: reads `[previous, x]`, in the first both the same map.
fn stem_cell(b: &mut Builder, name: &str, [previous, x]: [NodeId; 2], out: usize, first: bool) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let left = act_conv_norm(b, x, &path("conv_1x1"), out, 1);
    let right = if first { previous } else { factorized(b, previous, name, out / 2) };
    reduce(b, name, left, right, out, first)
}

/// Halves the resolution between stages.
fn reduction_cell(b: &mut Builder, name: &str, [x, previous]: [NodeId; 2], out: usize) -> NodeId {
    let left = act_conv_norm(b, previous, &format!("{name}.conv_prev_1x1"), out, 1);
    let right = act_conv_norm(b, x, &format!("{name}.conv_1x1"), out, 1);
    reduce(b, name, right, left, out, false)
}

/// What all reducing cells do with their two inputs.
fn reduce(b: &mut Builder, name: &str, left: NodeId, right: NodeId, out: usize, stem: bool) -> NodeId {
    let path = |part: &str| format!("{name}.comb_iter_{part}");
    let sum = |b: &mut Builder, i: usize, pair: [NodeId; 2]| b.add(&format!("{name}.comb_iter_{i}"), &pair);
    let pair = [
        separables(b, left, &path("0_left"), [out, 5, 2], false),
        separables(b, right, &path("0_right"), [out, 7, 2], stem),
    ];
    let zero = sum(b, 0, pair);
    let pair =
        [maximum(b, left, &path("1_left"), 2), separables(b, right, &path("1_right"), [out, 7, 2], stem)];
    let one = sum(b, 1, pair);
    let pair = [mean(b, left, &path("2_left"), 2), separables(b, right, &path("2_right"), [out, 5, 2], stem)];
    let two = sum(b, 2, pair);
    let smooth = mean(b, zero, &path("3_right"), 1);
    let three = sum(b, 3, [smooth, one]);
    let pair =
        [separables(b, zero, &path("4_left"), [out, 3, 1], false), maximum(b, left, &path("4_right"), 2)];
    let four = sum(b, 4, pair);
    b.concat(&format!("{name}.cat"), &[one, two, three, four])
}

/// A cell that keeps the resolution; the first of a stage brings the earlier of its inputs to it.
fn cell(b: &mut Builder, name: &str, [x, previous]: [NodeId; 2], out: usize, first: bool) -> NodeId {
    let path = |part: &str| format!("{name}.comb_iter_{part}");
    let from = b.weights();
    let left = if first {
        factorized(b, previous, name, out / 2)
    } else {
        act_conv_norm(b, previous, &format!("{name}.conv_prev_1x1"), out, 1)
    };
    let right = act_conv_norm(b, x, &format!("{name}.conv_1x1"), out, 1);
    // timm's state dict has the first cell's own input first.
    b.sort_weights(from, |weight| first && !weight.contains(".conv_1x1."));
    let sum = |b: &mut Builder, i: usize, pair: [NodeId; 2]| b.add(&format!("{name}.comb_iter_{i}"), &pair);
    let pair = [
        separables(b, right, &path("0_left"), [out, 5, 1], false),
        separables(b, left, &path("0_right"), [out, 3, 1], false),
    ];
    let zero = sum(b, 0, pair);
    let pair = [
        separables(b, left, &path("1_left"), [out, 5, 1], false),
        separables(b, left, &path("1_right"), [out, 3, 1], false),
    ];
    let one = sum(b, 1, pair);
    let smooth = mean(b, right, &path("2_left"), 1);
    let two = sum(b, 2, [smooth, left]);
    let pair = [mean(b, left, &path("3_left"), 1), mean(b, left, &path("3_right"), 1)];
    let three = sum(b, 3, pair);
    let y = separables(b, right, &path("4_left"), [out, 3, 1], false);
    let four = sum(b, 4, [y, right]);
    b.concat(&format!("{name}.cat"), &[left, zero, one, two, three, four])
}
