//! Dequantisation and the inverse DCT of blocks: libjpeg's accurate integer one, bit for bit as the vector code in
//! Pillow's wheels does it, also on the coefficients of broken files. Called by [`super::planes`] and, for the files whose
//! pixels the library makes, by [`super::library`].

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2;
pub(super) mod scalar;
#[cfg(test)]
mod tests;

use crate::image::isa::SimdLevel;

/// Coefficients of a block in rows, from low to high frequencies, as the file has them: not yet multiplied.
pub(super) type Block = [i16; 64];

/// What coefficients are multiplied by, in the same order.
pub(super) type Quantisation = [u16; 64];

/// Transforms blocks that lie side by side. `out` begins at the first block's first sample and has `stride` samples a
/// row; blocks for which a row has no place are left out.
pub(super) fn blocks(isa: SimdLevel, blocks: &[Block], by: &Quantisation, out: &mut [u8], stride: usize) {
    // Eight rows, of which the last need not be whole.
    let width = (stride / 8).min(out.len().saturating_sub(7 * stride) / 8);
    let blocks = blocks.get(..width).unwrap_or(blocks);
    match isa {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        SimdLevel::Avx2(avx2) => avx2.idct(blocks, by, out, stride),
        SimdLevel::Portable => {
            for (i, block) in blocks.iter().enumerate() {
                put(&scalar::block(block, by), out.get_mut(8 * i..).unwrap_or_default(), stride);
            }
        }
    }
}

/// Writes a block's samples where `out` begins.
fn put(samples: &[[u8; 8]; 8], out: &mut [u8], stride: usize) {
    for (to, from) in out.chunks_mut(stride.max(1)).zip(samples) {
        if let Some(to) = to.first_chunk_mut::<8>() {
            *to = *from;
        }
    }
}
