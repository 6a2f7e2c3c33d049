//! A convolution's tensors with its batch norm worked into them.
//!
//! In: the graph's weights by name. Out: values as an engine packs them. Called by `plan::packer` and `cuda::pack`, so that
//! both fold by the same arithmetic: in double precision, rounded once.

use std::borrow::Cow;

use crate::graph::{Graph, ValueError, WeightId};
use crate::lower::{Conv, Norm};
use crate::weights::Weights;

/// A factor and an addend for each output channel.
pub(crate) struct Affine {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

/// Where tensors are from.
#[derive(Clone, Copy)]
pub(crate) struct Tensors<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) weights: &'a dyn Weights,
}

impl<'a> Tensors<'a> {
    /// A tensor's values as its operation reads them.
    pub(crate) fn tensor(&self, id: WeightId) -> Result<Cow<'a, [f32]>, ValueError> {
        self.graph.value(id, self.weights)
    }

    /// Batch norm with running statistics as a factor and an addend.
    pub(crate) fn affine(&self, norm: &Norm) -> Result<Affine, ValueError> {
        let (weight, bias) = (self.tensor(norm.weight)?, self.tensor(norm.bias)?);
        let (mean, var) = (self.tensor(norm.mean)?, self.tensor(norm.var)?);
        let mut affine = Affine { scale: Vec::new(), shift: Vec::new() };
        for (((w, b), m), v) in weight.iter().zip(&*bias).zip(&*mean).zip(&*var) {
            let scale = f64::from(*w) / (f64::from(*v) + f64::from(norm.eps)).sqrt();
            affine.scale.push(scale as f32);
            affine.shift.push((f64::from(*b) - f64::from(*m) * scale) as f32);
        }
        Ok(affine)
    }

    /// What norm and bias of a convolution come to together.
    pub(crate) fn folded(&self, conv: &Conv) -> Result<Affine, ValueError> {
        let mut affine = match &conv.norm {
            Some(norm) => self.affine(norm)?,
            None => Affine { scale: vec![1.0; conv.outputs], shift: vec![0.0; conv.outputs] },
        };
        if let Some(bias) = conv.bias {
            for ((shift, scale), b) in affine.shift.iter_mut().zip(&affine.scale).zip(&*self.tensor(bias)?) {
                *shift += scale * b;
            }
        }
        Ok(affine)
    }
}
