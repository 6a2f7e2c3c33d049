//! A convolution of many groups of few channels, bundle by bundle ([`super::groups`]).
//!
//! In: some rows of a bundle's inputs in a [`Ring`], copied there by [`FillRows`]: interleaved as its outputs are, a vector of
//! inputs after the other, inside a border of zeros, so that no tap needs a test. Out: the bundle's channels of some rows of
//! an NHWC map. Columns that are a stride apart are neighbours in the ring (all even ones, then all odd ones), and each has
//! one vector: whatever the stride, a tile's pixels are one vector from each other, which is part of the instructions.
//! A tile may be wider than what is left of a row: what it makes beyond is not stored. The order of every sum is the
//! packed weights', from the bias on: tiles do not change it.

#![allow(unsafe_code)]

use crate::activation::Activation;

use super::Isa;
use super::conv::Taps;
use super::groups::{Bundle, Groups, MAX_PANEL, MAX_WAYS_OF_PANELS};
use super::math::{activate, apply_activation_in_place, is_transcendental};
use super::memory::{Dst, Src};
use super::ring::Ring;
use super::simd::{Kernel, Simd};
use super::tile::{begin, of_height, put, resume};

/// The shape of a grouped convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupedShape {
    /// Its groups.
    pub groups: Groups,
    /// The window.
    pub taps: Taps,
    /// `[height, width]` of the input.
    pub input: [usize; 2],
    /// `[height, width]` of the output.
    pub output: [usize; 2],
    /// Where rows of input lie; its columns are whole strides.
    pub ring: Ring,
}

impl GroupedShape {
    /// The shape, with the ring that an instruction set's tiles need.
    pub fn new(groups: Groups, taps: Taps, input: [usize; 2], output: [usize; 2], isa: Isa) -> Self {
        Self::with_tiles(groups, taps, [input, output], isa.lanes(), isa.grouped_tiles())
    }

    fn with_tiles(
        groups: Groups,
        taps: Taps,
        [input, output]: [[usize; 2]; 2],
        lanes: usize,
        tiles: [&[usize]; 2],
    ) -> Self {
        // The tiles of a row may reach beyond its end.
        let made = tiles.map(|widths| output[1].next_multiple_of(tile_width(widths, output[1])));
        let made = made.into_iter().fold(output[1], usize::max);
        let widest = groups.bundle(0, lanes).blocks * lanes;
        let mut ring = Ring::new(input, [output[0], made], &taps, widest);
        ring.columns = ring.columns.next_multiple_of(taps.stride[1]);
        GroupedShape { groups, taps, input, output, ring }
    }

    /// Values of scratch for the ring of any of its bundles.
    pub fn scratch(&self, lanes: usize) -> usize {
        self.ring.len(self.groups.bundle(0, lanes).blocks * lanes)
    }

    /// Where a column of the ring is: of each row, in vectors of one block.
    fn column(&self, column: usize) -> usize {
        let stride = self.taps.stride[1];
        column % stride * (self.ring.columns / stride) + column / stride
    }

    /// # Panics
    /// Where the ring is not the shape's, or not as long as `values`.
    fn check<S: Simd>(&self, bundle: &Bundle, values: usize) {
        let sizes = [self.input, self.output];
        assert!(*self == Self::with_tiles(self.groups, self.taps, sizes, S::LANES, S::GROUPED_TILES));
        let index = bundle.first / self.groups.bundle(0, S::LANES).ways;
        assert!(*bundle == self.groups.bundle(index, S::LANES) && bundle.groups > 0);
        assert!(values >= self.ring.len(bundle.blocks * S::LANES));
    }
}

/// The narrowest of `widths` (ascending) with which a row needs no more tiles than with the widest.
fn tile_width(widths: &[usize], row: usize) -> usize {
    let widest = widths.last().copied().unwrap_or(1);
    let needed = row.div_ceil(row.div_ceil(widest).max(1));
    widths.iter().copied().find(|width| *width >= needed).unwrap_or(widest)
}

/// Calls code for a bundle of so many ways, which become the constant `$ways`; for more than the instance `$simd` has lanes,
/// nothing is compiled.
macro_rules! of_ways {
    ($simd:ty, $bundle:expr, $ways:ident => $call:expr) => {
        of_ways!(@each $simd, $bundle, $ways => $call, 1 2 4 8 16)
    };
    (@each $simd:ty, $bundle:expr, $ways:ident => $call:expr, $($count:literal)*) => {
        match $bundle.ways {
            $($count if $count <= <$simd>::LANES => { const $ways: usize = $count; $call })*
            ways => debug_assert!(false, "no bundle has {ways} ways"),
        }
    };
}

