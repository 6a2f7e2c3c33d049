//! WebP and TIFF to RGB, for the kinds whose pixels are Pillow's; any other kind is refused by name. The decoders are the
//! `image` crate's. Called by [`super::decode`]; `bmp` uses what is common.

use std::io::Cursor;

use ::image::codecs::{tiff::TiffDecoder, webp::WebPDecoder};
use ::image::metadata::Orientation;
use ::image::{ColorType, ExtendedColorType, ImageDecoder, ImageError, Limits};

use super::Error;
use super::rgb::{Rgb, check_size};

/// What a decoder may allocate besides the pixels.
const MAX_MEMORY: u64 = 1 << 31;

/// A still picture. (Of animations Pillow blends the first frame onto a background.)
pub(super) fn webp(bytes: &[u8]) -> Result<Rgb, Error> {
    const FORMAT: &str = "WebP";
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| corrupt(FORMAT, e))?;
    if decoder.has_animation() {
        return Err(Error::Unsupported { format: FORMAT, what: "animation".into() });
    }
    rgb(FORMAT, decoder)
}

/// Compressions of TIFF without loss: none, LZW, deflate under both numbers, PackBits. (Of JPEG the pixels are those of
/// libtiff with its own choices.)
const LOSSLESS: [u32; 5] = [1, 5, 8, 32946, 32773];

/// Tags of a TIFF's first directory.
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;

/// Eight bits grey or RGB, not rotated. (Pillow turns a TIFF by its orientation tag; colour spaces and alpha
/// have readings of its own.)
pub(super) fn tiff(bytes: &[u8]) -> Result<Rgb, Error> {
    const FORMAT: &str = "TIFF";
    let unsupported = |what: String| Error::Unsupported { format: FORMAT, what };
    let mut decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(|e| corrupt(FORMAT, e))?;
    let tag = |tag: u16, default: u32| tiff_tag(bytes, tag).unwrap_or(default);
    match tag(COMPRESSION, 1) {
        6 | 7 => return Err(unsupported("JPEG compression".into())),
        compression if !LOSSLESS.contains(&compression) => {
            return Err(unsupported(format!("compression {compression}")));
        }
        _ => {}
    }
    let orientation = decoder.orientation().map_err(|e| corrupt(FORMAT, e))?;
    if orientation != Orientation::NoTransforms {
        return Err(unsupported("an orientation".into()));
    }
    let kind = decoder.original_color_type();
    if !matches!(kind, ExtendedColorType::L8 | ExtendedColorType::Rgb8) {
        return Err(unsupported(format!("samples {kind:?}")));
    }
    // Black is zero, or RGB.
    let photometric = tag(PHOTOMETRIC, 1);
    if !matches!(photometric, 1 | 2) {
        return Err(unsupported(format!("photometric interpretation {photometric}")));
    }
    if tiff_tag(bytes, EXTRA_SAMPLES).is_some() || tag(SAMPLE_FORMAT, 1) & 0xffff != 1 {
        return Err(unsupported("samples beside grey or RGB, or not whole numbers".into()));
    }
    rgb(FORMAT, decoder)
}

/// The first value of a tag of the first directory, where it has a whole number.
fn tiff_tag(bytes: &[u8], wanted: u16) -> Option<u32> {
    let is_big_endian = bytes.first() == Some(&b'M');
    let short = |at: usize| {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(if is_big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    };
    let long = |at: usize| {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(if is_big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    /// Bytes of an entry: tag, type, count, and the value or where it is.
    const ENTRY: usize = 12;
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    let entry = |i: usize| directory + 2 + i * ENTRY;
    let at = (0..entries).map(entry).find(|&at| short(at) == Some(wanted))?;
    let (kind, count) = (short(at + 2)?, long(at + 4)?);
    match kind {
        3 if count <= 2 => short(at + 8).map(u32::from),
        3 => short(long(at + 8)? as usize).map(u32::from),
        4 if count == 1 => long(at + 8),
        _ => None,
    }
}

/// Decodes, and drops alpha as `convert("RGB")` does.
pub(super) fn rgb(format: &'static str, mut decoder: impl ImageDecoder) -> Result<Rgb, Error> {
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

pub(super) fn corrupt(format: &'static str, error: ImageError) -> Error {
    match error {
        ImageError::Unsupported(e) => Error::Unsupported { format, what: e.to_string() },
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { format, place: "among its pixels".into() }
        }
        e => Error::Corrupt { format, message: e.to_string() },
    }
}
