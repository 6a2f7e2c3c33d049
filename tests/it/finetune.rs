//! `zoo finetune`: a classifier on real features, its files, what they are then good for, and what is refused.

use std::cell::Cell;
use std::path::Path;

use serde_json::{Value, json};
use zoo::finetune::augment::{RandomCrop, for_crops};
use zoo::finetune::{Data, OnBadImage, Options, Point, Recipe, Solver, TrainingProgress};
use zoo::image::{Preparer, Preprocess};
use zoo::model::{EngineKind, Loader, ModelSpec};
use zoo::registry::{CropMode, ImageSize};

use crate::schemas::Schemas;
use crate::support::{Home, Ran};

const CLASSES: [&str; 3] = ["blue <b>", "green", "red"];

/// A home with a network of four classes and pictures of three others, which even a network of noise tells apart.
fn home(images: u32) -> Home {
    let home = Home::new();
    let graph = zoo::arch::build("resnet18", 4).unwrap();
    home.write("net.safetensors", crate::lite0::weights(&graph, |_, _| {}));
    home.write(
        "net.json",
        json!({
            "schema": "zoo.model/1", "arch": "resnet18", "classes": 4, "preprocess": {
                "size": [40, 40], "crop_pct": 0.9, "interpolation": "bicubic",
                "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
            },
        })
        .to_string(),
    );
    for (class, name) in CLASSES.iter().enumerate() {
        for at in 0..images {
            let noise = |x: u32, y: u32| ((x * 31 + y * 17 + at * 101) % 83) as u8;
            let picture = image::RgbImage::from_fn(48, 44, |x, y| {
                let mut pixel = [noise(x, y), noise(y, x), noise(x + y, x)];
                pixel[2 - class] = 170 + noise(x, y) / 2;
                image::Rgb(pixel)
            });
            let mut png = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
            home.write(&format!("data/{name}/{at:02}.png"), png.into_inner());
        }
    }
    home
}

fn finetune(home: &Home, rest: &[&str]) -> Ran {
    home.run(&[&["finetune", "net.safetensors", "--data", "data"], rest].concat())
}

fn read(home: &Home, name: &str) -> Vec<u8> {
    std::fs::read(home.path(name)).unwrap()
}

