//! The gradients of the last stage are torch's, for a model of every family whose last stage begins with one map; the
//! other families are refused by name.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::arch;
use crate::model::{EngineKind, FeatureLevel, Network, feature_info};
use crate::nn::seeded::{self, Seeded};

/// How far single precision may be from torch's double, in parts of a gradient's norm.
const BOUND: f64 = 2e-3;

/// Where the last stage reads more than the level before it.
const REFUSED: [&str; 3] = ["hrnet_", "nasnet", "pnasnet"];

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/unfreeze.json");
    serde_json::from_slice(&crate::fs::read(&path, 1 << 20).unwrap()).unwrap()
}

fn probe(n: usize, count: usize) -> impl Iterator<Item = f64> {
    seeded::uniform(0, &format!("probe/{n}"), count).map(|u| 2.0 * u - 1.0)
}

/// A stage that is ready to be trained, of seeded weights: the network, its variables, the maps that it begins with.
fn stage(arch: &str, classes: usize, shape: [usize; 4]) -> (Reference, Vec<(String, Var)>, NodeId, Tensor) {
    let graph = arch::build(arch, classes).unwrap();
    let weights = Seeded::new(&graph, 0);
    let level = FeatureLevel::LastStageInput;
    let network =
        Network::features_only(EngineKind::Plan, &graph, &weights, [shape[1], shape[2], shape[3]], &level);
    let network = network.unwrap();
    let cut = network.feature_info()[0].node;
    let images = Tensor::from_vec(seeded::input(0, shape), &shape[..], &Device::Cpu).unwrap();
    let maps = network.features(&images).unwrap().remove(0);
    let (reference, vars) = Reference::trainable(&graph, &weights, &trainable(&graph, cut)).unwrap();
    (reference, vars, cut, maps)
}

fn loss(reference: &Reference, cut: NodeId, maps: &Tensor, side: usize, labels: &Tensor) -> Tensor {
    let logits = reference.run_from(cut, maps, [side, side]).unwrap().flatten_from(1).unwrap();
    cross_entropy(&logits, labels).unwrap()
}

#[test]
fn the_gradients_of_the_last_stage_are_torchs_first_half() {
    the_gradients_of_the_last_stage_are_torchs(0);
}

#[test]
fn the_gradients_of_the_last_stage_are_torchs_second_half() {
    the_gradients_of_the_last_stage_are_torchs(1);
}

/// Of every other record.
fn the_gradients_of_the_last_stage_are_torchs(first: usize) {
    let golden = golden();
    let classes = golden["classes"].as_u64().unwrap() as usize;
    let labels: Vec<u32> = serde_json::from_value(golden["labels"].clone()).unwrap();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    let rows = golden["rows"].as_array().unwrap();
    assert!(rows.len() >= 25, "{}", rows.len());
    for row in rows.iter().skip(first).step_by(2) {
        let (arch, side) = (row["arch"].as_str().unwrap(), row["size"].as_u64().unwrap() as usize);
        let (reference, vars, cut, maps) = stage(arch, classes, [labels.elem_count(), 3, side, side]);
        let names: BTreeSet<&str> = vars.iter().map(|(name, _)| name.as_str()).collect();
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        assert_eq!(row["names"], Sha256::of(lines.as_bytes()).to_string(), "{arch}: {names:?}");

        let before = loss(&reference, cut, &maps, side, &labels);
        let gradients = before.backward().unwrap();
        let before = f64::from(before.to_scalar::<f32>().unwrap());
        let truth = row["loss"].as_f64().unwrap();
        assert!((before - truth).abs() <= 1e-3 * truth.abs().max(1.0), "{arch}: loss {before} for {truth}");
        let of = |name: &str| -> Vec<f32> {
            let (_, var) = vars.iter().find(|(own, _)| own == name).unwrap();
            gradients.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        for record in row["gradients"].as_array().unwrap() {
            let name = record["name"].as_str().unwrap();
            let (found, norm) = (of(name), record["norm"].as_f64().unwrap());
            let own = found.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 0.0 && (own - norm).abs() <= BOUND * norm, "{arch}, {name}: {own} for {norm}");
            for (n, truth) in record["probes"].as_array().unwrap().iter().enumerate() {
                let sum: f64 = probe(n, found.len()).zip(&found).map(|(p, g)| p * f64::from(*g)).sum();
                let far = (sum - truth.as_f64().unwrap()).abs() / norm;
                assert!(far <= BOUND, "{arch}, {name}, probe {n}: {sum} for {truth}");
            }
        }

        // A step that takes a hundredth off the loss, were it straight.
        let square: f64 = names.iter().flat_map(|name| of(name)).map(|g| f64::from(g).powi(2)).sum();
        assert!(square.is_finite() && square > 0.0, "{arch}: {square}");
        let rate = 0.01 * before / square;
        for (_, var) in &vars {
            let step = (gradients.get(var).unwrap() * rate).unwrap();
            var.set(&(var.as_tensor() - step).unwrap().detach()).unwrap();
        }
        let after = f64::from(loss(&reference, cut, &maps, side, &labels).to_scalar::<f32>().unwrap());
        assert!(after < before, "{arch}: {before} has become {after}");
    }
}

#[test]
fn every_architecture_is_trained_or_refused_by_name() {
    for arch in arch::names() {
        let graph = arch::build(arch, 10).unwrap();
        match feature_info(&graph, &FeatureLevel::LastStageInput, [3, 224, 224]) {
            Ok(found) => {
                assert!(!REFUSED.iter().any(|family| arch.starts_with(family)), "{arch}");
                assert!(trainable(&graph, found[0].node).len() > 2, "{arch}");
            }
            Err(error) => {
                let said = error.to_string();
                assert!(REFUSED.iter().any(|family| arch.starts_with(family)), "{arch}: {said}");
                assert!(said.contains(&format!("`{arch}` reads")), "{said}");
            }
        }
    }
}
