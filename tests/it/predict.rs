//! `zoo predict` with a user's own weights: the whole way from a checkpoint and a picture to named guesses,
//! without a network, and every mistake on that way.

use zoo::image::{Preprocess, decode};
use zoo::nn::reference::Reference;
use zoo::nn::seeded::Seeded;
use zoo::registry::Registry;

use crate::lite0::{MODEL, golden, lite0, weights};
use crate::support::Home;

#[test]
fn a_picture_is_named_as_the_reference_names_it() {
    let home = Home::new();
    let graph = lite0();
    home.write("w.safetensors", weights(&graph, |_, _| {}));
    let picture = golden("420.jpg");
    let args = [
        "predict",
        MODEL,
        picture.to_str().unwrap(),
        "--weights",
        "w.safetensors",
        "--json",
        "--logits",
        "l.npy",
    ];
    let ran = home.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let answers = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(crate::schemas::wrong("predict-1.json", &answers), Vec::<String>::new());

    let registry = Registry::builtin().unwrap();
    let preprocess = Preprocess::of(registry.resolve(MODEL).unwrap()).unwrap();
    let tensor = preprocess.tensor(&decode(&std::fs::read(&picture).unwrap()).unwrap()).unwrap();
    let device = candle_core::Device::Cpu;
    let reference = Reference::new(&graph, &Seeded::new(&graph, 0), &device).unwrap();
    let expected = reference.logits(&tensor, [1, 3, 224, 224]).unwrap();

    let npy = std::fs::read(home.path("l.npy")).unwrap();
    let found: Vec<f32> = npy[128..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    assert_eq!(found.len(), 1000);
    let mean = expected.iter().sum::<f32>() / 1000.0;
    let sigma = (expected.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1000.0).sqrt();
    let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-5 * sigma, "{worst} of {sigma}");

    let answers: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let top = answers[0]["top"].as_array().unwrap();
    let best = (0..1000).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
    assert_eq!((top.len(), top[0]["index"].as_u64()), (5, Some(best as u64)));
    assert_eq!(top[0]["wnid"], zoo::registry::labels::imagenet()[best].wnid);
    assert_eq!(answers[0]["model"], MODEL);

    // The output exists now: it is not touched without `--force`, and nothing else is done.
    let again = home.run(&args);
    assert_eq!(again.code, Some(2), "{}", again.err);
    assert!(again.err.contains("l.npy") && again.err.contains("--force"), "{}", again.err);
}

#[test]
fn weights_of_another_shape_are_named() {
    let home = Home::new();
    let spoilt = |name: &str, shape: &mut Vec<usize>| {
        if name == "conv_head.weight" {
            shape.swap(0, 1);
        }
    };
    home.write("w.safetensors", weights(&lite0(), spoilt));
    let ran =
        home.run(&["predict", MODEL, golden("420.jpg").to_str().unwrap(), "--weights", "w.safetensors"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    for part in ["w.safetensors", "conv_head.weight", "[320, 1280, 1, 1]", "[1280, 320, 1, 1]"] {
        assert!(ran.err.contains(part), "no `{part}` in: {}", ran.err);
    }
}

#[test]
fn what_is_no_checkpoint_is_named_for_what_it_is() {
    let home = Home::new();
    home.write("page.pth", "<!DOCTYPE html><html><body>404</body></html>");
    let ran = home.run(&["predict", MODEL, golden("420.jpg").to_str().unwrap(), "--weights", "page.pth"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("page.pth") && ran.err.contains("HTML"), "{}", ran.err);
}

#[test]
fn mistakes_are_told_before_anything_is_downloaded() {
    let home = Home::new();
    let picture = golden("420.jpg");
    let picture = picture.to_str().unwrap();
    let cases: [(&[&str], i32, &[&str]); 5] = [
        (&["predict", "efficientnet_lite0_pipy", picture], 3, &["efficientnet_lite0_pypi"]),
        (&["predict", MODEL, "no-such.jpg"], 3, &["no-such.jpg"]),
        (&["predict", MODEL, "no-such.jpg", "--logits", "no-folder/x.npy"], 3, &["`no-folder`"]),
        (&["predict", MODEL, "-", "-"], 2, &["standard input"]),
        (&["predict", MODEL], 2, &["<IMAGE>"]),
    ];
    for (args, code, parts) in cases {
        let ran = home.run(&[args, &["--offline"]].concat());
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
        assert!(ran.out.is_empty());
        parts.iter().for_each(|p| assert!(ran.err.contains(p), "no `{p}` in: {}", ran.err));
    }
}

#[test]
fn an_unreadable_image_is_named() {
    let home = Home::new();
    home.write("w.safetensors", weights(&lite0(), |_, _| {}));
    let half = std::fs::read(golden("420.jpg")).unwrap();
    home.write("half.jpg", &half[..half.len() / 2]);
    home.write("text.jpg", "not a picture");
    for name in ["half.jpg", "text.jpg"] {
        let ran = home.run(&["predict", MODEL, name, "--weights", "w.safetensors"]);
        assert_eq!(ran.code, Some(3), "{}", ran.err);
        assert!(ran.err.contains(name), "{}", ran.err);
        assert!(ran.out.is_empty());
    }
}
