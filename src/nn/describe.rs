//! What a graph is, without its weights: layers with shapes, parameters and multiply-adds, and the same
//! as a tree of modules.
//!
//! In: a [`Graph`] and an input shape. Out: a [`Description`]. Called by `zoo show --tree`, `zoo list`
//! (exact parameters, multiply-adds) and the linter. Allocates nothing of a weight's size: l2's 480 M
//! parameters are counted from their shapes.

use super::graph::{Graph, Op, Shape, ShapeError};

/// One node of a graph, described.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// timm's module path.
    pub name: String,
    /// What it does: `conv`, `batch_norm`, `silu` ….
    pub kind: String,
    /// Details worth a column, such as `3x3 /2 groups 32`; empty where there are none.
    pub detail: String,
    /// Output `[images, channels, height, width]`.
    pub output: Shape,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of a convolution or linear layer; 0 for everything else.
    pub macs: u64,
    /// Names under which its output can be asked for.
    pub taps: Vec<String>,
}

/// A network, described for one input shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Architecture name.
    pub arch: String,
    /// The input it was described for.
    pub input: Shape,
    /// In topological order.
    pub layers: Vec<Layer>,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of convolutions and linear layers.
    pub macs: u64,
    /// Tensors of the state dict, buffers included.
    pub tensors: usize,
}

/// A module and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The last part of its path; the architecture's name at the root.
    pub name: String,
    /// Parameters of everything in it.
    pub params: u64,
    /// Multiply-adds of everything in it.
    pub macs: u64,
    /// Output of its last layer.
    pub output: Shape,
    /// The layer, where this is one.
    pub layer: Option<Layer>,
    /// In the order of the data's flow.
    pub children: Vec<Module>,
}

/// Describes `graph` for an input of `[images, channels, height, width]`.
///
/// ```
/// use zoo_nn::graph::{Builder, ConvSpec, Padding, Window};
///
/// let (mut builder, image) = Builder::new("one", 3, 0);
/// let window = Window::square(3, 1, Padding::all(1));
/// builder.conv("conv", image, ConvSpec { out: 8, groups: 1, bias: false, window });
/// let described = zoo_nn::describe::describe(&builder.finish("", "conv")?, [1, 3, 32, 32])?;
/// assert_eq!((described.params, described.macs), (8 * 3 * 9, 8 * 3 * 9 * 32 * 32));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first layer that cannot take what it is given.
pub fn describe(graph: &Graph, input: Shape) -> Result<Description, ShapeError> {
    let shapes = graph.shapes(input)?;
    let mut layers = Vec::with_capacity(graph.nodes.len());
    for (node, &output) in graph.nodes.iter().zip(&shapes) {
        let weights = node.op.weights();
        let of = |keep: fn(&super::graph::Weight) -> bool| -> u64 {
            weights.iter().filter_map(|&w| graph.weight(w)).filter(|w| keep(w)).map(|w| w.elements()).sum()
        };
        let inputs: Vec<Shape> = node.inputs.iter().filter_map(|i| shapes.get(i.0).copied()).collect();
        layers.push(Layer {
            name: node.name.clone(),
            kind: node.op.kind(),
            detail: detail(&node.op),
            output,
            params: of(|w| w.is_parameter()),
            macs: node.op.macs(&inputs, output),
            taps: node.taps.clone(),
        });
    }
    Ok(Description {
        arch: graph.name.clone(),
        input,
        macs: layers.iter().map(|l| l.macs).sum(),
        layers,
        params: graph.params(),
        tensors: graph.weights.len(),
    })
}

