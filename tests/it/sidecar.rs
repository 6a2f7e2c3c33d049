//! A `.safetensors` with its sidecar is a model: named, predicted, verified on its own classes, measured; and what is
//! wrong with one is told.

use crate::lite0::{golden, weights};
use crate::support::Home;

const CLASSES: [&str; 3] = ["a cat", "a dog", "<b>neither</b>"];

/// A home with a network of three classes, and pictures of them under folders by name.
fn home() -> Home {
    let home = Home::new();
    let graph = zoo::arch::build("tf_efficientnet_lite0", 3).unwrap();
    home.write("pets.safetensors", weights(&graph, |_, _| {}));
    home.write("pets.json", sidecar(&serde_json::json!(CLASSES)));
    for (class, picture) in [("a cat", "420.jpg"), ("a cat", "444.jpg"), ("a dog", "wide.jpg")] {
        home.write(&format!("val/{class}/{picture}"), std::fs::read(golden(picture)).unwrap());
    }
    home
}

fn sidecar(classes: &serde_json::Value) -> String {
    serde_json::json!({
        "schema": "zoo.model/1", "arch": "tf_efficientnet_lite0", "classes": classes,
        "preprocess": {
            "size": [64, 64], "crop_pct": 0.875, "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
        },
    })
    .to_string()
}

#[test]
fn it_is_predicted_with_its_own_labels() {
    let home = home();
    let picture = golden("420.jpg");
    let ran = home.run(&["predict", "pets.safetensors", picture.to_str().unwrap(), "--json", "--offline"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let answers: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(crate::schemas::wrong("predict-1.json", &answers), Vec::<String>::new());
    assert_eq!(answers[0]["model"], "pets");
    let top = answers[0]["top"].as_array().unwrap();
    let mut labels: Vec<_> = top.iter().map(|g| g["label"].as_str().unwrap()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["<b>neither</b>", "a cat", "a dog"]);
    assert!(top.iter().all(|g| g["wnid"].is_null()));
    // Other weights, the same model.
    std::fs::rename(home.path("pets.safetensors"), home.path("new.safetensors")).unwrap();
    let args = ["predict", "pets.safetensors", picture.to_str().unwrap(), "--json", "--offline"];
    let again = home.run(&[&args[..], &["--weights", "new.safetensors"]].concat());
    assert_eq!(again.out, ran.out, "{}", again.err);
}

#[test]
fn it_is_verified_on_its_own_classes_and_measured() {
    let home = home();
    let args = ["verify", "pets.safetensors", "--dataset", "folder", "--data-dir", "val"];
    let ran = home.run(&[&args[..], &["--report", "r.json", "--report", "r.html"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.path("r.json")).unwrap()).unwrap();
    assert_eq!(crate::schemas::wrong("verify-1.json", &report), Vec::<String>::new());
    let result = &report["results"][0];
    assert_eq!(
        (&result["model"], &result["n"], &result["verdict"]),
        (&"pets".into(), &3.into(), &"no-claim".into())
    );
    assert_eq!(result["class_names"], serde_json::json!(CLASSES));
    let labels: Vec<_> = result["per_image"].as_array().unwrap().iter().map(|r| r[1].clone()).collect();
    assert_eq!(labels, [serde_json::json!([0]), serde_json::json!([0]), serde_json::json!([1])]);
    let html = std::fs::read_to_string(home.path("r.html")).unwrap();
    assert!(html.contains("a cat") && !html.contains("<b>neither"), "{html}");
    // Shards keep the names, and merge.
    for shard in ["1/2", "2/2"] {
        let out = format!("{}.json", &shard[..1]);
        let ran = home.run(&[&args[..], &["--shard", shard, "--report", &out, "--force"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    let ran = home.run(&["merge", "1.json", "2.json", "--report", "m.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let canonical = |name: &str| home.run(&["report", name, "--canonical"]).out;
    assert_eq!(canonical("m.json"), canonical("r.json"));
    // ImageNet's images are not of its classes.
    home.write("other/n01440764/x.jpg", std::fs::read(golden("420.jpg")).unwrap());
    let args = ["verify", "pets.safetensors", "--dataset", "imagenet-val", "--data-dir", "other"];
    let ran = home.run(&args);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("1000") && ran.err.contains('3'), "{}", ran.err);
    let ran = home.run(&["bench", "pets.safetensors", "--runs", "1", "--seconds", "0", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let bench: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&bench["size"], &bench["weights"]), (&serde_json::json!([64, 64]), &"fetched".into()));
}

#[test]
fn what_is_wrong_is_named_with_its_file() {
    let home = home();
    let picture = golden("420.jpg");
    let predict = |name: &str| home.run(&["predict", name, picture.to_str().unwrap(), "--offline"]);
    let says = |name: &str, parts: &[&str]| {
        let ran = predict(name);
        assert_eq!(ran.code, Some(3), "{}", ran.err);
        assert!(ran.out.is_empty());
        parts.iter().for_each(|part| assert!(ran.err.contains(part), "no `{part}` in: {}", ran.err));
    };
    says("nowhere.safetensors", &["nowhere.json"]);
    std::fs::copy(home.path("pets.safetensors"), home.path("bare.safetensors")).unwrap();
    says("bare.safetensors", &["bare.json", "zoo.model/1"]);
    home.write("bare.json", "{");
    says("bare.safetensors", &["bare.json", "line 1"]);
    home.write("bare.json", sidecar(&serde_json::json!(["one", "two"])));
    says("bare.safetensors", &["bare.json", "names 2 classes", "has 3"]);
    home.write("bare.json", sidecar(&serde_json::json!(3)).replace("lite0", "lite9"));
    says("bare.safetensors", &["tf_efficientnet_lite9"]);
    home.write("bare.json", sidecar(&serde_json::json!(3)));
    assert_eq!(predict("bare.safetensors").code, Some(0));
}
