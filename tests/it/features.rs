//! `zoo features`: every level is timm's, for a model of every family; the verb writes what the library computes, and
//! its refusals leave nothing behind.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use candle_core::{Device, Tensor};
use serde_json::Value;
use zoo::Network;
use zoo::model::{EngineKind, FeatureLevel, feature_info};
use zoo::nn::plan::{Isa, Plan};
use zoo::nn::seeded::{self, Seeded};
use zoo::nn::weights::{View, Weights};

use crate::schemas::Schemas;
use crate::support::Home;

/// The design's bound for direct kernels, in standard deviations of a level's values.
const BOUND: f64 = 2e-5;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/features.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn floats(text: &Value) -> Vec<f64> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap();
    bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
}

/// `2u − 1` of the recipe for every element of a tensor `probe/N`.
fn probe(n: usize, count: usize) -> impl Iterator<Item = f64> {
    seeded::uniform(0, &format!("probe/{n}"), count).map(|u| 2.0 * u - 1.0)
}

/// Holds one level's values to timm's record: samples within the bound, probes within what that many errors sum to.
fn agrees(what: &str, record: &Value, found: &[f32]) {
    let sigma = record["sigma"].as_f64().unwrap();
    let bound = (5.0 * record["noise"].as_f64().unwrap()).max(BOUND);
    let samples = floats(&record["sample"]);
    let last = found.len() - 1;
    for (i, truth) in samples.iter().enumerate() {
        // numpy's `linspace(0, last, n).round()`: halves to the even.
        let at = (i as f64 * (last as f64 / (samples.len() - 1) as f64)).round_ties_even() as usize;
        let far = (f64::from(found[at]) - truth).abs() / sigma;
        assert!(far <= bound, "{what}, value {at}: {} for {truth}, {far:e} sigma", found[at]);
    }
    for (n, truth) in record["probes"].as_array().unwrap().iter().enumerate() {
        let sum: f64 = probe(n, found.len()).zip(found).map(|(p, v)| p * f64::from(*v)).sum();
        let far = (sum / (found.len() as f64).sqrt() - truth.as_f64().unwrap()).abs() / sigma;
        assert!(far <= bound, "{what}, probe {n}: {far:e} sigma");
    }
}

/// Seeded weights, drawn once for several networks.
struct Drawn(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Drawn {
    fn of(seeded: &Seeded) -> Self {
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let values = seeded.get(&name).unwrap().values.into_owned();
            (name, (shape, values))
        };
        Drawn(seeded.names().into_iter().map(tensor).collect())
    }
}

impl Weights for Drawn {
    fn get(&self, name: &str) -> Option<View<'_>> {
        let (shape, values) = self.0.get(name)?;
        Some(View { shape: Cow::Borrowed(shape), values: Cow::Borrowed(values) })
    }

    fn names(&self) -> Vec<(String, Vec<usize>)> {
        self.0.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect()
    }
}

const LEVELS: [FeatureLevel; 3] = [FeatureLevel::Pool, FeatureLevel::Map, FeatureLevel::Pyramid(None)];

/// Of every `of`-th record, from the one at `first`: all levels as outputs of one plan, whose weights are packed once.
fn every_level_is_timms(first: usize, of: usize) {
    let golden = golden();
    let rows = golden["rows"].as_array().unwrap();
    assert!(rows.len() >= 30, "{}", rows.len());
    for row in rows.iter().skip(first).step_by(of) {
        let (arch, side) = (row["arch"].as_str().unwrap(), row["size"].as_u64().unwrap() as usize);
        let graph = zoo::arch::build(arch, 1000).unwrap();
        let levels = row["levels"].as_array().unwrap();
        let infos: Vec<_> =
            LEVELS.iter().flat_map(|level| feature_info(&graph, level, [3, side, side]).unwrap()).collect();
        assert_eq!(infos.len(), levels.len(), "{arch}: every level is compared");
        let nodes: Vec<_> = infos.iter().map(|info| info.node).collect();
        let weights = Seeded::new(&graph, 0);
        let plan = Plan::with_outputs(&graph, &weights, [3, side, side], Isa::best(), &nodes).unwrap();
        let mut worker = plan.worker().unwrap();
        worker.forward(&seeded::input(0, [1, 3, side, side])).unwrap();
        for (at, info) in infos.iter().enumerate() {
            let record = levels.iter().find(|l| l["level"] == info.name.as_str()).unwrap();
            let what = format!("{arch} at {side}, {}", info.name);
            let shape: Vec<usize> = serde_json::from_value(record["shape"].clone()).unwrap();
            assert_eq!(info.shape, shape, "{what}");
            let mut found = vec![f32::NAN; info.values()];
            worker.output(at, &mut found).unwrap();
            agrees(&what, record, &found);
        }
    }
}

