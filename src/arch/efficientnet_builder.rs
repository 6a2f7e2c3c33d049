//! Block strings such as `ir_r2_k5_s2_e6_c40_se0.25`: reading them, scaling their depth and rounding
//! their channels.
//!
//! In: timm's definition strings, one slice of strings a stage. Out: [`Block`]s, a list a stage. Called
//! by the efficientnet and mobilenetv3 files. Source: `timm/models/_efficientnet_builder.py`, after
//! mnasnet's in `tensorflow/tpu`.

use super::Error;
use crate::nn::graph::Activation;

/// What a block is built as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockType {
    /// `ir`: expand, depthwise, project (MobileNet-V2's inverted residual).
    InvertedResidual,
    /// `ds`: depthwise, project.
    DepthwiseSeparable,
    /// `er`: a dense expansion, project (EdgeTPU).
    EdgeResidual,
    /// `cn`: convolution, norm, activation.
    ConvNormAct,
}

/// One block, as its string says. Channels are before rounding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) kind: BlockType,
    /// `k`: kernel sizes of the main convolution; several are mixed over groups of channels.
    pub(super) kernels: Vec<usize>,
    /// `a`: kernel sizes of the expansion.
    pub(super) expand_kernels: Vec<usize>,
    /// `p`: kernel sizes of the projection.
    pub(super) project_kernels: Vec<usize>,
    /// `s`
    pub(super) stride: usize,
    /// `e`: expansion ratio.
    pub(super) expand: f64,
    /// `c`: output channels.
    pub(super) out: usize,
    /// `se`: squeeze ratio; 0 for none.
    pub(super) se: f64,
    /// `skip` or `noskip`, where either is said.
    pub(super) skip: Option<bool>,
    /// `n`: the block's own activation.
    pub(super) act: Option<Activation>,
    /// `fc`: channels to take the expansion from, whatever comes in; 0 for those that come in.
    pub(super) force_in: usize,
    /// `cc`: experts whose filters are mixed for each image; 0 for ordinary convolutions.
    pub(super) experts: usize,
}

/// How often a block string is repeated when a network gets deeper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Depth {
    pub(super) multiplier: f64,
    /// Round a stage's length to the nearest instead of up (MixNet).
    pub(super) round: bool,
    /// Leave the first and the last stage alone (lite, MobileNet-V2 110d and 120d).
    pub(super) fix_first_last: bool,
}

/// The nearest multiple of `divisor`, but not more than a tenth below `channels` (timm's
/// `make_divisible`).
pub(super) fn make_divisible(channels: f64, divisor: usize) -> usize {
    let d = divisor as f64;
    let rounded = (((channels + d / 2.0) / d).floor() * d).max(d);
    (if rounded < 0.9 * channels { rounded + d } else { rounded }) as usize
}

/// timm's `round_channels`: scaled by the width, to a multiple of 8.
pub(super) fn round_channels(channels: usize, width: f64) -> usize {
    make_divisible(channels as f64 * width, 8)
}

/// Reads one string: the block and how often it is repeated.
fn decode(arch: &str, text: &str) -> Result<(Block, usize), Error> {
    let wrong = |part: &str| Error::Block { arch: arch.into(), block: text.into(), part: part.into() };
    let mut parts = text.split('_');
    let kind = match parts.next() {
        Some("ir") => BlockType::InvertedResidual,
        Some("ds") => BlockType::DepthwiseSeparable,
        Some("er") => BlockType::EdgeResidual,
        Some("cn") => BlockType::ConvNormAct,
        other => return Err(wrong(other.unwrap_or_default())),
    };
    let mut block = Block {
        kind,
        kernels: vec![1],
        expand_kernels: vec![1],
        project_kernels: vec![1],
        stride: 1,
        expand: 1.0,
        out: 0,
        se: 0.0,
        skip: None,
        act: None,
        force_in: 0,
        experts: 0,
    };
    let mut repeats = 1;
    for part in parts {
        match part {
            "skip" => block.skip = Some(true),
            "noskip" => block.skip = Some(false),
            "nre" => block.act = Some(Activation::Relu),
            "nr6" => block.act = Some(Activation::Relu6),
            "nhs" => block.act = Some(Activation::HardSwish),
            "nsw" => block.act = Some(Activation::Silu),
            _ => {
                let digits = part.find(|c: char| c.is_ascii_digit()).ok_or_else(|| wrong(part))?;
                let (key, value) = part.split_at(digits);
                let count = || value.parse::<usize>().map_err(|_| wrong(part));
                let ratio = || value.parse::<f64>().map_err(|_| wrong(part));
                let list = || -> Result<Vec<usize>, Error> {
                    value.split('.').map(|k| k.parse().map_err(|_| wrong(part))).collect()
                };
                match key {
                    "r" => repeats = count()?,
                    "k" => block.kernels = list()?,
                    "a" => block.expand_kernels = list()?,
                    "p" => block.project_kernels = list()?,
                    "s" => block.stride = count()?,
                    "e" => block.expand = ratio()?,
                    "c" => block.out = count()?,
                    "se" => block.se = ratio()?,
                    "fc" => block.force_in = count()?,
                    // Inverted residuals alone have experts.
                    "cc" if kind == BlockType::InvertedResidual => block.experts = count()?,
                    _ => return Err(wrong(part)),
                }
            }
        }
    }
    Ok((block, repeats))
}

