//! What the bits of a network's results depend on beside weights, image and instruction set: the versions of its operations'
//! arithmetic.
//!
//! In: a graph. Out: a number for reports and records, which are of use as long as it is the same. Called by `model`.

use zoo_kernels::ALGORITHMS_VERSION;

use crate::graph::{Graph, Op, WeightId};

/// Rises whenever the same weights and image could give this network other bits on one instruction set. A network without
/// the operations that changed keeps its number, and what is on record of it.
pub fn algorithms_version(graph: &Graph) -> u32 {
    graph.nodes.iter().map(|node| since(graph, &node.op)).fold(ALGORITHMS_VERSION, u32::max)
}

/// The version in which an operation's arithmetic last changed by itself.
fn since(graph: &Graph, op: &Op) -> u32 {
    match op {
        // Sums by rows of the window, then inputs, in a kernel of their own.
        Op::Conv { weight, out, groups, .. } if is_grouped(graph, *weight, *out, *groups) => 8,
        // The mean is taken off before the factor is applied.
        Op::GroupNorm { .. } => 7,
        // By vector code in place of their definitions.
        Op::Blur { .. } | Op::CondConv { .. } => 6,
        Op::Input { .. }
        | Op::Conv { .. }
        | Op::Linear { .. }
        | Op::BatchNorm { .. }
        | Op::Activation(_)
        | Op::Add
        | Op::Mul
        | Op::Concat
        | Op::Slice { .. }
        | Op::Pool(..)
        | Op::GlobalAveragePool
        | Op::Scale(_)
        | Op::Upsample { .. }
        | Op::Softmax { .. }
        | Op::Pad { .. }
        | Op::Crop { .. }
        | Op::SpaceToDepth { .. }
        | Op::ChannelConv { .. } => ALGORITHMS_VERSION,
    }
}

/// Whether a convolution has several groups and is not depthwise.
fn is_grouped(graph: &Graph, weight: WeightId, out: usize, groups: usize) -> bool {
    let inputs = graph.weight(weight).and_then(|weight| weight.shape.get(1)).copied();
    groups > 1 && (groups != out || inputs != Some(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, ConvSpec, Padding, Window};

    #[test]
    fn a_network_has_the_version_of_its_newest_operation() {
        let graph = |with_blur: bool| {
            let (mut b, x) = Builder::for_image("net", [3, 8, 8], 0);
            if with_blur {
                b.blur_pool("blur", x, 3, 2);
            }
            b.finish("net", "net").unwrap()
        };
        assert_eq!(algorithms_version(&graph(false)), ALGORITHMS_VERSION);
        assert_eq!(algorithms_version(&graph(true)), 6);
    }

    #[test]
    fn only_groups_of_several_channels_are_grouped() {
        let version = |groups: usize| {
            let (mut b, x) = Builder::for_image("net", [4, 8, 8], 0);
            b.conv(
                "conv",
                x,
                ConvSpec { out: 4, groups, bias: false, window: Window::square(3, 1, Padding::all(1)) },
            );
            algorithms_version(&b.finish("net", "net").unwrap())
        };
        assert_eq!([1, 2, 4].map(version), [ALGORITHMS_VERSION, 8, ALGORITHMS_VERSION]);
    }
}
