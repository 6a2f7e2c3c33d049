//! BiT, big transfer (Kolesnikov et al., arXiv:1912.11370): pre-activation ResNets with group norm and standardised
//! weights.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/resnetv2.py`. The published `.npz` files are
//! TensorFlow's: other names, filters with channels last.

use super::layers::point;
use super::{Error, Family, Renamed};
use crate::nn::graph::{
    Activation, Builder, ConvSpec, Graph, NodeId, PadMode, Padding, PoolKind, Transform, Window,
};

pub(super) struct Config {
    layers: [usize; 4],
    /// Multiplies channels.
    width: usize,
}

const R50: [usize; 4] = [3, 4, 6, 3];
const R101: [usize; 4] = [3, 4, 23, 3];
const R152: [usize; 4] = [3, 8, 36, 3];

const VARIANTS: &[(&str, Config)] = &[
    ("resnetv2_50x1_bit", Config { layers: R50, width: 1 }),
    ("resnetv2_50x3_bit", Config { layers: R50, width: 3 }),
    ("resnetv2_101x1_bit", Config { layers: R101, width: 1 }),
    ("resnetv2_101x3_bit", Config { layers: R101, width: 3 }),
    ("resnetv2_152x2_bit", Config { layers: R152, width: 2 }),
    ("resnetv2_152x4_bit", Config { layers: R152, width: 4 }),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph).with_filter(checkpoint_filter);

/// Groups of every norm.
const GROUPS: usize = 32;
/// Added to a norm's variance, and to a filter's.
const EPS: f32 = 1e-5;
const WEIGHT_EPS: f32 = 1e-8;

/// `HWIO` to `OIHW`, for timm's.
const TO_TORCH: &[usize] = &[3, 2, 0, 1];

/// timm's `load_weights`: TensorFlow's path of a tensor, and its dimensions.
fn checkpoint_filter(name: &str) -> Option<Renamed> {
    let rest = name.strip_prefix("resnet/")?;
    let convolution =
        |name: String| Some(Renamed { permute: Some(TO_TORCH), ..Renamed::to(format!("{name}.weight")) });
    let norm = |name: &str, leaf: &str| match leaf {
        "gamma" => Some(Renamed::to(format!("{name}.weight"))),
        "beta" => Some(Renamed::to(format!("{name}.bias"))),
        _ => None,
    };
    match rest.split('/').collect::<Vec<_>>().as_slice() {
        ["root_block", "standardized_conv2d", "kernel"] => convolution("stem.conv".into()),
        ["group_norm", leaf] => norm("norm", leaf),
        ["head", "conv2d", "kernel"] => convolution("head.fc".into()),
        ["head", "conv2d", "bias"] => Some(Renamed::to("head.fc.bias".into())),
        [block, unit, "a", "proj", "standardized_conv2d", "kernel"] => {
            convolution(format!("{}.downsample.conv", at(block, unit)?))
        }
        [block, unit, part, layer, leaf] => {
            let at = at(block, unit)?;
            let number = ["a", "b", "c"].iter().position(|known| known == part)? + 1;
            match (*layer, *leaf) {
                ("standardized_conv2d", "kernel") => convolution(format!("{at}.conv{number}")),
                ("group_norm", leaf) => norm(&format!("{at}.norm{number}"), leaf),
                _ => None,
            }
        }
        _ => None,
    }
}

/// timm's name of a block: both count from one in the file.
fn at(block: &str, unit: &str) -> Option<String> {
    let stage: usize = block.strip_prefix("block")?.parse().ok()?;
    let unit: usize = unit.strip_prefix("unit")?.parse().ok()?;
    Some(format!("stages.{}.blocks.{}", stage.checked_sub(1)?, unit.checked_sub(1)?))
}

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let x = conv(&mut b, x, "stem.conv", 64 * config.width, [7, 2]);
    b.tap(x, "stem");
    // Zeros that may win the maximum.
    let x = b.pad("stem.pad", x, [1; 4], PadMode::Zero);
    let mut x = b.pool("stem.pool", x, PoolKind::Max, Window::square(3, 2, Padding::all(0)));
    for (stage, &blocks) in config.layers.iter().enumerate() {
        let out = (256 << stage) * config.width;
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            x = block(&mut b, x, &format!("stages.{stage}.blocks.{i}"), out, stride);
        }
        b.tap(x, &format!("stage{}", stage + 1));
    }
    let x = norm_act(&mut b, x, "norm", false);
    b.tap(x, "map");
    let x = b.global_average_pool("head.global_pool", x);
    b.tap(x, "pool");
    let x = b.conv("head.fc", x, point(classes));
    b.tap(x, "logits");
    Ok(b.finish("head.fc", "stem.conv")?)
}

