//! What an instruction works with: where maps and packed weights lie, and this thread's views of them.
//!
//! In: the memory of a pass ([`Pass`]), shared by its threads. Out: views ([`ExecContext::map`], [`ExecContext::write`]) of
//! exactly the map, region or weights that are asked for, so that a kernel whose geometry is wrong panics at the map's end
//! instead of reading its neighbour. Made by [`super::Worker`], one a thread; read by every instruction.

#![allow(unsafe_code)]

use zoo_kernels::memory::{Arena, Dst, Src};
use zoo_kernels::{Isa, pack};

/// A feature map in the arena: NHWC, its pixels filled up to whole vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeatureMap {
    /// Where it starts in the arena.
    pub(super) at: usize,
    /// `[height, width]`.
    pub(super) size: [usize; 2],
    /// Channels.
    pub(super) channels: usize,
    /// Vectors in a pixel.
    pub(super) vectors: usize,
}

impl FeatureMap {
    /// A map of so many channels; not yet anywhere.
    pub(super) fn new(size: [usize; 2], channels: usize, lanes: usize) -> Self {
        FeatureMap { at: 0, size, channels, vectors: pack::vectors(channels, lanes) }
    }

    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The same pixels as one long row: no tile of a convolution that looks at one pixel ever meets its end.
    pub(super) fn in_one_row(self) -> Self {
        FeatureMap { size: [1, self.pixels()], ..self }
    }

    /// Values from a pixel to the next.
    pub(super) fn pitch(&self, lanes: usize) -> usize {
        self.vectors * lanes
    }

    /// Values with lanes beyond the last channel; `usize::MAX`, for which no memory can be had, where they are more.
    pub(super) fn len(&self, lanes: usize) -> usize {
        let pixels = self.size[0].checked_mul(self.size[1]);
        let len = pixels.and_then(|p| p.checked_mul(self.vectors)?.checked_mul(lanes));
        len.unwrap_or(usize::MAX)
    }

    /// All of it.
    pub(super) fn region(&self, lanes: usize) -> Region {
        Region { at: self.at, len: self.len(lanes) }
    }
}

/// Some values of the arena or of the packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) at: usize,
    pub(super) len: usize,
}

/// The filters of a convolution of one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) inputs: usize,
    /// Vectors of outputs.
    pub(super) vectors: usize,
    /// The packed weights, and the bias.
    pub(super) weights: Region,
    pub(super) bias: Region,
}

/// What a pass's threads share.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) isa: Isa,
    /// The image, CHW.
    pub(super) image: &'a [f32],
    pub(super) weights: &'a [f32],
    pub(super) arena: Arena<'a>,
    /// Every thread's, one after another.
    pub(super) scratch: Arena<'a>,
    /// Values of a thread's.
    pub(super) scratch_len: usize,
    pub(super) zeros: &'a [f32],
}

/// What one thread of a pass works with.
#[derive(Clone, Copy)]
pub(super) struct ExecContext<'a> {
    pub(super) isa: Isa,
    /// The image, CHW.
    pub(super) image: Src<'a>,
    weights: Src<'a>,
    arena: Arena<'a>,
    /// This thread's own.
    pub(super) scratch: Dst<'a>,
    pub(super) zeros: Src<'a>,
}

impl<'a> ExecContext<'a> {
    /// The context of the `member`th thread.
    ///
    /// # Safety
    /// No other thread has the context of the same member of the same pass, and whoever has it keeps to the promise of
    /// [`super::instr::Instr::run`]: between two barriers all threads do their parts of one instruction.
    pub(super) unsafe fn new(pass: &Pass<'a>, member: usize) -> Self {
        let start = member * pass.scratch_len;
        ExecContext {
            isa: pass.isa,
            image: Src::new(pass.image),
            weights: Src::new(pass.weights),
            arena: pass.arena,
            // SAFETY: every member's scratch is its own, and nobody else is this member.
            scratch: unsafe { pass.scratch.view(start, pass.scratch_len) },
            zeros: Src::new(pass.zeros),
        }
    }

    pub(super) fn lanes(&self) -> usize {
        self.isa.lanes()
    }

    /// A map, to read.
    pub(super) fn map(&self, map: &FeatureMap) -> Src<'a> {
        self.region(map.region(self.lanes()))
    }

    /// A region of the arena, to read.
    pub(super) fn region(&self, region: Region) -> Src<'a> {
        // SAFETY: what an instruction reads was written before the last barrier, and no part of the same instruction
        // writes it: the places of values that are alive together do not overlap (`arena`).
        unsafe { self.arena.view(region.at, region.len) }.read()
    }

    /// A map, to write.
    ///
    /// # Safety
    /// As for [`ExecContext::write_region`].
    pub(super) unsafe fn write(&self, map: &FeatureMap) -> Dst<'a> {
        // SAFETY: as the caller vouches.
        unsafe { self.write_region(map.region(self.lanes())) }
    }

    /// A region of the arena, to write.
    ///
    /// # Safety
    /// The values that are written through it are this part's own: no other part of the same instruction writes or
    /// reads them.
    pub(super) unsafe fn write_region(&self, region: Region) -> Dst<'a> {
        // SAFETY: as the caller vouches; other instructions run before or after a barrier.
        unsafe { self.arena.view(region.at, region.len) }
    }

    /// Packed weights.
    pub(super) fn weight(&self, region: Region) -> Src<'a> {
        self.weights.part(region.at, region.len)
    }
}
