//! PNG to RGB with the meaning that Pillow's `open(...).convert("RGB")` gives to each kind: the samples come
//! raw from the `png` crate and are read here as Pillow's modes are. Stricter than Pillow in one thing: the
//! pixel chunks' checksums and the end chunk must be there and right. Called by [`super::decode`] only.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Transformations};

use super::Error;
use super::rgb::{Rgb, check_size};

const FORMAT: &str = "PNG";

/// Decodes a whole file; of an animation, its default image.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Corrupt`], [`Error::TooLarge`].
pub(super) fn decode(bytes: &[u8]) -> Result<Rgb, Error> {
    let mut options = DecodeOptions::default();
    // Pillow checks these too.
    options.set_skip_ancillary_crc_failures(false);
    options.set_ignore_adler32(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(|e| corrupt(e, "in its header"))?;
    let (width, height) = check_size(FORMAT, header.width.into(), header.height.into())?;
    let mut reader = decoder.read_info().map_err(|e| corrupt(e, "before its pixels"))?;
    let (depth, color) = (reader.info().bit_depth, reader.info().color_type);
    let palette = reader.info().palette.as_deref().unwrap_or_default().to_vec();
    let size =
        reader.output_buffer_size().ok_or(Error::TooLarge { width: width as u64, height: height as u64 })?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(|e| corrupt(e, "among its pixels"))?;
    if (frame.width as usize, frame.height as usize) != (width, height) {
        return Err(Error::Unsupported {
            format: FORMAT,
            what: "a first frame smaller than the image".into(),
        });
    }
    let mut pixels = Vec::with_capacity(3 * width * height);
    for row in samples.chunks_exact(frame.line_size) {
        unpack(row, width, depth, color, &palette, &mut pixels);
    }
    Rgb::new(width, height, pixels)
        .ok_or(Error::Corrupt { format: FORMAT, message: "rows of another length".into() })
}

/// Appends a row's pixels.
fn unpack(row: &[u8], width: usize, depth: BitDepth, color: ColorType, palette: &[u8], out: &mut Vec<u8>) {
    let wide = depth == BitDepth::Sixteen;
    // Of sixteen bits Pillow keeps the upper eight, except in grey (below).
    let step = if wide { 2 } else { 1 };
    match color {
        ColorType::Rgb => out.extend(row.iter().step_by(step)),
        ColorType::Rgba => {
            out.extend(row.chunks_exact(4 * step).flat_map(|p| p.iter().step_by(step).take(3)));
        }
        ColorType::GrayscaleAlpha => {
            out.extend(row.chunks_exact(2 * step).filter_map(|p| p.first()).flat_map(|&v| [v; 3]));
        }
        // Pillow's mode `I;16` saturates on its way to RGB: 256 and more is white.
        ColorType::Grayscale if wide => out.extend(row.chunks_exact(2).flat_map(|p| match p {
            [0, low] => [*low; 3],
            _ => [255; 3],
        })),
        ColorType::Grayscale => {
            // 1, 2 and 4 bits are stretched to 0..=255.
            let scale = match depth {
                BitDepth::One => 255,
                BitDepth::Two => 85,
                BitDepth::Four => 17,
                _ => 1,
            };
            out.extend(small_samples(row, depth).take(width).flat_map(|v| [v * scale; 3]));
        }
        ColorType::Indexed => {
            let (palette, _) = palette.as_chunks::<3>();
            // An index past the palette is black in Pillow, whose palettes start out so.
            let color = |i: u8| palette.get(usize::from(i)).copied().unwrap_or_default();
            out.extend(small_samples(row, depth).take(width).flat_map(color));
        }
    }
}

/// The samples of a row of 1, 2, 4 or 8 bits each, leftmost in the highest bits.
fn small_samples(row: &[u8], depth: BitDepth) -> impl Iterator<Item = u8> + '_ {
    let bits = (depth as u8).min(8);
    let mask = 0xff >> (8 - bits);
    row.iter().flat_map(move |&byte| (1..=8 / bits).map(move |i| (byte >> (8 - i * bits)) & mask))
}

fn corrupt(error: DecodingError, place: &str) -> Error {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { format: FORMAT, place: place.to_owned() }
        }
        other => Error::Corrupt { format: FORMAT, message: other.to_string() },
    }
}
