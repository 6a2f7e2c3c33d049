//! Architectures against what timm says of them: parameters, and every name and shape in timm's order.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/architectures.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// SHA-256 of the names and shapes, as the script has it.
fn digest(graph: &zoo::nn::graph::Graph) -> String {
    let mut lines = String::new();
    for w in &graph.weights {
        let shape: Vec<_> = w.shape.iter().map(usize::to_string).collect();
        writeln!(lines, "{} [{}]", w.name, shape.join(",")).unwrap();
    }
    zoo::Sha256::of(lines.as_bytes()).to_string()
}

#[test]
fn every_architecture_has_timms_state_dict() {
    let golden = golden();
    for name in zoo::arch::names() {
        let graph = zoo::arch::build(name, 1000).unwrap();
        if OLD.contains(&name) {
            continue; // `what_only_old_timm_builds_has_its_parameters`
        }
        let row = &golden["architectures"][name];
        assert!(row.is_object(), "{name} is not on record: run tests/oracle/architectures.py {name}");
        assert_eq!(graph.params(), row["params"].as_u64().unwrap(), "{name}: parameters");
        assert_eq!(graph.weights.len() as u64, row["tensors"].as_u64().unwrap(), "{name}: tensors");
        assert_eq!(digest(&graph), row["digest"].as_str().unwrap(), "{name}");
        let macs = zoo::nn::describe::describe(&graph, [1, 3, 224, 224]).unwrap().macs;
        assert_eq!(macs, row["macs_224"].as_u64().unwrap(), "{name}: multiply-adds");
        assert_eq!(graph.classifier, row["classifier"].as_str().unwrap(), "{name}");
        assert_eq!(graph.first_conv, row["first_conv"].as_str().unwrap(), "{name}");
    }
}

/// Architectures that timm 0.4.12 has and 1.0.31 has not.
const OLD: [&str; 2] = ["gluon_xception65", "ig_resnext101_32x48d"];

#[test]
fn what_only_old_timm_builds_has_its_parameters() {
    // The figures of the index's facts: 828,411,176 parameters in 626 tensors, its narrower sibling's names.
    let graph = zoo::arch::build("ig_resnext101_32x48d", 1000).unwrap();
    assert_eq!((graph.params(), graph.weights.len()), (828_411_176, 626));
    let sibling = zoo::arch::build("resnext101_32x32d", 1000).unwrap();
    let names =
        |graph: &zoo::nn::graph::Graph| graph.weights.iter().map(|w| w.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&graph), names(&sibling));
    // As timm 0.4.12 builds it: the same digest as of all others.
    let graph = zoo::arch::build("gluon_xception65", 1000).unwrap();
    assert_eq!((graph.params(), graph.weights.len()), (39_916_312, 794));
    assert_eq!(digest(&graph), "09801ad833443cd98ad51c76bbbd02556bbcb92aa12872d95c76d541db36f452");
}

#[test]
fn the_nine_noisy_student_networks_have_timms_parameters() {
    // The figures of the index's facts, from timm 0.4.12 for the weights that the pages name.
    let known = [
        ("tf_efficientnet_b0", 5_288_548),
        ("tf_efficientnet_b1", 7_794_184),
        ("tf_efficientnet_b2", 9_109_994),
        ("tf_efficientnet_b3", 12_233_232),
        ("tf_efficientnet_b4", 19_341_616),
        ("tf_efficientnet_b5", 30_389_784),
        ("tf_efficientnet_b6", 43_040_704),
        ("tf_efficientnet_b7", 66_347_960),
        ("tf_efficientnet_l2", 480_309_308),
    ];
    for (name, params) in known {
        assert_eq!(zoo::arch::build(name, 1000).unwrap().params(), params, "{name}");
    }
}

/// The table that spares `zoo list --json` building 261 graphs says what they say.
#[test]
fn the_facts_on_record_are_those_of_the_graphs() {
    let registry = zoo::registry::Registry::builtin().unwrap();
    let mut wanted = std::collections::BTreeSet::new();
    for entry in registry.models() {
        let (Some(arch), Some(size)) = (&entry.zoo.arch, entry.image_size) else { continue };
        wanted.insert((arch.clone(), size.height, size.width));
    }
    let mut lines = Vec::new();
    for (arch, height, width) in wanted {
        let graph = zoo::arch::build(&arch, 1000).unwrap();
        let facts = zoo::arch::of_graph(&graph, [height, width]).unwrap();
        lines.push(format!("{arch}\t{height}\t{width}\t{}\t{}\n", facts.params, facts.macs));
    }
    lines.sort();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/arch/facts.tsv");
    if std::env::var_os("ZOO_UPDATE").is_some() {
        std::fs::write(&path, lines.concat()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, lines.concat(), "run this test with ZOO_UPDATE=1 and look at what changed");
    assert!(lines.len() > 200);
}
