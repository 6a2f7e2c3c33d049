//! AVX-512 (foundation): 16 lanes, 32 registers, so a tile of 8 rows by 3 vectors (24 sums, 3 weights): fewer
//! loads and instructions for a product than 12 by 2 has, and as many addresses as there are registers for.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::simd::{Kernel, MAX_PANEL_VECTORS, Simd};

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
