//! The reference engine against timm's logits on seeded weights.

use candle_core::Device;
use sha2::{Digest, Sha256};
use zoo::nn::reference::Reference;
use zoo::nn::seeded;
use zoo::nn::weights::Weights;
use zoo::verify::logits_record::{self as golden, TOLERANCE};

/// Runs the record's rows up to `largest` pixels a side.
fn agrees(arch: &str, largest: usize) {
    let golden = golden::of(arch).unwrap().unwrap();
    let graph = zoo::arch::build(arch, 1000).unwrap();
    let weights = golden.weights(&graph);

    let mut hash = Sha256::new();
    for w in graph.weights.iter().filter(|w| w.is_required()) {
        let view = weights.get(&w.name).unwrap();
        hash.update(bytemuck::cast_slice::<f32, u8>(&view.values));
    }
    let hash = zoo::Sha256::from_hasher(hash).to_string();
    assert_eq!(hash, golden.weights_sha256, "{arch}: the seeded weights are not numpy's");

    let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
    let mut ran = 0;
    for row in golden.rows.iter().filter(|r| r.size <= largest) {
        let shape = [1, 3, row.size, row.size];
        let logits = reference.logits(&seeded::input(golden.seed, shape), shape).unwrap();
        let distance = row.distance(&logits);
        assert!(distance <= TOLERANCE, "{arch} at {}: {distance:e}", row.size);
        ran += 1;
    }
    assert!(ran > 0, "{arch}: no row was run");
}

#[test]
fn tf_efficientnet_b0_agrees_with_timm() {
    agrees("tf_efficientnet_b0", 224);
}

#[test]
fn tf_efficientnet_b4_agrees_with_timm() {
    agrees("tf_efficientnet_b4", 380);
}

#[test]
fn tf_efficientnet_lite0_agrees_with_timm() {
    agrees("tf_efficientnet_lite0", 224);
}

#[test]
fn resnet50_agrees_with_timm() {
    agrees("resnet50", 96);
}

#[test]
fn mobilenetv3_large_100_agrees_with_timm() {
    agrees("mobilenetv3_large_100", 224);
}