/// Copies some rows of a bundle's inputs into the ring.
#[derive(Clone, Copy)]
pub struct FillRows<'a> {
    /// The convolution.
    pub shape: GroupedShape,
    /// Whose inputs.
    pub bundle: Bundle,
    /// The input map, from the bundle's first channel on.
    pub map: Src<'a>,
    /// Values from a pixel to the next.
    pub pitch: usize,
    /// The ring, whose border is zeros.
    pub ring: Dst<'a>,
    /// Slot of the first row, the row, and how many rows: a run of [`Ring::runs`].
    pub run: (usize, usize, usize),
}

impl Kernel for FillRows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.shape.check::<S>(&self.bundle, self.ring.len());
        let ([height, width], (slot, row, rows)) = (self.shape.input, self.run);
        assert!(slot + rows <= self.shape.ring.slots && row + rows <= height);
        let channels = self.bundle.groups * self.shape.groups.inputs;
        assert!(self.map.len() >= (height * width - 1) * self.pitch + channels);
        of_ways!(S, self.bundle, WAYS => self.rows::<S, WAYS>(s));
    }
}

impl FillRows<'_> {
    #[inline(always)]
    fn rows<S: Simd, const WAYS: usize>(&self, s: S) {
        let (shape, bundle, ring) = (&self.shape, &self.bundle, &self.shape.ring);
        let each = S::LANES / WAYS;
        let (slot, row, rows) = self.run;
        let [_, width] = shape.input;
        let (stride, inputs) = (shape.taps.stride[1], shape.groups.inputs);
        for (y, block) in (0..rows).flat_map(|y| (0..bundle.blocks).map(move |block| (y, block))) {
            let whole = bundle.groups == WAYS && (block + 1) * each <= inputs;
            let line = ((slot + y) * bundle.blocks + block) * ring.columns;
            // SAFETY: `run` checked that the row is one of the map's, whose pixels hold all inputs of the bundle's groups, and
            // the slot one of the ring's, which holds every column of the border and the input.
            unsafe {
                let from = self.map.ptr().add((row + y) * width * self.pitch + block * each);
                let to = self.ring.ptr().add(line * S::LANES);
                for phase in 0..stride.min(width) {
                    let mut from = from.add(phase * self.pitch);
                    let mut to = to.add(shape.column(ring.pad[1] + phase) * S::LANES);
                    for _ in (phase..width).step_by(stride) {
                        if whole {
                            s.store(to, s.load_interleaved::<WAYS>(from, inputs));
                        } else {
                            self.part_of_vector::<S, WAYS>(from, to, inputs - block * each);
                        }
                        from = from.wrapping_add(stride * self.pitch);
                        to = to.add(S::LANES);
                    }
                }
            }
        }
    }

    /// A vector of fewer groups, or of fewer inputs, than there is room for. Nobody reads its other lanes' results.
    ///
    /// # Safety
    /// `from` has `left` inputs of each group, and there is a vector at `to`.
    #[inline(always)]
    unsafe fn part_of_vector<S: Simd, const WAYS: usize>(&self, from: *const f32, to: *mut f32, left: usize) {
        for way in 0..self.bundle.groups {
            for input in 0..left.min(S::LANES / WAYS) {
                // SAFETY: as the caller vouches.
                unsafe { *to.add(input * WAYS + way) = *from.add(way * self.shape.groups.inputs + input) }
            }
        }
    }
}

/// A bundle's outputs in some rows.
#[derive(Clone, Copy)]
pub struct Grouped<'a> {
    /// The convolution.
    pub shape: GroupedShape,
    /// Whose outputs.
    pub bundle: Bundle,
    /// First and last but one row of the output that are made.
    pub rows: [usize; 2],
    /// The bundle's ring, which holds all that `rows` need.
    pub ring: Src<'a>,
    /// The bundle's filters ([`Groups::pack`]).
    pub weights: Src<'a>,
    /// The bundle's bias.
    pub bias: Src<'a>,
    /// The output map, from the bundle's first channel on.
    pub output: Dst<'a>,
    /// Values from an output pixel to the next.
    pub output_pitch: usize,
    /// Applied to a finished sum.
    pub activation: Option<Activation>,
}

