//! Inception-V4 (Szegedy et al., arXiv:1602.07261).
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/inception_v4.py`.

use super::inception::{max_pool, mean_pool, one, same, sequence, unit, valid};
use super::layers::classify;
use super::{Error, Family};
use crate::nn::graph::{Builder, Graph, NodeId};

pub(super) struct Config;

/// What this file offers.
pub(super) static FAMILY: Family<Config> =
    Family::new(&[("inception_v4", Config)], graph).with_label_offset(1);

const ROW: [usize; 2] = [1, 7];
const COLUMN: [usize; 2] = [7, 1];

fn graph(name: &str, _: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut builder, x) = Builder::new(name, 3, classes);
    let b = &mut builder;
    let x = unit(b, x, "features.0", valid(32, 2));
    let x = unit(b, x, "features.1", valid(32, 1));
    let x = unit(b, x, "features.2", same(64, [3, 3]));
    b.tap(x, "stem");
    let y = [max_pool(b, x, "features.3.maxpool"), unit(b, x, "features.3.conv", valid(96, 2))];
    let x = b.concat("features.3.cat", &y);
    b.tap(x, "stage1");
    let long = [one(64), same(64, ROW), same(64, COLUMN), valid(96, 1)];
    let y = [
        sequence(b, x, "features.4.branch0", &[one(64), valid(96, 1)]),
        sequence(b, x, "features.4.branch1", &long),
    ];
    let x = b.concat("features.4.cat", &y);
    let y = [unit(b, x, "features.5.conv", valid(192, 2)), max_pool(b, x, "features.5.maxpool")];
    let x = b.concat("features.5.cat", &y);
    let x = (6..10).fold(x, |x, i| block_a(b, x, &format!("features.{i}")));
    b.tap(x, "stage2");
    let y = [
        unit(b, x, "features.10.branch0", valid(384, 2)),
        sequence(b, x, "features.10.branch1", &[one(192), same(224, [3, 3]), valid(256, 2)]),
        max_pool(b, x, "features.10.branch2"),
    ];
    let x = b.concat("features.10.cat", &y);
    let x = (11..18).fold(x, |x, i| block_b(b, x, &format!("features.{i}")));
    b.tap(x, "stage3");
    let y = [
        sequence(b, x, "features.18.branch0", &[one(192), valid(192, 2)]),
        sequence(b, x, "features.18.branch1", &[one(256), same(256, ROW), same(320, COLUMN), valid(320, 2)]),
        max_pool(b, x, "features.18.branch2"),
    ];
    let x = b.concat("features.18.cat", &y);
    let x = (19..22).fold(x, |x, i| block_c(b, x, &format!("features.{i}")));
    b.tap(x, "stage4");
    classify(b, x, "last_linear", classes);
    Ok(builder.finish("last_linear", "features.0.conv")?)
}

/// The branch behind a mean: `NAME.branch3.1`.
fn pooled(b: &mut Builder, x: NodeId, name: &str, out: usize) -> NodeId {
    let x = mean_pool(b, x, &format!("{name}.branch3.0"), false);
    unit(b, x, &format!("{name}.branch3.1"), one(out))
}

fn block_a(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let y = [
        unit(b, x, &path("branch0"), one(96)),
        sequence(b, x, &path("branch1"), &[one(64), same(96, [3, 3])]),
        sequence(b, x, &path("branch2"), &[one(64), same(96, [3, 3]), same(96, [3, 3])]),
        pooled(b, x, name, 96),
    ];
    b.concat(&path("cat"), &y)
}

fn block_b(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let long = [one(192), same(192, COLUMN), same(224, ROW), same(224, COLUMN), same(256, ROW)];
    let y = [
        unit(b, x, &path("branch0"), one(384)),
        sequence(b, x, &path("branch1"), &[one(192), same(224, ROW), same(256, COLUMN)]),
        sequence(b, x, &path("branch2"), &long),
        pooled(b, x, name, 128),
    ];
    b.concat(&path("cat"), &y)
}

fn block_c(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let (row, column) = ([1, 3], [3, 1]);
    let single = unit(b, x, &path("branch0"), one(256));
    let y = unit(b, x, &path("branch1_0"), one(384));
    let fork =
        [unit(b, y, &path("branch1_1a"), same(256, row)), unit(b, y, &path("branch1_1b"), same(256, column))];
    let short = b.concat(&path("branch1.cat"), &fork);
    let y = unit(b, x, &path("branch2_0"), one(384));
    let y = unit(b, y, &path("branch2_1"), same(448, column));
    let y = unit(b, y, &path("branch2_2"), same(512, row));
    let fork =
        [unit(b, y, &path("branch2_3a"), same(256, row)), unit(b, y, &path("branch2_3b"), same(256, column))];
    let long = b.concat(&path("branch2.cat"), &fork);
    let pooled = pooled(b, x, name, 256);
    b.concat(&path("cat"), &[single, short, long, pooled])
}
