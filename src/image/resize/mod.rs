//! Pillow's `Image.resize`, bit for bit, computing only the window that the crop keeps. In: RGB pixels, the
//! size to resize to and the window of it. Out: the window's pixels. Called by [`super::Preprocess`].
//!
//! The order of the two passes is Pillow 13's (`ImagingResampleInner`): horizontal first, but vertical first
//! where the height shrinks by more than twice what the width does (Pillow 12 and before always went
//! horizontal first; the two can differ by a level in such pictures).

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2;
mod cache;
mod scalar;
mod taps;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::isa::SimdLevel;
use super::part::{self, Part, Window};
use super::rgb::Rgb;
use crate::registry::Interpolation;
use cache::{Axis, Cache};
use taps::FilterTaps;

pub(super) use taps::Filter;

/// What to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The whole resized image's rows.
    pub(super) height: usize,
    /// The whole resized image's columns.
    pub(super) width: usize,
    /// The rows wanted of them.
    pub(super) rows: Range<usize>,
    /// The columns wanted of them.
    pub(super) columns: Range<usize>,
}

/// Resizes images, one at a time, and keeps for the next what can be used again: the tables of weights and
/// the buffer between the passes.
#[derive(Debug)]
pub(super) struct Resizer {
    isa: SimdLevel,
    cache: Cache,
    half: Vec<u8>,
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    spare: Vec<u8>,
}

impl Resizer {
    /// With nothing kept yet.
    pub(super) fn new(isa: SimdLevel) -> Self {
        Resizer {
            isa,
            cache: Cache::default(),
            half: Vec::new(),
            #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
            spare: Vec::new(),
        }
    }

    /// The rows and columns of an image that [`Resizer::resize`] will look at.
    pub(super) fn window(
        &mut self,
        width: usize,
        height: usize,
        target: &Target,
        interpolation: Interpolation,
    ) -> Window {
        let Some(filter) = filter(interpolation) else { return part::all(width, height) };
        let mut reach = |from, to, window: &Range<usize>| {
            if from == to {
                return window.clone();
            }
            let axis = Axis { from, to, window: (window.start, window.end), filter };
            self.cache.weights(axis).reach()
        };
        let columns = reach(width, target.width, &target.columns);
        Window { rows: reach(height, target.height, &target.rows), columns }
    }

    /// Fills `out` with the pixels of the window `target.rows`×`target.columns`, three bytes each.
    pub(super) fn resize(
        &mut self,
        image: Source<'_>,
        target: &Target,
        interpolation: Interpolation,
        out: &mut Vec<u8>,
    ) {
        let (rows, columns) = (target.rows.clone(), target.columns.clone());
        out.resize(3 * rows.len() * columns.len(), 0);
        let Some(filter) = filter(interpolation) else { return nearest(image, target, out) };
        // An axis whose size stays is not filtered.
        let axis = |from, to, window: &Range<usize>| {
            (from != to).then_some(Axis { from, to, window: (window.start, window.end), filter })
        };
        let across = axis(image.width, target.width, &columns).map(|axis| self.cache.weights(axis));
        let down = axis(image.height, target.height, &rows).map(|axis| self.cache.weights(axis));
        let whole = image.plane;
        match (across, down) {
            (None, None) => whole.copy(rows, columns, out),
            (Some(across), None) => self.horizontal(whole, rows, &across, out),
            (None, Some(down)) => self.vertical(whole, columns, &down, out),
            (Some(across), Some(down)) => {
                let mut half = std::mem::take(&mut self.half);
                if vertical_first(image, target) {
                    let reach = across.reach();
                    half.resize(3 * reach.len() * rows.len(), 0);
                    self.vertical(whole, reach.clone(), &down, &mut half);
                    let (left, top) = (reach.start, rows.start);
                    let between = Plane { pixels: &half, width: reach.len(), left, top };
                    self.horizontal(between, rows, &across, out);
                } else {
                    let reach = down.reach();
                    half.resize(3 * columns.len() * reach.len(), 0);
                    self.horizontal(whole, reach.clone(), &across, &mut half);
                    let (left, top) = (columns.start, reach.start);
                    let between = Plane { pixels: &half, width: columns.len(), left, top };
                    self.vertical(between, columns, &down, out);
                }
                self.half = half;
            }
        }
    }

