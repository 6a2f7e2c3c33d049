//! What a graph refuses, as it is wired and when it was put together by hand; what a weight's value is.

use super::*;
use crate::weights::StateDict;

fn conv(out: usize, groups: usize) -> ConvSpec {
    ConvSpec { out, groups, bias: true, window: Window::square(3, 1, Padding::all(1)) }
}

/// A small graph that fits.
fn small() -> Graph {
    let (mut b, x) = Builder::new("small", 4, 3);
    let x = b.conv("conv", x, conv(8, 2));
    let x = b.batch_norm("bn", x, 1e-5, true);
    let x = b.global_average_pool("pool", x);
    b.linear("fc", x, 3, true);
    b.finish("fc", "conv").unwrap()
}

#[test]
fn a_node_is_checked_as_it_is_wired() {
    let (mut b, x) = Builder::new("small", 4, 3);
    let y = b.conv("conv", x, conv(9, 2));
    // What follows it is not what is said.
    b.conv("after", y, conv(8, 2));
    assert_eq!(
        b.finish("fc", "conv").unwrap_err().to_string(),
        "layer `conv` of `small` cannot take [1, 4, 512, 512]: 4 channels in and 9 out are not 2 groups"
    );
    for (wire, problem) in [
        ((|b, x| b.linear("fc", x, 3, true)) as fn(&mut Builder, NodeId) -> NodeId, "takes pooled features"),
        (|b, x| b.conv("c", x, conv(8, 0)), "are not 0 groups"),
        (|b, x| b.conv("c", x, conv(0, 1)), "there is nothing to compute"),
        (|b, x| b.add("a", &[x]), "it has 1 inputs, not 2"),
        (|b, x| b.slice("s", x, 2, 3), "channels 2..5 of 4"),
        (|b, x| b.slice("s", x, 2, 0), "channels 2..2 of 4"),
        (|b, _| b.activation("r", NodeId(7), Activation::Relu), "it reads node 7, which is not before it"),
        (
            |b, x| b.pool("p", x, PoolKind::Max, Window::square(2, 0, Padding::all(0))),
            "a window of [2, 2] with stride [0, 0]",
        ),
        (
            |b, x| {
                let half = b.pool("p", x, PoolKind::Max, Window::square(2, 2, Padding::all(0)));
                b.add("a", &[x, half])
            },
            "its inputs differ in shape",
        ),
    ] {
        let (mut b, x) = Builder::new("small", 4, 3);
        wire(&mut b, x);
        let error = b.finish("fc", "conv").unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn weights_are_declared_once_and_read_once() {
    let (mut b, x) = Builder::new("small", 4, 3);
    let x = b.conv("conv", x, conv(4, 1));
    b.conv("conv", x, conv(4, 1));
    let error = b.finish("fc", "conv").unwrap_err();
    assert_eq!(error.to_string(), "`small` declares weight `conv.weight` twice");
}

#[test]
fn a_graph_put_together_by_hand_is_checked() {
    let graph = small();
    let input = [1, 4, 8, 8];
    assert_eq!(graph.shapes(input).unwrap().last(), Some(&[1, 3, 1, 1]));
    let broken = |change: fn(&mut Graph)| {
        let mut graph = small();
        change(&mut graph);
        graph.shapes(input).unwrap_err().problem
    };
    assert_eq!(broken(|g| g.nodes[1].inputs = vec![NodeId(4)]), "it reads node 4, which is not before it");
    assert_eq!(broken(|g| g.nodes[1].inputs.clear()), "it has no input");
    assert_eq!(
        broken(|g| g.weights[0].shape = vec![8, 4, 3, 3]),
        "weight `conv.weight` has shape [8, 4, 3, 3], not [8, 2, 3, 3]"
    );
    assert_eq!(broken(|g| g.weights.clear()), "it has no weight 0");
}

#[test]
fn renumbered_weights_are_still_read_by_their_operations() {
    let (mut b, x) = Builder::new("small", 4, 3);
    let from = b.weights();
    let x = b.conv("z", x, conv(4, 1));
    b.batch_norm("a", x, 1e-5, false);
    b.sort_weights(from, |name| name.to_owned());
    let graph = b.finish("z", "z").unwrap();
    assert_eq!(graph.weights[0].name, "a.bias");
    for node in &graph.nodes {
        for id in node.op.weights() {
            assert!(graph.weight(id).unwrap().name.starts_with(&format!("{}.", node.name)));
        }
    }
    graph.shapes([1, 4, 8, 8]).unwrap();
}

#[test]
fn a_value_is_what_the_weight_declares() {
    let (mut b, x) = Builder::new("small", 1, 3);
    let spec =
        ConvSpec { out: 1, groups: 1, bias: false, window: Window { kernel: [1, 2], ..Window::POINT } };
    b.conv_with("c", x, spec, Transform::Standardise { eps: 0.0 });
    let graph = b.finish("c", "c").unwrap();
    let mut weights = StateDict::new();
    let missing = graph.value(WeightId(0), &weights).unwrap_err();
    assert_eq!(missing, ValueError::Missing("c.weight".into()));
    weights.insert("c.weight".into(), (vec![1, 1, 2, 1], vec![2.0, 4.0]));
    let error = graph.value(WeightId(0), &weights).unwrap_err();
    assert_eq!(error.to_string(), "tensor `c.weight` has shape [1, 1, 2, 1], not [1, 1, 1, 2]");
    weights.insert("c.weight".into(), (vec![1, 1, 1, 2], vec![2.0, 4.0]));
    assert_eq!(*graph.value(WeightId(0), &weights).unwrap(), [-1.0, 1.0]);
}
