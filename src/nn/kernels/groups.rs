//! How the groups of a convolution share vectors, and their weights in that order.
//!
//! In: the channels of a group, the lanes of a vector. Out: bundles of groups whose outputs fill whole vectors, and their
//! filters packed. A group of 24 outputs leaves half of a second vector of 16 lanes idle, one of 4 three quarters of its
//! only one. So as many groups as fill whole vectors are *interleaved*: with two *ways*, even lanes are one group's outputs
//! and odd lanes the other's. A product then needs an input of each in turn (`a b a b …`), which is one load from a row
//! whose inputs lie interleaved too, and nothing is multiplied by a zero. Read by [`super::grouped`] and by `nn::plan`.

use std::ops::Range;

use super::{Isa, pack};

/// The groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// How many.
    pub count: usize,
    /// Input channels of one.
    pub inputs: usize,
    /// Output channels of one.
    pub outputs: usize,
}

/// Neighbouring groups whose channels are interleaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The first group.
    pub first: usize,
    /// How many there are, at most `ways`.
    pub groups: usize,
    /// How many are interleaved: a power of two that divides a vector's lanes.
    pub ways: usize,
    /// Vectors of outputs.
    pub vectors: usize,
    /// Vectors of inputs.
    pub blocks: usize,
}

/// Vectors of a panel, at most; of more ways, whose code few networks run, one.
pub(super) const MAX_PANEL: usize = 2;
/// Ways that have panels of more than one vector.
pub(super) const MAX_WAYS_OF_PANELS: usize = 2;

impl Bundle {
    /// Panels that its vectors are cut into.
    pub(super) fn panels(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let widest = if self.ways <= MAX_WAYS_OF_PANELS { MAX_PANEL } else { 1 };
        let vectors = self.vectors;
        (0..pack::panels(vectors, widest)).map(move |index| pack::panel(vectors, widest, index))
    }

    /// Values of its filters of so many taps.
    pub fn packed_len(&self, groups: &Groups, taps: usize, lanes: usize) -> usize {
        self.vectors * lanes * groups.inputs * taps
    }
}

impl Groups {
    /// Fewest groups whose outputs fill whole vectors.
    fn ways(&self, lanes: usize) -> usize {
        let ways = (0..=lanes.ilog2()).map(|power| 1 << power);
        ways.into_iter().find(|ways| (self.outputs * ways).is_multiple_of(lanes)).unwrap_or(lanes)
    }

    /// Bundles that there are.
    pub fn bundles(&self, lanes: usize) -> usize {
        self.count.div_ceil(self.ways(lanes))
    }

    /// The `index`th. The last has the groups that are left over; a single one is by itself.
    pub fn bundle(&self, index: usize, lanes: usize) -> Bundle {
        let all = self.ways(lanes);
        let first = index * all;
        let groups = all.min(self.count.saturating_sub(first));
        let ways = if groups == 1 { 1 } else { all };
        let each = lanes / ways;
        Bundle {
            first,
            groups,
            ways,
            vectors: self.outputs.div_ceil(each),
            blocks: self.inputs.div_ceil(each),
        }
    }

    /// Values of all bundles' packed filters, and of their biases: those of a bundle start at its index times those of
    /// the first.
    pub fn packed_len(&self, taps: usize, lanes: usize) -> [usize; 2] {
        let values = |bundle: Bundle| [bundle.packed_len(self, taps, lanes), bundle.vectors * lanes];
        let bundles = self.bundles(lanes);
        let last = values(self.bundle(bundles.saturating_sub(1), lanes));
        let each = values(self.bundle(0, lanes));
        [0, 1].map(|i| bundles.saturating_sub(1) * each[i] + last[i])
    }

    /// Packs a bundle's filters, whose weight for an output channel, one of its group's inputs and a tap (row and column) is
    /// `weight(output, input, [row, column])`: panel after panel, and in it in the order in which a tile sums: rows of the
    /// window, vectors of inputs, columns, inputs of a vector.
    pub fn pack(
        &self,
        bundle: &Bundle,
        kernel: [usize; 2],
        isa: Isa,
        to: &mut impl Extend<f32>,
        weight: impl Fn(usize, usize, [usize; 2]) -> f32,
    ) {
        let each = isa.lanes() / bundle.ways;
        for panel in bundle.panels() {
            for row in 0..kernel[0] {
                for block in 0..bundle.blocks {
                    let inputs = block * each..self.inputs.min((block + 1) * each);
                    for column in 0..kernel[1] {
                        for input in inputs.clone() {
                            self.lanes(bundle, panel.clone(), isa, to, |o| weight(o, input, [row, column]));
                        }
                    }
                }
            }
        }
    }

    /// A value for each output channel of a bundle (its bias), in the order of its lanes.
    pub fn pack_bias(
        &self,
        bundle: &Bundle,
        isa: Isa,
        to: &mut impl Extend<f32>,
        bias: impl Fn(usize) -> f32,
    ) {
        self.lanes(bundle, 0..bundle.vectors, isa, to, bias);
    }

    /// `value` of every output channel in some of a bundle's vectors; lanes without one are zeros.
    fn lanes(
        &self,
        bundle: &Bundle,
        vectors: Range<usize>,
        isa: Isa,
        to: &mut impl Extend<f32>,
        value: impl Fn(usize) -> f32,
    ) {
        let each = isa.lanes() / bundle.ways;
        to.extend((vectors.start * isa.lanes()..vectors.end * isa.lanes()).map(|lane| {
            let (way, output) = (lane % bundle.ways, lane / bundle.ways);
            debug_assert!(output < bundle.vectors * each);
            if way < bundle.groups && output < self.outputs {
                value((bundle.first + way) * self.outputs + output)
            } else {
                0.0
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_fill_whole_vectors_and_hold_every_group_once() {
        for (count, outputs, lanes) in
            (1..20).flat_map(|count| (1..70).flat_map(move |o| [8, 16].map(|lanes| (count, o, lanes))))
        {
            let groups = Groups { count, inputs: 3, outputs };
            let bundles: Vec<_> = (0..groups.bundles(lanes)).map(|i| groups.bundle(i, lanes)).collect();
            assert_eq!(bundles.iter().map(|b| b.groups).sum::<usize>(), count);
            for (bundle, next) in bundles.iter().zip(bundles.iter().skip(1)) {
                assert!(bundle.groups == bundle.ways && bundle.first + bundle.groups == next.first);
                assert_eq!(bundle.vectors * lanes, bundle.groups * outputs, "{groups:?} {lanes}");
            }
        }
    }

    #[test]
    fn ways_are_as_few_as_fill_vectors() {
        let ways = |outputs, lanes| Groups { count: 64, inputs: 1, outputs }.bundle(0, lanes).ways;
        assert_eq!([4, 8, 16, 24, 32, 12, 3].map(|outputs| ways(outputs, 16)), [4, 2, 1, 2, 1, 4, 16]);
        assert_eq!([4, 8, 16, 24, 32, 12, 3].map(|outputs| ways(outputs, 8)), [2, 1, 1, 1, 1, 2, 8]);
    }

    #[test]
    fn two_ways_alternate() {
        let groups = Groups { count: 2, inputs: 1, outputs: 8 };
        let Some(isa) = Isa::available().into_iter().find(|isa| isa.lanes() == 16) else { return };
        let bundle = groups.bundle(0, 16);
        let mut packed = Vec::new();
        groups.pack(&bundle, [1, 1], isa, &mut packed, |output, _, _| output as f32);
        let expected: Vec<f32> = (0..8).flat_map(|o| [o as f32, (o + 8) as f32]).collect();
        assert_eq!(packed, expected);
    }
}
