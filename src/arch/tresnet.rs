//! TResNet (Ridnik et al., arXiv:2003.13630): blocks of pixels for a stem, anti-aliased strides, squeeze-excite in three
//! stages.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/tresnet.py`. The published files have other
//! names, and their norms' weights are those of an in-place norm (Inplace-ABN), which count without their sign.

use super::layers::{ConvNormAct, average, classify, squeeze_excite};
use super::{Error, Family, Renamed};
use crate::nn::graph::{Activation, Builder, Graph, NodeId, Padding, Window};

pub(super) struct Config {
    layers: [usize; 4],
    width: f64,
}

const VARIANTS: &[(&str, Config)] = &[
    ("tresnet_m", Config { layers: [3, 4, 11, 3], width: 1.0 }),
    ("tresnet_l", Config { layers: [4, 5, 18, 3], width: 1.2 }),
    ("tresnet_xl", Config { layers: [4, 5, 24, 3], width: 1.3 }),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph).with_filter(checkpoint_filter);

/// What an in-place norm adds to the magnitude of its weight.
const ABN_EPS: f64 = 1e-5;

/// timm's `checkpoint_filter_fn`: a convolution and its norm are the parts 0 and 1 of a layer, which is the first part of
/// another where a blur follows it.
fn checkpoint_filter(name: &str) -> Option<Renamed> {
    let mut parts: Vec<&str> = name.split('.').collect();
    let numbered = |part: &str, word: &str| {
        part.strip_prefix(word).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let layer = parts.iter().rposition(|part| numbered(part, "conv") || *part == "downsample")?;
    // Behind a convolution's name comes its part, or that of the layer in front of the blur and then its part; behind
    // the shortcut's the number of its layer.
    let at = match (parts.get(layer)?, parts.get(layer + 1..)?) {
        (&"downsample", [number, _, _]) if numbered(number, "") => layer + 2,
        (&"downsample", _) => return None,
        (_, ["0", "0" | "1", _]) => {
            parts.remove(layer + 1);
            layer + 1
        }
        (_, [_, _]) => layer + 1,
        _ => return None,
    };
    let (part, leaf) = (parts.get(at).copied()?, parts.get(at + 1).copied()?);
    let timms = match part {
        "0" => "conv",
        "1" => "bn",
        _ => return None,
    };
    if let Some(part) = parts.get_mut(at) {
        *part = timms;
    }
    let magnitude_plus = (timms == "bn" && leaf == "weight").then_some(ABN_EPS);
    Some(Renamed { magnitude_plus, ..Renamed::to(parts.join(".")) })
}

/// Inside of blocks; the stem's slope is torch's default.
const ACT: Option<Activation> = Some(Activation::LeakyRelu(1e-3));

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let width = (64.0 * config.width) as usize;
    let x = b.space_to_depth("body.s2d", x, 4);
    let stem = ConvNormAct::new(width, 3, 1).act(Some(Activation::LeakyRelu(0.01)));
    let mut x = stem.add(&mut b, x, "body.conv1");
    b.tap(x, "stem");
    for (stage, &blocks) in config.layers.iter().enumerate() {
        for i in 0..blocks {
            let block = Block {
                planes: width << stage,
                bottleneck: stage >= 2,
                stride: if i == 0 && stage > 0 { 2 } else { 1 },
                squeeze: stage < 3,
            };
            x = block.add(&mut b, x, &format!("body.layer{}.{i}", stage + 1));
        }
        b.tap(x, &format!("stage{}", stage + 1));
    }
    classify(&mut b, x, "head.fc", classes);
    Ok(b.finish("head.fc", "body.conv1.conv")?)
}

struct Block {
    planes: usize,
    bottleneck: bool,
    stride: usize,
    squeeze: bool,
}

impl Block {
    fn add(&self, b: &mut Builder, x: NodeId, name: &str) -> NodeId {
        let path = |part: &str| format!("{name}.{part}");
        let out = self.planes * if self.bottleneck { 4 } else { 1 };
        let shortcut =
            if self.stride != 1 || b.channels(x) != out { self.project(b, x, name, out) } else { x };
        let y = if self.bottleneck {
            let y = ConvNormAct::new(self.planes, 1, 1).act(ACT).add(b, x, &path("conv1"));
            let mut y = self.three(b, y, &path("conv2"));
            if self.squeeze {
                y = squeeze_excite(b, y, &path("se"), (out / 8).max(64));
            }
            ConvNormAct::new(out, 1, 1).linear(true).add(b, y, &path("conv3"))
        } else {
            let y = self.three(b, x, &path("conv1"));
            let y = ConvNormAct::new(out, 3, 1).linear(true).add(b, y, &path("conv2"));
            squeeze_excite(b, y, &path("se"), (out / 4).max(64))
        };
        let y = b.add(&path("add"), &[y, shortcut]);
        b.activation(&path("act"), y, Activation::Relu)
    }

    /// A 3×3 convolution, behind which a blur strides.
    fn three(&self, b: &mut Builder, x: NodeId, name: &str) -> NodeId {
        let x = ConvNormAct::new(self.planes, 3, 1).act(ACT).add(b, x, name);
        if self.stride == 2 { b.blur_pool(&format!("{name}.aa"), x, 3, 2) } else { x }
    }

    /// The shortcut where resolution or channels change.
    fn project(&self, b: &mut Builder, x: NodeId, name: &str, out: usize) -> NodeId {
        let project = ConvNormAct::new(out, 1, 1).act(None);
        if self.stride == 1 {
            return project.add(b, x, &format!("{name}.downsample.0"));
        }
        let window = Window { ceil: true, ..Window::square(2, 2, Padding::all(0)) };
        let x = b.pool(&format!("{name}.downsample.0"), x, average(false), window);
        project.add(b, x, &format!("{name}.downsample.1"))
    }
}
