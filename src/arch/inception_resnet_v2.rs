//! Inception-ResNet-V2 (Szegedy et al., arXiv:1602.07261): Inception modules whose output is scaled and added to their
//! input; also as trained adversarially.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/inception_resnet_v2.py`.

use super::inception::{Unit, max_pool, mean_pool, one, same, sequence, unit, valid};
use super::layers::{classify, point};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId};

pub(super) struct Config;

/// What this file offers.
pub(super) static FAMILY: Family<Config> =
    Family::new(&[("inception_resnet_v2", Config)], graph).with_label_offset(1);

/// A residual module: its first branch's channels, the others' convolutions, and the factor of what is added.
struct Module {
    first: usize,
    others: &'static [&'static [Unit]],
    scale: f32,
}

const BLOCK35: Module = Module {
    first: 32,
    others: &[&[one(32), same(32, [3, 3])], &[one(32), same(48, [3, 3]), same(64, [3, 3])]],
    scale: 0.17,
};
const BLOCK17: Module =
    Module { first: 192, others: &[&[one(128), same(160, [1, 7]), same(192, [7, 1])]], scale: 0.1 };
const BLOCK8: Module =
    Module { first: 192, others: &[&[one(192), same(224, [1, 3]), same(256, [3, 1])]], scale: 0.2 };

fn graph(name: &str, _: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut builder, x) = Builder::new(name, 3, classes);
    let b = &mut builder;
    let x = unit(b, x, "conv2d_1a", valid(32, 2));
    let x = unit(b, x, "conv2d_2a", valid(32, 1));
    let x = unit(b, x, "conv2d_2b", same(64, [3, 3]));
    b.tap(x, "stem");
    let x = max_pool(b, x, "maxpool_3a");
    let x = unit(b, x, "conv2d_3b", one(80));
    let x = unit(b, x, "conv2d_4a", valid(192, 1));
    b.tap(x, "stage1");
    let x = max_pool(b, x, "maxpool_5a");
    let x = mixed_5b(b, x);
    let x = (0..10).fold(x, |x, i| BLOCK35.add(b, x, &format!("repeat.{i}"), Some("act")));
    b.tap(x, "stage2");
    let y = [
        unit(b, x, "mixed_6a.branch0", valid(384, 2)),
        sequence(b, x, "mixed_6a.branch1", &[one(256), same(256, [3, 3]), valid(384, 2)]),
        max_pool(b, x, "mixed_6a.branch2"),
    ];
    let x = b.concat("mixed_6a.cat", &y);
    let x = (0..20).fold(x, |x, i| BLOCK17.add(b, x, &format!("repeat_1.{i}"), Some("act")));
    b.tap(x, "stage3");
    let y = [
        sequence(b, x, "mixed_7a.branch0", &[one(256), valid(384, 2)]),
        sequence(b, x, "mixed_7a.branch1", &[one(256), valid(288, 2)]),
        sequence(b, x, "mixed_7a.branch2", &[one(256), same(288, [3, 3]), valid(320, 2)]),
        max_pool(b, x, "mixed_7a.branch3"),
    ];
    let x = b.concat("mixed_7a.cat", &y);
    let x = (0..9).fold(x, |x, i| BLOCK8.add(b, x, &format!("repeat_2.{i}"), Some("relu")));
    let x = Module { scale: 1.0, ..BLOCK8 }.add(b, x, "block8", None);
    let x = unit(b, x, "conv2d_7b", one(1536));
    b.tap(x, "stage4");
    classify(b, x, "classif", classes);
    Ok(builder.finish("classif", "conv2d_1a.conv")?)
}

fn mixed_5b(b: &mut Builder, x: NodeId) -> NodeId {
    let y = [
        unit(b, x, "mixed_5b.branch0", one(96)),
        sequence(b, x, "mixed_5b.branch1", &[one(48), same(64, [5, 5])]),
        sequence(b, x, "mixed_5b.branch2", &[one(64), same(96, [3, 3]), same(96, [3, 3])]),
        {
            let y = mean_pool(b, x, "mixed_5b.branch3.0", false);
            unit(b, y, "mixed_5b.branch3.1", one(64))
        },
    ];
    b.concat("mixed_5b.cat", &y)
}

impl Module {
    fn add(&self, b: &mut Builder, x: NodeId, name: &str, act: Option<&str>) -> NodeId {
        let path = |part: &str| format!("{name}.{part}");
        let mut y = vec![unit(b, x, &path("branch0"), one(self.first))];
        for (i, units) in self.others.iter().enumerate() {
            y.push(sequence(b, x, &path(&format!("branch{}", i + 1)), units));
        }
        let y = b.concat(&path("cat"), &y);
        let channels = b.channels(x);
        let mut y = b.conv(&path("conv2d"), y, point(channels));
        if self.scale != 1.0 {
            y = b.scale(&path("scale"), y, self.scale);
        }
        let y = b.add(&path("add"), &[y, x]);
        match act {
            Some(act) => b.activation(&path(act), y, Activation::Relu),
            None => y,
        }
    }
}
