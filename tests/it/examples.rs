//! The programs of `examples/`, run on real files: what they show is what they do.

use std::path::Path;

use crate::lite0::{MODEL, golden, lite0, weights};
use crate::support::Home;

#[allow(dead_code, unreachable_pub)]
#[path = "../../examples/convert.rs"]
mod convert;
#[allow(dead_code, unreachable_pub)]
#[path = "../../examples/load_and_predict.rs"]
mod load_and_predict;
#[allow(dead_code, unreachable_pub)]
#[path = "../../examples/verify_folder.rs"]
mod verify_folder;

fn store(home: &Home) -> zoo::store::Store {
    let options = zoo::store::Options {
        home: Some(home.dir.path().join("zoo")),
        offline: true,
        ..zoo::store::Options::default()
    };
    zoo::store::Store::open(options).unwrap()
}

#[test]
fn a_picture_is_named_as_the_binary_names_it() {
    let home = Home::new();
    let file = home.write("w.safetensors", weights(&lite0(), |_, _| {}));
    let picture = golden("420.jpg");
    let found = load_and_predict::predict(&store(&home), MODEL, &picture, Some(&file)).unwrap();
    let ran =
        home.run(&["predict", MODEL, picture.to_str().unwrap(), "--weights", "w.safetensors", "--json"]);
    let answers: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let top = answers[0]["top"].as_array().unwrap();
    assert_eq!((found.len(), top.len()), (5, 5));
    for ((label, prob), said) in found.iter().zip(top) {
        assert_eq!(said["label"].as_str(), Some(label.as_str()));
        // serde_json reads a number to its last digit but one.
        assert!((said["prob"].as_f64().unwrap() - prob).abs() < 1e-12, "{said} {prob}");
    }
    let error = load_and_predict::predict(&store(&home), "no_such_net", &picture, None).unwrap_err();
    assert_eq!(error.class().exit_code(), 3, "{error}");
}

#[test]
fn a_checkpoint_is_converted_and_nothing_is_overwritten() {
    let home = Home::new();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compat/manifest.json");
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let digest = manifest["fetched"]["sha256"].as_str().unwrap();
    let pth = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compat/cache/files").join(digest);
    let out = home.path("out.safetensors");
    let (tensors, sha256) = convert::convert(&pth, &out).unwrap();
    assert_eq!(
        (tensors, sha256.to_string().as_str()),
        (2, manifest["fetched"]["tensors_sha256"].as_str().unwrap())
    );
    let before = std::fs::read(&out).unwrap();
    assert!(convert::convert(&pth, &out).is_err());
    assert_eq!(std::fs::read(&out).unwrap(), before);
}

#[test]
fn the_library_reports_what_the_binary_reports() {
    let home = Home::new();
    let file = home.write("w.safetensors", weights(&lite0(), |_, _| {}));
    for (folder, picture) in [("n01440764", "420.jpg"), ("n01440764", "444.jpg"), ("n02108422", "wide.jpg")] {
        home.write(&format!("val/{folder}/{picture}"), std::fs::read(golden(picture)).unwrap());
    }
    let report = verify_folder::verify(&store(&home), MODEL, &home.path("val"), Some(&file)).unwrap();
    let args = ["verify", MODEL, "--weights", "w.safetensors", "--dataset", "folder", "--data-dir", "val"];
    let ran = home.run(&[&args[..], &["--report", "r.json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(report.results[0].n, 3);
    assert_eq!(home.run(&["report", "r.json", "--canonical"]).out, report.canonical());
}