#[test]
fn every_level_of_every_family_is_timms_first_half() {
    every_level_is_timms(0, 2);
}

#[test]
fn every_level_of_every_family_is_timms_second_half() {
    every_level_is_timms(1, 2);
}

/// A network of one level alone, without the layers behind it, has what one plan of all levels has.
#[test]
fn a_network_of_one_level_has_the_values_of_all() {
    let golden = golden();
    for arch in ["resnet18", "tf_efficientnet_b0", "mobilenetv3_large_100", "densenet121"] {
        let row = golden["rows"].as_array().unwrap().iter().find(|row| row["arch"] == arch).unwrap();
        let side = row["size"].as_u64().unwrap() as usize;
        let graph = zoo::arch::build(arch, 1000).unwrap();
        let weights = Drawn::of(&Seeded::new(&graph, 0));
        let image = seeded::input(0, [1, 3, side, side]);
        let image = Tensor::from_vec(image, (1, 3, side, side), &Device::Cpu).unwrap();
        for level in LEVELS {
            let network =
                Network::features_only(EngineKind::Plan, &graph, &weights, [3, side, side], &level).unwrap();
            for (info, tensor) in network.feature_info().iter().zip(network.features(&image).unwrap()) {
                let levels = row["levels"].as_array().unwrap();
                let record = levels.iter().find(|l| l["level"] == info.name.as_str()).unwrap();
                let what = format!("{arch} at {side}, {} alone", info.name);
                assert_eq!(tensor.dims()[1..], info.shape, "{what}");
                agrees(&what, record, &tensor.flatten_all().unwrap().to_vec1().unwrap());
            }
        }
    }
}

