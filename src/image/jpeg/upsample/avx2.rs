//! Upsampling with AVX2, equal to `scalar` in every bit. Called by the dispatch in `mod`.
//!
//! Sixteen samples a turn in 16-bit lanes; the largest sum is 16 * 255 + 8. A row's end is done with the last sixteen,
//! some of them for the second time.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::turns;
use super::scalar;
use crate::image::isa::Avx2;

/// Samples a turn.
const SAMPLES_PER_STEP: usize = 16;

impl Avx2 {
    /// As [`scalar::across`], of at least one sample.
    pub(super) fn across(self, row: &[u8], out: &mut [u8]) {
        if out.len() / 2 >= SAMPLES_PER_STEP {
            // SAFETY: the token says that the machine has the features.
            unsafe { across(row, out) }
        } else {
            scalar::across(row, out)
        }
    }

    /// As [`scalar::down`].
    pub(super) fn down(self, near: &[u8], far: &[u8], is_upper: bool, out: &mut [u8]) {
        // SAFETY: as above.
        unsafe { down(near, far, is_upper, out) }
    }

    /// As [`scalar::both`], of at least one sample.
    pub(super) fn both(self, near: &[u8], far: &[u8], out: &mut [u8]) {
        if out.len() / 2 >= SAMPLES_PER_STEP {
            // SAFETY: as above.
            unsafe { both(near, far, out) }
        } else {
            scalar::both(near, far, out)
        }
    }
}

#[target_feature(enable = "avx2")]
fn across(row: &[u8], out: &mut [u8]) {
    let count = out.len() / 2;
    assert!(count >= SAMPLES_PER_STEP && row.len() >= count + 2);
    for i in turns(count, SAMPLES_PER_STEP) {
        // SAFETY: `i + SAMPLES_PER_STEP <= count`, so that the last of the three loads ends within `count + 2`.
        let [before, this, after] = std::array::from_fn(|k| unsafe { samples(row.as_ptr().add(i + k)) });
        let this = thrice(this);
        let even = _mm256_add_epi16(_mm256_add_epi16(this, before), _mm256_set1_epi16(1));
        let odd = _mm256_add_epi16(_mm256_add_epi16(this, after), _mm256_set1_epi16(2));
        let both = pairs(_mm256_srli_epi16::<2>(even), _mm256_srli_epi16::<2>(odd));
        // SAFETY: 32 bytes from `2 i` on are within the first `2 count`.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(2 * i).cast(), both) }
    }
}

/// The compiler's own vectors do here: there is nothing to put across.
#[target_feature(enable = "avx2")]
fn down(near: &[u8], far: &[u8], is_upper: bool, out: &mut [u8]) {
    scalar::down(near, far, is_upper, out);
}

#[target_feature(enable = "avx2")]
fn both(near: &[u8], far: &[u8], out: &mut [u8]) {
    let count = out.len() / 2;
    assert!(count >= SAMPLES_PER_STEP && near.len() >= count + 2 && far.len() >= count + 2);
    for i in turns(count, SAMPLES_PER_STEP) {
        let [before, this, after] = std::array::from_fn(|k| {
            // SAFETY: `i + SAMPLES_PER_STEP <= count`, so that the last of the three loads ends within `count + 2`.
            let (near, far) =
                unsafe { (samples(near.as_ptr().add(i + k)), samples(far.as_ptr().add(i + k))) };
            _mm256_add_epi16(thrice(near), far)
        });
        let this = thrice(this);
        let even = _mm256_add_epi16(_mm256_add_epi16(this, before), _mm256_set1_epi16(8));
        let odd = _mm256_add_epi16(_mm256_add_epi16(this, after), _mm256_set1_epi16(7));
        let both = pairs(_mm256_srli_epi16::<4>(even), _mm256_srli_epi16::<4>(odd));
        // SAFETY: 32 bytes from `2 i` on are within the first `2 count`.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(2 * i).cast(), both) }
    }
}

/// # Safety
/// Sixteen bytes may be read.
#[target_feature(enable = "avx2")]
unsafe fn samples(from: *const u8) -> __m256i {
    // SAFETY: the caller's promise.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(from.cast()) })
}

#[target_feature(enable = "avx2")]
fn thrice(x: __m256i) -> __m256i {
    _mm256_add_epi16(x, _mm256_add_epi16(x, x))
}

/// Bytes in turns: even ones, odd ones.
#[target_feature(enable = "avx2")]
fn pairs(even: __m256i, odd: __m256i) -> __m256i {
    _mm256_or_si256(even, _mm256_slli_epi16::<8>(odd))
}