#[test]
fn a_new_classifier_is_a_model_of_its_own() {
    let home = home(15);
    let args = ["-o", "new.safetensors", "--curve", "new.svg", "--register", "mine", "--json"];
    let ran = finetune(&home, &args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(Schemas::check("finetune-1.json", &report), Vec::<String>::new());
    assert_eq!(report["classes"], json!(CLASSES));
    let training = &report["training"];
    assert_eq!([&training["train"]["images"], &training["val"]["images"]], [36, 9]);
    assert!(training["val"]["top1"].as_f64().unwrap() >= 80.0, "{training}");
    assert_eq!(training["recipe"]["weight_decay_chosen"], true);
    assert_eq!(report["features"], json!({"cached": 0, "computed": 45}));

    // timm's names and shapes, the classifier's its own, and the rest untouched.
    let (bytes, old) = (read(&home, "new.safetensors"), read(&home, "net.safetensors"));
    let new = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let old = safetensors::SafeTensors::deserialize(&old).unwrap();
    let names = |file: &safetensors::SafeTensors<'_>| -> std::collections::BTreeSet<String> {
        file.names().into_iter().map(str::to_owned).collect()
    };
    assert_eq!(names(&new), names(&old));
    for (name, tensor) in old.iter() {
        let own = new.tensor(name).unwrap();
        if name.starts_with("fc.") {
            assert_eq!(own.shape()[0], 3);
        } else {
            assert_eq!((own.shape(), own.data()), (tensor.shape(), tensor.data()), "{name}");
        }
    }
    let sidecar: Value = serde_json::from_slice(&read(&home, "new.json")).unwrap();
    assert_eq!(Schemas::check("model-1.json", &sidecar), Vec::<String>::new());
    assert_eq!(sidecar["training"], *training);
    assert!(String::from_utf8(read(&home, "new.svg")).unwrap().contains("<polyline"));

    // Another number of threads, the features from the record: the same bytes.
    let again = finetune(&home, &["-o", "again.safetensors", "--threads", "3", "--json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let report: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(report["features"], json!({"cached": 45, "computed": 0}));
    assert_eq!(read(&home, "again.safetensors"), bytes);

    // It is a NAME for the other verbs.
    let red = "data/red/07.png";
    let predicted = home.run(&["predict", "new.safetensors", red, "--json", "--offline"]);
    let answers: Value = serde_json::from_str(&predicted.out).unwrap();
    assert_eq!(answers[0]["top"][0]["label"], "red", "{predicted:?}");
    let verified = home.run(&[
        "verify",
        "new.safetensors",
        "--dataset",
        "folder",
        "--data-dir",
        "data",
        "--report",
        "r.json",
    ]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let report: Value = serde_json::from_slice(&read(&home, "r.json")).unwrap();
    assert!(report["results"][0]["top1"].as_f64().unwrap() > 90.0);
    let features = home.run(&["features", "new.safetensors", red, "-o", "f.npy"]);
    assert_eq!(features.code, Some(0), "{features:?}");
    let bench = home.run(&["bench", "new.safetensors", "--runs", "1", "--seconds", "0", "--json"]);
    assert_eq!(bench.code, Some(0), "{bench:?}");
    let card = home.run(&["card", "new.safetensors"]);
    assert!(card.code == Some(0) && card.out.contains("new"), "{card:?}");
    let deeper = home.run(&["finetune", "new.safetensors", "--data", "data", "-o", "deeper.safetensors"]);
    assert_eq!(deeper.code, Some(0), "{deeper:?}");

    // And an entry of a registry, with its classes.
    let listed = home.run(&["list", "new", "--registry", "mine", "--json"]);
    assert!(listed.out.contains("\"new\""), "{listed:?}");
    let predicted = home.run(&["predict", "new", red, "--registry", "mine", "--json"]);
    let answers: Value =
        serde_json::from_str(&predicted.out).unwrap_or_else(|e| panic!("{e}: {predicted:?}"));
    assert_eq!(answers[0]["top"][0]["label"], "red");
    let linted = home.run(&["lint", "mine"]);
    assert_eq!(linted.code, Some(0), "{linted:?}");
}

#[test]
fn descent_augmentation_and_weights_do_what_they_say() {
    let home = home(10);
    let report = |rest: &[&str]| -> Value {
        let ran = finetune(&home, &[&["--json", "--force", "-o", "x.safetensors"], rest].concat());
        assert_eq!(ran.code, Some(0), "{rest:?}: {ran:?}");
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(Schemas::check("finetune-1.json", &report), Vec::<String>::new());
        report
    };
    let sgd = report(&[
        "--solver",
        "sgd",
        "--epochs",
        "30",
        "--class-weights",
        "balanced",
        "--label-smoothing",
        "0.1",
    ]);
    assert!(sgd["training"]["val"]["top1"].as_f64().unwrap() >= 80.0, "{sgd}");
    assert_eq!(sgd["training"]["recipe"]["class_weights"], "balanced");
    let first = read(&home, "x.safetensors");
    report(&[
        "--solver",
        "sgd",
        "--epochs",
        "30",
        "--class-weights",
        "balanced",
        "--label-smoothing",
        "0.1",
        "--threads",
        "2",
    ]);
    assert_eq!(read(&home, "x.safetensors"), first, "the same seed, the same bits");
    // Two views more of each image that is trained on; those that are measured with stay as they are.
    let augmented = report(&["--augment", "2", "--weight-decay", "0.5"]);
    assert_eq!(augmented["features"], json!({"cached": 30, "computed": 48}));
    assert_eq!(augmented["training"]["recipe"]["weight_decay"], 0.5);
    assert_eq!(augmented["training"]["recipe"]["weight_decay_chosen"], false);
    assert_eq!(augmented["training"]["train"]["images"], 24);
    let again = report(&["--augment", "3"]);
    assert_eq!(again["features"], json!({"cached": 78, "computed": 24}));
}

#[test]
fn the_last_stage_is_trained_too() {
    let home = home(6);
    let args = ["-o", "x.safetensors", "--unfreeze", "last", "--epochs", "2", "--lr", "0.01", "--json"];
    let ran = finetune(&home, &args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(Schemas::check("finetune-1.json", &report), Vec::<String>::new());
    assert_eq!(report["training"]["recipe"]["unfreeze"], json!({"epochs": 2, "rate": 0.01}));
    assert_eq!(report["training"]["curve"].as_array().unwrap().len(), 2);
    let (new, old) = (read(&home, "x.safetensors"), read(&home, "net.safetensors"));
    let new = safetensors::SafeTensors::deserialize(&new).unwrap();
    let old = safetensors::SafeTensors::deserialize(&old).unwrap();
    for (name, tensor) in old.iter().filter(|(name, _)| !name.starts_with("fc.")) {
        let is_trained =
            name.starts_with("layer4.") && (name.contains("conv") || name.contains("downsample.0"));
        assert_eq!(new.tensor(name).unwrap().data() != tensor.data(), is_trained, "{name}");
    }
    // What is written is what was measured.
    let val = report["training"]["val"]["top1_correct"].as_u64().unwrap();
    let train = report["training"]["train"]["top1_correct"].as_u64().unwrap();
    let verified = home.run(&[
        "verify",
        "x.safetensors",
        "--dataset",
        "folder",
        "--data-dir",
        "data",
        "--report",
        "r.json",
    ]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let verdict: Value = serde_json::from_slice(&read(&home, "r.json")).unwrap();
    assert_eq!(verdict["results"][0]["top1_correct"], val + train);
}

#[test]
fn a_last_stage_that_reads_several_maps_is_refused_before_any_work() {
    let home = home(2);
    let graph = zoo::arch::build("hrnet_w18_small", 4).unwrap();
    home.write("net.safetensors", crate::lite0::weights(&graph, |_, _| {}));
    let sidecar = String::from_utf8(read(&home, "net.json")).unwrap();
    home.write("net.json", sidecar.replace("resnet18", "hrnet_w18_small").replace("40", "64"));
    let ran = finetune(&home, &["-o", "x.safetensors", "--unfreeze", "last"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("the last stage of `hrnet_w18_small` reads") && ran.err.contains("maps (`"),
        "{ran:?}"
    );
    assert!(!home.path("x.safetensors").exists());
}

#[test]
fn what_cannot_be_trained_is_said_and_nothing_is_lost() {
    let home = home(4);
    let run = |rest: &[&str]| home.run(&[&["finetune", "net.safetensors"], rest].concat());
    home.write("one/a/1.png", read(&home, "data/red/00.png"));
    home.write("gap/a/1.png", read(&home, "data/red/00.png"));
    home.write("gap/b/notes.txt", "none");
    home.write("bad/a/1.png", read(&home, "data/red/00.png"));
    home.write("bad/a/2.png", "no picture");
    home.write("bad/b/3.png", read(&home, "data/green/00.png"));
    home.write("bad/b/4.png", read(&home, "data/green/01.png"));
    home.write("gone/a/1.png", read(&home, "data/red/00.png"));
    home.write("gone/b/2.png", "no picture");
    home.write("others/purple/1.png", read(&home, "data/red/00.png"));
    home.write("empty/x/notes.txt", "none");
    home.write("old.safetensors", "mine");
    home.write("side.json", "mine");
    home.write("mine/reg.yaml", "Models: []\n");
    home.write("folder.safetensors/notes.txt", "mine");
    for (rest, code, said) in [
        (&["--data", "one", "-o", "x.safetensors"][..], 3, "one class, `a`"),
        (&["--data", "gap", "-o", "x.safetensors"], 3, "class `b`"),
        (&["--data", "bad", "-o", "x.safetensors"], 3, "2.png"),
        (&["--data", "gone", "-o", "x.safetensors", "--on-bad-image", "skip"], 3, "class `b`"),
        (&["--data", "data", "--val", "others", "-o", "x.safetensors"], 3, "`purple`"),
        (&["--data", "empty", "-o", "x.safetensors"], 3, "no images"),
        (&["--data", "nowhere", "-o", "x.safetensors"], 3, "nowhere"),
        (&["--data", "data", "-o", "old.safetensors"], 2, "`old.safetensors` exists"),
        (&["--data", "data", "-o", "side.safetensors"], 2, "`side.json` exists"),
        (&["--data", "data", "-o", "reg.safetensors", "--register", "mine"], 2, "reg.yaml` exists"),
        (&["--data", "data", "-o", "x.pth"], 2, ".safetensors"),
        (&["--data", "data", "-o", "no/such/x.safetensors"], 3, "no/such"),
        (&["--data", "data", "-o", "x.safetensors", "--val-split", "1"], 2, "--val-split"),
        (&["--data", "data", "-o", "x.safetensors", "--lr", "0.1"], 2, "--solver sgd"),
        (&["--data", "data", "-o", "x.safetensors", "--label-smoothing", "1"], 2, "--label-smoothing"),
        (&["--data", "data", "-o", "x.safetensors", "--weight-decay", "-1"], 2, ""),
        (&["--data", "data", "-o", "x.safetensors", "--weight-decay", "nan"], 2, "--weight-decay"),
        (&["--data", "data", "-o", "x.safetensors", "--curve", "x.png"], 2, ".svg"),
        (&["--data", "data", "-o", "x.safetensors", "--solver", "sgd", "--lr", "1e300"], 3, "loss is"),
        (&["--data", "data", "-o", "x.safetensors", "--solver", "sgd", "--lr", "1e30"], 3, "loss is"),
        (&["--data", "data", "-o", "x.safetensors", "--unfreeze", "last", "--lr", "1e30"], 3, "loss is"),
        (&["--data", "data", "-o", "folder.safetensors", "--force"], 2, "is a folder"),
        (&["--data", "data", "-o", "x.safetensors", "--curve", "none/x.svg"], 3, "none"),
        (
            &["--data", "data", "-o", "x.safetensors", "--register", "old.safetensors/in"],
            4,
            "old.safetensors",
        ),
    ] {
        let ran = run(rest);
        assert!(ran.code == Some(code) && ran.err.contains(said), "{rest:?}: {ran:?}");
        assert!(!home.path("x.safetensors").exists() && !home.path("x.json").exists(), "{rest:?}");
    }
    assert_eq!(read(&home, "old.safetensors"), b"mine");
    // Left out on request: counted and named.
    let ran = run(&["--data", "bad", "-o", "x.safetensors", "--on-bad-image", "skip", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(report["skipped"][0]["image"].as_str().unwrap().ends_with("2.png"), "{report}");
    assert!(ran.err.contains("left out"), "{ran:?}");
}

/// Stops after so many images.
struct Stops(Cell<usize>);

impl TrainingProgress for Stops {
    fn extracting(&self, _: usize, _: usize) {}
    fn extracted(&self, done: usize) {
        self.0.set(self.0.get().saturating_sub(usize::from(done > 0)));
    }
    fn choosing(&self, _: usize, _: usize, _: f64, _: f64) {}
    fn trained(&self, _: &Point) {}
    fn cancelled(&self) -> bool {
        self.0.get() == 0
    }
}

#[test]
fn what_was_stopped_goes_on_from_its_features() {
    let home = home(8);
    let registry = zoo::registry::Registry::builtin().unwrap();
    let entry = registry.dataset("folder").unwrap();
    let data = Data::open(&home.path("data"), None, 0, entry).unwrap();
    let store = zoo::store::Store::open(zoo::store::Options {
        home: Some(home.cache("")),
        offline: true,
        ..zoo::store::Options::default()
    });
    let store = store.unwrap();
    let spec = ModelSpec::open(&home.path("net.safetensors")).unwrap();
    let model = Loader { store: &store, engine: EngineKind::default() }.prepare(&spec).unwrap();
    let recipe = Recipe {
        solver: Solver::Lbfgs,
        weight_decay: None,
        label_smoothing: 0.0,
        balanced: false,
        augment: 0,
        unfreeze: None,
        seed: 0,
    };
    let records = home.cache("records");
    let options = Options {
        engine: EngineKind::default(),
        threads: 1,
        batch: None,
        home: Some(&records),
        on_bad_image: OnBadImage::Fail,
    };
    let stopped = zoo::finetune::run(&model, &data, &recipe, options, &Stops(Cell::new(5))).unwrap_err();
    assert!(stopped.to_string().contains("of 24 images"), "{stopped}");
    let done = zoo::finetune::run(&model, &data, &recipe, options, &Stops(Cell::new(usize::MAX))).unwrap();
    assert!(done.cached >= 5 && done.cached + done.computed == 24, "{} {}", done.cached, done.computed);
    // Stopped while it trains: everything is on record.
    let trained = zoo::finetune::run(&model, &data, &recipe, options, &Stops(Cell::new(0))).unwrap_err();
    assert!(trained.to_string().contains("features are on record"), "{trained}");
}

#[test]
fn crops_are_timms_pixel_for_pixel() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden: Value = serde_json::from_slice(&std::fs::read(root.join("crops.json")).unwrap()).unwrap();
    let three = |key: &str| -> [f32; 3] { serde_json::from_value(golden[key].clone()).unwrap() };
    let rows = golden["rows"].as_array().unwrap();
    assert!(rows.len() >= 20);
    for row in rows {
        let side = row["size"].as_u64().unwrap() as usize;
        let preprocess = Preprocess {
            size: ImageSize { height: side, width: side },
            crop_pct: 0.875,
            crop_mode: CropMode::Center,
            interpolation: row["interpolation"].as_str().unwrap().parse().unwrap(),
            mean: three("mean"),
            std: three("std"),
        };
        let [top, left, height, width]: [usize; 4] = serde_json::from_value(row["box"].clone()).unwrap();
        let crop = RandomCrop { top, left, height, width, flip: row["flip"].as_bool().unwrap() };
        let image = zoo::image::open(&root.join("images").join(row["image"].as_str().unwrap())).unwrap();
        let mut out = vec![f32::NAN; 3 * side * side];
        crop.prepare(&image, &mut Preparer::new(&for_crops(&preprocess)), side, &mut out).unwrap();
        let digest = zoo::Sha256::of(bytemuck::cast_slice(&out)).to_string();
        assert_eq!(row["sha256"], digest.as_str(), "{row}");
    }
}
