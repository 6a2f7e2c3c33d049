//! The operations, and all that follows from one and the shapes of its inputs: its output's shape, its weights,
//! its multiply-adds.
//!
//! In: input shapes. Out: an output shape, or what does not fit. Called by [`super::Builder`] as a node is wired and
//! by [`super::Graph::shapes`]; both use [`Op::infer`], so there is one truth. No `match` here or in a reader has a
//! wildcard: the compiler names every place that a new operation needs.

use super::weight::{Role, WeightId};
use super::window::Window;
use super::{Activation, PoolKind, Shape};

/// One operation. Each has exactly one output.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image batch.
    Input {
        /// Channels it must have.
        channels: usize,
    },
    /// 2-d convolution. One input.
    Conv {
        /// `[out, in / groups, kh, kw]`.
        weight: WeightId,
        /// `[out]`.
        bias: Option<WeightId>,
        /// Output channels.
        out: usize,
        /// Groups; depthwise where it equals the input's channels.
        groups: usize,
        /// Geometry.
        window: Window,
    },
    /// Batch normalisation with running statistics. One input.
    BatchNorm {
        /// Scale `[c]`.
        weight: WeightId,
        /// Shift `[c]`.
        bias: WeightId,
        /// Running mean `[c]`.
        mean: WeightId,
        /// Running variance `[c]`.
        var: WeightId,
        /// Added to the variance.
        eps: f32,
    },
    /// Pointwise non-linearity. One input.
    Activation(Activation),
    /// Sum of two or more inputs of one shape.
    Add,
    /// Product of a map `[n, c, h, w]` (first input) and a gate `[n, c, 1, 1]` or a map of the same shape.
    Mul,
    /// Concatenation over channels of two or more inputs.
    Concat,
    /// Channels `start .. start + len` of one input.
    Slice {
        /// First channel.
        start: usize,
        /// Number of channels.
        len: usize,
    },
    /// Pool over a window. One input.
    Pool(PoolKind, Window),
    /// Mean over height and width: `[n, c, 1, 1]`. One input.
    GlobalAveragePool,
    /// Fully connected layer on `[n, c, 1, 1]`. One input.
    Linear {
        /// `[out, in]`.
        weight: WeightId,
        /// `[out]`.
        bias: Option<WeightId>,
        /// Output features.
        out: usize,
    },
    /// Nothing: there to see the compiler name every reader that an operation needs (`tests/it/readers.rs`).
    #[cfg(zoo_extra_op)]
    Extra,
}

/// A tensor that an operation reads: the last part of its state-dict name, its shape, what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Such as `weight`.
    pub leaf: &'static str,
    /// In torch's order.
    pub shape: Vec<usize>,
    /// How stand-ins are drawn.
    pub role: Role,
}

/// Why an operation cannot take its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub String);

fn misfit<T>(problem: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit(problem.into()))
}

impl Op {
    /// The weights it reads, in the order of [`Op::tensors`].
    pub fn weights(&self) -> Vec<WeightId> {
        self.clone().weights_mut().into_iter().map(|id| *id).collect()
    }

