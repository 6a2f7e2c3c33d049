//! timm's training transform, as far as features see it: a random resized crop and a horizontal flip.
//!
//! In: an image, a [`RandomCrop`] that [`Random`] draws. Out: the tensor. For a given box and flip the pixels are those of
//! `RandomResizedCropAndInterpolation` and `RandomHorizontalFlip` (timm 1.0.31, `data/transforms.py`); boxes are drawn
//! by the same rule from another generator. Called by `extract`.

use crate::hash::Sha256;
use crate::image::{Error, Preparer, Preprocess, Rgb};
use crate::registry::CropMode;

/// timm's `scale` and `ratio`: of the image's area, and of width to height.
const SCALE: (f64, f64) = (0.08, 1.0);
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// Draws before the whole image is taken.
const ATTEMPTS: usize = 10;

/// A part of an image, and whether it is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomCrop {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Left and right are exchanged.
    pub flip: bool,
}

/// A splitmix64 stream that belongs to one view of one image: no order of work shows in it.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of an image's `view`th augmentation.
    pub fn of(seed: u64, image: &Sha256, view: u64) -> Self {
        let digest = Sha256::of(format!("{seed}/{image}/{view}").as_bytes());
        let mut head = [0; 8];
        head.copy_from_slice(&digest.0[..8]);
        Random(u64::from_le_bytes(head))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `[from, to)`.
    fn uniform(&mut self, (from, to): (f64, f64)) -> f64 {
        from + (to - from) * ((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// A whole number below `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        // The high half of a product: unbiased but for one part in 2⁶⁴.
        usize::try_from((u128::from(self.next()) * n as u128) >> 64).unwrap_or(0)
    }
}

impl RandomCrop {
    /// timm's `get_params`, and the flip of a half.
    pub fn draw(random: &mut Random, width: usize, height: usize) -> Self {
        let area = width as f64 * height as f64;
        let mut found = None;
        for _ in 0..ATTEMPTS {
            let target = random.uniform(SCALE) * area;
            let ratio = random.uniform((RATIO.0.ln(), RATIO.1.ln())).exp();
            let w = (target * ratio).sqrt().round_ties_even() as usize;
            let h = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let (top, left) = (random.below(height - h + 1), random.below(width - w + 1));
                found = Some((top, left, h, w));
                break;
            }
        }
        let (top, left, height, width) = found.unwrap_or_else(|| central(width, height));
        RandomCrop { top, left, height, width, flip: random.next() >> 63 == 1 }
    }

    /// Fills a preparer's tensor with this part of an image; `preparer` is [`for_crops`]'s.
    ///
    /// # Errors
    /// A box that is not within the image.
    pub fn prepare(
        &self,
        image: &Rgb,
        preparer: &mut Preparer,
        size: usize,
        out: &mut [f32],
    ) -> Result<(), Error> {
        let part =
            self.part(image).ok_or(Error::Buffer { expected: 3 * self.width * self.height, found: 0 })?;
        preparer.tensor(&part, out)?;
        if self.flip {
            out.chunks_exact_mut(size.max(1)).for_each(<[f32]>::reverse);
        }
        Ok(())
    }

    fn part(&self, image: &Rgb) -> Option<Rgb> {
        let mut pixels = Vec::with_capacity(3 * self.width * self.height);
        for row in self.top..self.top + self.height {
            let start = 3 * (row * image.width() + self.left);
            pixels.extend_from_slice(image.pixels().get(start..start + 3 * self.width)?);
        }
        Rgb::new(self.width, self.height, pixels)
    }
}

/// The part in the middle, as much of it as the ratios allow.
fn central(width: usize, height: usize) -> (usize, usize, usize, usize) {
    let ratio = width as f64 / height as f64;
    let (w, h) = if ratio < RATIO.0 {
        (width, (width as f64 / RATIO.0).round_ties_even() as usize)
    } else if ratio > RATIO.1 {
        ((height as f64 * RATIO.1).round_ties_even() as usize, height)
    } else {
        (width, height)
    };
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    ((height - h) / 2, (width - w) / 2, h, w)
}

/// How a part of an image becomes a tensor: resized as it is, whatever its shape.
pub fn for_crops(preprocess: &Preprocess) -> Preprocess {
    Preprocess { crop_pct: 1.0, crop_mode: CropMode::Squash, ..preprocess.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_within_and_distributed_as_they_should_be() {
        let (width, height) = (120, 90);
        let (mut share, mut flips, mut log_ratio, mut squares) = (0.0, 0, 0.0, 0.0);
        let n = 4000;
        for view in 0..n {
            let mut random = Random::of(7, &Sha256::of(b"image"), view);
            let crop = RandomCrop::draw(&mut random, width, height);
            assert!(crop.top + crop.height <= height && crop.left + crop.width <= width);
            let area = (crop.width * crop.height) as f64 / (width * height) as f64;
            assert!((0.07..=1.0).contains(&area), "{crop:?}");
            let ratio = crop.width as f64 / crop.height as f64;
            assert!((0.7..1.43).contains(&ratio), "{crop:?}");
            share += area;
            squares += area * area;
            log_ratio += ratio.ln();
            flips += u64::from(crop.flip);
        }
        // timm's `get_params` over 40,000 draws of an image of this size: mean share .4357, deviation .2183, mean logarithm
        // of the ratio .0303. Each bound is four standard errors of this test's draws.
        let mean = share / n as f64;
        assert!((mean - 0.4357).abs() < 0.014, "{mean}");
        let deviation = (squares / n as f64 - mean * mean).sqrt();
        assert!((deviation - 0.2183).abs() < 0.01, "{deviation}");
        assert!((log_ratio / n as f64 - 0.0303).abs() < 0.011, "{}", log_ratio / n as f64);
        assert!((flips as f64 / n as f64 - 0.5).abs() < 0.05);
    }

    #[test]
    fn a_view_is_one_images_own() {
        let draw =
            |image: &[u8], view| RandomCrop::draw(&mut Random::of(0, &Sha256::of(image), view), 64, 48);
        assert_eq!(draw(b"a", 1), draw(b"a", 1));
        assert_ne!(draw(b"a", 1), draw(b"a", 2));
        assert_ne!(draw(b"a", 1), draw(b"b", 1));
    }

    #[test]
    fn what_fits_no_ratio_is_cut_in_the_middle() {
        assert_eq!(central(1000, 10), (0, 493, 10, 13));
        assert_eq!(central(10, 1000), (493, 0, 13, 10));
        assert_eq!(central(1, 1), (0, 0, 1, 1));
        let crop = RandomCrop::draw(&mut Random::of(0, &Sha256::of(b""), 0), 3000, 2);
        assert!(crop.width <= 3 && crop.height <= 2, "{crop:?}");
    }
}
