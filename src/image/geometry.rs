//! Where the pixels of a prepared image come from: the sizes and offsets of timm's evaluation transform
//! (`transforms_imagenet_eval`: torchvision's `Resize` and `CenterCrop`, timm's `ResizeKeepRatio` and
//! `CenterCropOrPad`), as whole numbers. Used by [`super::Preprocess`]; touches no pixel.

use super::Error;
use crate::registry::{CropMode, ImageSize};

/// One axis of the cut: which of the resized pixels are kept, and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cut {
    /// The first resized pixel that is kept.
    pub(super) skip: usize,
    /// How many are kept.
    pub(super) keep: usize,
    /// Fill pixels before them.
    pub(super) pad: usize,
}

/// What happens to an image of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Rows after the resize.
    pub(super) height: usize,
    /// Columns after the resize.
    pub(super) width: usize,
    /// The rows kept of them.
    pub(super) rows: Cut,
    /// The columns kept of them.
    pub(super) columns: Cut,
}

impl Geometry {
    /// For an image of `height`×`width`, a model's input `size` and its crop.
    ///
    /// # Errors
    /// [`Error::Vanishes`] where a side would be resized to nothing (Pillow raises ValueError).
    pub(super) fn new(
        height: usize,
        width: usize,
        size: ImageSize,
        crop_pct: f64,
        mode: CropMode,
    ) -> Result<Self, Error> {
        // `math.floor(x / crop_pct)`
        let scaled = |side: usize| (side as f64 / crop_pct).floor() as usize;
        let target = ImageSize { height: scaled(size.height), width: scaled(size.width) };
        let (to_height, to_width) = match mode {
            CropMode::Squash => (target.height, target.width),
            CropMode::Border => keep_ratio(height, width, target, f64::max),
            CropMode::Center if target.height == target.width => shortest(height, width, target.height),
            CropMode::Center => keep_ratio(height, width, target, f64::min),
        };
        if to_height == 0 || to_width == 0 {
            return Err(Error::Vanishes { width, height, to_width, to_height });
        }
        Ok(Geometry {
            height: to_height,
            width: to_width,
            rows: cut(to_height, size.height),
            columns: cut(to_width, size.width),
        })
    }
}

impl Geometry {
    /// Whether the kept window is the whole input, without padding.
    pub(super) fn fills(&self, size: ImageSize) -> bool {
        (self.rows.keep, self.columns.keep) == (size.height, size.width)
    }
}

/// torchvision's `Resize` to one number: the shorter side gets it, the longer `int(to * long / short)`.
fn shortest(height: usize, width: usize, to: usize) -> (usize, usize) {
    let (short, long) = (height.min(width), height.max(width));
    // Python divides the exact integers and rounds once; both are far below 2^53.
    let long = (to as f64 * long as f64 / short as f64) as usize;
    if width <= height { (long, to) } else { (to, long) }
}

/// timm's `ResizeKeepRatio`: the larger or the smaller of the two ratios becomes one.
fn keep_ratio(height: usize, width: usize, target: ImageSize, pick: fn(f64, f64) -> f64) -> (usize, usize) {
    let ratio = pick(height as f64 / target.height as f64, width as f64 / target.width as f64);
    let scale = |side: usize| (side as f64 / ratio).round_ties_even() as usize;
    (scale(height), scale(width))
}

/// torchvision's `center_crop` on one axis: smaller images are padded evenly (the odd pixel after), of larger
/// ones `round((size - crop) / 2)` pixels go, a half to the even side.
fn cut(size: usize, crop: usize) -> Cut {
    match size.checked_sub(crop) {
        None => Cut { skip: 0, keep: size, pad: (crop - size) / 2 },
        Some(surplus) => {
            let skip = (surplus as f64 / 2.0).round_ties_even() as usize;
            Cut { skip, keep: crop, pad: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(side: usize) -> ImageSize {
        ImageSize { height: side, width: side }
    }

    #[test]
    fn the_usual_photo() {
        let g = Geometry::new(375, 500, square(224), 0.875, CropMode::Center).unwrap();
        assert_eq!((g.height, g.width), (256, 341));
        assert_eq!(g.rows, Cut { skip: 16, keep: 224, pad: 0 });
        // 117 / 2 = 58.5: Python rounds it to the even 58.
        assert_eq!(g.columns, Cut { skip: 58, keep: 224, pad: 0 });
    }

    #[test]
    fn halves_go_to_the_even_side() {
        let skips: Vec<_> = (0..8).map(|n| cut(10 + n, 10).skip).collect();
        assert_eq!(skips, [0, 0, 1, 2, 2, 2, 3, 4]);
        assert_eq!(cut(7, 10), Cut { skip: 0, keep: 7, pad: 1 });
    }

    #[test]
    fn border_can_leave_nothing_of_a_line() {
        let error = Geometry::new(1, 10_000, square(224), 1.0, CropMode::Border).unwrap_err();
        assert!(matches!(error, Error::Vanishes { to_height: 0, to_width: 224, .. }), "{error}");
    }
}
