//! Filters mixed out of several experts' (CondConv): their weighted sum, once for each image.
//!
//! In: the packed weights of every expert, and each expert's share. Out: packed weights, which a convolution reads in
//! place of its own. Called by `nn::plan`.

#![allow(unsafe_code)]

use std::ops::Range;

use super::memory::{Dst, Src};
use super::simd::{Kernel, Simd};

/// The sum of every expert's weights times its share, from the first expert on.
#[derive(Clone, Copy)]
pub struct MixWeights<'a> {
    /// Packed weights, one expert's after another's.
    pub experts: Src<'a>,
    /// One share an expert.
    pub shares: Src<'a>,
    /// Experts.
    pub count: usize,
    /// Vectors of an expert's weights.
    pub vectors: usize,
    /// The mixed weights.
    pub output: Dst<'a>,
}

/// The vectors that one thread mixes.
pub struct MixWeightsPart<'a> {
    work: MixWeights<'a>,
    vectors: Range<usize>,
}

impl<'a> MixWeights<'a> {
    /// Some of the vectors.
    pub fn part(self, vectors: Range<usize>) -> MixWeightsPart<'a> {
        MixWeightsPart { work: self, vectors }
    }
}

/// Vectors that are mixed together, expert by expert.
const ABREAST: usize = 8;

impl Kernel for MixWeightsPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let w = &self.work;
        let len = w.vectors * S::LANES;
        assert!(self.vectors.end <= w.vectors && w.output.len() >= len);
        assert!(w.experts.len() >= len * w.count && w.shares.len() >= w.count);
        let mut at = self.vectors.start;
        while at + ABREAST <= self.vectors.end {
            // SAFETY: the vectors are inside every expert's weights, and the output's: just checked.
            unsafe { mix::<S, ABREAST>(s, w, at) };
            at += ABREAST;
        }
        while at < self.vectors.end {
            // SAFETY: as above.
            unsafe { mix::<S, 1>(s, w, at) };
            at += 1;
        }
    }
}

/// `N` vectors from the `first` on.
///
/// # Safety
/// They are inside every expert's weights and the output's; there is a share for every expert.
#[inline(always)]
unsafe fn mix<S: Simd, const N: usize>(s: S, w: &MixWeights<'_>, first: usize) {
    let len = w.vectors * S::LANES;
    let mut sums = [s.splat(0.0); N];
    for expert in 0..w.count {
        // SAFETY: as the caller vouches.
        let share = s.splat(unsafe { *w.shares.ptr().add(expert) });
        for i in 0..N {
            // SAFETY: as the caller vouches.
            let weight = unsafe { s.load(w.experts.ptr().add(expert * len + (first + i) * S::LANES)) };
            sums[i] = s.fma(weight, share, sums[i]);
        }
    }
    for i in 0..N {
        // SAFETY: as the caller vouches.
        unsafe { s.store(w.output.ptr().add((first + i) * S::LANES), sums[i]) };
    }
}
