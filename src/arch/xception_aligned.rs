//! Aligned Xception (Chen et al., arXiv:1802.02611): modules of three separable convolutions, the last of which strides.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/xception_aligned.py`.

use super::layers::{ConvNormAct, classify, conv};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId};

pub(super) struct Config {
    /// Channels and stride of the entry flow's modules.
    entry: &'static [(usize, usize)],
    /// Modules of the middle flow.
    middle: usize,
}

const ENTRY: &[(usize, usize)] = &[(128, 2), (256, 2), (728, 2)];
const LONG_ENTRY: &[(usize, usize)] = &[(128, 2), (256, 1), (256, 2), (728, 1), (728, 2)];

const VARIANTS: &[(&str, Config)] = &[
    ("xception41", Config { entry: ENTRY, middle: 8 }),
    ("xception65", Config { entry: ENTRY, middle: 16 }),
    ("xception71", Config { entry: LONG_ENTRY, middle: 16 }),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

/// Added to every variance.
const EPS: f32 = 1e-3;

struct Module {
    out: [usize; 3],
    stride: usize,
    /// The last: no shortcut, and ReLUs behind each convolution instead of in front of each module's.
    exit: bool,
}

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let x = ConvNormAct::new(32, 3, 2).eps(EPS).add(&mut b, x, "stem.0");
    let mut x = ConvNormAct::new(64, 3, 1).eps(EPS).add(&mut b, x, "stem.1");
    let entry = config.entry.iter().map(|&(out, stride)| Module { out: [out; 3], stride, exit: false });
    let middle = (0..config.middle).map(|_| Module { out: [728; 3], stride: 1, exit: false });
    let exit = [
        Module { out: [728, 1024, 1024], stride: 2, exit: false },
        Module { out: [1536, 1536, 2048], stride: 1, exit: true },
    ];
    let mut level = 0;
    for (i, module) in entry.chain(middle).chain(exit).enumerate() {
        x = module.add(&mut b, x, &format!("blocks.{i}"), &mut level);
    }
    b.tap(x, "stage4");
    classify(&mut b, x, "head.fc", classes);
    Ok(b.finish("head.fc", "stem.0.conv")?)
}

impl Module {
    /// Adds it; `level` counts the taps, which are where a module is about to halve the resolution.
    fn add(&self, b: &mut Builder, x: NodeId, name: &str, level: &mut usize) -> NodeId {
        let path = |part: &str| format!("{name}.{part}");
        let out = self.out[2];
        let shortcut = if self.exit {
            None
        } else if b.channels(x) != out || self.stride != 1 {
            let project = ConvNormAct::new(out, 1, self.stride).eps(EPS).act(None);
            Some(project.add(b, x, &path("shortcut")))
        } else {
            Some(x)
        };
        let mut y = x;
        for (i, &out) in self.out.iter().enumerate() {
            if !self.exit {
                y = b.activation(&path(&format!("stack.act{}", i + 1)), y, Activation::Relu);
            }
            let last = i == 2;
            if last && self.stride > 1 {
                let tap = if *level == 0 { "stem".to_owned() } else { format!("stage{level}") };
                b.tap(y, &tap);
                *level += 1;
            }
            let stride = if last { self.stride } else { 1 };
            y = self.separable(b, y, &path(&format!("stack.conv{}", i + 1)), [out, stride], last);
        }
        match shortcut {
            Some(shortcut) => b.add(&path("add"), &[y, shortcut]),
            None => y,
        }
    }

    /// A depthwise 3×3 and a 1×1 convolution, each with its norm: `[out, stride]`.
    fn separable(
        &self,
        b: &mut Builder,
        x: NodeId,
        name: &str,
        [out, stride]: [usize; 2],
        last: bool,
    ) -> NodeId {
        let act = |b: &mut Builder, x: NodeId, which: &str| {
            if self.exit { b.activation(&format!("{name}.act_{which}"), x, Activation::Relu) } else { x }
        };
        let channels = b.channels(x);
        let y = conv(b, x, &format!("{name}.conv_dw"), channels, [3, stride, channels]);
        let y = b.batch_norm(&format!("{name}.bn_dw"), y, EPS, false);
        let y = act(b, y, "dw");
        let y = conv(b, y, &format!("{name}.conv_pw"), out, [1, 1, 1]);
        let y = b.batch_norm(&format!("{name}.bn_pw"), y, EPS, last && !self.exit);
        act(b, y, "pw")
    }
}