fn detail(op: &Op) -> String {
    let window = |w: &super::graph::Window| {
        let [kh, kw] = w.kernel;
        let mut text = format!("{kh}x{kw}");
        if w.stride != [1, 1] {
            text += &format!(" /{}", w.stride[0]);
        }
        if w.dilation != [1, 1] {
            text += &format!(" dilation {}", w.dilation[0]);
        }
        text
    };
    match op {
        Op::Conv { groups, window: w, .. } if *groups > 1 => format!("{} groups {groups}", window(w)),
        Op::Conv { window: w, .. } | Op::Pool(_, w) => window(w),
        Op::Slice { start, len } => format!("channels {start}..{}", start + len),
        Op::CondConv { window: w, experts, .. } => format!("{} experts {experts}", window(w)),
        Op::GroupNorm { groups, .. } => format!("groups {groups}"),
        Op::Scale(factor) => format!("times {factor}"),
        Op::Upsample { factor } => format!("{factor}x{factor}"),
        Op::Pad { pads: [t, b, l, r], .. } | Op::Crop { crops: [t, b, l, r] } => format!("{t} {b} {l} {r}"),
        Op::Blur { size, stride } => format!("{size}x{size} /{stride}"),
        Op::SpaceToDepth { block } => format!("{block}x{block}"),
        Op::ChannelConv { kernel, .. } => format!("{kernel}"),
        Op::Softmax { parts, groups } => format!("over {parts} groups {groups}"),
        Op::Input { .. }
        | Op::BatchNorm { .. }
        | Op::Activation(_)
        | Op::Add
        | Op::Mul
        | Op::Concat
        | Op::GlobalAveragePool
        | Op::Linear { .. } => String::new(),
    }
}

impl Description {
    /// The layers as a tree of modules, by the dots of their names.
    pub fn tree(&self) -> Module {
        let mut root = Module {
            name: self.arch.clone(),
            params: self.params,
            macs: self.macs,
            output: self.layers.last().map_or(self.input, |l| l.output),
            layer: None,
            children: Vec::new(),
        };
        for layer in &self.layers {
            let mut at = &mut root.children;
            let mut parts = layer.name.split('.').peekable();
            while let Some(part) = parts.next() {
                // Data may leave a module and come back (a shortcut's convolution after the last norm), so
                // a module is looked for among all that are there already.
                let i = at.iter().position(|m| m.name == part).unwrap_or_else(|| {
                    at.push(Module {
                        name: part.to_owned(),
                        params: 0,
                        macs: 0,
                        output: layer.output,
                        layer: None,
                        children: Vec::new(),
                    });
                    at.len() - 1
                });
                let Some(module) = at.get_mut(i) else { break };
                module.params += layer.params;
                module.macs += layer.macs;
                module.output = layer.output;
                if parts.peek().is_none() {
                    module.layer = Some(layer.clone());
                }
                at = &mut module.children;
            }
        }
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Builder, ConvSpec, Padding, Window};

    fn small() -> Graph {
        let (mut b, x) = Builder::new("small", 3, 10);
        let window = Window::square(3, 2, Padding::Same);
        let x = b.conv("a.conv", x, ConvSpec { out: 8, groups: 1, bias: false, window });
        let x = b.batch_norm("a.bn", x, 1e-5, false);
        let x = b.activation("a.bn.act", x, Activation::Relu);
        let x = b.global_average_pool("pool", x);
        b.linear("fc", x, 10, true);
        b.finish("fc", "a.conv").unwrap()
    }

    #[test]
    fn layers_add_up() {
        let d = describe(&small(), [1, 3, 9, 9]).unwrap();
        // 3·8·9 of the convolution, 16 of the norm, 90 of the classifier.
        assert_eq!((d.params, d.tensors), (216 + 16 + 90, 8));
        assert_eq!(d.macs, 216 * 25 + 80);
        assert_eq!(d.layers.iter().map(|l| l.params).sum::<u64>(), d.params);
        assert_eq!(d.layers[1].detail, "3x3 /2");
    }

    #[test]
    fn the_tree_holds_every_layer() {
        let tree = describe(&small(), [1, 3, 9, 9]).unwrap().tree();
        let a = tree.children.iter().find(|m| m.name == "a").unwrap();
        assert_eq!((a.params, a.macs), (232, 5400));
        assert_eq!(a.children.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["conv", "bn"]);
        let bn = &a.children[1];
        assert_eq!(
            (bn.layer.as_ref().unwrap().kind.as_str(), bn.children[0].name.as_str()),
            ("batch_norm", "act")
        );
    }

    #[test]
    fn an_impossible_input_names_the_layer() {
        let error = describe(&small(), [1, 4, 9, 9]).unwrap_err();
        assert_eq!(
            (error.layer.as_str(), error.problem.as_str()),
            ("input", "the image has 4 channels, not 3")
        );
    }
}
