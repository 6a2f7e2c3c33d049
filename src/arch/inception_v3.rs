//! Inception-V3 (Szegedy et al., arXiv:1512.00567), also as trained by TensorFlow, Gluon and adversarially.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/inception_v3.py`. Published files may have the
//! auxiliary head of training, `AuxLogits`, which timm drops; those that came from TensorFlow have a background class.

use super::inception::{Unit, chain, max_pool, mean_pool, one, same, unit, valid};
use super::layers::classify;
use super::{Error, Family};
use crate::nn::graph::{Builder, Graph, NodeId};

pub(super) struct Config;

/// What this file offers.
pub(super) static FAMILY: Family<Config> =
    Family::new(&[("inception_v3", Config)], graph).with_label_offset(1);

fn graph(name: &str, _: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut builder, x) = Builder::new(name, 3, classes);
    let b = &mut builder;
    let x = unit(b, x, "Conv2d_1a_3x3", valid(32, 2));
    let x = unit(b, x, "Conv2d_2a_3x3", valid(32, 1));
    let x = unit(b, x, "Conv2d_2b_3x3", same(64, [3, 3]));
    b.tap(x, "stem");
    let x = max_pool(b, x, "Pool1");
    let x = unit(b, x, "Conv2d_3b_1x1", one(80));
    let x = unit(b, x, "Conv2d_4a_3x3", valid(192, 1));
    b.tap(x, "stage1");
    let x = max_pool(b, x, "Pool2");
    let x = block_a(b, x, "Mixed_5b", 32);
    let x = block_a(b, x, "Mixed_5c", 64);
    let x = block_a(b, x, "Mixed_5d", 64);
    b.tap(x, "stage2");
    let x = block_b(b, x, "Mixed_6a");
    let x = block_c(b, x, "Mixed_6b", 128);
    let x = block_c(b, x, "Mixed_6c", 160);
    let x = block_c(b, x, "Mixed_6d", 160);
    let x = block_c(b, x, "Mixed_6e", 192);
    b.tap(x, "stage3");
    let x = block_d(b, x, "Mixed_7a");
    let x = block_e(b, x, "Mixed_7b");
    let x = block_e(b, x, "Mixed_7c");
    b.tap(x, "stage4");
    b.ignore("AuxLogits.");
    classify(b, x, "fc", classes);
    Ok(builder.finish("fc", "Conv2d_1a_3x3.conv")?)
}

/// `NAME_1`, `NAME_2` ….
fn branch(b: &mut Builder, x: NodeId, name: &str, units: &[Unit]) -> NodeId {
    let units: Vec<_> = units.iter().enumerate().map(|(i, u)| (format!("{name}_{}", i + 1), *u)).collect();
    chain(b, x, &units)
}

/// The branch behind a mean.
fn pooled(b: &mut Builder, x: NodeId, name: &str, out: usize) -> NodeId {
    let x = mean_pool(b, x, &format!("{name}.pool"), true);
    unit(b, x, &format!("{name}.branch_pool"), one(out))
}

fn block_a(b: &mut Builder, x: NodeId, name: &str, pool: usize) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let y = [
        unit(b, x, &path("branch1x1"), one(64)),
        branch(b, x, &path("branch5x5"), &[one(48), same(64, [5, 5])]),
        branch(b, x, &path("branch3x3dbl"), &[one(64), same(96, [3, 3]), same(96, [3, 3])]),
        pooled(b, x, name, pool),
    ];
    b.concat(&path("cat"), &y)
}

fn block_b(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let y = [
        unit(b, x, &path("branch3x3"), valid(384, 2)),
        branch(b, x, &path("branch3x3dbl"), &[one(64), same(96, [3, 3]), valid(96, 2)]),
        max_pool(b, x, &path("pool")),
    ];
    b.concat(&path("cat"), &y)
}

fn block_c(b: &mut Builder, x: NodeId, name: &str, c7: usize) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let (row, column) = ([1, 7], [7, 1]);
    let double = [one(c7), same(c7, column), same(c7, row), same(c7, column), same(192, row)];
    let y = [
        unit(b, x, &path("branch1x1"), one(192)),
        branch(b, x, &path("branch7x7"), &[one(c7), same(c7, row), same(192, column)]),
        branch(b, x, &path("branch7x7dbl"), &double),
        pooled(b, x, name, 192),
    ];
    b.concat(&path("cat"), &y)
}

fn block_d(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let y = [
        branch(b, x, &path("branch3x3"), &[one(192), valid(320, 2)]),
        branch(b, x, &path("branch7x7x3"), &[one(192), same(192, [1, 7]), same(192, [7, 1]), valid(192, 2)]),
        max_pool(b, x, &path("pool")),
    ];
    b.concat(&path("cat"), &y)
}

fn block_e(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let single = unit(b, x, &path("branch1x1"), one(320));
    let y = unit(b, x, &path("branch3x3_1"), one(384));
    let wide = fork(b, y, &path("branch3x3_2"));
    let y = branch(b, x, &path("branch3x3dbl"), &[one(448), same(384, [3, 3])]);
    let double = fork(b, y, &path("branch3x3dbl_3"));
    let pooled = pooled(b, x, name, 192);
    b.concat(&path("cat"), &[single, wide, double, pooled])
}

/// A 1×3 and a 3×1 convolution side by side: `NAMEa`, `NAMEb`.
fn fork(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let y = [
        unit(b, x, &format!("{name}a"), same(384, [1, 3])),
        unit(b, x, &format!("{name}b"), same(384, [3, 1])),
    ];
    b.concat(&format!("{name}.cat"), &y)
}
