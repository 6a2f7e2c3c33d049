//! What the bits of a network's results depend on beside weights, image and instruction set: the versions of its operations'
//! arithmetic.
//!
//! In: a graph. Out: a number for reports and records, which are of use as long as it is the same. Called by `model`.

use zoo_kernels::ALGORITHMS_VERSION;

use crate::graph::{Graph, Op};

/// Rises whenever the same weights and image could give this network other bits on one instruction set. A network without
/// the operations that changed keeps its number, and what is on record of it.
pub fn algorithms_version(graph: &Graph) -> u32 {
    graph.nodes.iter().map(|node| since(&node.op)).fold(ALGORITHMS_VERSION, u32::max)
}

/// The version in which an operation's arithmetic last changed by itself.
fn since(op: &Op) -> u32 {
    match op {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Builder;

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
}
