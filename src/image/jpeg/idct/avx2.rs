//! The inverse DCT with AVX2, equal to `scalar` in every bit. Called by the dispatch in `mod`.
//!
//! It wraps and saturates in 16 bits where libjpeg-turbo's code does, so there is no block that it could not do: `scalar`
//! says where. `vpmaddwd` adds the products of two inputs by two constants, a column (then a row) a lane.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::scalar::*;
use super::{Block, Quantisation};
use crate::image::isa::Avx2;

/// Registers of an 8×8 block of 16-bit numbers.
type Registers = [__m256i; 4];

impl Avx2 {
    /// As [`scalar::block`], for blocks side by side.
    pub(super) fn idct(self, blocks: &[Block], by: &Quantisation, out: &mut [u8], stride: usize) {
        // SAFETY: the token says that the machine has the features.
        unsafe { row(blocks, by, out, stride) }
    }
}

#[target_feature(enable = "avx2")]
fn row(blocks: &[Block], by: &Quantisation, out: &mut [u8], stride: usize) {
    let width = 8 * blocks.len();
    assert!(blocks.is_empty() || (width <= stride && 7 * stride + width <= out.len()));
    let quantisers = load(by);
    // All but the first coefficient, and all but the first row.
    let others = _mm256_setr_epi16(0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    let second_row = _mm256_setr_epi64x(0, 0, -1, -1);
    for (i, block) in blocks.iter().enumerate() {
        let [a, b, c, d] = load(block);
        let below = _mm256_or_si256(_mm256_or_si256(b, c), d);
        let is_flat = _mm256_testz_si256(below, below) == 1;
        let samples = if is_flat && _mm256_testz_si256(a, others) == 1 {
            [_mm256_set1_epi8(constant(block[0], by[0]) as i8); 2]
        } else if is_flat && _mm256_testz_si256(a, second_row) == 1 {
            rows(one_row(_mm256_mullo_epi16(a, quantisers[0])))
        } else {
            let [e, f, g, h] = quantisers;
            rows(columns([
                _mm256_mullo_epi16(a, e),
                _mm256_mullo_epi16(b, f),
                _mm256_mullo_epi16(c, g),
                _mm256_mullo_epi16(d, h),
            ]))
        };
        // SAFETY: eight bytes in each of eight rows from `8 * i` on, which the assertion above says are in `out`.
        unsafe { store(samples, out.as_mut_ptr().add(8 * i), stride) }
    }
}

/// Two rows a register.
#[target_feature(enable = "avx2")]
fn load<T: Sixteen>(block: &[T; 64]) -> Registers {
    let from: *const __m256i = block.as_ptr().cast();
    // SAFETY: 64 numbers of 16 bits are four times 256 bits.
    unsafe { std::array::from_fn(|i| _mm256_loadu_si256(from.add(i))) }
}

/// Numbers of 16 bits.
trait Sixteen {}
impl Sixteen for i16 {}
impl Sixteen for u16 {}

/// The first pass: of each column, ready for the second.
#[target_feature(enable = "avx2")]
fn columns(products: Registers) -> Registers {
    // From row after row to halves: the first half of two rows in one lane, the second in the other.
    let [a, b, c, d] = products.map(|x| _mm256_permute4x64_epi64::<0b11_01_10_00>(x));
    let [e, f, g, h] = quads(pass::<11>([a, b, c, d]));
    [
        _mm256_permute2x128_si256::<0x20>(e, g),
        _mm256_permute2x128_si256::<0x20>(f, h),
        _mm256_permute2x128_si256::<0x31>(e, g),
        _mm256_permute2x128_si256::<0x31>(f, h),
    ]
}

/// What [`columns`] gives of a block whose rows below the first are zero.
#[target_feature(enable = "avx2")]
fn one_row(products: __m256i) -> Registers {
    let row = _mm256_broadcastsi128_si256(_mm256_castsi256_si128(products));
    let row = _mm256_slli_epi16::<{ PASS1_BITS as i32 }>(row);
    // Number 2 j four times, then 2 j + 1 four times.
    std::array::from_fn(|j| {
        let pair = |number: usize| {
            let (low, high) = (2 * number as i64, 2 * number as i64 + 1);
            (low | high << 8) * 0x0001_0001_0001_0001
        };
        let (even, odd) = (pair(2 * j), pair(2 * j + 1));
        _mm256_shuffle_epi8(row, _mm256_setr_epi64x(even, odd, even, odd))
    })
}

/// The second pass. Out: rows 0, 1, 4 and 5 of samples in the first register, 2, 3, 6 and 7 in the second.
#[target_feature(enable = "avx2")]
fn rows(columns: Registers) -> [__m256i; 2] {
    let [e, f, g, h] = quads(pass::<18>(columns));
    let (row_04, row_15) = (_mm256_unpacklo_epi64(e, g), _mm256_unpackhi_epi64(e, g));
    let (row_26, row_37) = (_mm256_unpacklo_epi64(f, h), _mm256_unpackhi_epi64(f, h));
    let around = _mm256_set1_epi8(-128);
    [
        _mm256_xor_si256(_mm256_packs_epi16(row_04, row_15), around),
        _mm256_xor_si256(_mm256_packs_epi16(row_26, row_37), around),
    ]
}

/// One dimension, rounded by `BITS`. In: inputs 0 and 1, 2 and 3, 4 and 5, 6 and 7, four lanes of one beside four of
/// the other. Out: one of the eight outputs a register, in 32 bits.
#[target_feature(enable = "avx2")]
fn pass<const BITS: i32>([a, b, c, d]: Registers) -> [__m256i; 8] {
    // Sums of 16 bits, which wrap: inputs 0 + 4 beside 1 + 5, 0 - 4, and 3 + 7 in the upper half.
    let (sum, difference, upper) = (_mm256_add_epi16(a, c), _mm256_sub_epi16(a, c), _mm256_add_epi16(b, d));
    let half = _mm256_set1_epi32(1 << (BITS - 1));
    // In the upper 16 bits, and from there to units of 2^-13.
    let wide = |x| {
        let high = _mm256_unpacklo_epi16(_mm256_setzero_si256(), x);
        _mm256_add_epi32(_mm256_srai_epi32::<3>(high), half)
    };
    // The names are those of `scalar`.
    let (tmp0, tmp1) = (wide(sum), wide(difference));
    let in_26 = _mm256_unpacklo_epi16(b, d);
    let tmp2 = times(in_26, FIX_0_541196100, FIX_0_541196100 - FIX_1_847759065);
    let tmp3 = times(in_26, FIX_0_541196100 + FIX_0_765366865, FIX_0_541196100);
    let (tmp10, tmp13) = (_mm256_add_epi32(tmp0, tmp3), _mm256_sub_epi32(tmp0, tmp3));
    let (tmp11, tmp12) = (_mm256_add_epi32(tmp1, tmp2), _mm256_sub_epi32(tmp1, tmp2));
    const Z5: i32 = FIX_1_175875602;
    let z34 = _mm256_unpackhi_epi16(upper, sum);
    let (z3, z4) = (times(z34, Z5 - FIX_1_961570560, Z5), times(z34, Z5, Z5 - FIX_0_390180644));
    let (in_71, in_53) = (_mm256_unpackhi_epi16(d, a), _mm256_unpackhi_epi16(c, b));
    let tmp0 = times(in_71, FIX_0_298631336 - FIX_0_899976223, -FIX_0_899976223);
    let tmp1 = times(in_53, FIX_2_053119869 - FIX_2_562915447, -FIX_2_562915447);
    let tmp2 = times(in_53, -FIX_2_562915447, FIX_3_072711026 - FIX_2_562915447);
    let tmp3 = times(in_71, -FIX_0_899976223, FIX_1_501321110 - FIX_0_899976223);
    let (tmp0, tmp1) = (_mm256_add_epi32(tmp0, z3), _mm256_add_epi32(tmp1, z4));
    let (tmp2, tmp3) = (_mm256_add_epi32(tmp2, z3), _mm256_add_epi32(tmp3, z4));
    [
        _mm256_add_epi32(tmp10, tmp3),
        _mm256_add_epi32(tmp11, tmp2),
        _mm256_add_epi32(tmp12, tmp1),
        _mm256_add_epi32(tmp13, tmp0),
        _mm256_sub_epi32(tmp13, tmp0),
        _mm256_sub_epi32(tmp12, tmp1),
        _mm256_sub_epi32(tmp11, tmp2),
        _mm256_sub_epi32(tmp10, tmp3),
    ]
    .map(|x| _mm256_srai_epi32::<BITS>(x))
}

/// The first of two inputs by one constant and the second by another, added.
#[target_feature(enable = "avx2")]
fn times(inputs: __m256i, first: i32, second: i32) -> __m256i {
    _mm256_madd_epi16(inputs, _mm256_set1_epi32((first & 0xffff) | (second << 16)))
}

/// Eight registers of eight numbers into 16 bits, across: four of register 0 to 3 are the quads that begin with these
/// numbers' place. Out, in quads of (lane 0; lane 1): places 0, 1; 4, 5 of registers 0 to 3, places 2, 3; 6, 7 of these,
/// and the same of registers 4 to 7.
#[target_feature(enable = "avx2")]
fn quads(x: [__m256i; 8]) -> [__m256i; 4] {
    let (a, b) = (_mm256_packs_epi32(x[0], x[4]), _mm256_packs_epi32(x[1], x[5]));
    let (c, d) = (_mm256_packs_epi32(x[2], x[6]), _mm256_packs_epi32(x[3], x[7]));
    let (low_01, high_01) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
    let (low_23, high_23) = (_mm256_unpacklo_epi16(c, d), _mm256_unpackhi_epi16(c, d));
    [
        _mm256_unpacklo_epi32(low_01, low_23),
        _mm256_unpackhi_epi32(low_01, low_23),
        _mm256_unpacklo_epi32(high_01, high_23),
        _mm256_unpackhi_epi32(high_01, high_23),
    ]
}

/// Writes what [`rows`] gives.
///
/// # Safety
/// Eight bytes at `to` and at each of seven strides from there may be written.
#[target_feature(enable = "avx2")]
unsafe fn store([rows_0145, rows_2367]: [__m256i; 2], to: *mut u8, stride: usize) {
    let low = |x| _mm256_castsi256_si128(x);
    let high = |x| _mm256_extracti128_si256::<1>(x);
    let pairs = [low(rows_0145), low(rows_2367), high(rows_0145), high(rows_2367)];
    for (i, pair) in pairs.into_iter().enumerate() {
        // SAFETY: rows `2 i` and `2 i + 1` of eight, eight bytes each.
        unsafe {
            _mm_storel_epi64(to.add(2 * i * stride).cast(), pair);
            _mm_storeh_pd(to.add((2 * i + 1) * stride).cast(), _mm_castsi128_pd(pair));
        }
    }
}
