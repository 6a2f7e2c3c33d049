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

/// Folders as timm saves models: what zoo makes of the config is what timm's loader makes of it.
#[test]
fn configs_of_timm_are_read_as_timm_reads_them() {
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/hub_configs.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let configs = golden["configs"].as_array().unwrap();
    assert!(configs.len() > 8);
    for config in configs {
        let home = Home::new();
        home.write("net/config.json", config["text"].as_str().unwrap());
        home.write("net/model.safetensors", "not opened here");
        let opened = zoo::model::ModelSpec::open(&home.path("net"));
        if config["other"] == true {
            let error = opened.unwrap_err().to_string();
            assert!(error.contains("does not build") || error.contains("`global_pool`"), "{error}");
            continue;
        }
        let spec = opened.unwrap();
        assert_eq!((spec.name.as_str(), &spec.arch.as_str().into()), ("net", &config["architecture"]));
        let (p, labels) = (&spec.preprocess, spec.labels.as_ref().unwrap());
        assert_eq!(serde_json::json!([3, p.size.height, p.size.width]), config["size"]);
        assert_eq!(serde_json::json!(p.crop_pct), config["crop_pct"]);
        assert_eq!(
            (format!("{:?}", p.crop_mode).to_lowercase().as_str(), p.interpolation.name()),
            (config["crop_mode"].as_str().unwrap(), config["interpolation"].as_str().unwrap())
        );
        for (ours, theirs) in [(p.mean, &config["mean"]), (p.std, &config["std"])] {
            let theirs: Vec<f32> =
                theirs.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            assert_eq!(ours.to_vec(), theirs);
        }
        assert_eq!(serde_json::json!(labels.len()), config["num_classes"]);
        if let Some(names) = config["names"].as_array() {
            assert_eq!(&labels.iter().map(|l| serde_json::json!(l.text)).collect::<Vec<_>>(), names);
        }
    }
}

#[test]
fn a_folder_is_predicted_and_verified_by_its_name() {
    let home = home();
    std::fs::create_dir(home.path("pets-net")).unwrap();
    std::fs::rename(home.path("pets.safetensors"), home.path("pets-net/model.safetensors")).unwrap();
    let config = serde_json::json!({"architecture": "tf_efficientnet_lite0", "num_classes": 3, "label_names": ["c", "d", "n"],
        "label_descriptions": {"c": CLASSES[0], "d": CLASSES[1], "n": CLASSES[2]}, "model_args": {"num_classes": 3},
        "pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 0.875, "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5]}});
    home.write("pets-net/config.json", config.to_string());
    let picture = golden("420.jpg");
    let picture = picture.to_str().unwrap();
    let by_folder = home.run(&["predict", "pets-net", picture, "--json", "--offline"]);
    assert_eq!(by_folder.code, Some(0), "{}", by_folder.err);
    let answers: serde_json::Value = serde_json::from_str(&by_folder.out).unwrap();
    assert_eq!(answers[0]["model"], "pets-net");
    // The same network as by a sidecar, and by the file itself.
    std::fs::copy(home.path("pets-net/model.safetensors"), home.path("pets.safetensors")).unwrap();
    let by_sidecar = home.run(&["predict", "pets.safetensors", picture, "--json", "--offline"]);
    let top = |out: &str| serde_json::from_str::<serde_json::Value>(out).unwrap()[0]["top"].clone();
    assert_eq!(top(&by_folder.out), top(&by_sidecar.out), "{}", by_sidecar.err);
    let by_file = home.run(&["predict", "pets-net/model.safetensors", picture, "--json", "--offline"]);
    assert_eq!(top(&by_file.out), top(&by_folder.out), "{}", by_file.err);
    let ran = home.run(&["verify", "pets-net", "--dataset", "folder", "--data-dir", "val", "--offline"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for (from, to, said) in [
        ("\"num_classes\":3,\"pre", "\"num_classes\":3,\"pre", ""),
        ("\"c\",\"d\",\"n\"", "\"c\"", "`label_names` has 1"),
        ("[3,64,64]", "[1,64,64]", "`input_size`"),
        ("{\"num_classes\":3}", "{\"num_classes\":3,\"output_stride\":8}", "`output_stride`"),
        ("\"architecture\"", "\"model\"", "architecture"),
        ("tf_efficientnet_lite0", "no_such_net", "no_such_net"),
    ] {
        home.write("pets-net/config.json", config.to_string().replace(from, to));
        let ran = home.run(&["predict", "pets-net", picture, "--offline"]);
        assert!(
            ran.code == Some(if said.is_empty() { 0 } else { 3 }) && ran.err.contains(said),
            "{to}: {ran:?}"
        );
    }
    std::fs::remove_file(home.path("pets-net/model.safetensors")).unwrap();
    home.write("pets-net/config.json", config.to_string());
    let ran = home.run(&["predict", "pets-net", picture, "--offline"]);
    assert!(ran.code == Some(3) && ran.err.contains("model.safetensors"), "{ran:?}");
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
