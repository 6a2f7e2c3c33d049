//! Vector forms of the pointwise functions, and how a tile applies one.
//!
//! In: vectors in registers. Out: the function of each lane. `exp_error` bounds the exponential that all
//! of them rest on; the tests hold it over the whole range.

#![allow(unsafe_code)]

use crate::nn::graph::Activation;

use super::simd::{Kernel, Simd};

/// Largest relative error of [`exp`] on `[-87, 87]`: 1.1e-7 of the polynomial (a minimax fit of degree 5 that is 1 at
/// 0), some roundings of 0.6e-7 each, and of x what rounding the constant `log2 e` leaves, 0.133e-7; where multiply and
/// add are not fused, also what rounding `x · log2 e` leaves, 0.6e-7.
#[cfg(test)]
pub(crate) fn exp_error(x: f64, fused: bool) -> f64 {
    2.5e-7 + if fused { 0.133e-7 } else { 0.733e-7 } * x.abs()
}

/// 1.5·2²³: adding it leaves the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
/// 2ˣ over ±½, minimax in relative error among those that are exact at 0, highest power first.
#[expect(clippy::approx_constant, reason = "near ln 2, and better than it for five terms")]
const POLYNOMIAL: [f32; 6] = [0.001_326_472_7, 0.009_671_513, 0.055_507_336, 0.240_222_42, 0.693_147, 1.0];
/// Where eˣ is a normal number, and so is all that leads to it: no power of two below −126 or above 127 is met.
const EXP: [f32; 2] = [-87.3, 88.3];
/// The same of e⁻ˣ, and of its sum with 1.
const EXP_OF_MINUS: [f32; 2] = [-87.3, 87.3];

/// e to the power of x or −x, by `factor`, which is ± log2 e; x is held to `range`. NaN stays NaN.
///
/// It is 2 to the power of `x · factor`, whose whole part `t` and rest `r` come of one rounding each where multiply and
/// add are fused; the constant `log2 e` has its own error, which only tells for large x, and there the exponential is either nothing
/// beside 1 or makes a result of nothing. A few vectors go abreast: the chain of one is some fifty cycles
/// long, more than a processor looks ahead.
#[inline(always)]
fn power<S: Simd, const W: usize>(s: S, x: [S::V; W], factor: f32, range: [f32; 2]) -> [S::V; W] {
    let (mut x, mut t, mut r) = (x, x, x);
    for i in 0..W {
        x[i] = s.max(s.splat(range[0]), x[i]);
    }
    for i in 0..W {
        x[i] = s.min(s.splat(range[1]), x[i]);
    }
    for i in 0..W {
        t[i] = s.fma(x[i], s.splat(factor), s.splat(ROUND));
    }
    for i in 0..W {
        r[i] = s.sub(s.splat(ROUND), t[i]);
    }
    for i in 0..W {
        r[i] = s.fma(x[i], s.splat(factor), r[i]);
    }
    let mut p = [s.splat(POLYNOMIAL[0]); W];
    for c in &POLYNOMIAL[1..] {
        for i in 0..W {
            p[i] = s.fma(p[i], r[i], s.splat(*c));
        }
    }
    for i in 0..W {
        p[i] = s.scale_by_exponent(p[i], t[i]);
    }
    p
}

/// eˣ, with x held to [`EXP`].
#[inline(always)]
pub(crate) fn exp<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    power(s, x, std::f32::consts::LOG2_E, EXP)
}

/// `1 + exp(-x)`.
#[inline(always)]
fn one_and_exp_of_minus<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    let mut e = power(s, x, -std::f32::consts::LOG2_E, EXP_OF_MINUS);
    for i in 0..W {
        e[i] = s.add(s.splat(1.0), e[i]);
    }
    e
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
fn sigmoid<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    let mut d = one_and_exp_of_minus(s, x);
    for i in 0..W {
        d[i] = s.div(s.splat(1.0), d[i]);
    }
    d
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
fn silu<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    let mut d = one_and_exp_of_minus(s, x);
    for i in 0..W {
        d[i] = s.div(x[i], d[i]);
    }
    d
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

/// `x · relu6(x + 3) / 6`.
#[inline(always)]
fn hard_swish<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(x, hard_sigmoid(s, x))
}