    fn horizontal(&mut self, source: Plane<'_>, rows: Range<usize>, weights: &FilterTaps, out: &mut [u8]) {
        match self.isa {
            #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
            SimdLevel::Avx2(avx2) => avx2.horizontal(source, rows, weights, &mut self.spare, out),
            SimdLevel::Portable => scalar::horizontal(source, rows, weights, out),
        }
    }

    fn vertical(&self, source: Plane<'_>, columns: Range<usize>, weights: &FilterTaps, out: &mut [u8]) {
        match self.isa {
            #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
            SimdLevel::Avx2(avx2) => avx2.vertical(source, columns, weights, out),
            SimdLevel::Portable => scalar::vertical(source, columns, weights, out),
        }
    }
}

/// Whether Pillow 13 would do the vertical pass first.
fn vertical_first(image: Source<'_>, target: &Target) -> bool {
    let fewer = |from: usize, to: usize| from as i64 - to as i64;
    let (rows, columns) = (fewer(image.height, target.height), fewer(image.width, target.width));
    rows > 0 && rows > 2 * columns
}

/// Pillow's nearest neighbour (`ImagingScaleAffine`), whose positions are running sums.
fn nearest(image: Source<'_>, target: &Target, out: &mut [u8]) {
    let positions = |from: usize, to: usize, window: &Range<usize>| -> Vec<usize> {
        let step = from as f64 / to as f64;
        let mut at = step * 0.5;
        let mut all = Vec::with_capacity(window.len());
        for output in 0..window.end {
            if window.contains(&output) {
                all.push(at as usize);
            }
            at += step;
        }
        all
    };
    let columns = positions(image.width, target.width, &target.columns);
    let rows = positions(image.height, target.height, &target.rows);
    let whole = image.plane;
    for (to, y) in out.chunks_exact_mut(3 * columns.len()).zip(rows) {
        let (from, _) = whole.row(y, 0..image.width).as_chunks::<3>();
        for (to, &x) in to.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            // A sum may drift past the last pixel; Pillow leaves such pixels black.
            *to = from.get(x).copied().unwrap_or_default();
        }
    }
}

/// The filter of an interpolation; none for the nearest neighbour.
fn filter(interpolation: Interpolation) -> Option<Filter> {
    match interpolation {
        Interpolation::Nearest => None,
        Interpolation::Bilinear => Some(Filter::Bilinear),
        Interpolation::Bicubic => Some(Filter::Bicubic),
        Interpolation::Lanczos => Some(Filter::Lanczos),
    }
}

/// An image to resize, of which at least the window is there that [`Resizer::window`] tells.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    plane: Plane<'a>,
    /// Of the whole.
    pub(super) width: usize,
    /// Of the whole.
    pub(super) height: usize,
}

impl<'a> Source<'a> {
    pub(super) fn whole(image: &'a Rgb) -> Self {
        let (width, height) = (image.width(), image.height());
        Source { plane: Plane { pixels: image.pixels(), width, left: 0, top: 0 }, width, height }
    }

    pub(super) fn part(part: &'a Part) -> Self {
        let &Part { width, left, top, whole: (whole_width, height), .. } = part;
        Source { plane: Plane { pixels: &part.pixels, width, left, top }, width: whole_width, height }
    }
}

/// A part of an image, at its place in the image's coordinates.
#[derive(Clone, Copy)]
struct Plane<'a> {
    /// Rows of `3 * width` bytes.
    pixels: &'a [u8],
    width: usize,
    /// The column of the first pixel.
    left: usize,
    /// The row of the first pixel.
    top: usize,
}

impl<'a> Plane<'a> {
    /// All bytes from a pixel on; empty when it is not in the plane.
    fn starting_at(&self, x: usize, y: usize) -> &'a [u8] {
        let start = || {
            let pixels = y.checked_sub(self.top)?.checked_mul(self.width)?;
            pixels.checked_add(x.checked_sub(self.left)?)?.checked_mul(3)
        };
        start().and_then(|start| self.pixels.get(start..)).unwrap_or_default()
    }

    /// The bytes of columns `columns` of row `y`; empty outside of the plane.
    fn row(&self, y: usize, columns: Range<usize>) -> &'a [u8] {
        self.starting_at(columns.start, y).get(..3 * columns.len()).unwrap_or_default()
    }

    /// A window's pixels as they are.
    fn copy(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [u8]) {
        for (to, y) in out.chunks_exact_mut(3 * columns.len()).zip(rows) {
            to.copy_from_slice(self.row(y, columns.clone()));
        }
    }
}
