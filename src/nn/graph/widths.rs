//! The same network with other widths: what pruning leaves.
//!
//! In: a graph, and the output channels of some of its convolutions. Out: a graph whose weights have the shapes that
//! follow. Called by `arch::pruned`.

use super::builder::NOMINAL_SIDE;
use super::op::Op;
use super::weight::Role;
use super::{BuildError, Graph, Shape};

impl Graph {
    /// The graph, of images of `image` channels, in which the convolutions that `width` knows by their layer's name have so many output channels, and
    /// all that reads them follows: depthwise ones, norms, the classifier.
    ///
    /// # Errors
    /// Widths that do not fit each other.
    pub fn with_widths(
        mut self,
        image: usize,
        width: impl Fn(&str) -> Option<usize>,
    ) -> Result<Graph, BuildError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        let mut old: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for index in 0..self.nodes.len() {
            let Some(mut node) = self.nodes.get(index).cloned() else { break };
            let before = node.inputs.first().and_then(|i| old.get(i.0)).copied().unwrap_or(0);
            let inputs = if index == 0 {
                vec![[1, image, NOMINAL_SIDE, NOMINAL_SIDE]]
            } else {
                self.input_shapes(index, &node, &shapes)?
            };
            let channels = inputs.first().map_or(0, |shape| shape[1]);
            let mut was = None;
            match &mut node.op {
                Op::Conv { out, groups, .. } => {
                    was = Some(*out);
                    if *groups > 1 && *groups == before && *out == before {
                        (*out, *groups) = (channels, channels);
                    } else {
                        *out = width(&node.name).unwrap_or(*out);
                    }
                }
                Op::Input { .. }
                | Op::BatchNorm { .. }
                | Op::Activation(_)
                | Op::Add
                | Op::Mul
                | Op::Concat
                | Op::Slice { .. }
                | Op::Pool(..)
                | Op::GlobalAveragePool
                | Op::Linear { .. }
                | Op::GroupNorm { .. }
                | Op::Scale(_)
                | Op::Upsample { .. }
                | Op::Softmax { .. }
                | Op::Pad { .. }
                | Op::Crop { .. }
                | Op::Blur { .. }
                | Op::SpaceToDepth { .. }
                | Op::ChannelConv { .. }
                | Op::CondConv { .. } => {}
            }
            for (id, tensor) in node.op.weights().into_iter().zip(node.op.tensors(&inputs)) {
                if let Some(weight) = self.weights.get_mut(id.0) {
                    weight.shape = tensor.shape;
                    weight.role = match (weight.role, tensor.role) {
                        (Role::Filter { .. }, role) => role,
                        (role, _) => role,
                    };
                }
            }
            shapes.push(self.infer(&node, &inputs)?);
            // What is not a convolution passes channels on.
            old.push(was.unwrap_or(if index == 0 { channels } else { before }));
            if let Some(slot) = self.nodes.get_mut(index) {
                *slot = node;
            }
        }
        Ok(self)
    }
}
