//! What is applied to values one by one, and what a pool takes of a window: the words that graphs and kernels share.

use std::fmt;

/// Pointwise non-linearities, by torch's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x · sigmoid(x)`; swish.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `x · relu6(x + 3) / 6`.
    HardSwish,
    /// `x` where positive, else `slope · x`.
    LeakyRelu(f32),
    /// `x · (1 + erf(x / √2)) / 2`.
    Gelu,
    /// `x · tanh(softplus(x))`.
    Mish,
}

/// Pooling over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Largest element; padding never wins.
    Max,
    /// Mean over the window; `count_padding` as torch's `count_include_pad`.
    Average {
        /// Whether padded zeros count in the divisor.
        count_padding: bool,
    },
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::Silu => "silu",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::HardSwish => "hard_swish",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Gelu => "gelu",
            Activation::Mish => "mish",
        })
    }
}
