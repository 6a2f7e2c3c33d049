//! The inverse DCT of libjpeg-turbo's x86-64 vector code (`jidctint-avx2.asm`, `jidctint-sse2.asm`), which is what Pillow's
//! wheels carry, one number after another: the accurate integer transform of `jidctint.c`, in 16 bits that wrap where
//! coefficients are multiplied and inputs are added, and saturate between the passes and at the end. On what encoders
//! write it is the same as the C code, whose numbers are wider. The truth for the vector code.

// What only vector code reads.
#![cfg_attr(any(not(target_arch = "x86_64"), feature = "portable"), allow(dead_code))]

use super::{Block, Quantisation};

/// Bits behind the point of the constants, and those that the first pass leaves.
const CONST_BITS: u32 = 13;
pub(super) const PASS1_BITS: u32 = 2;

/// What is shifted out at the end of each pass.
const DESCALE_FIRST: u32 = CONST_BITS - PASS1_BITS;
const DESCALE_SECOND: u32 = CONST_BITS + PASS1_BITS + 3;

/// The constants of figure 8 of Loeffler, Ligtenberg and Moschytz, in units of 2^-13. The names say the number.
pub(super) const FIX_0_298631336: i32 = 2446;
pub(super) const FIX_0_390180644: i32 = 3196;
pub(super) const FIX_0_541196100: i32 = 4433;
pub(super) const FIX_0_765366865: i32 = 6270;
pub(super) const FIX_0_899976223: i32 = 7373;
pub(super) const FIX_1_175875602: i32 = 9633;
pub(super) const FIX_1_501321110: i32 = 12299;
pub(super) const FIX_1_847759065: i32 = 15137;
pub(super) const FIX_1_961570560: i32 = 16069;
pub(super) const FIX_2_053119869: i32 = 16819;
pub(super) const FIX_2_562915447: i32 = 20995;
pub(super) const FIX_3_072711026: i32 = 25172;

/// The samples of a block.
pub(in crate::image::jpeg) fn block(block: &Block, by: &Quantisation) -> [[u8; 8]; 8] {
    let mut products = [[0_i16; 8]; 8];
    for (row, (coefficients, by)) in products.iter_mut().zip(block.chunks(8).zip(by.chunks(8))) {
        for (product, (&c, &q)) in row.iter_mut().zip(coefficients.iter().zip(by)) {
            *product = c.wrapping_mul(q as i16);
        }
    }
    // Without a coefficient below the first row every row is the first, shifted in 16 bits.
    let (first, below) = block.split_at(8);
    debug_assert_eq!(first.len(), 8);
    let between = if below.iter().all(|&c| c == 0) {
        [products[0].map(|product| product << PASS1_BITS); 8]
    } else {
        transposed(&transposed(&products).map(|column| one_dimension(column, DESCALE_FIRST)))
    };
    between.map(|row| one_dimension(row, DESCALE_SECOND).map(sample))
}

/// The samples of a block without a coefficient but the first are all this one.
pub(super) fn constant(first: i16, by: u16) -> u8 {
    let between = first.wrapping_mul(by as i16) << PASS1_BITS;
    let rounding = 1 << (PASS1_BITS + 2);
    sample(saturated((i32::from(between) + rounding) >> (PASS1_BITS + 3)))
}

fn transposed(rows: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    std::array::from_fn(|i| rows.map(|row| row.get(i).copied().unwrap_or(0)))
}

fn saturated(x: i32) -> i16 {
    x.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

fn sample(x: i16) -> u8 {
    (x.clamp(-128, 127) + 128) as u8
}

/// Eight outputs, rounded by `descale` bits. No sum of 32 bits can overflow.
fn one_dimension(x: [i16; 8], descale: u32) -> [i16; 8] {
    let wide = |x: i16| i32::from(x) << CONST_BITS;
    let times = |x: i16, by: i32| i32::from(x) * by;
    // The even part.
    let (tmp0, tmp1) = (wide(x[0].wrapping_add(x[4])), wide(x[0].wrapping_sub(x[4])));
    let tmp2 = times(x[2], FIX_0_541196100) + times(x[6], FIX_0_541196100 - FIX_1_847759065);
    let tmp3 = times(x[2], FIX_0_541196100 + FIX_0_765366865) + times(x[6], FIX_0_541196100);
    let (tmp10, tmp13, tmp11, tmp12) = (tmp0 + tmp3, tmp0 - tmp3, tmp1 + tmp2, tmp1 - tmp2);
    // The odd part.
    let (z3, z4) = (x[7].wrapping_add(x[3]), x[5].wrapping_add(x[1]));
    let z5 = FIX_1_175875602;
    let (z3, z4) =
        (times(z3, z5 - FIX_1_961570560) + times(z4, z5), times(z3, z5) + times(z4, z5 - FIX_0_390180644));
    let tmp0 = times(x[7], FIX_0_298631336 - FIX_0_899976223) - times(x[1], FIX_0_899976223) + z3;
    let tmp1 = times(x[5], FIX_2_053119869 - FIX_2_562915447) - times(x[3], FIX_2_562915447) + z4;
    let tmp2 = times(x[3], FIX_3_072711026 - FIX_2_562915447) - times(x[5], FIX_2_562915447) + z3;
    let tmp3 = times(x[1], FIX_1_501321110 - FIX_0_899976223) - times(x[7], FIX_0_899976223) + z4;
    let rounding = 1 << (descale - 1);
    [
        tmp10 + tmp3,
        tmp11 + tmp2,
        tmp12 + tmp1,
        tmp13 + tmp0,
        tmp13 - tmp0,
        tmp12 - tmp1,
        tmp11 - tmp2,
        tmp10 - tmp3,
    ]
    .map(|sum| saturated((sum + rounding) >> descale))
}
