//! A small real network that tests run: `tf_efficientnet_lite0` with seeded weights, and pictures for it.

use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView};
use zoo::nn::graph::Graph;
use zoo::nn::seeded::Seeded;
use zoo::nn::weights::Weights;

/// The registry's entry.
pub(crate) const MODEL: &str = "efficientnet_lite0_pypi";

/// A committed picture.
pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images").join(name)
}

/// The entry's architecture.
pub(crate) fn lite0() -> Graph {
    zoo::arch::build("tf_efficientnet_lite0", 1000).unwrap()
}

/// Seeded weights under timm's names, as a safetensors file; `change` may spoil a tensor's shape.
pub(crate) fn weights(graph: &Graph, change: impl Fn(&str, &mut Vec<usize>)) -> Vec<u8> {
    let seeded = Seeded::new(graph, 0);
    let tensors: Vec<_> = graph
        .weights
        .iter()
        .filter(|w| w.is_required())
        .map(|w| {
            let view = seeded.get(&w.name).unwrap();
            let mut shape = w.shape.clone();
            change(&w.name, &mut shape);
            let bytes: Vec<u8> = view.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (w.name.clone(), shape, bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}
