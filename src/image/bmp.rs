//! BMP to RGB, for the kinds whose pixels are Pillow's: 1, 4, 8 and 24 bits a pixel by the `image` crate, and 16 and 32 bits
//! here, as Pillow's `BmpImagePlugin` reads them (alpha is dropped, whatever the masks say of it). Called by
//! [`super::decode`] only.

use std::io::Cursor;

use ::image::codecs::bmp::BmpDecoder;

use super::Error;
use super::others::{corrupt, rgb};
use super::rgb::{Rgb, check_size};

const FORMAT: &str = "BMP";

/// Compressions: none, and masks that say where the channels are.
const RAW: u32 = 0;
const BITFIELDS: u32 = 3;

/// Masks of red, green, blue and alpha that Pillow takes for 32 bits.
const MASKS: [[u32; 4]; 8] = [
    [0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0],
    [0xff00_0000, 0x00ff_0000, 0x0000_ff00, 0],
    [0xff00_0000, 0x0000_ff00, 0x0000_00ff, 0],
    [0xff00_0000, 0x00ff_0000, 0x0000_ff00, 0x0000_00ff],
    [0x0000_00ff, 0x0000_ff00, 0x00ff_0000, 0xff00_0000],
    [0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0xff00_0000],
    [0xff00_0000, 0x0000_ff00, 0x0000_00ff, 0x00ff_0000],
    [0; 4],
];

/// Of 16 bits: five, six and five of them, or five each.
const MASKS_565: [u32; 3] = [0xf800, 0x07e0, 0x001f];
const MASKS_555: [u32; 3] = [0x7c00, 0x03e0, 0x001f];

/// Decodes a file with a BITMAPINFOHEADER or a later one.
pub(super) fn decode(bytes: &[u8]) -> Result<Rgb, Error> {
    let truncated = || Error::Truncated { format: FORMAT, place: "in its header".into() };
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?.first_chunk()?;
        Some(u32::from_le_bytes(*four))
    };
    let get = |at: usize| number(at).ok_or_else(truncated);
    let (header, bits, compression) = (get(14)?, get(26)? >> 16, get(30)?);
    if header < 40 {
        return Err(unsupported("an OS/2 header".into()));
    }
    if !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
        return Err(unsupported(format!("{bits} bits a pixel")));
    }
    if compression != RAW && !(compression == BITFIELDS && matches!(bits, 16 | 32)) {
        return Err(unsupported(format!("compression {compression}")));
    }
    if bits < 16 || bits == 24 {
        return rgb(FORMAT, BmpDecoder::new(Cursor::new(bytes)).map_err(|e| corrupt(FORMAT, e))?);
    }
    // A height below zero: rows from the top down.
    let (width, height) = (get(18)?, get(22)?);
    let is_top_down = height >> 24 == 0xff;
    let height = if is_top_down { height.wrapping_neg() } else { height };
    let (width, height) = check_size(FORMAT, width.into(), height.into())?;
    let mut pixels_at = get(10)? as usize;
    let masks = if compression == BITFIELDS {
        let alpha = if header >= 56 { get(66)? } else { 0 };
        if pixels_at == 0 {
            pixels_at = if header == 40 { 66 } else { 14 + header as usize };
        }
        Some([get(54)?, get(58)?, get(62)?, alpha])
    } else {
        if pixels_at == 0 {
            pixels_at = 14 + header as usize;
        }
        None
    };
    let channels = Channels::of(bits, masks)?;
    let stride = (width * bits as usize).div_ceil(32) * 4;
    let Some(rows) = bytes.get(pixels_at..).and_then(|b| b.get(..stride * height)) else {
        return Err(Error::Truncated { format: FORMAT, place: "among its pixels".into() });
    };
    let mut rows: Vec<&[u8]> = rows.chunks_exact(stride).collect();
    if !is_top_down {
        rows.reverse();
    }
    let each = bits as usize / 8;
    let pixels: Vec<u8> = rows
        .iter()
        .flat_map(|row| row.chunks_exact(each).take(width).flat_map(|p| channels.rgb(p)))
        .collect();
    let found = pixels.len();
    Rgb::new(width, height, pixels).ok_or(Error::Buffer { expected: 3 * width * height, found })
}

/// Where a pixel's red, green and blue are.
enum Channels {
    /// Which of four bytes.
    Bytes([usize; 3]),
    /// How far up in 16 bits, and the largest value.
    Bits([(u32, u32); 3]),
}

impl Channels {
    fn of(bits: u32, masks: Option<[u32; 4]>) -> Result<Self, Error> {
        let refused = || unsupported("masks that Pillow does not take".into());
        if bits == 16 {
            return match masks.map(|[red, green, blue, _]| [red, green, blue]) {
                None | Some(MASKS_555) => Ok(Channels::Bits([(10, 31), (5, 31), (0, 31)])),
                Some(MASKS_565) => Ok(Channels::Bits([(11, 31), (5, 63), (0, 31)])),
                Some(_) => Err(refused()),
            };
        }
        let masks = masks.unwrap_or([0; 4]);
        if !MASKS.contains(&masks) {
            return Err(refused());
        }
        let [red, green, blue, _] = masks;
        let byte = |mask: u32| mask.trailing_zeros() as usize / 8;
        Ok(Channels::Bytes(if red == 0 { [2, 1, 0] } else { [byte(red), byte(green), byte(blue)] }))
    }

    fn rgb(&self, pixel: &[u8]) -> [u8; 3] {
        match self {
            Channels::Bytes(at) => at.map(|at| pixel.get(at).copied().unwrap_or(0)),
            Channels::Bits(parts) => {
                let value = pixel.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
                parts.map(|(up, most)| ((value >> up & most) * 255 / most) as u8)
            }
        }
    }
}

fn unsupported(what: String) -> Error {
    Error::Unsupported { format: FORMAT, what }
}