impl Kernel for Grouped<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shape, bundle) = (&self.shape, &self.bundle);
        shape.check::<S>(bundle, self.ring.len());
        let [height, width] = shape.output;
        let [first, end] = self.rows;
        assert!(first < end && end <= height && end - first <= shape.ring.band);
        assert!(self.weights.len() >= bundle.packed_len(&shape.groups, shape.taps.count(), S::LANES));
        assert!(self.bias.len() >= bundle.vectors * S::LANES);
        let channels = (bundle.groups - 1) * shape.groups.outputs + bundle.vectors * (S::LANES / bundle.ways);
        assert!(self.output.len() >= (height * width - 1) * self.output_pitch + channels);
        of_ways!(S, bundle, WAYS => self.panels::<S, WAYS>(s));
    }
}

/// The window as tiles walk over it: distances in values of the ring.
struct Window {
    rows: usize,
    columns: usize,
    /// Inputs of a group.
    inputs: usize,
    /// From a vector of a pixel's inputs to the next.
    block: usize,
    /// Columns that are a stride apart lie together: so many runs of them.
    phases: usize,
    /// From a run to the next.
    phase: usize,
    /// What a tap's column is from that of the tap before: so many runs, and so far in the run.
    phases_a_tap: usize,
    columns_a_tap: usize,
}

/// Some of a bundle's vectors.
#[derive(Clone, Copy)]
struct Panel {
    /// The first.
    first: usize,
    /// Where their filters are.
    weights: *const f32,
}

