//! How a model wants its images: the settings of timm 1.0.31's `create_transform` in evaluation, taken from a
//! registry entry and checked. Used by `model`; carried out by [`Preparer`].

use super::rgb::Rgb;
use super::{Error, Preparer};
use crate::registry::{CropMode, Entry, ImageSize, Interpolation};

/// timm's `DEFAULT_CROP_PCT`.
const DEFAULT_CROP_PCT: f64 = 0.875;

/// The longest side of a model's input that is accepted; the largest in the index is 800.
const MAX_INPUT: usize = 4096;

/// How a model wants its images.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// What the model takes, pixels.
    pub size: ImageSize,
    /// The part of the resized image that the crop keeps, `0.875` of it by default.
    pub crop_pct: f64,
    /// How the crop is taken.
    pub crop_mode: CropMode,
    /// The filter of the resize.
    pub interpolation: Interpolation,
    /// Red, green, blue, of values in 0..=1.
    pub mean: [f32; 3],
    /// Red, green, blue, of values in 0..=1.
    pub std: [f32; 3],
}

impl Preprocess {
    /// What an entry says. As in timm's `resolve_data_config`, no crop means 0.875 and no filter bicubic; a
    /// size, mean and deviation are never guessed.
    ///
    /// # Errors
    /// [`Error::NotSaid`], [`Error::OutOfRange`].
    pub fn of(entry: &Entry) -> Result<Self, Error> {
        let not_said = |key| Error::NotSaid { model: entry.name.clone(), origin: entry.origin.clone(), key };
        let wrong = |key, found, expected| Error::OutOfRange {
            model: entry.name.clone(),
            origin: entry.origin.clone(),
            key,
            found,
            expected,
        };
        let preprocess = Preprocess {
            size: entry.image_size.ok_or_else(|| not_said("Image Size"))?,
            crop_pct: entry.crop_pct.map_or(DEFAULT_CROP_PCT, |c| c.get()),
            crop_mode: entry.zoo.crop_mode.unwrap_or_default(),
            interpolation: entry.interpolation.unwrap_or(Interpolation::Bicubic),
            mean: entry.zoo.mean.ok_or_else(|| not_said("mean"))?,
            std: entry.zoo.std.ok_or_else(|| not_said("std"))?,
        };
        let ImageSize { height, width } = preprocess.size;
        if !(1..=MAX_INPUT).contains(&height) || !(1..=MAX_INPUT).contains(&width) {
            return Err(wrong("Image Size", format!("{height}×{width}"), "1 to 4096 pixels a side"));
        }
        if !(0.1..=1.0).contains(&preprocess.crop_pct) {
            return Err(wrong("Crop Pct", preprocess.crop_pct.to_string(), "a fraction from 0.1 to 1"));
        }
        if !preprocess.mean.iter().all(|v| v.is_finite()) {
            return Err(wrong("mean", format!("{:?}", preprocess.mean), "three finite numbers"));
        }
        if !preprocess.std.iter().all(|v| v.is_finite() && *v != 0.0) {
            return Err(wrong("std", format!("{:?}", preprocess.std), "three finite numbers, none zero"));
        }
        Ok(preprocess)
    }

    /// Floats in a prepared image.
    pub fn len(&self) -> usize {
        3 * self.size.height * self.size.width
    }

    /// Never: a model's input has pixels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The image as the model sees it, eight bits a channel: resized, and cropped or padded.
    ///
    /// # Errors
    /// [`Error::Vanishes`] for an image so narrow that `border` cropping leaves nothing of it.
    pub fn pixels(&self, image: &Rgb) -> Result<Rgb, Error> {
        Preparer::new(self).pixels(image)
    }

    /// The image as float32, `[3, height, width]`. For many images, [`Preparer`] is faster.
    ///
    /// # Errors
    /// As [`Preprocess::pixels`].
    pub fn tensor(&self, image: &Rgb) -> Result<Vec<f32>, Error> {
        let mut tensor = vec![0.0; self.len()];
        Preparer::new(self).tensor(image, &mut tensor)?;
        Ok(tensor)
    }

    /// The colour around an image that does not fill the crop: black, or the mean for `border`.
    pub(super) fn fill(&self) -> [u8; 3] {
        match self.crop_mode {
            CropMode::Border => self.mean.map(|mean| {
                // timm rounds `255 * v` of the number as it is written, in double precision: 0.3 gives 76.5,
                // so 76, while the float32 nearest to 0.3 would give 77.
                let written: f64 = mean.to_string().parse().unwrap_or(f64::from(mean));
                (255.0 * written).round_ties_even() as u8
            }),
            CropMode::Center | CropMode::Squash => [0; 3],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Class, Classify};
    use crate::registry::ZooFacts;

    fn entry() -> Entry {
        Entry {
            name: "net".into(),
            image_size: Some(ImageSize { height: 4, width: 6 }),
            zoo: ZooFacts { mean: Some([0.5; 3]), std: Some([0.25; 3]), ..ZooFacts::default() },
            origin: "net.yaml".into(),
            ..Entry::default()
        }
    }

    #[test]
    fn what_an_entry_leaves_out_is_timms_default_or_an_error() {
        let preprocess = Preprocess::of(&entry()).unwrap();
        assert_eq!(preprocess.crop_pct, 0.875);
        assert_eq!(preprocess.interpolation, Interpolation::Bicubic);
        assert_eq!(preprocess.crop_mode, CropMode::Center);
        let mut bare = entry();
        bare.zoo.mean = None;
        let error = Preprocess::of(&bare).unwrap_err();
        assert_eq!(error.to_string(), "model `net` (net.yaml) does not say its `mean`");
        assert_eq!(error.class(), Class::BadInput);
        bare.image_size = None;
        assert!(matches!(Preprocess::of(&bare), Err(Error::NotSaid { key: "Image Size", .. })));
    }

    #[test]
    fn what_no_image_can_be_prepared_with_is_refused() {
        let refused = |change: fn(&mut Entry)| {
            let mut entry = entry();
            change(&mut entry);
            match Preprocess::of(&entry) {
                Err(Error::OutOfRange { key, .. }) => key,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(|e| e.crop_pct = "0.05".parse().ok()), "Crop Pct");
        assert_eq!(refused(|e| e.crop_pct = "1.1".parse().ok()), "Crop Pct");
        assert_eq!(refused(|e| e.image_size = Some(ImageSize { height: 0, width: 6 })), "Image Size");
        assert_eq!(refused(|e| e.image_size = Some(ImageSize { height: 1 << 40, width: 6 })), "Image Size");
        assert_eq!(refused(|e| e.zoo.std = Some([1.0, 0.0, 1.0])), "std");
        assert_eq!(refused(|e| e.zoo.mean = Some([f32::INFINITY, 0.0, 1.0])), "mean");
    }

    #[test]
    fn the_fill_is_rounded_as_python_rounds_what_is_written() {
        let mut preprocess = Preprocess::of(&entry()).unwrap();
        preprocess.mean = [0.3, 0.1, 0.5];
        assert_eq!(preprocess.fill(), [0; 3]);
        preprocess.crop_mode = CropMode::Border;
        assert_eq!(preprocess.fill(), [76, 26, 128]);
    }
}
