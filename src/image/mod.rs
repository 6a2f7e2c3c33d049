//! Pixels as timm sees them: decode, Pillow-exact resize, crop, normalise.
//!
//! In: the bytes of an image file and a model's settings. Out: float32 that equals, bit for bit, what timm
//! 1.0.31's `create_transform` gives on what Pillow 13 decodes. Called by `model` and `dataset`.
//!
//! ```
//! # use zoo_formats as zoo;
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

mod bmp;
mod error;
mod geometry;
mod gif;
mod isa;
mod jpeg;
mod normalize;
mod others;
mod part;
mod png;
mod pnm;
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

/// What names of images end with, without the point, in lower case: what [`decode`] reads, and torchvision's list.
pub const EXTENSIONS: [&str; 16] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "bmp", "dib", "gif", "webp", "tif", "tiff", "ppm", "pgm",
    "pbm", "pnm",
];

/// Extensions of images that Pillow reads and zoo does not. In a dataset each is an image that cannot be read, and not one
/// that is left out.
pub const REFUSED_EXTENSIONS: [&str; 12] =
    ["pfm", "avif", "heic", "heif", "jp2", "j2k", "jpx", "tga", "ico", "psd", "pcx", "jxl"];

/// Whether a file is an image by its name. Datasets and archives list files by it; the format is that of the bytes.
pub fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|e| EXTENSIONS.iter().chain(&REFUSED_EXTENSIONS).any(|known| **known == e))
}

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
                jpeg::Reader::new(isa::SimdLevel::best()).read(bytes, Vec::new(), &mut part::all)?;
            let found = pixels.len();
            Rgb::new(width, height, pixels).ok_or(Error::Buffer { expected: 3 * width * height, found })
        }
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => png::decode(bytes),
        [b'B', b'M', ..] => bmp::decode(bytes),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif::decode(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => others::webp(bytes),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => others::tiff(bytes),
        _ if pnm::is_pnm(bytes) => pnm::decode(bytes),
        [] => Err(Error::Empty),
        _ => {
            if let Some(format) = named(bytes) {
                return Err(Error::ForeignFormat { format });
            }
            let head = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
            Err(Error::UnknownFormat { head })
        }
    }
}

/// What a format is called that Pillow reads and zoo does not, by its first bytes.
fn named(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => Some("AVIF"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..] => Some("HEIF"),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some("JPEG 2000"),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some("JPEG XL"),
        [b'8', b'B', b'P', b'S', ..] => Some("Photoshop's format"),
        [0, 0, 1, 0, ..] => Some("ICO"),
        [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => Some("BigTIFF"),
        [b'P', b'F' | b'f', b'\n', ..] => Some("PFM"),
        [0x0a, 0..=5, 1, ..] => Some("PCX"),
        _ => None,
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
