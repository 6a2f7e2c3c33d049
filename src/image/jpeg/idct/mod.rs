//! Dequantisation and the inverse DCT of blocks: libjpeg's accurate integer one (`jidctint.c`), bit for bit also
//! on the coefficients of broken files. Called by [`super::planes`].

#[cfg(target_arch = "x86_64")]
mod avx2;
mod scalar;
#[cfg(test)]
mod tests;

use crate::image::isa::Isa;

/// Coefficients of a block in rows, from low to high frequencies, as the file has them: not yet multiplied.
pub(super) type Block = [i16; 64];

/// What coefficients are multiplied by, in the same order.
pub(super) type Quantisation = [u16; 64];

/// Of a column, what the absolute products of coefficients and quantisers may add up to for the vector code, which
/// says why.
const LARGEST_COLUMN: u16 = 4096;

/// A component's quantisers, and what is made of them once.
#[derive(Clone, Debug)]
pub(super) struct Quantisers {
    by: Quantisation,
    /// The largest coefficients, without sign, whose products a column may have.
    largest: Quantisation,
}

impl Quantisers {
    /// Of a table as it is in a file.
    pub(super) fn new(by: Quantisation) -> Self {
        Quantisers { by, largest: by.map(|q| LARGEST_COLUMN.checked_div(q).unwrap_or(u16::MAX)) }
    }
}

/// Transforms blocks that lie side by side. `out` begins at the first block's first sample and has `stride` samples a
/// row; blocks for which a row has no place are left out.
pub(super) fn blocks(isa: Isa, blocks: &[Block], by: &Quantisers, out: &mut [u8], stride: usize) {
    // Eight rows, of which the last need not be whole.
    let width = (stride / 8).min(out.len().saturating_sub(7 * stride) / 8);
    let blocks = blocks.get(..width).unwrap_or(blocks);
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(avx2) => avx2.idct(blocks, by, out, stride),
        Isa::Portable => {
            for (i, block) in blocks.iter().enumerate() {
                put(&scalar::block(block, &by.by), out.get_mut(8 * i..).unwrap_or_default(), stride);
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