/// Scales how often the strings of one stage are repeated: the stage's total is scaled, then handed out
/// from the last string to the first, so that the first is the least likely to grow.
fn scale(repeats: &[usize], multiplier: f64, round: bool) -> Vec<usize> {
    let mut total: usize = repeats.iter().sum();
    let wanted = total as f64 * multiplier;
    // Python's round, to even on a tie.
    let mut left = if round { wanted.round_ties_even().max(1.0) } else { wanted.ceil() };
    let mut scaled: Vec<usize> = Vec::with_capacity(repeats.len());
    for &r in repeats.iter().rev() {
        let n = (r as f64 / total as f64 * left).round_ties_even().max(1.0);
        scaled.push(n as usize);
        total -= r;
        left -= n;
    }
    scaled.reverse();
    scaled
}

/// Decodes a definition: a list of blocks a stage.
pub(super) fn stages(arch: &str, definition: &[&[&str]], depth: Depth) -> Result<Vec<Vec<Block>>, Error> {
    let mut stages = Vec::with_capacity(definition.len());
    for (i, strings) in definition.iter().enumerate() {
        let decoded: Vec<_> = strings.iter().map(|s| decode(arch, s)).collect::<Result<_, _>>()?;
        let repeats: Vec<_> = decoded.iter().map(|(_, r)| *r).collect();
        let fixed = depth.fix_first_last && (i == 0 || i + 1 == definition.len());
        let repeats = scale(&repeats, if fixed { 1.0 } else { depth.multiplier }, depth.round);
        let mut stage: Vec<Block> = Vec::new();
        for ((block, _), n) in decoded.into_iter().zip(repeats) {
            stage.extend(std::iter::repeat_n(block, n));
        }
        // Only the first block of a stage may change the resolution.
        stage.iter_mut().skip(1).for_each(|b| b.stride = 1);
        stages.push(stage);
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_as_timm_reads_them() {
        let (b, r) = decode("x", "ir_r4_k3.5.7_a1.1_s2_e2.5_c200_se0.25_nsw_noskip").unwrap();
        assert_eq!((r, b.kind, b.stride, b.expand, b.out), (4, BlockType::InvertedResidual, 2, 2.5, 200));
        assert_eq!((b.kernels, b.expand_kernels), (vec![3, 5, 7], vec![1, 1]));
        assert_eq!((b.se, b.skip, b.act), (0.25, Some(false), Some(Activation::Silu)));
        // Only inverted residuals have experts.
        for bad in ["", "zz_r1", "ir_r", "ir_q3", "ir_rx", "ir_r1_k3.x", "ds_r1_k3_s1_e1_c16_cc4"] {
            assert!(matches!(decode("x", bad), Err(Error::Block { .. })), "{bad}");
        }
    }

    #[test]
    fn depth_and_width_scale_as_timm_does() {
        assert_eq!(scale(&[4], 5.3, false), [22]);
        assert_eq!(scale(&[1, 3], 1.8, false), [2, 6]);
        assert_eq!(scale(&[1, 1], 1.2, true), [1, 1]);
        // The tenth: 1.1 × 40 = 44 lies between 40 and 48, 1.1 × 16 = 17.6 goes to 16.
        assert_eq!([40, 16, 32].map(|c| round_channels(c, 1.1)), [48, 16, 32]);
        assert_eq!(make_divisible(11.0, 8), 16);
    }
}