impl Grouped<'_> {
    #[inline(always)]
    fn panels<S: Simd, const WAYS: usize>(&self, s: S) {
        let depth = self.shape.groups.inputs * self.shape.taps.count();
        for vectors in self.bundle.panels() {
            // SAFETY: `run` checked that there are weights of all panels.
            let weights = unsafe { self.weights.ptr().add(vectors.start * S::LANES * depth) };
            let panel = Panel { first: vectors.start, weights };
            if vectors.len() == 2 && WAYS <= MAX_WAYS_OF_PANELS {
                self.rows::<S, WAYS, 2>(s, panel);
            } else {
                self.rows::<S, WAYS, 1>(s, panel);
            }
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const WAYS: usize, const NV: usize>(&self, s: S, panel: Panel) {
        if WAYS > MAX_WAYS_OF_PANELS && NV > 1 {
            return; // Panels that such bundles do not have: not compiled.
        }
        let [_, row] = self.shape.output;
        let width = tile_width(S::GROUPED_TILES[NV - 1], row);
        let taps = &self.shape.taps;
        let window = Window {
            rows: taps.kernel[0],
            columns: taps.kernel[1],
            inputs: self.shape.groups.inputs,
            block: self.shape.ring.columns * S::LANES,
            phases: taps.stride[1],
            phase: self.shape.ring.columns / taps.stride[1] * S::LANES,
            phases_a_tap: taps.dilation[1] % taps.stride[1],
            columns_a_tap: taps.dilation[1] / taps.stride[1] * S::LANES,
        };
        for y in self.rows[0]..self.rows[1] {
            let slot = y * taps.stride[0] % self.shape.ring.slots;
            for x in (0..row).step_by(width) {
                of_height!(width, N => self.tile::<S, WAYS, NV, N>(s, ([y, x], slot), panel, &window));
            }
        }
    }

    /// `N` neighbouring outputs of a row, or those that are left of it, by a panel.
    #[inline(always)]
    fn tile<S: Simd, const WAYS: usize, const NV: usize, const N: usize>(
        &self,
        s: S,
        ([y, x], slot): ([usize; 2], usize),
        panel: Panel,
        window: &Window,
    ) {
        if const { !contains(S::GROUPED_TILES[NV - 1], N) } {
            return; // A tile that `rows` never asks for: not compiled.
        }
        let (blocks, ring, down) = (self.bundle.blocks, &self.shape.ring, self.shape.taps.dilation[0]);
        let each = S::LANES / WAYS;
        let mut slot = slot;
        // SAFETY: `run` checked the views. Slots are below the ring's, and its columns reach as far as the taps of the last
        // tile's last output; weights are as many as taps and inputs.
        unsafe {
            let mut sums: [[S::V; NV]; N] = begin(s, self.bias.ptr().add(panel.first * S::LANES));
            let mut weights = panel.weights;
            for _ in 0..window.rows {
                for block in 0..blocks {
                    let mut from = self.ring.ptr().add((slot * blocks + block) * window.block + x * S::LANES);
                    let inputs = each.min(window.inputs - block * each);
                    let mut phase = 0;
                    for _ in 0..window.columns {
                        products::<S, WAYS, NV, N>(s, from, weights, inputs, &mut sums);
                        weights = weights.add(inputs * NV * S::LANES);
                        // The next tap's column: no division, which would take as long as its products.
                        phase += window.phases_a_tap;
                        from = from.wrapping_add(window.columns_a_tap + window.phases_a_tap * window.phase);
                        if phase >= window.phases {
                            phase -= window.phases;
                            from = from.wrapping_add(S::LANES).wrapping_sub(window.phases * window.phase);
                        }
                    }
                }
                slot += down;
                if slot >= ring.slots {
                    slot -= ring.slots;
                }
            }
            self.finish::<S, WAYS, NV, N>(s, sums, [y, x], panel.first * each);
        }
    }

    /// Activation, and the store of the outputs that are in the row; `first` is the first of a group's.
    ///
    /// # Safety
    /// `y` is a row of the output.
    #[inline(always)]
    unsafe fn finish<S: Simd, const WAYS: usize, const NV: usize, const N: usize>(
        &self,
        s: S,
        sums: [[S::V; NV]; N],
        [y, x]: [usize; 2],
        first: usize,
    ) {
        let mut sums = sums;
        let [_, width] = self.shape.output;
        let count = N.min(width - x);
        if is_transcendental(self.activation) {
            let mut values = [[0f32; MAX_PANEL_LEN]; N];
            let places = values.each_mut().map(|values| values.as_mut_ptr());
            // SAFETY: there is room for the widest panel at each place.
            unsafe {
                put(s, &places, &sums);
                apply_activation_in_place(s, self.activation, &places, NV);
                sums = resume(s, &places);
            }
        } else {
            activate(s, self.activation, &mut sums);
        }
        // SAFETY: as the caller vouches; `run` checked that the output holds every lane of every pixel.
        unsafe {
            let mut to = self.output.ptr().add((y * width + x) * self.output_pitch + first);
            for (i, row) in sums.iter().enumerate() {
                if i < count {
                    for (v, sum) in row.iter().enumerate() {
                        let to = to.add(v * (S::LANES / WAYS));
                        s.store_interleaved::<WAYS>(to, self.shape.groups.outputs, self.bundle.groups, *sum);
                    }
                    to = to.wrapping_add(self.output_pitch);
                }
            }
        }
    }
}

/// `sums[i][j] += from[i][k] · weights[k][j]` over the inputs `k` of one tap, where the pixels `i` are a vector apart.
///
/// # Safety
/// `from` is readable for `N` vectors, `weights` for `NV` vectors an input.
#[inline(always)]
unsafe fn products<S: Simd, const WAYS: usize, const NV: usize, const N: usize>(
    s: S,
    from: *const f32,
    weights: *const f32,
    inputs: usize,
    sums: &mut [[S::V; NV]; N],
) {
    let mut local = *sums;
    let (mut from, mut weights) = (from, weights);
    for _ in 0..inputs {
        // SAFETY: as the caller vouches.
        unsafe {
            let mut w = [s.splat(0.0); NV];
            for j in 0..NV {
                w[j] = s.load(weights.add(j * S::LANES));
            }
            for i in 0..N {
                let a = s.repeat::<WAYS>(from.add(i * S::LANES));
                for j in 0..NV {
                    local[i][j] = s.fma(a, w[j], local[i][j]);
                }
            }
            weights = weights.add(NV * S::LANES);
            from = from.add(WAYS);
        }
    }
    *sums = local;
}

/// Values of the widest panel.
const MAX_PANEL_LEN: usize = 16 * MAX_PANEL;

/// Whether a width is one of some.
const fn contains(widths: &[usize], width: usize) -> bool {
    let mut i = 0;
    while i < widths.len() {
        if widths[i] == width {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_no_wider_than_a_row_needs() {
        let widths = [4, 7, 8, 10, 12, 14];
        let of = |row| tile_width(&widths, row);
        assert_eq!([1, 4, 5, 7, 8, 9, 14, 16, 28, 56].map(of), [4, 4, 7, 7, 8, 10, 14, 8, 14, 14]);
        assert_eq!(tile_width(&[1], 3), 1);
    }
}
