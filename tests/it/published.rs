//! Published files whose names, layout or values are not those of timm's model: after loading they are what timm makes
//! of them, and `zoo convert --arch` writes that and says what it did.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zoo::checkpoint::Checkpoint;
use zoo::model::{BoundWeights, bind_weights};

use crate::support::{Home, unpacked};

fn golden() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints/published.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    golden["files"].as_array().unwrap().clone()
}

/// The files, by their names, still compressed twice; BiT's is made here.
fn files() -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    unpacked(&root.join("tests/golden/checkpoints/published.tar.gz"))
}

/// A file of a row, in the working folder.
fn written(home: &Home, files: &BTreeMap<String, Vec<u8>>, row: &Value) -> PathBuf {
    let file = row["file"].as_str().unwrap();
    let Some(bytes) = files.get(file) else { return home.write(file, npz(&row["arrays"])) };
    let inflate = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(from).read_to_end(&mut bytes).unwrap();
        bytes
    };
    home.write(file, inflate(&mut inflate(&mut bytes.as_slice()).as_slice()))
}

/// An archive of numpy arrays, as `numpy.savez` makes it: element i of each is i % 5 - 2.
fn npz(arrays: &Value) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for array in arrays.as_array().unwrap() {
        let shape: Vec<u64> = array[1].as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).collect();
        let tuple = shape.iter().map(|d| format!("{d},")).collect::<String>();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({tuple}), }}");
        let padded = (header.len() + 1).next_multiple_of(64) - 10 + 64;
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend((padded as u16).to_le_bytes());
        npy.extend(format!("{header:<0$}\n", padded - 1).bytes());
        npy.extend((0..shape.iter().product::<u64>()).flat_map(|i| ((i % 5) as f32 - 2.0).to_le_bytes()));
        zip.start_file(format!("{}.npy", array[0].as_str().unwrap()), options).unwrap();
        zip.write_all(&npy).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// SHA-256 of the lines of names, shapes and hashes, as the script has it.
fn digest(checkpoint: &Checkpoint) -> String {
    let mut lines: Vec<String> = Vec::new();
    for tensor in checkpoint.tensors().iter().filter(|t| !t.name.ends_with("num_batches_tracked")) {
        let shape: Vec<_> = tensor.shape.iter().map(usize::to_string).collect();
        let sha256 = zoo::Sha256::of(&checkpoint.bytes(tensor).unwrap());
        let mut line = String::new();
        writeln!(line, "{} [{}] {sha256}", tensor.name, shape.join(",")).unwrap();
        lines.push(line);
    }
    lines.sort();
    zoo::Sha256::of(lines.concat().as_bytes()).to_string()
}

/// What timm leaves out of a file is in the checkpoint still, and on the list of what is ignored.
fn without_ignored(bound: BoundWeights) -> Checkpoint {
    let ignored: Vec<String> = bound.ignored.clone();
    let mut checkpoint = bound.weights.into_checkpoint();
    checkpoint.remove(&ignored.iter().map(String::as_str).collect());
    checkpoint
}

#[test]
fn published_files_are_what_timm_makes_of_them() {
    let home = Home::new();
    let files = files();
    let rows = golden();
    assert_eq!((rows.len(), files.len()), (6, 5));
    for row in &rows {
        let (file, arch) = (row["file"].as_str().unwrap(), row["arch"].as_str().unwrap());
        let path = written(&home, &files, row);
        let build = |classes| zoo::arch::build(arch, classes).map_err(zoo::Error::from);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let bound = bind_weights(build(1000).unwrap(), checkpoint, &path, None, build).unwrap();
        assert_eq!(bound.graph.classes, 1000, "{file}");
        let note = row["note"].as_str().unwrap();
        let said = bound.renamed.as_ref().map(ToString::to_string).unwrap_or_default();
        match note {
            "magnitudes" => assert!(said.contains("in-place norms"), "{file}: {said}"),
            "names" => assert!(said.contains("names of older files"), "{file}: {said}"),
            _ => assert!(bound.ignored.iter().any(|i| i.contains(note)), "{file}: {:?}", bound.ignored),
        }
        assert_eq!(digest(&without_ignored(bound)), row["digest"].as_str().unwrap(), "{file}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn convert_writes_what_timm_makes_of_a_published_file_and_says_so() {
    let home = Home::new();
    let files = files();
    for (file, says) in [
        ("tresnet_m.pth", "magnitudes now, as timm takes them"),
        ("tf_inception_v3.pth", "row 0 of fc.weight (the background class)"),
        ("densenet121.pth", "names of older files of this architecture are timm's now"),
        ("BiT-M-R50x1.npz", "names of older files of this architecture are timm's now"),
    ] {
        let row = golden().into_iter().find(|row| row["file"] == file).unwrap();
        written(&home, &files, &row);
        let arch = row["arch"].as_str().unwrap();
        let ran = home.run(&["convert", file, "-o", "out.safetensors", "--arch", arch, "--force"]);
        assert_eq!(ran.code, Some(0), "{file}: {ran:?}");
        assert!(ran.err.contains(says), "{file}: {}", ran.err);
        let out = Checkpoint::open(&home.path("out.safetensors")).unwrap();
        assert_eq!(digest(&out), row["digest"].as_str().unwrap(), "{file}");
        // What was written has timm's names: nothing is done to it again.
        let again =
            home.run(&["convert", "out.safetensors", "-o", "again.safetensors", "--arch", arch, "--force"]);
        assert!(again.err.contains("every name and shape is that of"), "{file}: {}", again.err);
        let again = Checkpoint::open(&home.path("again.safetensors")).unwrap();
        assert_eq!(digest(&again), digest(&out), "{file}");
    }
}

#[test]
fn networks_that_tensorflow_trained_have_a_background_class() {
    // timm 0.4.12's `label_offset`s.
    let of = |arch: &&str| zoo::arch::label_offset(arch);
    let offset: Vec<_> = zoo::arch::names().into_iter().filter(|arch| of(arch) == 1).collect();
    let known = ["inception_resnet_v2", "inception_v3", "inception_v4", "nasnetalarge", "pnasnet5large"];
    assert_eq!(offset, known);
    assert!(zoo::arch::names().iter().all(|arch| of(arch) <= 1));
}

#[test]
fn a_classifier_of_another_size_keeps_its_classes() {
    // A thousand and one classes of one's own in a network whose published files have no background class.
    let home = Home::new();
    let graph = zoo::arch::build("resnet18", 1001).unwrap();
    let seeded = zoo::nn::seeded::Seeded::new(&graph, 0);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = graph
        .weights
        .iter()
        .map(|w| {
            let view = zoo::nn::weights::Weights::get(&seeded, &w.name).unwrap();
            let bytes = view.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (w.name.clone(), w.shape.clone(), bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    let path = home.write("own.safetensors", safetensors::serialize(views, None).unwrap());
    let build = |classes| zoo::arch::build("resnet18", classes).map_err(zoo::Error::from);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let bound = bind_weights(build(1000).unwrap(), checkpoint, &path, None, build).unwrap();
    assert_eq!((bound.graph.classes, bound.ignored.len()), (1001, 0));
}
