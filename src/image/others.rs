//! BMP, GIF, WebP and TIFF to RGB, for the kinds whose pixels are Pillow's; any other kind is refused by name.
//! The decoders are the `image` crate's. Called by [`super::decode`] only.

use std::io::Cursor;

use ::image::codecs::{bmp::BmpDecoder, gif::GifDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use ::image::metadata::Orientation;
use ::image::{ColorType, ExtendedColorType, ImageDecoder, ImageError, Limits};

use super::Error;
use super::rgb::{Rgb, check_size};

/// What a decoder may allocate besides the pixels.
const MAX_MEMORY: u64 = 1 << 31;

/// Uncompressed bitmaps of 1, 4, 8 or 24 bits. (Of 16 and 32 Pillow has readings of its own.)
pub(super) fn bmp(bytes: &[u8]) -> Result<Rgb, Error> {
    const FORMAT: &str = "BMP";
    // A BITMAPINFOHEADER or a later one: bits a pixel at 28, compression at 30.
    let number =
        |at: usize| bytes.get(at).map(|&b| u16::from(b)).zip(bytes.get(at + 1).map(|&b| u16::from(b)));
    let number = |at| number(at).map(|(low, high)| low | high << 8);
    let truncated = || Error::Truncated { format: FORMAT, place: "in its header".into() };
    let (header, bits, packing) = (
        number(14).ok_or_else(truncated)?,
        number(28).ok_or_else(truncated)?,
        number(30).ok_or_else(truncated)?,
    );
    if header < 40 {
        return Err(Error::Unsupported { format: FORMAT, what: "an OS/2 header".into() });
    }
    if !matches!(bits, 1 | 4 | 8 | 24) {
        return Err(Error::Unsupported { format: FORMAT, what: format!("{bits} bits a pixel") });
    }
    if packing != 0 {
        return Err(Error::Unsupported { format: FORMAT, what: format!("compression {packing}") });
    }
    rgb(FORMAT, BmpDecoder::new(Cursor::new(bytes)).map_err(|e| corrupt(FORMAT, e))?)
}

/// The first frame, where it covers the whole screen.
pub(super) fn gif(bytes: &[u8]) -> Result<Rgb, Error> {
    const FORMAT: &str = "GIF";
    match first_frame_covers_screen(bytes) {
        Some(true) => rgb(FORMAT, GifDecoder::new(Cursor::new(bytes)).map_err(|e| corrupt(FORMAT, e))?),
        Some(false) => {
            Err(Error::Unsupported { format: FORMAT, what: "a first frame smaller than the screen".into() })
        }
        None => Err(Error::Truncated { format: FORMAT, place: "before its first frame".into() }),
    }
}

/// Walks the blocks up to the first image descriptor; `None` where the data ends before.
fn first_frame_covers_screen(bytes: &[u8]) -> Option<bool> {
    let screen = bytes.get(6..10)?;
    let flags = *bytes.get(10)?;
    let table = if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table;
    loop {
        match *bytes.get(at)? {
            // An extension: its label, then blocks that begin with their length, up to an empty one.
            b'!' => {
                at += 2;
                loop {
                    let length = usize::from(*bytes.get(at)?);
                    at += 1 + length;
                    if length == 0 {
                        break;
                    }
                }
            }
            b',' => {
                let frame = bytes.get(at + 1..at + 9)?;
                return Some(frame.get(..4)? == [0; 4] && frame.get(4..)? == screen);
            }
            _ => return None,
        }
    }
}

/// A still picture. (Of animations Pillow blends the first frame onto a background.)
pub(super) fn webp(bytes: &[u8]) -> Result<Rgb, Error> {
    const FORMAT: &str = "WebP";
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| corrupt(FORMAT, e))?;
    if decoder.has_animation() {
        return Err(Error::Unsupported { format: FORMAT, what: "animation".into() });
    }
    rgb(FORMAT, decoder)
}

/// Eight bits grey or RGB, not rotated. (Pillow turns a TIFF by its orientation tag; colour spaces and alpha
/// have readings of its own.)
pub(super) fn tiff(bytes: &[u8]) -> Result<Rgb, Error> {
    const FORMAT: &str = "TIFF";
    let mut decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(|e| corrupt(FORMAT, e))?;
    let orientation = decoder.orientation().map_err(|e| corrupt(FORMAT, e))?;
    if orientation != Orientation::NoTransforms {
        return Err(Error::Unsupported { format: FORMAT, what: "an orientation".into() });
    }
    let kind = decoder.original_color_type();
    if !matches!(kind, ExtendedColorType::L8 | ExtendedColorType::Rgb8) {
        return Err(Error::Unsupported { format: FORMAT, what: format!("samples {kind:?}") });
    }
    rgb(FORMAT, decoder)
}

/// Decodes, and drops alpha as `convert("RGB")` does.
fn rgb(format: &'static str, mut decoder: impl ImageDecoder) -> Result<Rgb, Error> {
    let (width, height) = decoder.dimensions();
    let (width, height) = check_size(format, width.into(), height.into())?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_MEMORY);
    decoder.set_limits(limits).map_err(|e| corrupt(format, e))?;
    let color = decoder.color_type();
    let mut samples = vec![0; usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)];
    decoder.read_image(&mut samples).map_err(|e| corrupt(format, e))?;
    let pixels = match color {
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => samples.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
        ColorType::L8 => samples.iter().flat_map(|&v| [v; 3]).collect(),
        other => return Err(Error::Unsupported { format, what: format!("samples {other:?}") }),
    };
    Rgb::new(width, height, pixels).ok_or(Error::Corrupt { format, message: "rows of another length".into() })
}

fn corrupt(format: &'static str, error: ImageError) -> Error {
    match error {
        ImageError::Unsupported(e) => Error::Unsupported { format, what: e.to_string() },
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { format, place: "among its pixels".into() }
        }
        e => Error::Corrupt { format, message: e.to_string() },
    }
}
