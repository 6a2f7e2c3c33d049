//! The vocabulary that architectures are written in.
//!
//! In: calls of a [`Builder`] from a file in `arch/`. Out: a [`Graph`], nodes in topological order that
//! name their weights by state-dict name. Read by `nn::describe`, `nn::reference` and `nn::plan`, which
//! an arch file never hears of. A graph does not depend on the input's size: [`Graph::shapes`] resolves
//! it, and every reader calls that one function, so that padding is worked out in one place; as
//! [`Graph::value`] is the one place where a weight becomes what its operation reads.

mod builder;
mod op;
mod value;
mod weight;
mod widths;
mod window;

#[cfg(test)]
mod tests;

use zoo_common::error::{Class, Classify};

pub use zoo_kernels::activation::{Activation, PoolKind};

pub use builder::{BuildError, Builder, ConvSpec};
pub use op::{Misfit, Op, PadMode, Tensor};
pub use value::ValueError;
pub use weight::{Role, Transform, Weight, WeightId};
pub use window::{MAX_WINDOW, Padding, Window};

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// `[images, channels, height, width]`. A vector per image (pooled features, logits) is `[n, c, 1, 1]`.
pub type Shape = [usize; 4];

/// An operation, what it reads, and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// What it reads: earlier nodes only.
    pub inputs: Vec<NodeId>,
    /// timm's module path, such as `blocks.0.0.conv_dw`.
    pub name: String,
    /// Names under which features can be asked for: `stem`, `stage1` …, `map`, `pool`, `logits`. A node
    /// can have several: the last stage of a ResNet is also its final map.
    pub taps: Vec<String>,
}

/// Why a graph cannot run on an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("layer `{layer}` of `{graph}` cannot take {input}: {problem}")]
pub struct ShapeError {
    /// The graph's name.
    pub graph: String,
    /// The node's name.
    pub layer: String,
    /// The input's shape, for people.
    pub input: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Classify for ShapeError {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// A network: typed nodes in topological order and the weights they name.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Architecture name, such as `tf_efficientnet_b0`.
    pub name: String,
    /// Topological order; the first is the only [`Op::Input`], the last is the result.
    pub nodes: Vec<Node>,
    /// Every tensor of the state dict, in timm's order, buffers included.
    pub weights: Vec<Weight>,
    /// State-dict prefix of the classifier, such as `classifier`.
    pub classifier: String,
    /// State-dict prefix of the first convolution, such as `conv_stem`.
    pub first_conv: String,
    /// Number of classes.
    pub classes: usize,
    /// Prefixes of tensors that published files have and timm drops when it loads them, such as an
    /// auxiliary head's.
    pub ignore: Vec<String>,
}

impl Graph {
    /// The node that yields the logits.
    pub fn output(&self) -> NodeId {
        NodeId(self.nodes.len().saturating_sub(1))
    }

    /// The node that carries `tap`.
    pub fn tap(&self, tap: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.taps.iter().any(|t| t == tap)).map(NodeId)
    }

    /// Every tap with its node, in the order of the nodes.
    pub fn taps(&self) -> impl Iterator<Item = (&str, NodeId)> {
        let of = |(i, n): (usize, _)| {
            let node: &Node = n;
            node.taps.iter().map(move |t| (t.as_str(), NodeId(i)))
        };
        self.nodes.iter().enumerate().flat_map(of)
    }

    /// A weight by its index.
    pub fn weight(&self, id: WeightId) -> Option<&Weight> {
        self.weights.get(id.0)
    }

    /// Trainable parameters, as `sum(p.numel() for p in model.parameters())`.
    pub fn params(&self) -> u64 {
        self.weights.iter().filter(|w| w.is_parameter()).map(Weight::elements).sum()
    }

    /// The output shape of every node for an input of `[images, channels, height, width]`. A graph that was put
    /// together by hand is checked by it too: nodes read earlier ones, and weights have the shapes that follow.
    ///
    /// # Errors
    /// A [`ShapeError`] that names the first layer that does not fit.
    pub fn shapes(&self, input: Shape) -> Result<Vec<Shape>, ShapeError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let inputs = match index {
                0 => vec![input],
                _ => self.input_shapes(index, node, &shapes)?,
            };
            shapes.push(self.infer(node, &inputs)?);
        }
        Ok(shapes)
    }

    /// The shapes that a node reads: of nodes before it.
    fn input_shapes(&self, index: usize, node: &Node, shapes: &[Shape]) -> Result<Vec<Shape>, ShapeError> {
        let shape = |id: &NodeId| match shapes.get(id.0) {
            Some(shape) if id.0 < index => Ok(*shape),
            _ => Err(self.misfit(node, &[], format!("it reads node {}, which is not before it", id.0))),
        };
        node.inputs.iter().map(shape).collect()
    }

    /// The output's shape of a node, whose weights must have the shapes that follow.
    fn infer(&self, node: &Node, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let output = node.op.infer(inputs).map_err(|Misfit(problem)| self.misfit(node, inputs, problem))?;
        for (id, tensor) in node.op.weights().into_iter().zip(node.op.tensors(inputs)) {
            match self.weight(id) {
                Some(weight) if weight.shape == tensor.shape => {}
                Some(weight) => {
                    let (name, found, expected) = (&weight.name, &weight.shape, &tensor.shape);
                    let problem = format!("weight `{name}` has shape {found:?}, not {expected:?}");
                    return Err(self.misfit(node, inputs, problem));
                }
                None => return Err(self.misfit(node, inputs, format!("it has no weight {}", id.0))),
            }
        }
        Ok(output)
    }

    fn misfit(&self, node: &Node, inputs: &[Shape], problem: String) -> ShapeError {
        ShapeError {
            graph: self.name.clone(),
            layer: node.name.clone(),
            input: match inputs {
                [] => "its inputs".to_owned(),
                _ => inputs.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", "),
            },
            problem,
        }
    }
}
