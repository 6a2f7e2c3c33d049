//! From luma and chroma to red, green and blue, as libjpeg's tables have it (`jdcolor.c`), and from grey. Called by
//! [`super::planes`].

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2;
mod scalar;
#[cfg(test)]
mod tests;

use crate::image::isa::SimdLevel;

/// A row of pixels, three bytes each, as long as the shortest of all.
pub(super) fn ycc(isa: SimdLevel, [y, cb, cr]: [&[u8]; 3], out: &mut [u8]) {
    let count = y.len().min(cb.len()).min(cr.len()).min(out.len() / 3);
    let (Some(y), Some(cb), Some(cr)) = (y.get(..count), cb.get(..count), cr.get(..count)) else { return };
    let Some(out) = out.get_mut(..3 * count) else { return };
    match isa {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        SimdLevel::Avx2(avx2) => avx2.ycc([y, cb, cr], out),
        SimdLevel::Portable => scalar::ycc([y, cb, cr], out),
    }
}

/// A row of grey pixels, three bytes each.
pub(super) fn grey(isa: SimdLevel, y: &[u8], out: &mut [u8]) {
    let count = y.len().min(out.len() / 3);
    let (Some(y), Some(out)) = (y.get(..count), out.get_mut(..3 * count)) else { return };
    match isa {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        SimdLevel::Avx2(avx2) => avx2.grey(y, out),
        SimdLevel::Portable => scalar::grey(y, out),
    }
}
