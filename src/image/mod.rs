//! Pixels as timm sees them: decode, Pillow-exact resize, crop, normalise.
//!
//! In: the bytes of an image file and a model's settings. Out: float32 that equals, bit for bit, what timm
//! 1.0.31's `create_transform` gives on what Pillow 13 decodes. Called by `model` and `dataset`.
//!
//! ```
//! # fn main() -> zoo::Result<()> {
//! use zoo::image::{self, Preprocess};
//! use zoo::registry::{CropMode, ImageSize, Interpolation};
//!
//! let preprocess = Preprocess {
//!     size: ImageSize { height: 224, width: 224 },
//!     crop_pct: 0.875,
//!     crop_mode: CropMode::Center,
//!     interpolation: Interpolation::Bicubic,
//!     mean: [0.485, 0.456, 0.406],
//!     std: [0.229, 0.224, 0.225],
//! };
//! let one_white_pixel = b"GIF87a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
//! let tensor = preprocess.tensor(&image::decode(one_white_pixel)?)?;
//! assert_eq!(tensor.len(), 3 * 224 * 224);
//! assert_eq!(tensor[0], (1.0 - 0.485) / 0.229);
//! # Ok(())
//! # }
//! ```

mod error;
mod geometry;
mod isa;
mod jpeg;
mod normalize;
mod others;
mod part;
mod png;
mod preparer;
mod preprocess;
mod resize;
mod rgb;
pub mod thumbnail;

use std::path::Path;

use part::{Part, Wanted};

pub use error::Error;
pub use preparer::Preparer;
pub use preprocess::Preprocess;
pub use rgb::{MAX_PIXELS, MAX_SIDE, Rgb};

/// The largest image file that is read.
const MAX_FILE: u64 = 1 << 30;

/// Decodes an image file as Pillow's `Image.open(...).convert("RGB")` does. The format is that of the first
/// bytes, whatever the file is called (ImageNet has a PNG named `.JPEG`). An orientation in EXIF data is left
/// alone, as timm leaves it.
///
/// # Errors
/// Class `BadInput`: unknown or unsupported format, truncated or broken data, more than [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<Rgb, Error> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => {
            let Part { pixels, whole: (width, height), .. } =
                jpeg::Reader::new(isa::Isa::best()).read(bytes, Vec::new(), &mut part::all)?;
            let found = pixels.len();
            Rgb::new(width, height, pixels).ok_or(Error::Buffer { expected: 3 * width * height, found })
        }
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => png::decode(bytes),
        [b'B', b'M', ..] => others::bmp(bytes),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => others::gif(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => others::webp(bytes),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => others::tiff(bytes),
        [] => Err(Error::Empty),
        _ => {
            let head = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
            Err(Error::UnknownFormat { head })
        }
    }
}

/// At least what is `wanted` of an image, in a buffer whose memory is used again, where the format allows it. What
/// is wrong with a file is wrong however little of it is wanted.
fn decode_part(
    bytes: &[u8],
    jpeg: &mut jpeg::Reader,
    buffer: Vec<u8>,
    wanted: &mut Wanted<'_>,
) -> Result<Part, Error> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => jpeg.read(bytes, buffer, wanted),
        _ => decode(bytes).map(Part::from),
    }
}

/// Reads and decodes a file; its errors name it.
///
/// # Errors
/// As [`decode`], and what the file system says.
pub fn open(path: &Path) -> Result<Rgb, Error> {
    let bytes = crate::fs::read(path, MAX_FILE)?;
    decode(&bytes).map_err(|e| e.of(path.to_string_lossy()))
}
