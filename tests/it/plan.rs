//! The fast engine against the reference: whole networks, on every instruction set of the machine.

use candle_core::Device;
use zoo::nn::plan::{Isa, Plan};
use zoo::nn::reference::Reference;
use zoo::nn::seeded::{self, Seeded};

/// Largest difference, in standard deviations of the reference's logits.
fn distance(found: &[f32], truth: &[f32]) -> f64 {
    let n = truth.len() as f64;
    let mean = truth.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let sigma = (truth.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    found.iter().zip(truth).map(apart).fold(0.0, f64::max) / sigma
}

/// The design's bound for direct kernels.
const BOUND: f64 = 2e-5;

fn agrees(name: &str, side: usize) {
    let graph = zoo::arch::build(name, 1000).unwrap();
    let weights = Seeded::new(&graph, 0);
    let image = seeded::input(0, [1, 3, side, side]);
    let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
    let truth = reference.logits(&image, [1, 3, side, side]).unwrap();
    for isa in Isa::available() {
        let plan = Plan::new(&graph, &weights, [3, side, side], isa).unwrap();
        let mut found = vec![0.0; plan.outputs()];
        plan.worker().unwrap().logits(&image, &mut found).unwrap();
        let far = distance(&found, &truth);
        assert!(far <= BOUND, "{name} at {side} on {isa}: {far:e}");
    }
}

#[test]
fn efficientnets_agree_with_the_reference() {
    agrees("tf_efficientnet_b0", 224);
    agrees("tf_efficientnet_b0", 97);
    agrees("tf_efficientnet_lite0", 128);
}