#[test]
fn every_collection_of_the_index_has_a_model_on_record() {
    let golden = golden();
    let on_record: Vec<&str> =
        golden["rows"].as_array().unwrap().iter().map(|row| row["arch"].as_str().unwrap()).collect();
    let registry = zoo::registry::Registry::builtin().unwrap();
    let mut collections: BTreeMap<&str, bool> = BTreeMap::new();
    for entry in registry.models() {
        let is_on_record = entry.zoo.arch.as_deref().is_some_and(|arch| on_record.contains(&arch));
        *collections.entry(entry.collection.as_deref().unwrap_or_default()).or_default() |= is_on_record;
    }
    assert!(collections.len() > 60);
    let without: Vec<_> = collections.iter().filter(|(_, has)| !**has).map(|(name, _)| name).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn a_record_notices_a_value_that_is_another() {
    let golden = golden();
    let row = golden["rows"].as_array().unwrap().iter().find(|r| r["arch"] == "resnet18").unwrap();
    let record = &row["levels"][1];
    let graph = zoo::arch::build("resnet18", 1000).unwrap();
    let image = Tensor::from_vec(seeded::input(0, [1, 3, 64, 64]), (1, 3, 64, 64), &Device::Cpu).unwrap();
    let weights = Seeded::new(&graph, 0);
    let map = Network::features_only(EngineKind::Plan, &graph, &weights, [3, 64, 64], &FeatureLevel::Map);
    let map = map.unwrap().features(&image).unwrap().remove(0);
    let mut values: Vec<f32> = map.flatten_all().unwrap().to_vec1().unwrap();
    agrees("as it is", record, &values);
    values[777] += 0.05 * record["sigma"].as_f64().unwrap() as f32;
    assert!(std::panic::catch_unwind(|| agrees("changed", record, &values)).is_err());
}

#[test]
fn channels_and_reductions_are_timms_for_every_architecture() {
    let golden = golden();
    let table = golden["feature_info"].as_object().unwrap();
    for (arch, levels) in table {
        let graph = zoo::arch::build(arch, 1000).unwrap();
        let found = feature_info(&graph, &FeatureLevel::Pyramid(None), [3, 224, 224]).unwrap();
        let found: Vec<_> = found.iter().map(|l| [l.channels, l.reduction]).collect();
        let truth: Vec<[usize; 2]> = serde_json::from_value(levels.clone()).unwrap();
        assert_eq!(found, truth, "{arch}");
    }
    let without: Vec<_> = zoo::arch::names().into_iter().filter(|a| !table.contains_key(*a)).collect();
    assert!(without.len() <= 3, "timm 1.0 has them: {without:?}");
}

#[test]
fn the_reference_and_the_plan_agree_on_a_batch() {
    let graph = zoo::arch::build("mobilenetv3_large_100", 10).unwrap();
    let weights = Seeded::new(&graph, 0);
    let images = Tensor::from_vec(seeded::input(3, [3, 3, 64, 64]), (3, 3, 64, 64), &Device::Cpu).unwrap();
    let features = |kind, threads| {
        let level = FeatureLevel::Pyramid(Some(vec![0, -1]));
        let network = Network::features_only(kind, &graph, &weights, [3, 64, 64], &level).unwrap();
        network.with_threads(threads).features(&images).unwrap()
    };
    let (plan, reference) = (features(EngineKind::Plan, 1), features(EngineKind::Reference, 1));
    for (a, b) in plan.iter().zip(&reference) {
        assert_eq!(a.dims(), b.dims());
        let far = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(far.to_scalar::<f32>().unwrap() < 1e-3);
    }
    let bits = |tensors: Vec<Tensor>| -> Vec<Vec<u32>> {
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        tensors.iter().map(|t| values(t).into_iter().map(f32::to_bits).collect()).collect()
    };
    assert_eq!(bits(features(EngineKind::Plan, 3)), bits(plan), "threads do not change a bit");
}

/// A small model of seeded weights with its sidecar, and some pictures of which one is none.
fn model(home: &Home) {
    let graph = zoo::arch::build("resnet18", 4).unwrap();
    home.write("net.safetensors", crate::lite0::weights(&graph, |_, _| {}));
    home.write(
        "net.json",
        r#"{"schema": "zoo.model/1", "arch": "resnet18", "classes": 4, "preprocess": {"size": [64, 64],
            "crop_pct": 0.9, "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}"#,
    );
    for at in 0..6_u8 {
        let picture = image::RgbImage::from_fn(70, 50, |x, y| {
            image::Rgb([x as u8 * at, y as u8 * 3, (x * y) as u8 ^ at])
        });
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        home.write(&format!("pictures/{at}.png"), png.into_inner());
    }
}

#[test]
fn the_verb_writes_rows_in_order_whatever_the_threads() {
    let home = Home::new();
    model(&home);
    let args = ["features", "net.safetensors", "pictures", "--json", "-o"];
    let one = home.run(&[&args[..], &["a.safetensors", "--threads", "1"]].concat());
    assert_eq!(one.code, Some(0), "{one:?}");
    let report: Value = serde_json::from_str(&one.out).unwrap();
    assert_eq!(Schemas::check("features-1.json", &report), Vec::<String>::new());
    assert_eq!(report["levels"][0]["shape"], serde_json::json!([6, 512]));
    let many = home.run(&[&args[..], &["b.safetensors", "--threads", "3", "--batch", "2"]].concat());
    assert_eq!(many.code, Some(0), "{many:?}");
    let bytes = std::fs::read(home.path("a.safetensors")).unwrap();
    assert_eq!(bytes, std::fs::read(home.path("b.safetensors")).unwrap());
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let pool = file.tensor("pool").unwrap();
    assert_eq!(pool.shape(), [6, 512]);
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let names: Vec<String> = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["images"]).unwrap();
    assert_eq!(names, (0..6).map(|i| format!("pictures/{i}.png")).collect::<Vec<_>>());

    // One picture alone has the row that it has among the others; `.npy` holds the same values.
    let npy = home.run(&["features", "net.safetensors", "pictures/[34].png", "-o", "two.npy"]);
    assert_eq!(npy.code, Some(0), "{npy:?}");
    let npy = std::fs::read(home.path("two.npy")).unwrap();
    assert_eq!(npy[npy.len() - 2 * 512 * 4..], pool.data()[3 * 512 * 4..5 * 512 * 4]);
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (2, 512)"));
}

