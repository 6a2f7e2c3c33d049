//! Vector forms of the pointwise functions, and how a tile applies one.
//!
//! In: vectors in registers. Out: the function of each lane. [`EXP_ERROR`] bounds the exponential that
//! all of them rest on; the tests hold it over the whole range.

#![allow(unsafe_code)]

use crate::nn::graph::Activation;

use super::simd::{Kernel, Simd};

/// Largest relative error of [`exp`] on `[-86, 88]`, on every instance: 0.75e-7 of the polynomial (a
/// minimax fit of degree 5), and some roundings of 0.6e-7 each.
#[cfg(test)]
pub(crate) const EXP_ERROR: f64 = 3e-7;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has few enough bits that its product with any exponent is exact, which
/// matters where there is no fused multiply-add.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// 1.5·2²³: adding it leaves the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
/// Minimax in relative error over ±ln2/2, highest power first.
const POLYNOMIAL: [f32; 6] =
    [0.008_297_619, 0.041_915_63, 0.166_675_76, 0.499_988_9, 0.999_999_7, 1.000_000_1];

/// `exp(x)`, with x held to `[-86, 88]` so that the result is a normal number. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.min(s.splat(88.0), s.max(s.splat(-86.0), x));
    let t = s.fma(x, s.splat(LOG2_E), s.splat(ROUND));
    let n = s.sub(t, s.splat(ROUND));
    let r = s.fma(n, s.splat(-LN2_HIGH), x);
    let r = s.fma(n, s.splat(-LN2_LOW), r);
    let mut p = s.splat(POLYNOMIAL[0]);
    for c in &POLYNOMIAL[1..] {
        p = s.fma(p, r, s.splat(*c));
    }
    s.scale_by_exponent(p, t)
}

#[inline(always)]
fn negated<S: Simd>(s: S, x: S::V) -> S::V {
    s.sub(s.splat(0.0), x)
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    s.div(s.splat(1.0), s.add(s.splat(1.0), exp(s, negated(s, x))))
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    s.div(x, s.add(s.splat(1.0), exp(s, negated(s, x))))
}

#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::V, low: f32, high: f32) -> S::V {
    s.min(s.splat(high), s.max(s.splat(low), x))
}

/// `relu6(x + 3) / 6`.
#[inline(always)]
fn hard_sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(clamp(s, s.add(x, s.splat(3.0)), 0.0, 6.0), s.splat(1.0 / 6.0))
}

/// `x · tanh(ln(1 + eˣ))`, as `x · (e² + 2e) / (e² + 2e + 2)`, which is x itself beyond 20.
#[inline(always)]
fn mish<S: Simd>(s: S, x: S::V) -> S::V {
    let e = exp(s, s.min(s.splat(20.0), x));
    let q = s.mul(e, s.add(e, s.splat(2.0)));
    s.mul(x, s.div(q, s.add(q, s.splat(2.0))))
}

/// `x · (1 + erf(x / √2)) / 2`, lane by lane in double: no network that matters for speed has it.
#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    let mut lanes = [0f32; 16];
    super::memory::spill(s, x, &mut lanes);
    for lane in &mut lanes {
        let v = f64::from(*lane);
        *lane =
            (v * 0.5 * (1.0 + candle_core::cpu::erf::erf_f64(v * std::f64::consts::FRAC_1_SQRT_2))) as f32;
    }
    super::memory::refill(s, &lanes)
}

/// Applies `activation` to every vector of a tile. Those of one or two instructions are done in place;
/// the others by one function for tiles of any size, or every tile would carry a copy of them all.
#[inline(always)]
pub(crate) fn activate<S: Simd, const N: usize, const M: usize>(
    s: S,
    activation: Option<Activation>,
    tile: &mut [[S::V; N]; M],
) {
    match activation {
        None => {}
        Some(Activation::Relu) => {
            let zero = s.splat(0.0);
            for row in tile {
                for x in row {
                    *x = s.max(zero, *x);
                }
            }
        }
        Some(Activation::Relu6) => {
            for row in tile {
                for x in row {
                    *x = clamp(s, *x, 0.0, 6.0);
                }
            }
        }
        Some(activation) => {
            const { assert!(S::LANES <= 16) };
            let mut values = [[[0f32; 16]; N]; M];
            let len = M * N * S::LANES;
            let at = values.as_mut_ptr().cast::<f32>();
            for (m, row) in tile.iter().enumerate() {
                for (n, x) in row.iter().enumerate() {
                    // SAFETY: vector `m · N + n` of `M · N` lies within the first `len` values of the array.
                    unsafe { s.store(at.add((m * N + n) * S::LANES), *x) }
                }
            }
            let values = values.as_flattened_mut().as_flattened_mut();
            s.run(Activate { activation, values: values.get_mut(..len).unwrap_or_default() });
            let at = values.as_ptr();
            for (m, row) in tile.iter_mut().enumerate() {
                for (n, x) in row.iter_mut().enumerate() {
                    // SAFETY: as above.
                    *x = unsafe { s.load(at.add((m * N + n) * S::LANES)) };
                }
            }
        }
    }
}

/// An activation of whole vectors in memory.
struct Activate<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let values = self.values;
        match self.activation {
            Activation::Relu => map(s, values, |x| s.max(s.splat(0.0), x)),
            Activation::Relu6 => map(s, values, |x| clamp(s, x, 0.0, 6.0)),
            Activation::Silu => map(s, values, |x| silu(s, x)),
            Activation::Sigmoid => map(s, values, |x| sigmoid(s, x)),
            Activation::HardSigmoid => map(s, values, |x| hard_sigmoid(s, x)),
            Activation::HardSwish => map(s, values, |x| s.mul(x, hard_sigmoid(s, x))),
            Activation::LeakyRelu(slope) => map(s, values, |x| {
                let zero = s.splat(0.0);
                s.fma(s.splat(slope), s.min(zero, x), s.max(zero, x))
            }),
            Activation::Gelu => map(s, values, |x| gelu(s, x)),
            Activation::Mish => map(s, values, |x| mish(s, x)),
        }
    }
}

/// `f` of every whole vector.
#[inline(always)]
fn map<S: Simd>(s: S, values: &mut [f32], f: impl Fn(S::V) -> S::V) {
    for vector in values.chunks_exact_mut(S::LANES) {
        // SAFETY: the chunk has a vector's values.
        unsafe { s.store(vector.as_mut_ptr(), f(s.load(vector.as_ptr()))) }
    }
}
