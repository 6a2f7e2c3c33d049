//! From pixels, or a file's bytes, to what a model takes, bit for bit as timm 1.0.31's `create_transform` does in
//! evaluation (without the prefetcher, whose arithmetic differs in the last bit): resize, centre crop or pad,
//! `/ 255`, `- mean`, `/ std`. One [`Preparer`] a thread keeps its buffers and tables from image to image.

use std::time::{Duration, Instant};

use super::geometry::Geometry;
use super::isa::SimdLevel;
use super::jpeg;
use super::normalize::Normalizer;
use super::part::{self, Window};
use super::resize::{Resizer, Source, Target};
use super::rgb::Rgb;
use super::{Error, Preprocess};

/// Prepares images one after another. A warm one allocates nothing but what a decoder does inside.
#[derive(Debug)]
pub struct Preparer {
    preprocess: Preprocess,
    jpeg: jpeg::Reader,
    resizer: Resizer,
    normalizer: Normalizer,
    /// The decoded image's memory.
    decoded: Vec<u8>,
    /// The window of the resized image that is kept.
    kept: Vec<u8>,
    /// Time that went into decoding files.
    decoding: Duration,
}

impl Preparer {
    /// For a model's settings, with the best instructions of this machine; the bits are the same with any.
    pub fn new(preprocess: &Preprocess) -> Self {
        Preparer::on(preprocess, SimdLevel::best())
    }

    fn on(preprocess: &Preprocess, isa: SimdLevel) -> Self {
        Preparer {
            preprocess: preprocess.clone(),
            jpeg: jpeg::Reader::new(isa),
            resizer: Resizer::new(isa),
            normalizer: Normalizer::new(preprocess.mean, preprocess.std, isa),
            decoded: Vec::new(),
            kept: Vec::new(),
            decoding: Duration::ZERO,
        }
    }

    /// How long decoding has taken, of all files since it was made.
    pub fn decoding(&self) -> Duration {
        self.decoding
    }

    /// Decodes a file's bytes and fills `out`, `[3, height, width]`, with what the model takes.
    ///
    /// # Errors
    /// As [`super::decode`] and [`Preparer::tensor`].
    pub fn file(&mut self, bytes: &[u8], out: &mut [f32]) -> Result<(), Error> {
        let buffer = std::mem::take(&mut self.decoded);
        let Preparer { preprocess, jpeg, resizer, .. } = self;
        let begun = Instant::now();
        let image = super::decode_part(bytes, jpeg, buffer, &mut |width, height| {
            window(preprocess, resizer, width, height)
        });
        self.decoding += begun.elapsed();
        let image = image?;
        let source = Source::part(&image);
        let result = self.fill(source, out);
        self.decoded = image.pixels;
        result
    }

    /// Fills `out`, `[3, height, width]`, with what the model takes.
    ///
    /// # Errors
    /// [`Error::Vanishes`] for an image so narrow that `border` cropping leaves nothing of it;
    /// [`Error::Buffer`] when `out` has another length than [`Preprocess::len`].
    pub fn tensor(&mut self, image: &Rgb, out: &mut [f32]) -> Result<(), Error> {
        self.fill(Source::whole(image), out)
    }

    fn fill(&mut self, image: Source<'_>, out: &mut [f32]) -> Result<(), Error> {
        let (expected, found) = (self.preprocess.len(), out.len());
        if expected != found {
            return Err(Error::Buffer { expected, found });
        }
        let geometry = self.resize(image)?;
        let width = self.preprocess.size.width;
        let (red, rest) = out.split_at_mut(expected / 3);
        let (green, blue) = rest.split_at_mut(expected / 3);
        if geometry.fills(self.preprocess.size) {
            self.normalizer.run(&self.kept, [red, green, blue]);
            return Ok(());
        }
        let fill = self.normalizer.color(self.preprocess.fill());
        for (plane, value) in [&mut *red, &mut *green, &mut *blue].into_iter().zip(fill) {
            plane.fill(value);
        }
        let window = |plane: &mut [f32], row: usize| {
            let start = (geometry.rows.pad + row) * width + geometry.columns.pad;
            start..(start + geometry.columns.keep).min(plane.len())
        };
        for (row, pixels) in self.kept.chunks_exact(3 * geometry.columns.keep).enumerate() {
            let planes = [&mut *red, &mut *green, &mut *blue].map(|plane| {
                let window = window(plane, row);
                plane.get_mut(window).unwrap_or_default()
            });
            self.normalizer.run(pixels, planes);
        }
        Ok(())
    }

