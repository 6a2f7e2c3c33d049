//! What a tile of sums in registers goes through: bias, products, then activation and residual, then the store.
//!
//! In: pointers that a kernel has checked. Out: sums, or finished values in memory. Called by [`super::conv`],
//! [`super::stem`] and [`super::depthwise`].

#![allow(unsafe_code)]

use std::ops::Range;

use crate::activation::Activation;

use super::math::{activate, apply_activation_in_place, is_transcendental};
use super::memory::Src;
use super::simd::Simd;

/// What happens to a finished sum.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// Applied first.
    pub activation: Option<Activation>,
    /// Added next; laid out like the output.
    pub residual: Option<Src<'a>>,
    /// Applied last.
    pub post_activation: Option<Activation>,
}

/// Calls a tile of as many rows as there are, 1 to 14, which become the constant `$mr`; for any other number of rows,
/// which no instance has a tile for, nothing.
macro_rules! of_height {
    ($rows:expr, $mr:ident => $call:expr) => {
        of_height!(@each $rows, $mr => $call, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    };
    (@each $rows:expr, $mr:ident => $call:expr, $($height:literal)*) => {
        match $rows {
            $($height => { const $mr: usize = $height; $call })*
            rows => debug_assert!(rows == 0, "no tile has {rows} rows"),
        }
    };
}
pub(super) use of_height;

/// Calls what works on a panel of as many vectors as there are, which become the constant `$nv`; for a panel that the
/// instance `$simd` has not, nothing is compiled.
macro_rules! of_width {
    ($simd:ty, $vectors:expr, $nv:ident => $call:expr) => {
        of_width!(@each $simd, $vectors, $nv => $call, 1 2 3)
    };
    (@each $simd:ty, $vectors:expr, $nv:ident => $call:expr, $($width:literal)*) => {
        match $vectors {
            $($width if $width <= <$simd>::PANEL => { const $nv: usize = $width; $call })*
            _ => {}
        }
    };
}
pub(super) use of_width;

/// Memory to ask for while other is used.
#[derive(Clone, Copy)]
pub(super) struct Prefetch {
    pub(super) at: *const f32,
    pub(super) step: usize,
}

/// A tile of sums, each of which is the bias so far.
///
/// # Safety
/// `bias` is readable for `NV` vectors.
#[inline(always)]
pub(super) unsafe fn begin<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    bias: *const f32,
) -> [[S::V; NV]; MR] {
    let mut row = [s.splat(0.0); NV];
    for j in 0..NV {
        // SAFETY: as the caller vouches.
        row[j] = unsafe { s.load(bias.add(j * S::LANES)) };
    }
    [row; MR]
}

/// A tile of sums that [`put`] has stored.
///
/// # Safety
/// Each of `at` is readable for `NV` vectors.
#[inline(always)]
pub(super) unsafe fn resume<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    at: &[*mut f32; MR],
) -> [[S::V; NV]; MR] {
    let mut sums = [[s.splat(0.0); NV]; MR];
    for i in 0..MR {
        for j in 0..NV {
            // SAFETY: as the caller vouches.
            sums[i][j] = unsafe { s.load(at[i].add(j * S::LANES)) };
        }
    }
    sums
}

/// `sums[i][j] += from[i][k] · weights[k][j]` over the inputs `k`; of `ahead`, the `k`th steps too.
///
/// # Safety
/// Each of `from` is readable for all inputs, `weights` for `NV` vectors an input.
#[inline(always)]
pub(super) unsafe fn products<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    from: [*const f32; MR],
    weights: *const f32,
    inputs: Range<usize>,
    sums: &mut [[S::V; NV]; MR],
    ahead: Prefetch,
) {
    let mut local = *sums;
    let mut weights = weights.wrapping_add(inputs.start * NV * S::LANES);
    let mut next = ahead.at.wrapping_add(inputs.start * ahead.step);
    for k in inputs {
        // SAFETY: as the caller vouches.
        unsafe {
            s.prefetch_all(weights.wrapping_add(PREFETCH_DISTANCE), NV * S::LANES);
            s.prefetch(next);
            next = next.wrapping_add(ahead.step);
            let mut w = [s.splat(0.0); NV];
            for j in 0..NV {
                w[j] = s.load(weights.add(j * S::LANES));
            }
            for i in 0..MR {
                let a = s.splat(*from[i].add(k));
                for j in 0..NV {
                    local[i][j] = s.fma(a, w[j], local[i][j]);
                }
            }
            weights = weights.add(NV * S::LANES);
        }
    }
    *sums = local;
}

/// Values between the weights in use and those asked for from a cache further away.
const PREFETCH_DISTANCE: usize = 256;

/// Activation, residual, activation, and the store.
///
/// # Safety
/// Each of `to` lies in the output that starts at `base`, and is writable for `NV` vectors; the residual
/// is laid out like the output.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    epilogue: &Epilogue<'_>,
    sums: [[S::V; NV]; MR],
    to: [*mut f32; MR],
    base: *mut f32,
) {
    let mut sums = sums;
    // SAFETY: as the caller vouches.
    unsafe {
        if is_transcendental(epilogue.activation) {
            put(s, &to, &sums);
            if epilogue.residual.is_none() {
                return; // `row_block` applies it, to a batch at a time.
            }
            apply_activation_in_place(s, epilogue.activation, &to, NV);
            for i in 0..MR {
                for j in 0..NV {
                    sums[i][j] = s.load(to[i].add(j * S::LANES));
                }
            }
        } else {
            activate(s, epilogue.activation, &mut sums);
        }
        if let Some(residual) = epilogue.residual {
            for i in 0..MR {
                let from = residual.ptr().offset(to[i].offset_from(base));
                for j in 0..NV {
                    sums[i][j] = s.add(sums[i][j], s.load(from.add(j * S::LANES)));
                }
            }
            activate(s, epilogue.post_activation, &mut sums);
        }
        put(s, &to, &sums);
        if epilogue.residual.is_some() && is_transcendental(epilogue.post_activation) {
            apply_activation_in_place(s, epilogue.post_activation, &to, NV);
        }
    }
}

/// Stores a tile.
///
/// # Safety
/// Each of `to` is writable for `NV` vectors.
#[inline(always)]
pub(super) unsafe fn put<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    to: &[*mut f32; MR],
    tile: &[[S::V; NV]; MR],
) {
    for i in 0..MR {
        for j in 0..NV {
            // SAFETY: as the caller vouches.
            unsafe { s.store(to[i].add(j * S::LANES), tile[i][j]) }
        }
    }
}
