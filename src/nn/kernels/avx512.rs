//! AVX-512 (foundation): 16 lanes, 32 registers, so a tile of 8 rows by 3 vectors (24 sums, 3 weights): fewer
//! loads and instructions for a product than 12 by 2 has, and as many addresses as there are registers for.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::simd::{Kernel, MAX_PANEL_VECTORS, Simd, deinterleave, interleaved};

/// Proof that the processor has AVX-512F.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The proof, where the processor has it.
    pub fn new() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }
}

/// The one place where the instructions are enabled.
#[target_feature(enable = "avx512f")]
fn enabled<K: Kernel>(simd: Avx512, kernel: K) {
    kernel.run(simd);
}

impl Simd for Avx512 {
    const NAME: &'static str = "avx512";
    const LANES: usize = 16;
    const PANEL: usize = 3;
    const ROWS: [usize; MAX_PANEL_VECTORS] = [12, 12, 8];
    const HAS_TABLE_LOOKUP: bool = true;
    const TWO_ROWS: bool = true;
    const TILE_WIDTHS: [usize; 2] = [7, 4]; // As AVX2's.
    const CONSTANT_STRIDES: bool = true;
    const GROUPED_TILES: [&'static [usize]; 2] = [&[4, 7, 8, 10, 12, 14]; 2];
    type V = __m512;

    #[inline]
    fn run<K: Kernel>(self, kernel: K) {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { enabled(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the memory, `self` for the instruction.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for the memory, `self` for the instruction.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn repeat<const WAYS: usize>(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the memory, `self` for the instructions.
        unsafe {
            match WAYS {
                1 => _mm512_set1_ps(*from),
                2 => _mm512_castsi512_ps(_mm512_set1_epi64(from.cast::<i64>().read_unaligned())),
                4 => _mm512_broadcast_f32x4(_mm_loadu_ps(from)),
                8 => _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_loadu_pd(from.cast()))),
                _ => _mm512_loadu_ps(from),
            }
        }
    }

    #[inline(always)]
    unsafe fn load_interleaved<const WAYS: usize>(self, from: *const f32, distance: usize) -> __m512 {
        // SAFETY: the caller vouches for the memory, `self` for the instructions.
        unsafe {
            match WAYS {
                1 => _mm512_loadu_ps(from),
                2 => {
                    let half = |way: usize| _mm256_loadu_pd(from.add(way * distance).cast());
                    let both = _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(half(0)), half(1));
                    _mm512_permutexvar_ps(transposed::<2, 8>(), _mm512_castpd_ps(both))
                }
                4 => {
                    let quarter = |way: usize| _mm_loadu_ps(from.add(way * distance));
                    let all = _mm512_insertf32x4::<1>(_mm512_castps128_ps512(quarter(0)), quarter(1));
                    let all = _mm512_insertf32x4::<2>(all, quarter(2));
                    let all = _mm512_insertf32x4::<3>(all, quarter(3));
                    _mm512_permutexvar_ps(transposed::<4, 4>(), all)
                }
                _ => interleaved::<Self, WAYS>(self, from, distance),
            }
        }
    }

    #[inline(always)]
    unsafe fn store_interleaved<const WAYS: usize>(
        self,
        to: *mut f32,
        distance: usize,
        count: usize,
        v: __m512,
    ) {
        // SAFETY: the caller vouches for the memory, `self` for the instructions.
        unsafe {
            match WAYS {
                1 => _mm512_storeu_ps(to, v),
                2 => {
                    let both = _mm512_castps_pd(_mm512_permutexvar_ps(transposed::<8, 2>(), v));
                    _mm256_storeu_pd(to.cast(), _mm512_castpd512_pd256(both));
                    if count > 1 {
                        _mm256_storeu_pd(to.add(distance).cast(), _mm512_extractf64x4_pd::<1>(both));
                    }
                }
                4 => {
                    let all = _mm512_permutexvar_ps(transposed::<4, 4>(), v);
                    let quarters = [
                        _mm512_castps512_ps128(all),
                        _mm512_extractf32x4_ps::<1>(all),
                        _mm512_extractf32x4_ps::<2>(all),
                        _mm512_extractf32x4_ps::<3>(all),
                    ];
                    for (way, quarter) in quarters.into_iter().enumerate().take(count) {
                        _mm_storeu_ps(to.add(way * distance), quarter);
                    }
                }
                _ => deinterleave::<Self, WAYS>(self, to, distance, count, v),
            }
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn quotient(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe {
            // One step of Newton's doubles the 14 bits of the estimate; a division takes as long as ten products.
            let estimate = _mm512_rcp14_ps(b);
            let error = _mm512_fnmadd_ps(b, estimate, _mm512_set1_ps(1.0));
            _mm512_mul_ps(a, _mm512_fmadd_ps(estimate, error, estimate))
        }
    }

    #[inline(always)]
    fn add_shifted<const SHIFT: u32>(self, p: __m512, t: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F.
        unsafe {
            let n = _mm512_slli_epi32::<SHIFT>(_mm512_castps_si512(t));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n))
        }
    }

    #[inline(always)]
    fn lookup32(self, table: &[u32; 32], t: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has AVX-512F; both halves of the table are inside it.
        unsafe {
            let low = _mm512_loadu_si512(table.as_ptr().cast());
            let high = _mm512_loadu_si512(table.as_ptr().add(16).cast());
            _mm512_castsi512_ps(_mm512_permutex2var_epi32(low, _mm512_castps_si512(t), high))
        }
    }

    #[inline(always)]
    fn black_box_ptr(self, at: *const f32) -> *const f32 {
        let mut at = at;
        #[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read through it here")]
        // SAFETY: no instruction at all.
        unsafe {
            asm!("/* {0} */", inout(reg) at, options(pure, nomem, nostack, preserves_flags))
        }
        at
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

/// Where each lane of a matrix of `ROWS` by `COLUMNS`, row by row, comes from when it is turned into one of `COLUMNS` by `ROWS`.
#[inline(always)]
fn transposed<const ROWS: usize, const COLUMNS: usize>() -> __m512i {
    let from: [i32; 16] = const { transposed_lanes(ROWS, COLUMNS) };
    // SAFETY: an array of sixteen integers; whoever works with vectors of them has AVX-512F.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

const fn transposed_lanes(rows: usize, columns: usize) -> [i32; 16] {
    let mut from = [0; 16];
    let mut lane = 0;
    while lane < 16 {
        from[lane] = (lane % rows * columns + lane / rows) as i32;
        lane += 1;
    }
    from
}
