//! What an architecture refuses: another one's weights, a classifier of another size, a transposed tensor, an image that
//! timm refuses; each with what it was.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use zoo::nn::graph::Graph;
use zoo::nn::load;
use zoo::nn::weights::{View, Weights};

/// A state dict of which only names and shapes are looked at.
struct Shapes(BTreeMap<String, Vec<usize>>);

impl Shapes {
    fn of(graph: &Graph) -> Self {
        Shapes(graph.weights.iter().map(|w| (w.name.clone(), w.shape.clone())).collect())
    }
}

impl Weights for Shapes {
    fn get(&self, _: &str) -> Option<View<'_>> {
        None
    }

    fn names(&self) -> Vec<(String, Vec<usize>)> {
        self.0.iter().map(|(name, shape)| (name.clone(), shape.clone())).collect()
    }
}

fn graph(arch: &str, classes: usize) -> Graph {
    zoo::arch::build(arch, classes).unwrap()
}

#[test]
fn weights_of_another_architecture_are_refused_by_every_one() {
    let names = zoo::arch::names();
    for (i, arch) in names.iter().enumerate() {
        let own = graph(arch, 1000);
        assert!(load::check(&own, &Shapes::of(&own)).is_ok(), "{arch}");
        // Some networks have the same tensors and differ in strides or epsilons: the next that has not.
        let digest = |g: &Graph| -> BTreeMap<String, Vec<usize>> { Shapes::of(g).0 };
        let mut others = (1..names.len()).map(|k| graph(names[(i + k) % names.len()], 1000));
        let other = others.find(|other| digest(other) != digest(&own)).unwrap();
        let error = load::check(&own, &Shapes::of(&other)).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with(&format!("the weights do not fit `{arch}`: ")), "{said}");
        // At least one tensor with its name and shape.
        let named = error.problems.first().unwrap().to_string();
        assert!(said.contains(&named) && named.contains('`') && named.contains('['), "{said}");
    }
}

#[test]
fn a_classifier_of_another_size_is_refused_by_every_architecture() {
    for arch in zoo::arch::names() {
        let (own, other) = (graph(arch, 1000), graph(arch, 10));
        let said = load::check(&own, &Shapes::of(&other)).unwrap_err().to_string();
        let weight = format!("{}.weight", own.classifier);
        let shape = |g: &Graph| format!("{:?}", g.weights.iter().find(|w| w.name == weight).unwrap().shape);
        let expected = format!("`{weight}` has shape {}, expected {}", shape(&other), shape(&own));
        assert!(said.contains(&expected), "{arch}: {said}");
    }
}

#[test]
fn a_transposed_tensor_is_refused_by_every_architecture() {
    for arch in zoo::arch::names() {
        let own = graph(arch, 1000);
        // One from the beginning, one from the end of the network.
        let square = |w: &&zoo::nn::graph::Weight| matches!(w.shape[..], [a, b, ..] if a != b);
        let first = own.weights.iter().find(square).unwrap();
        let last = own.weights.iter().rfind(square).unwrap();
        for weight in [first, last] {
            let mut shapes = Shapes::of(&own);
            let mut transposed = weight.shape.clone();
            transposed.swap(0, 1);
            shapes.0.insert(weight.name.clone(), transposed.clone());
            let error = load::check(&own, &shapes).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{arch}");
            let expected = format!("`{}` has shape {transposed:?}, expected {:?}", weight.name, weight.shape);
            assert!(error.to_string().contains(&expected), "{arch}: {error}");
        }
    }
}

#[test]
fn images_are_taken_and_refused_as_by_timm() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sizes.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let side = |v: &Value| usize::try_from(v.as_u64().unwrap()).unwrap();
    let sizes: Vec<[usize; 2]> =
        golden["sizes"].as_array().unwrap().iter().map(|s| [side(&s[0]), side(&s[1])]).collect();
    let mut wrong = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    for (arch, rows) in golden["architectures"].as_object().unwrap() {
        let graph = graph(arch, 1000);
        let map = graph.tap("map").unwrap();
        for ([h, w], row) in sizes.iter().zip(rows.as_array().unwrap()) {
            let found = graph.shapes([1, 3, *h, *w]);
            match (row.as_array(), found) {
                (Some(shape), Ok(shapes)) => {
                    let shape: Vec<usize> = shape.iter().map(side).collect();
                    if shapes[map.0][1..] != shape[..] {
                        wrong.push(format!("{arch} at {h}x{w}: {:?}, timm {shape:?}", shapes[map.0]));
                    }
                    taken += 1;
                }
                (None, Err(error)) => {
                    // The layer, and what does not fit.
                    assert!(error.to_string().contains('`'), "{arch} at {h}x{w}: {error}");
                    refused += 1;
                }
                (Some(shape), Err(error)) => {
                    wrong.push(format!("{arch} at {h}x{w}: timm {shape:?}: {error}"))
                }
                (None, Ok(_)) => wrong.push(format!("{arch} at {h}x{w}: timm refuses it")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(taken > 900 && refused > 50, "{taken} taken, {refused} refused");
}
