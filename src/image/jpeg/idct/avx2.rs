//! The inverse DCT with AVX2, equal to `scalar` in every bit. Called by the dispatch in `mod`.
//!
//! Up to the rounding at its end a pass is linear and exact, so its sums may be taken in any way: here each of the
//! eight is products of two 16-bit inputs by two 16-bit constants, added by `vpmaddwd`, a column (then a row) a lane.
//!
//! It is exact where nothing overflows, which [`LARGEST_COLUMN`] makes sure of. With B the most that a column's
//! absolute products of coefficient and quantiser add up to, and every constant at most 11363 (in units of 2^-13):
//! the first pass gives at most 11363 B / 2^11 + 1, 22727 for B = 4096, which fits 16 bits; the second adds up eight
//! of these, at most 8 * 22727 * 11363 = 2,065,975,208, which with its rounding fits 31 bits; a sample before
//! limiting is that by 2^18, at most 7882. Of a picture of eight bits a column's eight true coefficients have
//! at most 1024 as the root of their squares' sum, so at most 1024 * sqrt(8) = 2897 as their sum, to which rounding adds
//! half a quantiser each: with quantisers of a byte at most 3917. What is above is noise of a broken file, or has
//! 16-bit quantisers, and goes to `scalar`.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::scalar::*;
use super::{Block, LARGEST_COLUMN, Quantisers, put, scalar};
use crate::image::isa::Avx2;

/// Registers of an 8×8 block of 16-bit numbers.
type Registers = [__m256i; 4];

impl Avx2 {
    /// As [`scalar::block`], for blocks side by side.
    pub(super) fn idct(self, blocks: &[Block], by: &Quantisers, out: &mut [u8], stride: usize) {
        // SAFETY: the token says that the machine has the features.
        unsafe { row(blocks, by, out, stride) }
    }
}

#[target_feature(enable = "avx2")]
fn row(blocks: &[Block], by: &Quantisers, out: &mut [u8], stride: usize) {
    let width = 8 * blocks.len();
    assert!(blocks.is_empty() || (width <= stride && 7 * stride + width <= out.len()));
    let (quantisers, largest) = (load(&by.by), load(&by.largest));
    // All but the first coefficient.
    let others = _mm256_setr_epi16(0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    for (i, block) in blocks.iter().enumerate() {
        let coefficients = load(block);
        let [a, b, c, d] = coefficients;
        let below = _mm256_or_si256(_mm256_or_si256(b, c), d);
        let samples = if _mm256_testz_si256(a, others) == 1 && _mm256_testz_si256(below, below) == 1 {
            [_mm256_set1_epi8(constant(block[0], by.by[0]) as i8); 2]
        } else if let Some(products) = dequantise(coefficients, quantisers, largest) {
            transform(products)
        } else {
            put(&scalar::block(block, &by.by), out.get_mut(8 * i..).unwrap_or_default(), stride);
            continue;
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

/// The products, or `None` where a column is above [`LARGEST_COLUMN`].
#[target_feature(enable = "avx2")]
fn dequantise(coefficients: Registers, quantisers: Registers, largest: Registers) -> Option<Registers> {
    let mut products = coefficients;
    let (mut sums, mut above) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for ((x, q), most) in products.iter_mut().zip(quantisers).zip(largest) {
        // Without sign, for which 16 bits suffice also for -32768.
        let size = _mm256_abs_epi16(*x);
        above = _mm256_or_si256(above, _mm256_subs_epu16(size, most));
        let product = _mm256_mullo_epi16(size, q);
        sums = _mm256_adds_epu16(sums, product);
        *x = _mm256_sign_epi16(product, *x);
    }
    // Of even and of odd rows.
    let sums = _mm_adds_epu16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let over = _mm_subs_epu16(sums, _mm_set1_epi16(LARGEST_COLUMN as i16));
    let fits = _mm_testz_si128(over, over) == 1 && _mm256_testz_si256(above, above) == 1;
    fits.then_some(products)
}

/// The samples: rows 0, 1, 4 and 5 in the first register, 2, 3, 6 and 7 in the second.
#[target_feature(enable = "avx2")]
fn transform(products: Registers) -> [__m256i; 2] {
    // From row after row to halves: the first half of two rows in one lane, the second in the other.
    let [a, b, c, d] = products.map(|x| _mm256_permute4x64_epi64::<0b11_01_10_00>(x));
    let [e, f, g, h] = quads(pass::<11>([a, b, c, d]));
    let columns = [
        _mm256_permute2x128_si256::<0x20>(e, g),
        _mm256_permute2x128_si256::<0x20>(f, h),
        _mm256_permute2x128_si256::<0x31>(e, g),
        _mm256_permute2x128_si256::<0x31>(f, h),
    ];
    let [e, f, g, h] = quads(pass::<18>(columns));
    let [row_04, row_15, row_26, row_37] = [
        _mm256_unpacklo_epi64(e, g),
        _mm256_unpackhi_epi64(e, g),
        _mm256_unpacklo_epi64(f, h),
        _mm256_unpackhi_epi64(f, h),
    ]
    // Ten bits with sign.
    .map(|x| _mm256_srai_epi16::<6>(_mm256_slli_epi16::<6>(x)));
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
    let (in_04, in_15) = (_mm256_unpacklo_epi16(a, c), _mm256_unpackhi_epi16(a, c));
    let (in_26, in_37) = (_mm256_unpacklo_epi16(b, d), _mm256_unpackhi_epi16(b, d));
    let half = _mm256_set1_epi32(1 << (BITS - 1));
    // The names are those of `scalar`, with the factors of each input gathered.
    let tmp0 = _mm256_add_epi32(times(in_04, 8192, 8192), half);
    let tmp1 = _mm256_add_epi32(times(in_04, 8192, -8192), half);
    let tmp2 = times(in_26, FIX_0_541196100, FIX_0_541196100 - FIX_1_847759065);
    let tmp3 = times(in_26, FIX_0_541196100 + FIX_0_765366865, FIX_0_541196100);
    let tmp10 = _mm256_add_epi32(tmp0, tmp3);
    let tmp13 = _mm256_sub_epi32(tmp0, tmp3);
    let tmp11 = _mm256_add_epi32(tmp1, tmp2);
    let tmp12 = _mm256_sub_epi32(tmp1, tmp2);
    const Z5: i32 = FIX_1_175875602;
    let odd = |by_15: (i32, i32), by_37: (i32, i32)| {
        _mm256_add_epi32(times(in_15, by_15.0, by_15.1), times(in_37, by_37.0, by_37.1))
    };
    let tmp0 = odd(
        (Z5 - FIX_0_899976223, Z5),
        (Z5 - FIX_1_961570560, Z5 + FIX_0_298631336 - FIX_0_899976223 - FIX_1_961570560),
    );
    let tmp1 = odd(
        (Z5 - FIX_0_390180644, Z5 + FIX_2_053119869 - FIX_2_562915447 - FIX_0_390180644),
        (Z5 - FIX_2_562915447, Z5),
    );
    let tmp2 = odd(
        (Z5, Z5 - FIX_2_562915447),
        (Z5 + FIX_3_072711026 - FIX_2_562915447 - FIX_1_961570560, Z5 - FIX_1_961570560),
    );
    let tmp3 = odd(
        (Z5 + FIX_1_501321110 - FIX_0_899976223 - FIX_0_390180644, Z5 - FIX_0_390180644),
        (Z5, Z5 - FIX_0_899976223),
    );
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

/// Writes what [`transform`] gives.
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
