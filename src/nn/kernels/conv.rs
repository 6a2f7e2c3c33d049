//! Convolutions and 1×1 convolutions as register-blocked matrix products.
//!
//! In: an NHWC map, packed weights ([`super::pack`]), a bias. Out: an NHWC map, with bias, activation and
//! residual applied while the sums are still in registers. A tile is some pixels by one panel of output
//! channels ([`super::row_block`]); for a window of more than one tap the products of each tap are summed into the same
//! registers, reading the input in place (no im2col). The order of every sum is taps, then channels,
//! from the bias on: neither tiles nor threads change it.

use std::ops::Range;

use super::memory::{Dst, Src};
use super::pack;
use super::simd::{Kernel, Simd};
use super::split_even;
use super::tile::{Epilogue, of_width};

/// The window of a convolution over a map whose border is zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// `[height, width]`.
    pub kernel: [usize; 2],
    /// `[vertical, horizontal]`.
    pub stride: [usize; 2],
    /// `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// `[top, left]`.
    pub pad: [usize; 2],
}

impl Taps {
    /// A 1×1 window.
    pub const POINT: Taps = Taps { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pad: [0; 2] };

    /// Taps in the window.
    pub fn count(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// A convolution of some of a map's channels into some of another's.
#[derive(Clone, Copy)]
pub struct Conv<'a> {
    /// The input map, from its first channel that is read on.
    pub input: Src<'a>,
    /// Values from a pixel to the next.
    pub input_pitch: usize,
    /// `[height, width]` of the input.
    pub input_size: [usize; 2],
    /// Channels that are read.
    pub channels: usize,
    /// Whether the input is far away, for this thread to ask for: in front of a depthwise convolution one panel
    /// after the other reads it, and only the first has to.
    pub cold: bool,
    /// The window.
    pub taps: Taps,
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
    /// Panels.
    pub weights: Src<'a>,
    /// One value an output channel, whole vectors.
    pub bias: Src<'a>,
    /// The output map, from its first channel that is written on.
    pub output: Dst<'a>,
    /// Values from a pixel to the next.
    pub output_pitch: usize,
    /// Values from a row to the next (more than the row has where the output has a border).
    pub output_row: usize,
    /// Vectors of output channels.
    pub vectors: usize,
    /// What happens to a finished sum.
    pub epilogue: Epilogue<'a>,
    /// What to ask for in the place of its own output's lines.
    pub prefetch: Option<PrefetchTarget<'a>>,
    /// At least `channels` zeros: what lies beyond the border.
    pub zeros: Src<'a>,
}

/// Pixels that will be written next, far from the caches: products leave time to ask for them, more than those who
/// write them have.
#[derive(Clone, Copy)]
pub struct PrefetchTarget<'a> {
    /// The first.
    pub at: Dst<'a>,
    /// Values from one to the next.
    pub pitch: usize,
    /// How many.
    pub pixels: usize,
}

/// Some pixels of a panel, and some of the inputs that its sums are made of.
#[derive(Clone, Copy)]
pub(super) struct RowBlock {
    /// First, and one beyond the last.
    pub(super) pixels: [usize; 2],
    /// The panel's first output.
    pub(super) channel: usize,
    /// First, and one beyond the last: all, unless the convolution is deep.
    pub(super) inputs: [usize; 2],
    /// Whether it is the first to read them.
    pub(super) cold: bool,
}

/// A convolution with the part of its output that one thread computes.
#[derive(Clone, Copy)]
pub struct ConvPart<'a> {
    pub(super) conv: Conv<'a>,
    pixels: [usize; 2],
    panels: [usize; 2],
    /// One tap, no border: a matrix product.
    pub(super) simple: bool,
}

/// Values of input that a chunk of pixels may have: they are read once a panel, and should stay in L2.
const MAX_CHUNK_VALUES: usize = 24 * 1024;
/// Inputs of a 1×1 convolution from which on they are taken in blocks, and the most of a block: a panel's weights and a
/// chunk's inputs are then both at home in L2, and weights are read from further away for more pixels at a time. The
/// sums so far wait in the output; their order is the same.
const MIN_BLOCKED_DEPTH: usize = 2048;
const MAX_DEPTH_OF_BLOCK: usize = 768;
/// Values of input for each lane in a chunk where inputs come in blocks: who has 16 lanes has a larger L2 too.
const MAX_DEEP_CHUNK_VALUES: usize = 8 * 1024;

impl<'a> Conv<'a> {
    /// The part of the output made of these pixels and panels.
    pub fn part(self, pixels: Range<usize>, panels: Range<usize>) -> ConvPart<'a> {
        let taps = self.taps;
        let inside = (0..2).all(|i| {
            self.output_size[i] == 0 || (self.output_size[i] - 1) * taps.stride[i] < self.input_size[i]
        });
        let simple = taps.count() == 1 && taps.pad == [0; 2] && inside;
        ConvPart {
            conv: self,
            pixels: [pixels.start, pixels.end],
            panels: [panels.start, panels.end],
            simple,
        }
    }

    /// # Panics
    /// Where a view is smaller than the geometry says.
    fn check<S: Simd>(&self) {
        let [ih, iw] = self.input_size;
        let [oh, ow] = self.output_size;
        let depth = self.channels * self.taps.count();
        let furthest = |pixels: usize, pitch: usize, values: usize| match pixels {
            0 => 0,
            _ => (pixels - 1) * pitch + values,
        };
        assert!(self.input.len() >= furthest(ih * iw, self.input_pitch, self.channels));
        assert!(self.weights.len() >= self.vectors * S::LANES * depth);
        assert!(self.bias.len() >= self.vectors * S::LANES);
        assert!(self.zeros.len() >= self.channels);
        let row = furthest(ow, self.output_pitch, self.vectors * S::LANES);
        assert!(self.output.len() >= furthest(oh, self.output_row, row));
        if let Some(residual) = self.epilogue.residual {
            assert!(residual.len() >= furthest(oh, self.output_row, row));
        }
    }
}

impl Kernel for ConvPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let c = &self.conv;
        c.check::<S>();
        assert!(self.pixels[1] <= c.output_size[0] * c.output_size[1]);
        assert!(self.panels[1] <= pack::panels(c.vectors, S::PANEL));
        let total = self.pixels[1] - self.pixels[0];
        let (blocks, values) = if self.simple && c.channels >= MIN_BLOCKED_DEPTH {
            (c.channels.div_ceil(MAX_DEPTH_OF_BLOCK), MAX_DEEP_CHUNK_VALUES * S::LANES)
        } else {
            (1, MAX_CHUNK_VALUES)
        };
        let fit = (values / c.channels.div_ceil(blocks).max(1)).max(4 * S::ROWS[1]);
        // Half a chunk more is better than weights read once more.
        let chunks = ((total + fit / 2) / fit).max(1);
        for i in 0..chunks {
            let range = split_even(total, chunks, i);
            for block in 0..blocks {
                let inputs = split_even(c.channels, blocks, block);
                for index in self.panels[0]..self.panels[1] {
                    let panel = pack::panel(c.vectors, S::PANEL, index);
                    let row_block = RowBlock {
                        pixels: [self.pixels[0] + range.start, self.pixels[0] + range.end],
                        channel: panel.start * S::LANES,
                        inputs: [inputs.start, inputs.end],
                        cold: c.cold && self.simple && index == self.panels[0],
                    };
                    of_width!(S, panel.len(), NV => self.row_block::<S, NV>(s, row_block));
                }
            }
        }
    }
}
