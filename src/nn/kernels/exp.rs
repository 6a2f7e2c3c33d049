//! The exponential, by a polynomial or, where an instruction looks values up, by a table and a shorter polynomial.
//!
//! In: vectors in registers. Out: the exponential of each lane. `exp_error` is its bound; the tests hold it over the
//! whole range. Called by [`super::math`].

use super::simd::Simd;

/// Largest relative error of [`exp`] on `[-87, 87]`: 1.1e-7 of the polynomial (a minimax fit of degree 5 that is 1 at
/// 0) or 0.6e-7 each of the table and its polynomial, some roundings of 0.6e-7 each, and of x what rounding the constant
/// `log2 e` leaves, 0.133e-7; where multiply and add are not fused, also what rounding `x · log2 e` leaves, 0.6e-7.
#[cfg(test)]
pub(crate) fn exp_error(x: f64, fused: bool) -> f64 {
    2.5e-7 + if fused { 0.133e-7 } else { 0.733e-7 } * x.abs()
}

/// 1.5·2²³: adding it leaves the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
/// 2ˣ over ±½, minimax in relative error among those that are exact at 0, highest power first.
#[expect(clippy::approx_constant, reason = "near ln 2, and better than it for five terms")]
const POLYNOMIAL: [f32; 6] = [0.001_326_472_7, 0.009_671_513, 0.055_507_336, 0.240_222_42, 0.693_147, 1.0];

/// Bits of the fraction that the table is for.
const FRACTION: u32 = 5;
/// The bits of `2^(i/32)`, less what the `i` in the low bits of a sum with `ROUND/32` adds when it is shifted to where
/// the exponent begins.
const TABLE: [u32; 1 << FRACTION] = [
    0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
    0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6,
    0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
    0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3,
];
/// 2ˣ over ±1/64, as [`POLYNOMIAL`].
const SHORT: [f32; 3] = [0.240_226_5, 0.693_157_3, 1.0];

/// Where eˣ is a normal number, and so is all that leads to it: no power of two below −126 or above 127 is met.
const EXP: [f32; 2] = [-87.3, 88.3];
/// The same of e⁻ˣ, and of its sum with 1.
const EXP_OF_MINUS: [f32; 2] = [-87.3, 87.3];

/// e to the power of x or −x, by `factor`, which is ± log2 e, and 1 more where `ONE`; x is held to `range`. NaN stays NaN.
///
/// It is 2 to the power of `x · factor`, whose multiple `t` of 1 or 1/32 and rest `r` come of one rounding each where
/// multiply and add are fused; the constant `log2 e` has its own error, which only tells for large x, and there the
/// exponential is either nothing beside 1 or makes a result of nothing. A few vectors go abreast: the chain of one is
/// some fifty cycles long, more than a processor looks ahead.
#[inline(always)]
fn power<S: Simd, const W: usize, const ONE: bool>(
    s: S,
    x: [S::V; W],
    factor: f32,
    range: [f32; 2],
) -> [S::V; W] {
    let round = if S::HAS_TABLE_LOOKUP { ROUND / (1 << FRACTION) as f32 } else { ROUND };
    let (mut x, mut t, mut r) = (x, x, x);
    for i in 0..W {
        x[i] = s.max(s.splat(range[0]), x[i]);
    }
    for i in 0..W {
        x[i] = s.min(s.splat(range[1]), x[i]);
    }
    for i in 0..W {
        t[i] = s.fma(x[i], s.splat(factor), s.splat(round));
    }
    for i in 0..W {
        r[i] = s.sub(s.splat(round), t[i]);
    }
    for i in 0..W {
        r[i] = s.fma(x[i], s.splat(factor), r[i]);
    }
    if S::HAS_TABLE_LOOKUP { picked::<S, W, ONE>(s, t, r) } else { computed::<S, W, ONE>(s, t, r) }
}

/// `2^(t + r)`, `t` a sum of an integer and [`ROUND`].
#[inline(always)]
fn computed<S: Simd, const W: usize, const ONE: bool>(s: S, t: [S::V; W], r: [S::V; W]) -> [S::V; W] {
    let mut p = polynomial(s, r, &POLYNOMIAL);
    for i in 0..W {
        p[i] = s.add_shifted::<23>(p[i], t[i]);
    }
    if ONE {
        for i in 0..W {
            p[i] = s.add(s.splat(1.0), p[i]);
        }
    }
    p
}

/// `2^(t + r)`, `t` a sum of a multiple of 1/32 and `ROUND/32`.
#[inline(always)]
fn picked<S: Simd, const W: usize, const ONE: bool>(s: S, t: [S::V; W], r: [S::V; W]) -> [S::V; W] {
    let mut p = polynomial(s, r, &SHORT);
    let mut whole = t;
    for i in 0..W {
        whole[i] = s.lookup32(&TABLE, t[i]);
    }
    for i in 0..W {
        whole[i] = s.add_shifted::<{ 23 - FRACTION }>(whole[i], t[i]);
    }
    for i in 0..W {
        p[i] = if ONE { s.fma(whole[i], p[i], s.splat(1.0)) } else { s.mul(whole[i], p[i]) };
    }
    p
}

/// A polynomial of each lane, highest power first.
#[inline(always)]
fn polynomial<S: Simd, const W: usize, const N: usize>(s: S, r: [S::V; W], terms: &[f32; N]) -> [S::V; W] {
    let mut p = [s.splat(terms[0]); W];
    for term in &terms[1..] {
        for i in 0..W {
            p[i] = s.fma(p[i], r[i], s.splat(*term));
        }
    }
    p
}

/// eˣ, with x held to [`EXP`].
#[inline(always)]
pub(crate) fn exp<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    power::<S, W, false>(s, x, std::f32::consts::LOG2_E, EXP)
}

/// `1 + exp(-x)`, between 1 and 1e38.
#[inline(always)]
pub(super) fn one_and_exp_of_minus<S: Simd, const W: usize>(s: S, x: [S::V; W]) -> [S::V; W] {
    power::<S, W, true>(s, x, -std::f32::consts::LOG2_E, EXP_OF_MINUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_powers_of_two() {
        for (i, bits) in (0u32..).zip(TABLE) {
            let power = 2f64.powf(f64::from(i) / f64::from(1 << FRACTION)) as f32;
            assert_eq!(f32::from_bits(bits + (i << (23 - FRACTION))), power, "entry {i}");
        }
    }
}
