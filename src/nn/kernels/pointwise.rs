//! What is done value by value to a map: gate, scale and shift, sum, product, activation.
//!
//! In: one or two NHWC maps and vectors over their channels. Out: an NHWC map, which may be the first
//! input itself. The networks that matter fuse nearly all of it into other kernels.

#![allow(unsafe_code)]

use std::ops::Range;

use crate::activation::Activation;

use super::math::apply_activation_in_place;
use super::memory::{Dst, Src};
use super::pack::{panel, panels};
use super::simd::{Kernel, Simd};

/// `activation(((map − centre) · scale_by · scale + shift + add) · mul)`, each part optional, over pixels of `vectors`
/// vectors.
#[derive(Clone, Copy)]
pub struct Pointwise<'a> {
    /// The first map.
    pub map: Src<'a>,
    /// What is taken off first, one value a channel.
    pub centre: Option<Src<'a>>,
    /// One factor a channel.
    pub scale_by: Option<Src<'a>>,
    /// Another factor a channel, whole vectors.
    pub scale: Option<Src<'a>>,
    /// One addend a channel.
    pub shift: Option<Src<'a>>,
    /// A map that is added.
    pub add: Option<Src<'a>>,
    /// A map that is multiplied.
    pub mul: Option<Src<'a>>,
    /// Applied last.
    pub activation: Option<Activation>,
    /// The result.
    pub output: Dst<'a>,
    /// Vectors in a pixel: all maps are laid out alike.
    pub vectors: usize,
}

/// The pixels that one thread computes.
pub struct PointwisePart<'a> {
    work: Pointwise<'a>,
    pixels: Range<usize>,
}

impl<'a> Pointwise<'a> {
    /// Some of the pixels.
    pub fn part(self, pixels: Range<usize>) -> PointwisePart<'a> {
        PointwisePart { work: self, pixels }
    }
}

impl Kernel for PointwisePart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let w = &self.work;
        let channels = w.vectors * S::LANES;
        let len = self.pixels.end * channels;
        assert!(w.map.len() >= len && w.output.len() >= len);
        assert!([w.add, w.mul].iter().flatten().all(|m| m.len() >= len));
        assert!([w.centre, w.scale_by, w.scale, w.shift].iter().flatten().all(|c| c.len() >= channels));
        for pixel in self.pixels {
            for v in 0..w.vectors {
                let channel = v * S::LANES;
                let at = pixel * w.vectors * S::LANES + channel;
                // SAFETY: `run` checked that every view holds all pixels up to the range's end.
                unsafe {
                    let mut x = s.load(w.map.ptr().add(at));
                    if let Some(centre) = w.centre {
                        x = s.sub(x, s.load(centre.ptr().add(channel)));
                    }
                    if let Some(scale_by) = w.scale_by {
                        x = s.mul(x, s.load(scale_by.ptr().add(channel)));
                    }
                    if let Some(scale) = w.scale {
                        x = s.mul(x, s.load(scale.ptr().add(channel)));
                    }
                    if let Some(shift) = w.shift {
                        x = s.add(x, s.load(shift.ptr().add(channel)));
                    }
                    if let Some(add) = w.add {
                        x = s.add(x, s.load(add.ptr().add(at)));
                    }
                    if let Some(mul) = w.mul {
                        x = s.mul(x, s.load(mul.ptr().add(at)));
                    }
                    s.store(w.output.ptr().add(at), x);
                }
            }
            if w.activation.is_some() {
                // SAFETY: the pixel was just written.
                unsafe {
                    apply_activation_in_place(
                        s,
                        w.activation,
                        &[w.output.ptr().add(pixel * channels)],
                        w.vectors,
                    )
                }
            }
        }
    }
}

/// Packed weights of a 1×1 convolution, each input's multiplied by its gate: squeeze-excite's scale,
/// moved from the map to the weights where the map has more pixels than the layer has outputs.
#[derive(Clone, Copy)]
pub struct ScaleWeights<'a> {
    /// Panels.
    pub weights: Src<'a>,
    /// One factor an input.
    pub scale_by: Src<'a>,
    /// Inputs.
    pub depth: usize,
    /// Vectors of outputs.
    pub vectors: usize,
    /// Panels, scaled.
    pub output: Dst<'a>,
}

/// The panels that one thread scales.
pub struct ScalePart<'a> {
    work: ScaleWeights<'a>,
    panels: Range<usize>,
}

impl<'a> ScaleWeights<'a> {
    /// Some of the panels.
    pub fn part(self, panels: Range<usize>) -> ScalePart<'a> {
        ScalePart { work: self, panels }
    }
}

impl Kernel for ScalePart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let w = &self.work;
        let len = w.vectors * S::LANES * w.depth;
        assert!(self.panels.end <= panels(w.vectors, S::PANEL) && w.scale_by.len() >= w.depth);
        assert!(w.weights.len() >= len && w.output.len() >= len);
        for index in self.panels {
            let panel = panel(w.vectors, S::PANEL, index);
            let (vectors, start) = (panel.len(), panel.start * S::LANES * w.depth);
            for k in 0..w.depth {
                // SAFETY: `run` checked that all panels of `depth` inputs are inside both views.
                unsafe {
                    let factor = s.splat(*w.scale_by.ptr().add(k));
                    for v in 0..vectors {
                        let at = start + (k * vectors + v) * S::LANES;
                        s.store(w.output.ptr().add(at), s.mul(s.load(w.weights.ptr().add(at)), factor));
                    }
                }
            }
        }
    }
}
