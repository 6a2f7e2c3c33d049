//! Renaming, against the networks of timm and torchvision themselves, and `convert`'s options for it.

use std::path::Path;

use serde_json::Value;
use zoo::checkpoint::rename;
use zoo::checkpoint::write::{self, Output};
use zoo::checkpoint::{Checkpoint, Tensor};

use crate::support::Home;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints/renames.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The names of timm's network; `tf_` ones are those of the network they were ported to.
fn timm_names(arch: &str) -> Vec<String> {
    let graph = zoo::arch::build(arch, 1000).or_else(|_| zoo::arch::build(&format!("tf_{arch}"), 1000));
    graph.unwrap().weights.iter().map(|w| w.name.clone()).collect()
}

fn digest(mut pairs: Vec<(String, String)>) -> (usize, String) {
    pairs.sort();
    let lines: String = pairs.iter().map(|(theirs, ours)| format!("{theirs} {ours}\n")).collect();
    (pairs.len(), zoo::Sha256::of(lines.as_bytes()).to_string())
}

#[test]
fn every_name_is_the_one_that_torchvision_has() {
    let golden = golden();
    let rows = golden["pairs"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    for row in rows {
        let arch = row["arch"].as_str().unwrap();
        let names = timm_names(arch);
        let pairs = match row["scheme"].as_str().unwrap() {
            "older" => {
                // Every older name is one that today's is made of.
                let older = |name: &String| {
                    let (block, rest) = name.split_once(".denselayer")?;
                    let rest = rest.replacen("norm1", "norm.1", 1).replacen("norm2", "norm.2", 1);
                    let rest = rest.replacen("conv1", "conv.1", 1).replacen("conv2", "conv.2", 1);
                    let older = format!("{block}.denselayer{rest}");
                    (!name.ends_with("num_batches_tracked")).then(|| {
                        let ours = zoo::arch::checkpoint_filter(arch, &older).unwrap().name;
                        (older, ours)
                    })
                };
                names.iter().filter_map(older).collect()
            }
            _ => rename::torchvision(names.iter().map(String::as_str))
                .unwrap_or_else(|| names.iter().map(|n| (n.clone(), n.clone())).collect()),
        };
        let (tensors, digest) = digest(pairs);
        assert_eq!(
            (row["tensors"].as_u64().unwrap(), row["digest"].as_str().unwrap()),
            (tensors as u64, &*digest),
            "{arch}"
        );
    }
}

/// A safetensors file of zeros with the tensors of an architecture, renamed.
fn stand_in(home: &Home, file: &str, arch: &str, rename: impl Fn(&str) -> String) {
    let graph = zoo::arch::build(arch, 1000).unwrap();
    let zeros = vec![0u8; 4 * graph.weights.iter().map(|w| w.shape.iter().product::<usize>()).max().unwrap()];
    let views = graph.weights.iter().map(|w| {
        let name = rename(&w.name);
        let mut shape = w.shape.clone();
        if name == "classifier.0.weight" {
            shape.truncate(2);
        }
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes).unwrap())
    });
    std::fs::write(home.path(file), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn names_and_shapes(path: &Path) -> Vec<(String, Vec<usize>)> {
    let checkpoint = Checkpoint::open(path).unwrap();
    let row = |t: &Tensor| (t.name.clone(), t.shape.clone());
    let mut rows: Vec<_> = checkpoint.tensors().iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn convert_to_an_architectures_names_and_back_to_torchvisions() {
    let home = Home::new();
    let arch = "mobilenetv3_large_100";
    let pairs = rename::torchvision(timm_names(arch).iter().map(String::as_str)).unwrap();
    let theirs = |name: &str| pairs.iter().find(|(_, ours)| ours == name).unwrap().0.clone();
    stand_in(&home, "tv.safetensors", arch, theirs);
    stand_in(&home, "timm.safetensors", arch, str::to_owned);
    let ran =
        home.run(&["convert", "tv.safetensors", "-o", "a.safetensors", "--arch", arch, "--sha256", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("names of torchvision are timm's now"), "{}", ran.err);
    assert!(ran.err.contains("conv_head.weight"), "the reshaped tensor is named: {}", ran.err);
    assert_eq!(
        names_and_shapes(&home.path("a.safetensors")),
        names_and_shapes(&home.path("timm.safetensors"))
    );
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["names"], "torchvision");
    // Both digests: of the file's own names, as every record has it, and of what was written.
    let source: Value =
        serde_json::from_str(&home.run(&["inspect", "tv.safetensors", "--sha256", "--json"]).out).unwrap();
    let written: Value =
        serde_json::from_str(&home.run(&["inspect", "a.safetensors", "--sha256", "--json"]).out).unwrap();
    assert_eq!(said["source_tensors_sha256"], source["tensors_sha256"]);
    assert_eq!(said["tensors_sha256"], written["tensors_sha256"]);
    assert_ne!(said["tensors_sha256"], said["source_tensors_sha256"]);
    let back = home.run(&[
        "convert",
        "a.safetensors",
        "-o",
        "b.safetensors",
        "--arch",
        arch,
        "--names",
        "torchvision",
    ]);
    assert_eq!(back.code, Some(0), "{back:?}");
    assert_eq!(names_and_shapes(&home.path("b.safetensors")), names_and_shapes(&home.path("tv.safetensors")));
}

#[test]
fn older_and_foreign_names_become_timms_or_are_told_apart() {
    let home = Home::new();
    let older = |name: &str| match name.contains(".denselayer") && !name.ends_with("tracked") {
        true => name.replacen("norm1", "norm.1", 1).replacen("conv2", "conv.2", 1),
        false => name.to_owned(),
    };
    stand_in(&home, "old.safetensors", "densenet121", older);
    let ran = home.run(&["convert", "old.safetensors", "-o", "new.safetensors", "--arch", "densenet121"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("older files"), "{}", ran.err);
    stand_in(&home, "timm.safetensors", "densenet121", str::to_owned);
    assert_eq!(
        names_and_shapes(&home.path("new.safetensors")),
        names_and_shapes(&home.path("timm.safetensors"))
    );
    // Another architecture: what is missing is named, with what is like it, and nothing is written.
    let misfit = home.run(&["convert", "timm.safetensors", "-o", "x.safetensors", "--arch", "densenet169"]);
    assert_eq!(misfit.code, Some(3), "{misfit:?}");
    assert!(
        misfit.err.contains("do not fit `densenet169`") && misfit.err.contains("is missing"),
        "{}",
        misfit.err
    );
    assert!(!home.path("x.safetensors").exists());
    let unknown = home.run(&["convert", "timm.safetensors", "-o", "x.safetensors", "--arch", "densenet12"]);
    assert_eq!(unknown.code, Some(3), "{unknown:?}");
    assert!(unknown.err.contains("did you mean"), "{}", unknown.err);
}

#[test]
fn the_users_rules_rename_and_say_so() {
    let home = Home::new();
    stand_in(&home, "x.safetensors", "resnet18", |name| format!("backbone.{name}"));
    home.write("rules.txt", "# ours\n^backbone\\.(.*)$ => $1\nnever => x\n");
    let args =
        ["convert", "x.safetensors", "-o", "y.safetensors", "--rename", "rules.txt", "--arch", "resnet18"];
    let ran = home.run(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("line 3 matches no name"), "{}", ran.err);
    let names: Vec<_> = names_and_shapes(&home.path("y.safetensors")).into_iter().map(|(n, _)| n).collect();
    assert!(names.contains(&"layer1.0.conv1.weight".to_owned()));
    // Rules that make two names one, or that are none.
    home.write("clash.txt", ".* => same\n");
    home.write("bad.txt", "( => x\n");
    for (rules, word) in
        [("clash.txt", "which another tensor is"), ("bad.txt", "line 1"), ("none.txt", "none.txt")]
    {
        let ran = home.run(&["convert", "x.safetensors", "-o", "z.safetensors", "--rename", rules]);
        assert_eq!(ran.code, Some(3), "{rules}: {ran:?}");
        assert!(ran.err.contains(word), "{rules}: {}", ran.err);
        assert!(!home.path("z.safetensors").exists());
    }
}

#[test]
fn a_linear_layer_reads_as_the_convolution_it_is() {
    let home = Home::new();
    stand_in(&home, "x.safetensors", "resnet18", str::to_owned);
    let mut checkpoint = Checkpoint::open(&home.path("x.safetensors")).unwrap();
    assert!(checkpoint.pad_shape("fc.weight", &[1000, 512, 1, 1]));
    assert!(!checkpoint.pad_shape("fc.weight", &[512, 1000, 1, 1]), "another shape");
    assert!(!checkpoint.pad_shape("fc.bias", &[1000]), "its own shape");
    let mut bytes = Vec::new();
    write::safetensors(&checkpoint, Path::new("y"), Output::Stream(&mut bytes), &write::Options::default())
        .unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.tensor("fc.weight").unwrap().shape(), [1000, 512, 1, 1]);
}

#[test]
fn a_permuted_tensor_reads_as_torch_permutes_it() {
    let home = Home::new();
    // torch.arange(24.).reshape(1, 2, 3, 4).permute(3, 2, 0, 1): HWIO to OIHW.
    let values: Vec<u8> = (0..24u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 2, 3, 4], &values).unwrap();
    std::fs::write(home.path("a.safetensors"), safetensors::serialize([("w", view)], None).unwrap()).unwrap();
    let mut checkpoint = Checkpoint::open(&home.path("a.safetensors")).unwrap();
    for wrong in [&[3, 2, 0][..], &[3, 2, 0, 0], &[4, 2, 0, 1]] {
        assert!(!checkpoint.permute("w", wrong), "{wrong:?}");
    }
    assert!(!checkpoint.permute("v", &[3, 2, 0, 1]) && checkpoint.permute("w", &[3, 2, 0, 1]));
    let tensor = checkpoint.tensors()[0].clone();
    assert_eq!(tensor.shape, [4, 3, 1, 2]);
    let bytes = checkpoint.bytes(&tensor).unwrap();
    let found: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let truth: Vec<f32> = (0..24).map(|i| ((i % 2) * 12 + (i / 2 % 3) * 4 + i / 6) as f32).collect();
    assert_eq!(found, truth);
}
