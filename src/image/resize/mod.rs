//! Pillow's `Image.resize`, bit for bit, computing only the window that the crop keeps. In: RGB pixels, the
//! size to resize to and the window of it. Out: the window's pixels. Called by [`super::Preprocess`].
//!
//! The order of the two passes is Pillow 13's (`ImagingResampleInner`): horizontal first, but vertical first
//! where the height shrinks by more than twice what the width does (Pillow 12 and before always went
//! horizontal first; the two can differ by a level in such pictures).

mod passes;
mod weights;

use std::ops::Range;

use super::rgb::Rgb;
use crate::registry::Interpolation;
use weights::Weights;

pub(super) use weights::Filter;

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

/// Pixels of the window `target.rows`×`target.columns`, three bytes each.
pub(super) fn resize(image: &Rgb, target: &Target, interpolation: Interpolation) -> Vec<u8> {
    let filter = match interpolation {
        Interpolation::Nearest => return nearest(image, target),
        Interpolation::Bilinear => Filter::Bilinear,
        Interpolation::Bicubic => Filter::Bicubic,
        Interpolation::Lanczos => Filter::Lanczos,
    };
    let (rows, columns) = (target.rows.clone(), target.columns.clone());
    // An axis whose size stays is not filtered.
    let across = (target.width != image.width())
        .then(|| Weights::new(image.width(), target.width, columns.clone(), filter));
    let down = (target.height != image.height())
        .then(|| Weights::new(image.height(), target.height, rows.clone(), filter));
    let whole = Plane { pixels: image.pixels(), width: image.width(), left: 0, top: 0 };
    match (across, down) {
        (None, None) => whole.window(rows, columns),
        (Some(across), None) => passes::horizontal(whole, rows, &across),
        (None, Some(down)) => passes::vertical(whole, columns, &down),
        (Some(across), Some(down)) if vertical_first(image, target) => {
            let reach = across.reach();
            let pixels = passes::vertical(whole, reach.clone(), &down);
            let half = Plane { pixels: &pixels, width: reach.len(), left: reach.start, top: rows.start };
            passes::horizontal(half, rows, &across)
        }
        (Some(across), Some(down)) => {
            let reach = down.reach();
            let pixels = passes::horizontal(whole, reach.clone(), &across);
            let half = Plane { pixels: &pixels, width: columns.len(), left: columns.start, top: reach.start };
            passes::vertical(half, columns, &down)
        }
    }
}

fn vertical_first(image: &Rgb, target: &Target) -> bool {
    let fewer = |from: usize, to: usize| from as i64 - to as i64;
    let (rows, columns) = (fewer(image.height(), target.height), fewer(image.width(), target.width));
    rows > 0 && rows > 2 * columns
}

/// Pillow's nearest neighbour (`ImagingScaleAffine`), whose positions are running sums.
fn nearest(image: &Rgb, target: &Target) -> Vec<u8> {
    let positions = |from: usize, to: usize, window: &Range<usize>| -> Vec<usize> {
        let step = from as f64 / to as f64;
        let mut at = step * 0.5;
        let mut all = Vec::with_capacity(window.len());
        for output in 0..window.end {
            if window.contains(&output) {
                // The sum may drift past the last pixel; Pillow leaves such pixels black.
                all.push(at as usize);
            }
            at += step;
        }
        all
    };
    let columns = positions(image.width(), target.width, &target.columns);
    let mut out = Vec::with_capacity(3 * columns.len() * target.rows.len());
    for y in positions(image.height(), target.height, &target.rows) {
        let row = image.pixels().chunks_exact(3 * image.width()).nth(y).unwrap_or_default();
        let (row, _) = row.as_chunks::<3>();
        out.extend(columns.iter().flat_map(|&x| row.get(x).copied().unwrap_or_default()));
    }
    out
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
    /// The bytes of columns `columns` of row `y`; empty outside of the plane.
    fn row(&self, y: usize, columns: Range<usize>) -> &'a [u8] {
        let part = || {
            let start = y.checked_sub(self.top)?.checked_mul(3 * self.width)?;
            let row = self.pixels.get(start..start.checked_add(3 * self.width)?)?;
            row.get(3 * columns.start.checked_sub(self.left)?..3 * columns.end.checked_sub(self.left)?)
        };
        part().unwrap_or_default()
    }

    /// A window's pixels as they are.
    fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Vec<u8> {
        rows.flat_map(|y| self.row(y, columns.clone())).copied().collect()
    }
}
