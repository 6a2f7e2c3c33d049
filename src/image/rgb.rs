//! Eight-bit RGB pixels: what decoding gives and resizing takes.

use super::Error;

/// The most pixels an image may have: twice Pillow's `MAX_IMAGE_PIXELS`, where Pillow raises
/// `DecompressionBombError`. It bounds what a hostile header can make zoo allocate (half a gigabyte).
pub const MAX_PIXELS: u64 = 2 * (1024 * 1024 * 1024 / 4 / 3);

/// The longest side an image may have. It bounds the resize's table of weights, which grows with the side
/// and not with the area; JPEG itself ends at 65,535.
pub const MAX_SIDE: u64 = 1 << 20;

/// An image, three bytes a pixel, rows from top to bottom without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Rgb {
    /// Takes pixels in rows; `None` unless there are exactly `3 * width * height` bytes and at least one pixel.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        let bytes = width.checked_mul(height)?.checked_mul(3)?;
        (bytes > 0 && bytes == pixels.len()).then_some(Rgb { width, height, pixels })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes: red, green, blue, red …
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, to keep.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

/// Checks what a header announces, before anything is allocated for it.
///
/// # Errors
/// [`Error::TooLarge`]; [`Error::Corrupt`] when there is no pixel at all.
pub(super) fn check_size(format: &'static str, width: u64, height: u64) -> Result<(usize, usize), Error> {
    match width.checked_mul(height) {
        Some(0) => Err(Error::Corrupt { format, message: format!("the image has {width}×{height} pixels") }),
        // Within the cap both fit a usize of any platform.
        Some(n) if n <= MAX_PIXELS && width.max(height) <= MAX_SIDE => Ok((width as usize, height as usize)),
        _ => Err(Error::TooLarge { width, height }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_before_allocating() {
        assert_eq!(check_size("PNG", 2, 3).unwrap(), (2, 3));
        assert!(matches!(check_size("PNG", 0, 3), Err(Error::Corrupt { .. })));
        assert!(check_size("PNG", MAX_SIDE, MAX_PIXELS / MAX_SIDE).is_ok());
        assert!(matches!(
            check_size("PNG", MAX_SIDE, MAX_PIXELS / MAX_SIDE + 1),
            Err(Error::TooLarge { .. })
        ));
        assert!(matches!(check_size("PNG", MAX_SIDE + 1, 1), Err(Error::TooLarge { .. })));
        assert!(matches!(check_size("PNG", u64::MAX, u64::MAX), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn pixels_must_fit_the_size() {
        assert!(Rgb::new(2, 1, vec![0; 6]).is_some());
        assert!(Rgb::new(2, 1, vec![0; 5]).is_none());
        assert!(Rgb::new(0, 1, vec![]).is_none());
        assert!(Rgb::new(usize::MAX, 2, vec![]).is_none());
    }
}
