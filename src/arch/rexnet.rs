//! ReXNet (Han et al., arXiv:2007.00992): inverted residuals whose channels grow in every block; a shortcut adds to the
//! channels that were there before.
//!
//! In: a name. Out: a graph. Called by `arch::build`. Source: `timm/models/rexnet.py`.

use super::efficientnet_builder::make_divisible;
use super::layers::{ConvNormAct, EPS, classify, point};
use super::{Error, Family};
use crate::nn::graph::{Activation, Builder, Graph, NodeId};

pub(super) struct Config {
    /// Multiplies channels.
    width: f64,
}

const VARIANTS: &[(&str, Config)] = &[
    ("rexnet_100", Config { width: 1.0 }),
    ("rexnet_130", Config { width: 1.3 }),
    ("rexnet_150", Config { width: 1.5 }),
    ("rexnet_200", Config { width: 2.0 }),
];

/// What this file offers.
pub(super) static FAMILY: Family<Config> = Family::new(VARIANTS, graph);

/// Blocks a stage, and the stride of the first.
const STAGES: [(usize, usize); 6] = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (5, 2)];
/// Channels of the first block, before scaling, and how many more the last has.
const CHANNELS: [f64; 2] = [16.0, 180.0];
/// Squeeze-excite's share of the expanded channels, from the third stage on.
const SQUEEZE: f64 = 1.0 / 12.0;

fn graph(name: &str, config: &Config, classes: usize) -> Result<Graph, Error> {
    let (mut b, x) = Builder::new(name, 3, classes);
    let scaled = |channels: f64| make_divisible((channels * config.width).round_ties_even(), 1);
    let silu = Some(Activation::Silu);
    let mut x = ConvNormAct::new(scaled(32.0), 3, 2).act(silu).add(&mut b, x, "stem");
    let depth: usize = STAGES.iter().map(|(blocks, _)| blocks).sum();
    let [mut channels, growth] = CHANNELS;
    let (mut index, mut level) = (0, 0);
    for (stage, (blocks, stride)) in STAGES.into_iter().enumerate() {
        for i in 0..blocks {
            let stride = if i == 0 { stride } else { 1 };
            if stride > 1 {
                let tap = if level == 0 { "stem".to_owned() } else { format!("stage{level}") };
                b.tap(x, &tap);
                level += 1;
            }
            let block = Block {
                out: scaled(channels),
                stride,
                expand: if stage == 0 { 1 } else { 6 },
                squeeze: if stage < 2 { 0.0 } else { SQUEEZE },
            };
            x = block.add(&mut b, x, &format!("features.{index}"));
            channels += growth / depth as f64;
            index += 1;
        }
    }
    b.tap(x, &format!("stage{level}"));
    let head = make_divisible(1280.0 * config.width, 1);
    let x = ConvNormAct::new(head, 1, 1).act(silu).add(&mut b, x, &format!("features.{index}"));
    classify(&mut b, x, "head.fc", classes);
    Ok(b.finish("head.fc", "stem.conv")?)
}

struct Block {
    out: usize,
    stride: usize,
    expand: usize,
    /// Squeeze-excite's share of the expanded channels; 0 for none.
    squeeze: f64,
}

impl Block {
    fn add(&self, b: &mut Builder, x: NodeId, name: &str) -> NodeId {
        let path = |part: &str| format!("{name}.{part}");
        let input = b.channels(x);
        let shortcut = self.stride == 1 && input <= self.out;
        let mid = input * self.expand;
        let mut y = x;
        if self.expand > 1 {
            y = ConvNormAct::new(mid, 1, 1).act(Some(Activation::Silu)).add(b, y, &path("conv_exp"));
        }
        y = ConvNormAct::new(mid, 3, self.stride).groups(mid).act(None).add(b, y, &path("conv_dw"));
        if self.squeeze > 0.0 {
            y = squeeze_excite(b, y, &path("se"), (mid as f64 * self.squeeze) as usize);
        }
        y = b.activation(&path("act_dw"), y, Activation::Relu6);
        y = ConvNormAct::new(self.out, 1, 1).linear(shortcut).add(b, y, &path("conv_pwl"));
        match self.out - input.min(self.out) {
            _ if !shortcut => y,
            0 => b.add(&path("add"), &[y, x]),
            grown => {
                let old = b.slice(&path("old"), y, 0, input);
                let new = b.slice(&path("new"), y, input, grown);
                let old = b.add(&path("add"), &[old, x]);
                b.concat(&path("cat"), &[old, new])
            }
        }
    }
}

/// Squeeze-excite with a norm before its ReLU.
fn squeeze_excite(b: &mut Builder, x: NodeId, name: &str, reduced: usize) -> NodeId {
    let channels = b.channels(x);
    let gate = b.global_average_pool(&format!("{name}.mean"), x);
    let gate = b.conv(&format!("{name}.fc1"), gate, point(reduced));
    let gate = b.batch_norm(&format!("{name}.bn"), gate, EPS, false);
    let gate = b.activation(&format!("{name}.act"), gate, Activation::Relu);
    let gate = b.conv(&format!("{name}.fc2"), gate, point(channels));
    let gate = b.activation(&format!("{name}.gate"), gate, Activation::Sigmoid);
    b.mul(&format!("{name}.mul"), x, gate)
}
