//! From coefficients to pixels: of a window of an image, the blocks it needs to planes of samples, and these row by row
//! to red, green and blue. Called by [`super::Reader`].
//!
//! A band of rows at a time, so that its planes stay in the cache and memory does not grow with the image's height.

use std::ops::Range;

use super::idct::{self, Block, Quantisation};
use super::layout::Layout;
use super::{colour, upsample};
use crate::image::isa::SimdLevel;
use crate::image::part::Window;

/// Where coefficients come from.
pub(super) trait Source {
    /// The blocks of one row of blocks of a component.
    fn blocks(&mut self, component: usize, row: usize) -> &[Block];
    /// What a component's coefficients are multiplied by.
    fn quantisation(&self, component: usize) -> Quantisation;
}

/// Rows of pixels a band ends at. Chroma's rows beside a band belong to the next one too and are made twice.
const BAND_HEIGHT: usize = 128;

/// Samples beside a plane, for the neighbours of the first and the last column.
const MARGIN: usize = 8;

/// Memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Planes {
    planes: [Plane; 3],
    /// A row of each chroma component, upsampled.
    rows: [Vec<u8>; 2],
}

/// Samples of a part of a component, from the edge of a block on.
#[derive(Debug, Default)]
struct Plane {
    samples: Vec<u8>,
    stride: usize,
    /// The first row and column.
    top: usize,
    left: usize,
    /// The component's last row.
    bottom: usize,
}

impl Planes {
    /// Fills `pixels` with those of a window, three bytes each. Its columns begin with an even one.
    pub(super) fn pixels(
        &mut self,
        isa: SimdLevel,
        layout: &Layout,
        source: &mut impl Source,
        window: &Window,
        pixels: &mut [u8],
    ) {
        let columns = &window.columns;
        let line = 3 * columns.len();
        if line == 0 {
            return;
        }
        for row in &mut self.rows {
            row.resize(2 * columns.len().div_ceil(2), 0);
        }
        let mut lines = pixels.chunks_exact_mut(line);
        let mut start = window.rows.start;
        while start < window.rows.end {
            let end = (start / BAND_HEIGHT + 1).saturating_mul(BAND_HEIGHT).min(window.rows.end);
            self.fill(isa, layout, source, start..end, columns);
            for (row, line) in (start..end).zip(&mut lines) {
                self.line(isa, layout, row, columns, line);
            }
            start = end;
        }
    }

    /// Makes the samples that a band's rows look at.
    fn fill(
        &mut self,
        isa: SimdLevel,
        layout: &Layout,
        source: &mut impl Source,
        rows: Range<usize>,
        columns: &Range<usize>,
    ) {
        let [luma, chroma @ ..] = &mut self.planes;
        luma.fill(isa, source, 0, (layout.width, layout.height), (columns.clone(), rows.clone()));
        if layout.is_coloured {
            let size = layout.chroma();
            let wanted = (halved(columns, layout.is_across, size.0), halved(&rows, layout.is_down, size.1));
            for (plane, component) in chroma.iter_mut().zip(1..) {
                plane.fill(isa, source, component, size, wanted.clone());
            }
        }
    }

    /// One row of pixels.
    fn line(&mut self, isa: SimdLevel, layout: &Layout, row: usize, columns: &Range<usize>, line: &mut [u8]) {
        let [luma, chroma @ ..] = &self.planes;
        let y = luma.row(row, columns.start, columns.len());
        if !layout.is_coloured {
            return colour::grey(isa, y, line);
        }
        // The nearest row, and the next one: above an upper row, below a lower one.
        let is_upper = row.is_multiple_of(2);
        let near = if layout.is_down { row / 2 } else { row };
        let far = if is_upper { near.saturating_sub(1) } else { near + 1 };
        for (plane, out) in chroma.iter().zip(&mut self.rows) {
            // With a neighbour on each side.
            let (start, count) = (columns.start / 2, columns.len().div_ceil(2) + 2);
            match (layout.is_across, layout.is_down) {
                (false, false) => {}
                (true, false) => upsample::across(isa, plane.row_before(near, start, count), out),
                (false, true) => {
                    let [near, far] = [near, far].map(|r| plane.row(r, columns.start, columns.len()));
                    upsample::down(isa, near, far, is_upper, out);
                }
                (true, true) => {
                    let [near, far] = [near, far].map(|r| plane.row_before(r, start, count));
                    upsample::both(isa, near, far, out);
                }
            }
        }
        let [cb, cr] = if layout.is_across || layout.is_down {
            self.rows.each_ref().map(Vec::as_slice)
        } else {
            chroma.each_ref().map(|plane| plane.row(near, columns.start, columns.len()))
        };
        colour::ycc(isa, [y, cb, cr], line);
    }
}

/// The samples that pixels look at on an axis, where two pixels share one or not.
fn halved(pixels: &Range<usize>, is_half: bool, samples: usize) -> Range<usize> {
    if is_half {
        (pixels.start / 2).saturating_sub(1)..(pixels.end.div_ceil(2) + 1).min(samples)
    } else {
        pixels.clone()
    }
}

impl Plane {
    /// Transforms the blocks that have the `wanted` columns and rows of a component of some `size`.
    fn fill(
        &mut self,
        isa: SimdLevel,
        source: &mut impl Source,
        component: usize,
        size: (usize, usize),
        (columns, rows): (Range<usize>, Range<usize>),
    ) {
        let blocks = columns.start / 8..columns.end.div_ceil(8);
        let block_rows = rows.start / 8..rows.end.div_ceil(8);
        self.stride = 8 * blocks.len() + 2 * MARGIN;
        (self.left, self.top, self.bottom) =
            (8 * blocks.start, 8 * block_rows.start, size.1.saturating_sub(1));
        // What is left of another band is written over, but for the margins, of which only what is set below is read.
        self.samples.resize(8 * block_rows.len() * self.stride, 0);
        let by = source.quantisation(component);
        for (row, out) in block_rows.zip(self.samples.chunks_exact_mut(8 * self.stride)) {
            let coefficients = source.blocks(component, row).get(blocks.clone()).unwrap_or_default();
            idct::blocks(isa, coefficients, &by, out.get_mut(MARGIN..).unwrap_or_default(), self.stride);
        }
        // The first and the last column are their own neighbours.
        let last = MARGIN + size.0.saturating_sub(1 + self.left);
        for row in self.samples.chunks_exact_mut(self.stride) {
            if self.left == 0
                && let [.., before, first] = row.get_mut(..=MARGIN).unwrap_or_default()
            {
                *before = *first;
            }
            if columns.end == size.0
                && let Some([last, after]) = row.get_mut(last..last + 2)
            {
                *after = *last;
            }
        }
    }

    /// Samples of a row; the rows above the first and below the last are these.
    fn row(&self, row: usize, start: usize, count: usize) -> &[u8] {
        self.at(row, MARGIN + start.saturating_sub(self.left), count)
    }

    /// As many samples from the one before `start` on.
    fn row_before(&self, row: usize, start: usize, count: usize) -> &[u8] {
        self.at(row, MARGIN + start.saturating_sub(self.left) - 1, count)
    }

    fn at(&self, row: usize, place: usize, count: usize) -> &[u8] {
        let start = row.min(self.bottom).saturating_sub(self.top) * self.stride + place;
        self.samples.get(start..start + count).unwrap_or_default()
    }
}
