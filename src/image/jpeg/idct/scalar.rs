//! libjpeg's `jpeg_idct_islow`, line for line, in the widths it has there: 64-bit sums, 32 bits between the passes,
//! and ten bits of the result. The truth for the vector code, and what does the blocks that are too large for it.

use super::{Block, Quantisation};

/// Bits behind the point of the constants, and those that the first pass leaves.
const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

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
pub(super) fn block(block: &Block, by: &Quantisation) -> [[u8; 8]; 8] {
    let (coefficients, _) = block.as_chunks::<8>();
    let (by, _) = by.as_chunks::<8>();
    // Rows of eight columns: the first pass goes down each column.
    let mut columns = [[0i64; 8]; 8];
    for (row, (coefficients, by)) in coefficients.iter().zip(by).enumerate() {
        for ((column, &c), &q) in columns.iter_mut().zip(coefficients).zip(by) {
            if let Some(to) = column.get_mut(row) {
                // At most 2^15 (2^16 - 1): within the 32 bits that it is in C.
                *to = i64::from(c) * i64::from(q);
            }
        }
    }
    let mut between = [[0i64; 8]; 8];
    for (i, column) in columns.iter().enumerate() {
        for (row, sum) in between.iter_mut().zip(one_dimension(column)) {
            if let Some(to) = row.get_mut(i) {
                *to = i64::from(descale(sum, CONST_BITS - PASS1_BITS) as i32);
            }
        }
    }
    between.map(|row| one_dimension(&row).map(|sum| limit(descale(sum, CONST_BITS + PASS1_BITS + 3))))
}

/// The samples of a block without a coefficient but the first are all this one.
pub(super) fn constant(first: i16, by: u16) -> u8 {
    let scaled = ((i64::from(first) * i64::from(by)) << PASS1_BITS) as i32;
    limit(descale(i64::from(scaled), PASS1_BITS + 3))
}

fn descale(x: i64, bits: u32) -> i64 {
    (x + (1 << (bits - 1))) >> bits
}

/// libjpeg's table behind `RANGE_MASK`: ten bits, signed, around 128, into a byte.
fn limit(x: i64) -> u8 {
    let wrapped = ((x as i32) << 22) >> 22;
    (wrapped + 128).clamp(0, 255) as u8
}

/// Eight sums in units of 2^-13.
fn one_dimension(x: &[i64; 8]) -> [i64; 8] {
    let times = |x: i64, by: i32| x * i64::from(by);
    // The even part.
    let (z2, z3) = (x[2], x[6]);
    let z1 = times(z2 + z3, FIX_0_541196100);
    let (tmp2, tmp3) = (z1 - times(z3, FIX_1_847759065), z1 + times(z2, FIX_0_765366865));
    let (tmp0, tmp1) = ((x[0] + x[4]) << CONST_BITS, (x[0] - x[4]) << CONST_BITS);
    let (tmp10, tmp13, tmp11, tmp12) = (tmp0 + tmp3, tmp0 - tmp3, tmp1 + tmp2, tmp1 - tmp2);
    // The odd part.
    let (tmp0, tmp1, tmp2, tmp3) = (x[7], x[5], x[3], x[1]);
    let (z1, z2, z3, z4) = (tmp0 + tmp3, tmp1 + tmp2, tmp0 + tmp2, tmp1 + tmp3);
    let z5 = times(z3 + z4, FIX_1_175875602);
    let (z1, z2) = (times(z1, -FIX_0_899976223), times(z2, -FIX_2_562915447));
    let (z3, z4) = (times(z3, -FIX_1_961570560) + z5, times(z4, -FIX_0_390180644) + z5);
    let tmp0 = times(tmp0, FIX_0_298631336) + z1 + z3;
    let tmp1 = times(tmp1, FIX_2_053119869) + z2 + z4;
    let tmp2 = times(tmp2, FIX_3_072711026) + z2 + z3;
    let tmp3 = times(tmp3, FIX_1_501321110) + z1 + z4;
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
}