/// A convolution of standardised weights: `[kernel, stride]`.
fn conv(b: &mut Builder, x: NodeId, name: &str, out: usize, [kernel, stride]: [usize; 2]) -> NodeId {
    let window = Window::square(kernel, stride, Padding::symmetric(kernel, stride, 1));
    let spec = ConvSpec { out, groups: 1, bias: false, window };
    b.conv_with(name, x, spec, Transform::Standardise { eps: WEIGHT_EPS })
}

fn norm_act(b: &mut Builder, x: NodeId, name: &str, zero_init_last: bool) -> NodeId {
    let x = b.group_norm(name, x, GROUPS, EPS, zero_init_last);
    b.activation(&format!("{name}.act"), x, Activation::Relu)
}

/// Norms come first; a shortcut that is projected starts behind the first of them.
fn block(b: &mut Builder, x: NodeId, name: &str, out: usize, stride: usize) -> NodeId {
    let path = |part: &str| format!("{name}.{part}");
    let (mid, from) = (out / 4, b.weights());
    let y = norm_act(b, x, &path("norm1"), false);
    let projects = stride != 1 || b.channels(x) != out;
    let shortcut = if projects { conv(b, y, &path("downsample.conv"), out, [1, stride]) } else { x };
    let y = conv(b, y, &path("conv1"), mid, [1, 1]);
    let y = norm_act(b, y, &path("norm2"), false);
    let y = conv(b, y, &path("conv2"), mid, [3, stride]);
    let y = norm_act(b, y, &path("norm3"), true);
    let y = conv(b, y, &path("conv3"), out, [1, 1]);
    // timm's state dict has the projection first.
    b.sort_weights(from, |weight| !weight.contains(".downsample."));
    b.add(&path("add"), &[y, shortcut])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The paths and dimensions of a published file, as `bit_models/BiT-M-R50x1-ILSVRC2012.npz` has them.
    fn published() -> BTreeMap<String, Vec<usize>> {
        let mut file = BTreeMap::new();
        let mut add = |name: String, shape: &[usize]| file.insert(format!("resnet/{name}"), shape.to_vec());
        add("root_block/standardized_conv2d/kernel".into(), &[7, 7, 3, 64]);
        let mut input = 64;
        for (block, units) in R50.into_iter().enumerate() {
            let out = 256 << block;
            for unit in 0..units {
                let at = format!("block{}/unit{:02}", block + 1, unit + 1);
                let mid = out / 4;
                for (part, from, to, kernel) in [("a", input, mid, 1), ("b", mid, mid, 3), ("c", mid, out, 1)]
                {
                    add(format!("{at}/{part}/standardized_conv2d/kernel"), &[kernel, kernel, from, to]);
                    for leaf in ["gamma", "beta"] {
                        add(format!("{at}/{part}/group_norm/{leaf}"), &[from]);
                    }
                }
                if unit == 0 {
                    add(format!("{at}/a/proj/standardized_conv2d/kernel"), &[1, 1, input, out]);
                }
                input = out;
            }
        }
        for leaf in ["gamma", "beta"] {
            add(format!("group_norm/{leaf}"), &[2048]);
        }
        add("head/conv2d/kernel".into(), &[1, 1, 2048, 1000]);
        add("head/conv2d/bias".into(), &[1000]);
        file
    }

    #[test]
    fn every_tensor_of_a_published_file_has_its_place() {
        let graph = super::super::build("resnetv2_50x1_bit", 1000).unwrap();
        let mut expected: BTreeMap<String, Vec<usize>> =
            graph.weights.iter().map(|w| (w.name.clone(), w.shape.clone())).collect();
        for (name, shape) in published() {
            let timm = checkpoint_filter(&name).unwrap_or_else(|| panic!("{name}"));
            let order: Vec<usize> = timm.permute.map_or((0..shape.len()).collect(), <[usize]>::to_vec);
            let permuted: Vec<usize> = order.into_iter().map(|i| shape[i]).collect();
            assert_eq!(expected.remove(&timm.name), Some(permuted), "{name} is {}", timm.name);
        }
        assert!(expected.is_empty(), "no tensor of the file is {expected:?}");
        for other in [
            "resnet/block1/unit01/d/group_norm/gamma",
            "resnet/head/conv2d/scale",
            "stem.conv.weight",
            "resnet/",
        ] {
            assert_eq!(checkpoint_filter(other), None, "{other}");
        }
    }
}