#[test]
fn the_pyramid_and_the_map_are_written_whole() {
    let home = Home::new();
    model(&home);
    let ran = home.run(&[
        "features",
        "net.safetensors",
        "pictures/*.png",
        "--level",
        "pyramid",
        "-o",
        "p.safetensors",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("pyramid.4  [6, 512, 2, 2]"), "{}", ran.out);
    let bytes = std::fs::read(home.path("p.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.names().len(), 5);
    let ran = home.run(&["features", "net.safetensors", "pictures", "--level", "map", "-o", "m.npy"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let map = std::fs::read(home.path("m.npy")).unwrap();
    let values = |bytes: &[u8]| {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    let (map, level) = (values(&map[128..]), values(file.tensor("pyramid.4").unwrap().data()));
    assert_eq!(map.len(), level.len());
    // Another plan may fuse otherwise: the same map but for rounding.
    assert!(map.iter().zip(&level).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + a.abs())));
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_written() {
    let home = Home::new();
    model(&home);
    home.write("pictures/9.png", "no picture");
    home.write("old.npy", "mine");
    let run = |rest: &[&str]| home.run(&[&["features", "net.safetensors"], rest].concat());
    for (rest, code, said) in [
        (&["pictures", "-o", "x.npy"][..], 3, "pictures/9.png"),
        (&["pictures/0.png", "-o", "x.npz"], 2, "neither .safetensors nor .npy"),
        (&["pictures/0.png", "-o", "old.npy"], 2, "`old.npy` exists"),
        (&["pictures/0.png", "-o", "x.npy", "--level", "pyramid"], 2, "one array"),
        (&["pictures/0.png", "-o", "x.npy", "--out-indices", "1"], 2, "--level pyramid"),
        (&["pictures/0.png", "-o", "x.npy", "--level", "pyramid", "--out-indices", "7"], 2, "`7`"),
        (&["nothing/here", "-o", "x.npy"], 3, "nothing/here"),
        (&["*.gif", "-o", "x.npy"], 3, "nothing matches"),
        (&["-", "-", "-o", "x.npy"], 2, "read once"),
        (&["pictures/0.png", "-o", "no/such/x.npy"], 4, "no/such/x.npy"),
    ] {
        let ran = run(rest);
        assert!(ran.code == Some(code) && ran.err.contains(said), "{rest:?}: {ran:?}");
    }
    let left: Vec<_> = std::fs::read_dir(home.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
    assert_eq!(std::fs::read(home.path("old.npy")).unwrap(), b"mine");
    // Left out on request, and named.
    let ran = run(&["pictures", "-o", "x.safetensors", "--on-bad-image", "skip", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(Schemas::check("features-1.json", &report), Vec::<String>::new());
    assert_eq!(report["skipped"][0]["image"], "pictures/9.png");
    assert_eq!(report["images"].as_array().unwrap().len(), 6);
    let bytes = std::fs::read(home.path("x.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let all = run(&["pictures/[0-5].png", "-o", "y.npy"]);
    assert_eq!(all.code, Some(0), "{all:?}");
    let npy = std::fs::read(home.path("y.npy")).unwrap();
    assert_eq!(tensors.tensor("pool").unwrap().data(), &npy[128..]);
    let none = run(&["pictures/9.png", "-o", "z.npy", "--on-bad-image", "skip"]);
    assert_eq!(none.code, Some(3), "{none:?}");
}