    /// The image as the model sees it, eight bits a channel.
    ///
    /// # Errors
    /// As [`Preparer::tensor`].
    pub fn pixels(&mut self, image: &Rgb) -> Result<Rgb, Error> {
        let geometry = self.resize(Source::whole(image))?;
        let size = self.preprocess.size;
        let pixels = if geometry.fills(size) {
            self.kept.clone()
        } else {
            let mut pixels = self.preprocess.fill().repeat(size.width * size.height);
            let rows = pixels.chunks_exact_mut(3 * size.width).skip(geometry.rows.pad);
            for (to, from) in rows.zip(self.kept.chunks_exact(3 * geometry.columns.keep)) {
                for (to, from) in to.iter_mut().skip(3 * geometry.columns.pad).zip(from) {
                    *to = *from;
                }
            }
            pixels
        };
        let found = pixels.len();
        Rgb::new(size.width, size.height, pixels)
            .ok_or(Error::Buffer { expected: 3 * size.width * size.height, found })
    }

    /// Leaves the window that is kept in `self.kept`.
    fn resize(&mut self, image: Source<'_>) -> Result<Geometry, Error> {
        let (geometry, target) = target(&self.preprocess, image.width, image.height)?;
        self.resizer.resize(image, &target, self.preprocess.interpolation, &mut self.kept);
        Ok(geometry)
    }
}

/// What of an image the crop looks at.
fn window(preprocess: &Preprocess, resizer: &mut Resizer, width: usize, height: usize) -> Window {
    // An image that cannot be prepared is refused when it is known to be one.
    let Ok((_, target)) = target(preprocess, width, height) else { return part::all(width, height) };
    resizer.window(width, height, &target, preprocess.interpolation)
}

/// What an image of some size is resized to, and which part of that is kept.
fn target(preprocess: &Preprocess, width: usize, height: usize) -> Result<(Geometry, Target), Error> {
    let &Preprocess { size, crop_pct, crop_mode, .. } = preprocess;
    let g = Geometry::new(height, width, size, crop_pct, crop_mode)?;
    let target = Target {
        height: g.height,
        width: g.width,
        rows: g.rows.skip..g.rows.skip + g.rows.keep,
        columns: g.columns.skip..g.columns.skip + g.columns.keep,
    };
    Ok((g, target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{CropMode, ImageSize, Interpolation};

    /// A preparer that has seen other images gives what a fresh one gives, on every ISA.
    #[test]
    fn nothing_of_one_image_is_left_in_the_next() {
        let picture = |width: usize, height: usize| {
            let pixels = (0..3 * width * height).map(|i| (i * i / 7) as u8).collect();
            Rgb::new(width, height, pixels).unwrap()
        };
        let pictures = [(50, 37), (37, 50), (3, 90), (90, 3), (1, 1), (64, 64), (50, 37)];
        for crop_mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
            let preprocess = Preprocess {
                size: ImageSize { height: 24, width: 24 },
                crop_pct: 0.8,
                crop_mode,
                interpolation: Interpolation::Bicubic,
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
            };
            let mut plain = Preparer::on(&preprocess, SimdLevel::Portable);
            let mut warm = Preparer::new(&preprocess);
            let mut found = vec![f32::NAN; preprocess.len()];
            let mut expected = found.clone();
            for (width, height) in pictures {
                let image = picture(width, height);
                plain.tensor(&image, &mut expected).unwrap();
                warm.tensor(&image, &mut found).unwrap();
                assert_eq!(found, expected, "{crop_mode:?} {width}×{height}");
                assert_eq!(preprocess.tensor(&image).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_buffer_of_another_length_is_refused() {
        let preprocess = Preprocess {
            size: ImageSize { height: 2, width: 2 },
            crop_pct: 1.0,
            crop_mode: CropMode::Center,
            interpolation: Interpolation::Nearest,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let image = Rgb::new(1, 1, vec![1, 2, 3]).unwrap();
        let error = Preparer::new(&preprocess).tensor(&image, &mut [0.0; 11]).unwrap_err();
        assert_eq!(error.to_string(), "a buffer of 11 floats for an image of 12");
    }
}
