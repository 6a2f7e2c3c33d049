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

impl Activation {
    /// The function by its definition, in double precision: what plain kernels compute, and what every fast form of it
    /// is tested against.
    pub fn of(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::Silu => x * sigmoid(x),
            Activation::Sigmoid => sigmoid(x),
            Activation::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::LeakyRelu(slope) if x < 0.0 => x * f64::from(slope),
            Activation::LeakyRelu(_) => x,
            Activation::Gelu => x * 0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            // ln(1 + eˣ) = max(x, 0) + ln(1 + e^-|x|), which cannot overflow.
            Activation::Mish => x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh(),
        }
    }
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
