//! The rows of a map that a depthwise convolution is working on, one panel of channels wide.
//!
//! In: a window and the sizes of its input and output. Out: where in a thread's scratch each row lies, and the rows
//! themselves, copied from a map or made there by a convolution. Read by [`super::depthwise`].

#![allow(unsafe_code)]

use std::ops::Range;

use super::conv::Taps;
use super::memory::{Dst, Src};

/// Rows of one panel's map, with a border of zeros left and right. *Border rows* count from the first row
/// of the border above the map; row `r` is in slot `r % slots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Rows that it holds.
    pub slots: usize,
    /// Columns with border.
    pub columns: usize,
    /// `[top, left]` border.
    pub pad: [usize; 2],
    /// `[height, width]` inside.
    pub inside: [usize; 2],
    /// Rows of the window.
    span: usize,
    /// Rows from a window to the next.
    step: usize,
    /// Rows of output that are made at a time.
    pub band: usize,
}

/// Values that a ring should not be larger than.
const MAX_RING_LEN: usize = 12 * 1024;

impl Ring {
    /// The ring that a window needs on an input for an output of some size, where a panel has `widest` channels at most.
    pub fn new(input: [usize; 2], output: [usize; 2], taps: &Taps, widest: usize) -> Self {
        let reach =
            |i: usize, last: usize| last * taps.stride[i] + (taps.kernel[i] - 1) * taps.dilation[i] + 1;
        let columns = reach(1, output[1].saturating_sub(1)).max(taps.pad[1] + input[1]);
        let (span, step) = (reach(0, 0), taps.stride[0]);
        let fit = MAX_RING_LEN / (columns * widest).max(1);
        // Even: rows of output are made two at a time.
        let band = (fit.saturating_sub(span) / step + 1).clamp(2, output[0].max(2)) / 2 * 2;
        let slots = span + (band - 1) * step;
        Ring { slots, columns, pad: taps.pad, inside: input, span, step, band }
    }

    /// Values of a panel of `width` channels.
    pub fn len(&self, width: usize) -> usize {
        self.slots * self.columns * width
    }

    /// Border rows that the output rows `rows` need.
    pub fn needs(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.step..(rows.end - 1) * self.step + self.span
    }

    /// The runs of neighbouring slots and input rows that border rows are in: `(slot, row, rows)`. Those
    /// beyond the map, above and below, have no row.
    pub fn runs(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Option<usize>, usize)> {
        let Ring { slots, pad: [top, _], inside: [height, _], .. } = *self;
        let mut at = rows.start;
        std::iter::from_fn(move || {
            let slot = at % slots;
            let limit = rows.end.min(at + slots - slot);
            let (row, end) = match at.checked_sub(top) {
                None => (None, limit.min(top)),
                Some(row) if row < height => (Some(row), limit.min(top + height)),
                Some(_) => (None, limit),
            };
            let count = end.saturating_sub(at);
            at = end;
            (count > 0).then_some((slot, row, count))
        })
    }

    /// Zeroes the border left and right, and leaves the inside alone.
    pub fn clear(&self, panel: Dst<'_>, width: usize) {
        let (left, right) = (self.pad[1], self.pad[1] + self.inside[1]);
        for slot in 0..self.slots {
            let row = slot * self.columns;
            panel.part(row * width, left * width).zero();
            panel.part((row + right) * width, (self.columns - right) * width).zero();
        }
    }

    /// Zeroes whole rows.
    pub fn blank(&self, panel: Dst<'_>, width: usize, slot: usize, rows: usize) {
        let row = self.columns * width;
        panel.part(slot * row, rows * row).zero();
    }

    /// Copies a panel's channels of `rows` rows of an NHWC map, from `row` on, to the slots from `slot` on.
    pub fn fill(
        &self,
        map: Src<'_>,
        pitch: usize,
        panel: Dst<'_>,
        width: usize,
        (slot, row, rows): (usize, usize, usize),
    ) {
        let [_, w] = self.inside;
        for y in 0..rows {
            let to = panel.part(((slot + y) * self.columns + self.pad[1]) * width, w * width);
            let from = map.part((row + y) * w * pitch, (w - 1) * pitch + width);
            for x in 0..w {
                // SAFETY: both views were checked to hold all pixels of the row; they are different memory,
                // one an activation of the pass and one this thread's scratch.
                unsafe {
                    let from = from.ptr().add(x * pitch);
                    std::ptr::copy_nonoverlapping(from, to.ptr().add(x * width), width);
                }
            }
        }
    }
}
