//! Colour conversion with AVX2, equal to `scalar` in every bit. Called by the dispatch in `mod`.
//!
//! 32 pixels a turn, in 16-bit lanes. The factors have 17 bits, so whole multiples are taken out of them: with
//! x = cr - 128 red is y + x + round(26345 x / 2^16), with x = cb - 128 blue is y + 2x - round(14942 x / 2^16), and
//! a product's upper half of 2x, plus one and halved, is that rounding: floor((floor(2a) + 1) / 2) = floor(a + 1/2). Green
//! is y - cr + a sum of two products of 16 bits. The tests try every pixel there is. A row's end is done with the last
//! 32, some of them for the second time.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::turns;
use super::scalar::{self, BLUE_OF_CB, GREEN_OF_CB, GREEN_OF_CR, RED_OF_CR};
use crate::image::isa::Avx2;

/// Pixels a turn.
const PIXELS_PER_STEP: usize = 32;

const ONE: i32 = 1 << 16;

impl Avx2 {
    /// As [`scalar::ycc`], of rows of one length.
    pub(super) fn ycc(self, rows: [&[u8]; 3], out: &mut [u8]) {
        if out.len() / 3 >= PIXELS_PER_STEP {
            // SAFETY: the token says that the machine has the features.
            unsafe { ycc(rows, out) }
        } else {
            scalar::ycc(rows, out)
        }
    }

    /// As [`scalar::grey`], of rows of one length.
    pub(super) fn grey(self, row: &[u8], out: &mut [u8]) {
        if out.len() / 3 >= PIXELS_PER_STEP {
            // SAFETY: as above.
            unsafe { grey(row, out) }
        } else {
            scalar::grey(row, out)
        }
    }
}

#[target_feature(enable = "avx2")]
fn ycc([y, cb, cr]: [&[u8]; 3], out: &mut [u8]) {
    let count = out.len() / 3;
    assert!(count >= PIXELS_PER_STEP && [y, cb, cr].iter().all(|row| row.len() >= count));
    for i in turns(count, PIXELS_PER_STEP) {
        // SAFETY: `i + PIXELS_PER_STEP <= count`, and each row has as many bytes.
        let [y, cb, cr] = [y, cb, cr].map(|row| unsafe { _mm256_loadu_si256(row.as_ptr().add(i).cast()) });
        // Unpacking and packing both go lane by lane, so that pixels come out in order.
        let none = _mm256_setzero_si256();
        let [red, green, blue] = half(
            _mm256_unpacklo_epi8(y, none),
            _mm256_unpacklo_epi8(cb, none),
            _mm256_unpacklo_epi8(cr, none),
        );
        let [more_red, more_green, more_blue] = half(
            _mm256_unpackhi_epi8(y, none),
            _mm256_unpackhi_epi8(cb, none),
            _mm256_unpackhi_epi8(cr, none),
        );
        let planes = [
            _mm256_packus_epi16(red, more_red),
            _mm256_packus_epi16(green, more_green),
            _mm256_packus_epi16(blue, more_blue),
        ];
        // SAFETY: 96 bytes from `3 i` on are within the first `3 count`.
        unsafe { interleave(planes, out.as_mut_ptr().add(3 * i)) }
    }
}

#[target_feature(enable = "avx2")]
fn grey(row: &[u8], out: &mut [u8]) {
    let count = out.len() / 3;
    assert!(count >= PIXELS_PER_STEP && row.len() >= count);
    for i in turns(count, PIXELS_PER_STEP) {
        // SAFETY: `i + PIXELS_PER_STEP <= count`, so 32 bytes may be read there, and 96 written at three times that place.
        unsafe {
            let y = _mm256_loadu_si256(row.as_ptr().add(i).cast());
            interleave([y; 3], out.as_mut_ptr().add(3 * i));
        }
    }
}

/// Red, green and blue of sixteen pixels, not yet cut to a byte.
#[target_feature(enable = "avx2")]
fn half(y: __m256i, cb: __m256i, cr: __m256i) -> [__m256i; 3] {
    let middle = _mm256_set1_epi16(128);
    let (cb, cr) = (_mm256_sub_epi16(cb, middle), _mm256_sub_epi16(cr, middle));
    let rounded = |twice: __m256i, by: i32| {
        let upper = _mm256_mulhi_epi16(twice, _mm256_set1_epi16(by as i16));
        _mm256_srai_epi16::<1>(_mm256_add_epi16(upper, _mm256_set1_epi16(1)))
    };
    let (twice_cb, twice_cr) = (_mm256_add_epi16(cb, cb), _mm256_add_epi16(cr, cr));
    let red = _mm256_add_epi16(_mm256_add_epi16(y, cr), rounded(twice_cr, RED_OF_CR - ONE));
    let blue = _mm256_add_epi16(_mm256_add_epi16(y, twice_cb), rounded(twice_cb, BLUE_OF_CB - 2 * ONE));
    let factors = _mm256_set1_epi32((GREEN_OF_CB & 0xffff) | ((GREEN_OF_CR + ONE) << 16));
    let sum = |pairs: __m256i| {
        let sum = _mm256_add_epi32(_mm256_madd_epi16(pairs, factors), _mm256_set1_epi32(ONE / 2));
        _mm256_srai_epi32::<16>(sum)
    };
    let sums = _mm256_packs_epi32(sum(_mm256_unpacklo_epi16(cb, cr)), sum(_mm256_unpackhi_epi16(cb, cr)));
    let green = _mm256_add_epi16(_mm256_sub_epi16(y, cr), sums);
    [red, green, blue]
}

/// Which pixel's byte of a channel goes to each of sixteen bytes of a third of 48; none: the other channels'.
const PLACES: [[[i8; 16]; 3]; 3] = {
    let mut places = [[[-1; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        places[at / 16][at % 3][at % 16] = (at / 3) as i8;
        at += 1;
    }
    places
};

/// Writes three planes of 32 bytes as 32 pixels.
///
/// # Safety
/// 96 bytes may be written.
#[target_feature(enable = "avx2")]
unsafe fn interleave(planes: [__m256i; 3], to: *mut u8) {
    // A third of sixteen pixels in each lane.
    let [a, b, c] = PLACES.map(|places| {
        let [red, green, blue] = std::array::from_fn(|channel: usize| {
            // SAFETY: sixteen bytes are read as sixteen bytes.
            let mask = unsafe { _mm_loadu_si128(places[channel].as_ptr().cast()) };
            _mm256_shuffle_epi8(planes[channel], _mm256_broadcastsi128_si256(mask))
        });
        _mm256_or_si256(_mm256_or_si256(red, green), blue)
    });
    let thirds = [
        _mm256_permute2x128_si256::<0x20>(a, b),
        _mm256_permute2x128_si256::<0x30>(c, a),
        _mm256_permute2x128_si256::<0x31>(b, c),
    ];
    for (i, third) in thirds.into_iter().enumerate() {
        // SAFETY: three times 32 bytes.
        unsafe { _mm256_storeu_si256(to.add(32 * i).cast(), third) }
    }
}
