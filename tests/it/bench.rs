//! `zoo bench`: offline, for entries and for architectures, and what its JSON holds.

use serde_json::Value;

use crate::support::Home;

#[test]
fn an_architecture_is_measured_without_weights_or_network() {
    let home = Home::new();
    let args = ["bench", "mobilenetv3_large_100", "--size", "64", "--runs", "3", "--seconds", "0.05"];
    let out = home.command(&args).args(["--threads", "2", "--layers", "--json"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(crate::schemas::wrong("bench-1.json", &json), Vec::<String>::new());
    assert_eq!(json["model"], "mobilenetv3_large_100");
    assert_eq!(json["weights"], "seeded");
    assert_eq!((&json["threads"], &json["batch"]), (&2.into(), &1.into()));
    assert_eq!(json["size"], serde_json::json!([64, 64]));
    assert!(["avx512", "avx2", "portable"].contains(&json["isa"].as_str().unwrap()));
    let latency = &json["latency"];
    let [low, middle, high] = ["min_ms", "median_ms", "max_ms"].map(|k| latency[k].as_f64().unwrap());
    assert!(0.0 < low && low <= middle && middle <= high);
    assert_eq!(latency["runs"], 3);
    assert!(json["throughput"]["images_per_second"].as_f64().unwrap() > 0.0);
    assert!(json["roofline"]["gflops"].as_f64().unwrap() > 0.0);
    let layers = json["layers"].as_array().unwrap();
    let macs: u64 = layers.iter().map(|l| l["macs"].as_u64().unwrap()).sum();
    let graph = zoo::arch::build("mobilenetv3_large_100", 1000).unwrap();
    assert_eq!(macs, zoo::nn::describe::describe(&graph, [1, 3, 64, 64]).unwrap().macs);
    assert!(layers.iter().all(|l| l["ms"].as_f64().unwrap() >= 0.0));
}

#[test]
fn an_entry_is_measured_at_its_own_size_in_words() {
    let home = Home::new();
    let out = home
        .command(&["bench", "efficientnet_lite0_pypi", "--runs", "2", "--seconds", "0"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.starts_with("efficientnet_lite0_pypi  224x224  "), "{text}");
    assert!(text.contains("latency") && !text.contains("throughput"), "{text}");
}

#[test]
fn mistakes_are_told_by_exit_code() {
    let home = Home::new();
    let code = |args: &[&str]| home.command(args).output().unwrap().status.code();
    assert_eq!(code(&["bench", "no_such_model"]), Some(3));
    assert_eq!(code(&["bench", "resnet50", "--threads", "0"]), Some(2));
    assert_eq!(code(&["bench", "resnet50", "--seconds", "nan"]), Some(2));
    assert_eq!(code(&["bench", "resnet50", "--size", "9000"]), Some(2));
}