    /// The same, to renumber them.
    pub(super) fn weights_mut(&mut self) -> Vec<&mut WeightId> {
        match self {
            Op::Conv { weight, bias, .. } | Op::Linear { weight, bias, .. } => {
                std::iter::once(weight).chain(bias.as_mut()).collect()
            }
            Op::BatchNorm { weight, bias, mean, var, .. } => vec![weight, bias, mean, var],
            Op::Input { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool => Vec::new(),
        }
    }

    /// The tensors it reads, for inputs of these shapes.
    pub fn tensors(&self, inputs: &[Shape]) -> Vec<Tensor> {
        let channels = inputs.first().map_or(0, |s| s[1]);
        let filter = |shape: Vec<usize>| {
            let fan_in = shape.iter().skip(1).product();
            Tensor { leaf: "weight", shape, role: Role::Filter { fan_in } }
        };
        let vector = |leaf, len, role| Tensor { leaf, shape: vec![len], role };
        let norm = Role::NormWeight { zero_init_last: false };
        match self {
            Op::Conv { bias, out, groups, window, .. } => {
                let [kh, kw] = window.kernel;
                let weight = filter(vec![*out, channels.checked_div(*groups).unwrap_or(0), kh, kw]);
                let bias = bias.map(|_| vector("bias", *out, Role::Bias));
                std::iter::once(weight).chain(bias).collect()
            }
            Op::Linear { bias, out, .. } => {
                let bias = bias.map(|_| vector("bias", *out, Role::Bias));
                std::iter::once(filter(vec![*out, channels])).chain(bias).collect()
            }
            Op::BatchNorm { .. } => vec![
                vector("weight", channels, norm),
                vector("bias", channels, Role::Bias),
                vector("running_mean", channels, Role::RunningMean),
                vector("running_var", channels, Role::RunningVar),
            ],
            Op::Input { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool => Vec::new(),
        }
    }

    /// A short name for people: `conv`, `batch_norm`, `silu` ….
    pub fn kind(&self) -> String {
        match self {
            Op::Input { .. } => "input".into(),
            Op::Conv { .. } => "conv".into(),
            Op::BatchNorm { .. } => "batch_norm".into(),
            Op::Activation(a) => a.to_string(),
            Op::Add => "add".into(),
            Op::Mul => "mul".into(),
            Op::Concat => "concat".into(),
            Op::Slice { .. } => "slice".into(),
            Op::Pool(PoolKind::Max, _) => "max_pool".into(),
            Op::Pool(PoolKind::Average { .. }, _) => "avg_pool".into(),
            Op::GlobalAveragePool => "global_avg_pool".into(),
            Op::Linear { .. } => "linear".into(),
        }
    }

    /// The output's shape for inputs of these shapes; [`Op::Input`] is given the image's.
    ///
    /// # Errors
    /// What does not fit: the number of inputs, their channels, height or width, or the operation itself.
    pub fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let first = match inputs {
            [] => return misfit("it has no input"),
            [first, ..] => *first,
        };
        let [n, c, h, w] = first;
        let least = match self {
            Op::Add | Op::Mul | Op::Concat => 2,
            Op::Input { .. }
            | Op::Conv { .. }
            | Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::Linear { .. } => 1,
        };
        if inputs.len() < least {
            return misfit(format!("it has {} inputs, not {least}", inputs.len()));
        }
        match self {
            Op::Input { channels } if c == *channels => Ok(first),
            Op::Input { channels } => misfit(format!("the image has {c} channels, not {channels}")),
            Op::Conv { out, groups, window, .. } => {
                if *groups == 0 || !c.is_multiple_of(*groups) || !out.is_multiple_of(*groups) {
                    return misfit(format!("{c} channels in and {out} out are not {groups} groups"));
                }
                windowed(window, first, *out)
            }
            Op::Pool(_, window) => windowed(window, first, c),
            Op::BatchNorm { .. } | Op::Activation(_) => Ok(first),
            Op::Add => {
                if inputs.iter().all(|s| *s == first) {
                    Ok(first)
                } else {
                    misfit("its inputs differ in shape")
                }
            }
            Op::Mul => match inputs {
                [_, gate] if *gate == first || *gate == [n, c, 1, 1] => Ok(first),
                _ => misfit("the gate fits neither the map nor its channels"),
            },
            Op::Concat => {
                if inputs.iter().all(|s| (s[0], s[2], s[3]) == (n, h, w)) {
                    Ok([n, inputs.iter().map(|s| s[1]).sum(), h, w])
                } else {
                    misfit("its inputs differ in height or width")
                }
            }
            Op::Slice { start, len } => match start.checked_add(*len) {
                Some(end) if end <= c && *len > 0 => Ok([n, *len, h, w]),
                _ => misfit(format!("channels {start}..{} of {c}", start.saturating_add(*len))),
            },
            Op::GlobalAveragePool => Ok([n, c, 1, 1]),
            Op::Linear { out, .. } => match (h, w) {
                (1, 1) if *out > 0 && c > 0 => Ok([n, *out, 1, 1]),
                (1, 1) => misfit(format!("a linear layer from {c} features to {out}")),
                _ => misfit("a linear layer takes pooled features"),
            },
        }
    }

    /// Multiply-adds for inputs of these shapes and an output of that: of convolutions and linear layers.
    pub fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        let [n, _, h, w] = output.map(|d| d as u64);
        let filters =
            |tensors: Vec<Tensor>| tensors.first().map_or(0, |t| t.shape.iter().map(|&d| d as u64).product());
        match self {
            Op::Conv { .. } | Op::Linear { .. } => filters(self.tensors(inputs)) * n * h * w,
            Op::Input { .. }
            | Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool => 0,
        }
    }
}

/// The output of a window over a map, with so many channels.
fn windowed(window: &Window, [n, c, h, w]: Shape, out: usize) -> Result<Shape, Misfit> {
    if let Some(problem) = window.problem() {
        return misfit(problem);
    }
    if out == 0 || c == 0 {
        return misfit(format!("{c} channels in and {out} out: there is nothing to compute"));
    }
    match window.output([h, w]) {
        Some([oh, ow]) => Ok([n, out, oh, ow]),
        None => {
            let [kh, kw] = window.kernel;
            misfit(format!("a window of {kh}x{kw} does not fit into {h}x{w} pixels"))
        }
    }
}
