//! AVX2 with FMA: 8 lanes, 16 registers, so a tile of 6 rows by 2 vectors (12 sums, 2 weights, 1 input).

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::simd::{Kernel, MAX_PANEL_VECTORS, Simd, deinterleave, interleaved};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The proof, where the processor has both.
    pub fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// The one place where the instructions are enabled.
#[target_feature(enable = "avx2,fma")]
fn enabled<K: Kernel>(simd: Avx2, kernel: K) {
    kernel.run(simd);
}

impl Simd for Avx2 {
    const NAME: &'static str = "avx2";
    const LANES: usize = 8;
    const PANEL: usize = 2;
    const ROWS: [usize; MAX_PANEL_VECTORS] = [8, 6, 4];
    const HAS_TABLE_LOOKUP: bool = false;
    const TWO_ROWS: bool = false;
    // With two vectors each, fourteen sums and two weights fill AVX2's registers, and EfficientNets' maps at 224 pixels are
    // seven wide, or twice, four times …. Of two rows, with three vectors each, twenty-four sums, six weights and a value.
    const TILE_WIDTHS: [usize; 2] = [7, 4];
    const CONSTANT_STRIDES: bool = true;
    const GROUPED_TILES: [&'static [usize]; 2] = [&[4, 7, 8, 10, 12], &[4, 5, 6]];
    type V = __m256;

    #[inline]
    fn run<K: Kernel>(self, kernel: K) {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { enabled(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the memory, `self` for the instruction.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for the memory, `self` for the instruction.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn repeat<const WAYS: usize>(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the memory, `self` for the instructions.
        unsafe {
            match WAYS {
                1 => _mm256_set1_ps(*from),
                2 => _mm256_castsi256_ps(_mm256_set1_epi64x(from.cast::<i64>().read_unaligned())),
                4 => _mm256_set_m128(_mm_loadu_ps(from), _mm_loadu_ps(from)),
                _ => _mm256_loadu_ps(from),
            }
        }
    }

    #[inline(always)]
    unsafe fn load_interleaved<const WAYS: usize>(self, from: *const f32, distance: usize) -> __m256 {
        // SAFETY: the caller vouches for the memory, `self` for the instructions.
        unsafe {
            match WAYS {
                1 => _mm256_loadu_ps(from),
                2 => {
                    let (a, b) = (_mm_loadu_ps(from), _mm_loadu_ps(from.add(distance)));
                    _mm256_set_m128(_mm_unpackhi_ps(a, b), _mm_unpacklo_ps(a, b))
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
        v: __m256,
    ) {
        // SAFETY: the caller vouches for the memory, `self` for the instructions.
        unsafe {
            match WAYS {
                1 => _mm256_storeu_ps(to, v),
                2 => {
                    let (low, high) = (_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                    _mm_storeu_ps(to, _mm_shuffle_ps::<0b10_00_10_00>(low, high));
                    if count > 1 {
                        _mm_storeu_ps(to.add(distance), _mm_shuffle_ps::<0b11_01_11_01>(low, high));
                    }
                }
                _ => deinterleave::<Self, WAYS>(self, to, distance, count, v),
            }
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn add_shifted<const SHIFT: u32>(self, p: __m256, t: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has AVX2 and FMA.
        unsafe {
            let n = _mm256_sll_epi32(_mm256_castps_si256(t), _mm_cvtsi32_si128(SHIFT as i32));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n))
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
