//! A matrix times one vector: fully connected layers and squeeze-excite, where there is one pixel.
//!
//! In: a vector, packed weights, a bias. Out: a vector. One pixel gives a tile too few sums to keep the
//! multipliers busy, so the inputs are dealt to [`CHAINS`] sums each, added at the end in a fixed order.

#![allow(unsafe_code)]

use std::ops::Range;

use crate::activation::Activation;

use super::math::apply_activation_in_place;
use super::memory::{Dst, Src};
use super::pack::{panel, panels};
use super::simd::{Kernel, Simd};
use super::tile::of_width;

/// Sums an output is dealt over.
const CHAINS: usize = 4;

/// A fully connected layer on one vector.
#[derive(Clone, Copy)]
pub struct Vector<'a> {
    /// The inputs.
    pub input: Src<'a>,
    /// How many.
    pub depth: usize,
    /// Panels.
    pub weights: Src<'a>,
    /// Whole vectors.
    pub bias: Src<'a>,
    /// The outputs, whole vectors.
    pub output: Dst<'a>,
    /// Vectors of outputs.
    pub vectors: usize,
    /// Applied to a finished sum.
    pub activation: Option<Activation>,
}

/// A layer with the panels that one thread computes.
pub struct VectorPart<'a> {
    layer: Vector<'a>,
    panels: Range<usize>,
}

impl<'a> Vector<'a> {
    /// Some of the panels.
    pub fn part(self, panels: Range<usize>) -> VectorPart<'a> {
        VectorPart { layer: self, panels }
    }
}

impl Kernel for VectorPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let layer = &self.layer;
        let outputs = layer.vectors * S::LANES;
        assert!(self.panels.end <= panels(layer.vectors, S::PANEL) && layer.input.len() >= layer.depth);
        assert!(layer.weights.len() >= outputs * layer.depth);
        assert!(layer.bias.len() >= outputs && layer.output.len() >= outputs);
        for index in self.panels {
            let panel = panel(layer.vectors, S::PANEL, index);
            let channel = panel.start * S::LANES;
            of_width!(S, panel.len(), NV => layer.panel::<S, NV>(s, channel));
        }
    }
}

impl Vector<'_> {
    #[inline(always)]
    fn panel<S: Simd, const NV: usize>(&self, s: S, channel: usize) {
        let width = NV * S::LANES;
        // SAFETY: `run` checked the views, and `channel` is the first of one of the layer's panels.
        unsafe {
            let weights = self.weights.ptr().add(channel * self.depth);
            let mut sums = [[s.splat(0.0); NV]; CHAINS];
            for j in 0..NV {
                sums[0][j] = s.load(self.bias.ptr().add(channel + j * S::LANES));
            }
            let whole = self.depth - self.depth % CHAINS;
            for k in (0..whole).step_by(CHAINS) {
                for c in 0..CHAINS {
                    let a = s.splat(*self.input.ptr().add(k + c));
                    let row = weights.add((k + c) * width);
                    s.prefetch_all(row.wrapping_add(PREFETCH_DISTANCE), width);
                    for j in 0..NV {
                        sums[c][j] = s.fma(a, s.load(row.add(j * S::LANES)), sums[c][j]);
                    }
                }
            }
            for k in whole..self.depth {
                let a = s.splat(*self.input.ptr().add(k));
                for j in 0..NV {
                    let w = s.load(weights.add(k * width + j * S::LANES));
                    sums[0][j] = s.fma(a, w, sums[0][j]);
                }
            }
            let mut out = [s.splat(0.0); NV];
            for j in 0..NV {
                out[j] = s.add(s.add(sums[0][j], sums[1][j]), s.add(sums[2][j], sums[3][j]));
            }
            let to = self.output.ptr().add(channel);
            for j in 0..NV {
                s.store(to.add(j * S::LANES), out[j]);
            }
            apply_activation_in_place(s, self.activation, &[to], NV);
        }
    }
}

/// Values between the weights in use and those asked for: a classifier's come from memory, once.
const PREFETCH_DISTANCE: usize = 1536;
