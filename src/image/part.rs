//! A part of a decoded image: what a crop will look at need not be more. Made by the decoders, taken by
//! [`super::resize`].

use std::ops::Range;

use super::Rgb;

/// The rows and columns of an image that will be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

/// Asked with an image's width and height, before its pixels are decoded: what of it is wanted.
pub(super) type Wanted<'a> = dyn FnMut(usize, usize) -> Window + 'a;

/// All of an image.
pub(super) fn all(width: usize, height: usize) -> Window {
    Window { rows: 0..height, columns: 0..width }
}

/// Pixels at their place in an image, three bytes each, rows without padding.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) pixels: Vec<u8>,
    /// Pixels in a row of the part.
    pub(super) width: usize,
    /// The column of the first pixel.
    pub(super) left: usize,
    /// The row of the first pixel.
    pub(super) top: usize,
    /// The whole image's width and height.
    pub(super) whole: (usize, usize),
}

impl From<Rgb> for Part {
    fn from(image: Rgb) -> Self {
        let whole = (image.width(), image.height());
        Part { width: whole.0, left: 0, top: 0, whole, pixels: image.into_pixels() }
    }
}
