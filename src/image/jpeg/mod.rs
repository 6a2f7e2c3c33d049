//! JPEG to RGB, bit for bit as Pillow: libjpeg-turbo's decoder (as kept in mozjpeg) with Pillow's settings
//! (`JpegDecode.c`): the accurate integer inverse DCT, fancy upsampling, libjpeg's own guess of the colour
//! space, CMYK taken as Adobe writes it (inverted). Called by [`super::decode`] and [`super::Preparer`].
//!
//! The library reads markers and entropy-coded data. Of a plain file ([`layout`]: sequential, grey or luma and chroma
//! with the usual factors, which is what photos of data sets are) it hands over coefficients, and [`planes`] makes
//! pixels of them, to the bits of the library's own C code, only where a crop looks. Every byte is decoded all the same:
//! a file that is broken or cut short anywhere fails, as it does in Pillow. Of any other file, and of one that ends
//! without saying so, the library makes the pixels, all of them.

mod colour;
mod idct;
mod layout;
mod library;
mod planes;
#[cfg(test)]
mod tests;
mod upsample;

use super::Error;
use super::isa::SimdLevel;
use super::part::{Part, Wanted, Window};
use layout::Layout;
use library::Decoder;
use planes::Planes;

const FORMAT: &str = "JPEG";

/// Reads files, one at a time, and keeps its memory for the next.
#[derive(Debug)]
pub(super) struct Reader {
    isa: SimdLevel,
    planes: Planes,
}

impl Reader {
    /// With nothing kept yet.
    pub(super) fn new(isa: SimdLevel) -> Self {
        Reader { isa, planes: Planes::default() }
    }

    /// Decodes at least what is `wanted` of a file into `buffer`, whatever that held.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Corrupt`], [`Error::Unsupported`] (12-bit, lossless, two components …),
    /// [`Error::TooLarge`].
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut buffer: Vec<u8>,
        wanted: &mut Wanted<'_>,
    ) -> Result<Part, Error> {
        library::caught(|| {
            let mut decoder = Decoder::open(bytes)?;
            if let Some(layout) = Layout::of(&decoder.frame()) {
                if let Some(mut coefficients) = decoder.coefficients() {
                    return Ok(self.part(&layout, &mut coefficients, &mut buffer, wanted));
                }
                // What is missing at the end, and whether that matters, is the library's to say.
                decoder = Decoder::open(bytes)?;
            }
            decoder.whole(std::mem::take(&mut buffer))
        })
    }

    fn part(
        &mut self,
        layout: &Layout,
        coefficients: &mut library::Coefficients<'_, '_>,
        buffer: &mut Vec<u8>,
        wanted: &mut Wanted<'_>,
    ) -> Part {
        let whole = (layout.width, layout.height);
        let Window { rows, columns } = wanted(whole.0, whole.1);
        let within = |range: std::ops::Range<usize>, length: usize| {
            let end = range.end.min(length);
            range.start.min(end)..end
        };
        let (rows, columns) = (within(rows, whole.1), within(columns, whole.0));
        // Two columns share one of chroma.
        let columns = columns.start / 2 * 2..columns.end;
        let mut pixels = std::mem::take(buffer);
        pixels.resize(3 * columns.len() * rows.len(), 0);
        let window = Window { rows, columns };
        self.planes.pixels(self.isa, layout, coefficients, &window, &mut pixels);
        let Window { rows, columns } = window;
        Part { pixels, width: columns.len(), left: columns.start, top: rows.start, whole }
    }
}

/// Where turns of `step` begin that cover `count`, which is at least one of them. The last ends with it, and does some of the
/// one before again.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
fn turns(count: usize, step: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(step).map(move |start| start.min(count - step))
}

/// Pillow's `CMYK;I` unpacker, then its `cmyk2rgb`.
fn rgb_of_inverted_cmyk(cmyk: &[u8]) -> Vec<u8> {
    let (pixels, _) = cmyk.as_chunks::<4>();
    pixels
        .iter()
        .flat_map(|&[c, m, y, k]| {
            let white = u32::from(k);
            [c, m, y].map(|ink| {
                // Pillow's MULDIV255 of the un-inverted ink.
                let product = u32::from(255 - ink) * white + 128;
                white.saturating_sub(((product >> 8) + product) >> 8) as u8
            })
        })
        .collect()
}
