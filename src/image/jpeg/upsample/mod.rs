//! libjpeg's fancy upsampling of chroma (`jdsample.c`), three parts of the nearest sample to one of the next, in a row,
//! in a column or in both. Called by [`super::planes`], which sees to the neighbours: at the edge of an image a
//! sample is its own.
//!
//! Halves are rounded up and down in turns from pixel to pixel, as libjpeg does.

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2;
mod scalar;
#[cfg(test)]
mod tests;

use crate::image::isa::SimdLevel;

/// Twice as many samples in a row. `row` begins with the sample before the first and ends with the one after the last.
pub(super) fn across(isa: SimdLevel, row: &[u8], out: &mut [u8]) {
    let count = row.len().saturating_sub(2).min(out.len() / 2);
    if count == 0 {
        return;
    }
    let (Some(row), Some(out)) = (row.get(..count + 2), out.get_mut(..2 * count)) else { return };
    match isa {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        SimdLevel::Avx2(avx2) => avx2.across(row, out),
        SimdLevel::Portable => scalar::across(row, out),
    }
}

/// A row of twice as many rows: of the `near`est and the next.
pub(super) fn down(isa: SimdLevel, near: &[u8], far: &[u8], is_upper: bool, out: &mut [u8]) {
    match isa {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        SimdLevel::Avx2(avx2) => avx2.down(near, far, is_upper, out),
        SimdLevel::Portable => scalar::down(near, far, is_upper, out),
    }
}

/// A row of twice as many rows with twice as many samples. The rows are longer by two, as in [`across`].
pub(super) fn both(isa: SimdLevel, near: &[u8], far: &[u8], out: &mut [u8]) {
    let count = near.len().min(far.len()).saturating_sub(2).min(out.len() / 2);
    if count == 0 {
        return;
    }
    let (Some(near), Some(far)) = (near.get(..count + 2), far.get(..count + 2)) else { return };
    let Some(out) = out.get_mut(..2 * count) else { return };
    match isa {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        SimdLevel::Avx2(avx2) => avx2.both(near, far, out),
        SimdLevel::Portable => scalar::both(near, far, out),
    }
}
