//! Vector forms of the pointwise functions, and how a tile applies one.
//!
//! In: vectors in registers. Out: the function of each lane. Most rest on the exponential of [`super::exp`].

#![allow(unsafe_code)]

use crate::activation::Activation;

use super::exp::{exp, one_and_exp_of_minus};
use super::simd::{Kernel, MAX_PANEL_VECTORS, Simd};

/// `1 / (1 + exp(-x))`.
#[inline(always)]
fn sigmoid<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    let mut d = one_and_exp_of_minus(s, x);
    for i in 0..W {
        d[i] = s.quotient(s.splat(1.0), d[i]);
    }
    d
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
fn silu<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    let mut d = one_and_exp_of_minus(s, x);
    for i in 0..W {
        d[i] = s.quotient(x[i], d[i]);
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
    super::simd::to_array(s, x, &mut lanes);
    for lane in &mut lanes {
        let v = f64::from(*lane);
        *lane = (v * 0.5 * (1.0 + libm::erf(v * std::f64::consts::FRAC_1_SQRT_2))) as f32;
    }
    super::simd::from_array(s, &lanes)
}

/// Whether an activation takes so many instructions that tiles go through [`apply_activation_in_place`] for it.
#[inline(always)]
pub(crate) fn is_transcendental(activation: Option<Activation>) -> bool {
    match activation {
        None | Some(Activation::Relu | Activation::Relu6 | Activation::HardSwish) => false,
        Some(
            Activation::Silu
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::LeakyRelu(_)
            | Activation::Gelu
            | Activation::Mish,
        ) => true,
    }
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
        // Nothing, or what tiles go through `apply_activation_in_place` for.
        None
        | Some(
            Activation::Silu
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::LeakyRelu(_)
            | Activation::Gelu
            | Activation::Mish,
        ) => {}
    }
}

/// Applies `activation`, whichever it is, to `vectors` vectors at each of some places, in place: by one
/// function for tiles of any size, or every tile would carry a copy of every activation.
///
/// # Safety
/// Each of `places` must be readable and writable for `vectors` vectors.
#[inline(always)]
pub(crate) unsafe fn apply_activation_in_place<S: Simd>(
    s: S,
    activation: Option<Activation>,
    places: &[*mut f32],
    vectors: usize,
) {
    if let Some(activation) = activation {
        s.run(ActivationInPlace { activation, places, vectors, sum: None });
    }
}

/// The same for places of at most a panel, whose results are also added to `sum`, one place after the other.
///
/// # Safety
/// As for [`apply_activation_in_place`]; `sum` too must be readable and writable for `vectors` vectors.
#[inline(always)]
pub(crate) unsafe fn apply_activation_and_sum<S: Simd>(
    s: S,
    activation: Activation,
    places: &[*mut f32],
    vectors: usize,
    sum: *mut f32,
) {
    assert!(vectors <= MAX_PANEL_VECTORS);
    s.run(ActivationInPlace { activation, places, vectors, sum: Some(sum) });
}

/// An activation of vectors in memory.
struct ActivationInPlace<'a> {
    activation: Activation,
    /// Readable and writable for `vectors` vectors each: only [`apply_activation_in_place`] and [`apply_activation_and_sum`] make one.
    places: &'a [*mut f32],
    vectors: usize,
    sum: Option<*mut f32>,
}

impl Kernel for ActivationInPlace<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.activation {
            Activation::Relu => self.map(s, Relu),
            Activation::Relu6 => self.map(s, Relu6),
            Activation::Silu => self.map(s, Silu),
            Activation::Sigmoid => self.map(s, Sigmoid),
            Activation::HardSigmoid => self.map(s, HardSigmoid),
            Activation::HardSwish => self.map(s, HardSwish),
            Activation::LeakyRelu(slope) => self.map(s, LeakyRelu(slope)),
            Activation::Gelu => self.map(s, Gelu),
            Activation::Mish => self.map(s, Mish),
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

impl ActivationInPlace<'_> {
    /// `f` of every vector.
    #[inline(always)]
    fn map<S: Simd>(&self, s: S, f: impl Function) {
        match (self.vectors, self.sum) {
            (1, None) => self.panels::<S, 1>(s, f),
            (2, None) => self.panels::<S, 2>(s, f),
            (3, None) => self.panels::<S, 3>(s, f),
            (1, Some(sum)) => self.sums::<S, 1>(s, f, sum),
            (2, Some(sum)) => self.sums::<S, 2>(s, f, sum),
            (_, Some(sum)) => self.sums::<S, 3>(s, f, sum),
            _ => self.runs(s, f),
        }
    }

    /// Places of `NV` vectors.
    #[inline(always)]
    fn panels<S: Simd, const NV: usize>(&self, s: S, f: impl Function) {
        for place in self.places {
            // SAFETY: whoever called `apply_activation_in_place` vouches for every place.
            unsafe { each::<S, NV>(s, *place, f) };
        }
    }

    /// Places of `NV` vectors, and the sum of what they become.
    #[inline(always)]
    fn sums<S: Simd, const NV: usize>(&self, s: S, f: impl Function, sum: *mut f32) {
        let mut total = [s.splat(0.0); NV];
        // SAFETY: whoever called `apply_activation_and_sum` vouches for every place and for the sum.
        unsafe {
            for v in 0..NV {
                total[v] = s.load(sum.add(v * S::LANES));
            }
            for place in self.places {
                let y = each::<S, NV>(s, *place, f);
                for v in 0..NV {
                    total[v] = s.add(total[v], y[v]);
                }
            }
            for v in 0..NV {
                s.store(sum.add(v * S::LANES), total[v]);
            }
        }
    }

    /// Places of any number of vectors.
    #[inline(always)]
    fn runs<S: Simd>(&self, s: S, f: impl Function) {
        for place in self.places {
            for pair in 0..self.vectors / 2 {
                // SAFETY: whoever called `apply_activation_in_place` vouches for every place.
                unsafe { each::<S, 2>(s, place.add(2 * pair * S::LANES), f) };
            }
            if self.vectors % 2 == 1 {
                // SAFETY: as above.
                unsafe { each::<S, 1>(s, place.add((self.vectors - 1) * S::LANES), f) };
            }
        }
    }
}

/// `f` of `W` vectors in memory, which it returns too.
///
/// # Safety
/// `at` must be readable and writable for them.
#[inline(always)]
unsafe fn each<S: Simd, const W: usize>(s: S, at: *mut f32, f: impl Function) -> [S::V; W] {
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
        y
    }
}