/// `x · tanh(ln(1 + eˣ))`, as `x · (e² + 2e) / (e² + 2e + 2)`, which is x itself beyond 20.
#[inline(always)]
fn mish<S: Simd>(s: S, x: S::V) -> S::V {
    let [e] = exp(s, [s.min(s.splat(20.0), x)]);
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

/// Whether an activation takes so many instructions that tiles go through [`rework`] for it.
#[inline(always)]
pub(crate) fn is_heavy(activation: Option<Activation>) -> bool {
    !matches!(activation, None | Some(Activation::Relu | Activation::Relu6 | Activation::HardSwish))
}

/// Applies `activation`, one of a few instructions, to every vector of a tile.
#[inline(always)]
pub(crate) fn activate<S: Simd, const N: usize, const M: usize>(
    s: S,
    activation: Option<Activation>,
    tile: &mut [[S::V; N]; M],
) {
    match activation {
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
        Some(Activation::HardSwish) => {
            for row in tile {
                for x in row {
                    *x = hard_swish(s, *x);
                }
            }
        }
        _ => {}
    }
}

/// Applies `activation`, whichever it is, to `vectors` vectors at each of some places, in place: by one
/// function for tiles of any size, or every tile would carry a copy of every activation.
///
/// # Safety
/// Each of `places` must be readable and writable for `vectors` vectors.
#[inline(always)]
pub(crate) unsafe fn rework<S: Simd>(
    s: S,
    activation: Option<Activation>,
    places: &[*mut f32],
    vectors: usize,
) {
    if let Some(activation) = activation {
        s.run(Rework { activation, places, vectors });
    }
}

/// An activation of vectors in memory.
struct Rework<'a> {
    activation: Activation,
    /// Readable and writable for `vectors` vectors each: only [`rework`] makes one.
    places: &'a [*mut f32],
    vectors: usize,
}

impl Kernel for Rework<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.activation {
            Activation::Relu => self.map::<S, 1>(s, Relu),
            Activation::Relu6 => self.map::<S, 1>(s, Relu6),
            Activation::Silu => self.map::<S, 2>(s, Silu),
            Activation::Sigmoid => self.map::<S, 2>(s, Sigmoid),
            Activation::HardSigmoid => self.map::<S, 1>(s, HardSigmoid),
            Activation::HardSwish => self.map::<S, 1>(s, HardSwish),
            Activation::LeakyRelu(slope) => self.map::<S, 1>(s, LeakyRelu(slope)),
            Activation::Gelu => self.map::<S, 1>(s, Gelu),
            Activation::Mish => self.map::<S, 1>(s, Mish),
        }
    }
}

/// A function of a lane. Not a closure: those are not always inlined, and outside a kernel there are no
/// vectors.
trait Function: Copy {
    /// Of every lane of some vectors.
    fn of<S: Simd, const W: usize>(self, s: S, x: [S::V; W]) -> [S::V; W];
}

macro_rules! functions {
    ($($name:ident $(($field:ident))?, |$s:ident, $x:ident| $value:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            struct $name $((functions!(@type $field)))?;

            impl Function for $name {
                #[inline(always)]
                fn of<S: Simd, const W: usize>(self, $s: S, x: [S::V; W]) -> [S::V; W] {
                    $(let $name($field) = self;)?
                    let mut y = x;
                    for i in 0..W {
                        let $x = x[i];
                        y[i] = $value;
                    }
                    y
                }
            }
        )*
    };
    (@type $field:ident) => { f32 };
}

functions! {
    Relu, |s, x| s.max(s.splat(0.0), x);
    Relu6, |s, x| clamp(s, x, 0.0, 6.0);
    HardSigmoid, |s, x| hard_sigmoid(s, x);
    HardSwish, |s, x| hard_swish(s, x);
    LeakyRelu(slope), |s, x| s.fma(s.splat(slope), s.min(s.splat(0.0), x), s.max(s.splat(0.0), x));
    Gelu, |s, x| gelu(s, x);
    Mish, |s, x| mish(s, x);
}

#[derive(Clone, Copy)]
struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn of<S: Simd, const W: usize>(self, s: S, x: [S::V; W]) -> [S::V; W] {
        silu(s, x)
    }
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn of<S: Simd, const W: usize>(self, s: S, x: [S::V; W]) -> [S::V; W] {
        sigmoid(s, x)
    }
}

impl Rework<'_> {
    /// `f` of every vector, `W` abreast where a place has as many.
    #[inline(always)]
    fn map<S: Simd, const W: usize>(&self, s: S, f: impl Function) {
        if self.vectors == W {
            for place in self.places {
                // SAFETY: whoever called `rework` vouches for every place.
                unsafe { each::<S, W>(s, *place, f) }
            }
            return;
        }
        let whole = self.vectors / W;
        for place in self.places {
            let mut at = *place;
            // SAFETY: whoever called `rework` vouches for every place.
            unsafe {
                for _ in 0..whole {
                    each::<S, W>(s, at, f);
                    at = at.add(W * S::LANES);
                }
                for _ in whole * W..self.vectors {
                    each::<S, 1>(s, at, f);
                    at = at.add(S::LANES);
                }
            }
        }
    }
}

/// `f` of `W` vectors in memory.
///
/// # Safety
/// `at` must be readable and writable for them.
#[inline(always)]
unsafe fn each<S: Simd, const W: usize>(s: S, at: *mut f32, f: impl Function) {
    let mut x = [s.splat(0.0); W];
    // SAFETY: as the caller vouches.
    unsafe {
        for i in 0..W {
            x[i] = s.load(at.add(i * S::LANES));
        }
        let y = f.of(s, x);
        for i in 0..W {
            s.store(at.add(i * S::LANES), y[i]);
        }
    }
}
