//! Six images in every layout: the same ids, labels, order and bytes. The files are those of other people's
//! programs (`tests/oracle/layouts.py`: tarfile, pyarrow, scipy), and what is wrong with broken ones is named.

use std::path::Path;

use super::*;
use crate::dataset::{Classes, Dataset};
use crate::error::{Class, Classify};
use crate::registry::Registry;

const TRUTH: &str = "ILSVRC2012_validation_ground_truth.txt";
const DEVKIT: &str = "ILSVRC2012_devkit_t12.tar.gz";
const TAR: &str = "ILSVRC2012_img_val.tar";

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/layouts").join(name);
    crate::fs::read(&path, 1 << 20).unwrap()
}

/// A folder with some of the golden files, each under a name of its own, and texts.
fn folder(files: &[(&str, &str)], texts: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |to: &str, bytes: &[u8]| {
        let path = dir.path().join(to);
        crate::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, bytes);
    };
    files.iter().for_each(|(from, to)| put(to, &golden(from)));
    texts.iter().for_each(|(to, text)| put(to, text.as_bytes()));
    dir
}

/// Without the sync that real output gets: these are many and last a moment.
#[allow(clippy::disallowed_methods)]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

/// The images themselves, unpacked from the golden tar.
fn unpack(into: &Path) {
    ::tar::Archive::new(&golden(TAR)[..]).unpack(into).unwrap();
}

fn open(place: &Path) -> Result<Dataset> {
    let entry = Registry::builtin().unwrap().dataset("imagenet-val").unwrap().clone();
    Dataset::new(&entry, list(place, &entry)?, &Classes::imagenet())
}

fn assert_same(place: &Path, layout: &str) {
    let dataset = open(place).unwrap_or_else(|e| panic!("{layout}: {e}"));
    assert_eq!(dataset.layout, layout);
    let expected: serde_json::Value = serde_json::from_slice(&golden("golden.json")).unwrap();
    let expected: Vec<_> = expected["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            let name = i["name"].as_str().unwrap();
            let id = name.trim_start_matches("ILSVRC2012_val_").trim_end_matches(".JPEG").to_owned();
            (id, vec![i["label"].as_u64().unwrap() as usize], i["sha256"].as_str().unwrap().to_owned())
        })
        .collect();
    let found: Vec<_> = dataset
        .items
        .iter()
        .map(|item| {
            let bytes = dataset.bytes(item).unwrap();
            (item.id.clone(), item.labels.clone(), Sha256::of(&bytes).to_string())
        })
        .collect();
    assert_eq!(found, expected, "{layout}");
    assert_eq!(dataset.fingerprint().unwrap(), dataset.fingerprint().unwrap());
}

#[test]
fn every_layout_gives_the_same_dataset() {
    let official = folder(&[(TAR, TAR), (DEVKIT, DEVKIT)], &[]);
    assert_same(official.path(), "the official tar");
    assert_same(&official.path().join(TAR), "the official tar");
    for meta in ["meta.mat", "meta-compressed.mat"] {
        let unpacked = "ILSVRC2012_devkit_t12/data";
        let (meta_to, truth_to) = (format!("{unpacked}/meta.mat"), format!("{unpacked}/{TRUTH}"));
        let dir = folder(&[(TAR, TAR), (meta, &meta_to), ("ground-truth.txt", &truth_to)], &[]);
        assert_same(dir.path(), "the official tar");
    }
    let parquet = [
        ("validation-00000-of-00002.parquet", "data/validation-00000-of-00002.parquet"),
        ("validation-00001-of-00002.parquet", "data/validation-00001-of-00002.parquet"),
        ("train-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"),
    ];
    assert_same(folder(&parquet, &[]).path(), "parquet");
    let shards = [("shard-000000.tar", "shard-000000.tar"), ("shard-000001.tar", "shard-000001.tar")];
    assert_same(folder(&shards, &[]).path(), "WebDataset shards");
    assert_same(folder(&[("folders.tar", "val.tar")], &[]).path(), "class folders in a tar");

    let flat = folder(&[(DEVKIT, DEVKIT)], &[]);
    unpack(flat.path());
    assert_same(flat.path(), "flat, with the devkit's labels");
    // The devkit may lie beside the folder of the images instead of in it.
    let beside = folder(&[(DEVKIT, DEVKIT)], &[("val2012/.keep", "")]);
    unpack(&beside.path().join("val2012"));
    assert_same(&beside.path().join("val2012"), "flat, with the devkit's labels");
}

#[test]
fn texts_of_synsets_and_tables_give_the_same_dataset() {
    let golden: serde_json::Value = serde_json::from_slice(&golden("golden.json")).unwrap();
    let images = golden["images"].as_array().unwrap();
    let text = |row: &dyn Fn(&str, &str, u64) -> String| -> String {
        let row = |i: &serde_json::Value| {
            row(i["name"].as_str().unwrap(), i["synset"].as_str().unwrap(), i["label"].as_u64().unwrap())
        };
        images.iter().map(row).collect()
    };
    let flat = folder(&[], &[("validation_labels.txt", &text(&|_, synset, _| format!("{synset}\n")))]);
    unpack(flat.path());
    assert_same(flat.path(), "flat, with the devkit's labels");

    let rows = text(&|name, _, label| format!("images/{name},{label}\n"));
    let by_index = folder(&[], &[("labels.csv", &format!("path,label\n{rows}")), ("images/x", "")]);
    unpack(&by_index.path().join("images"));
    assert_same(by_index.path(), "a table of paths and labels");
    let rows = text(&|name, synset, _| format!("\"images/{name}\", {synset}\n"));
    let by_synset = folder(&[], &[("any.csv", &rows), ("images/x", "")]);
    unpack(&by_synset.path().join("images"));
    assert_same(&by_synset.path().join("any.csv"), "a table of paths and labels");

    let rows = text(&|name, synset, _| format!("{},{synset} 1 2 3 4 \n", name.trim_end_matches(".JPEG")));
    let place = "ILSVRC/Data/CLS-LOC/val";
    let rows = format!("ImageId,PredictionString\n{rows}");
    let texts = [("LOC_val_solution.csv", &*rows), ("LOC_train.csv", "x"), (&format!("{place}/.keep"), "")];
    let kaggle = folder(&[], &texts);
    unpack(&kaggle.path().join(place));
    assert_same(kaggle.path(), "a table of paths and labels");
}

#[test]
fn what_is_wrong_with_an_archive_is_said() {
    let refused = |place: &Path| {
        let error = open(place).unwrap_err();
        assert_eq!(error.class(), Class::BadInput, "{error}");
        error.to_string().replace(place.to_str().unwrap(), "DIR")
    };
    // The devkit's numbers are no positions among the sorted synsets: they are not guessed at.
    let dir = folder(&[(TAR, TAR), ("ground-truth.txt", TRUTH)], &[]);
    let text = refused(dir.path());
    assert!(text.contains("line 1: found `490`") && text.contains("meta.mat"), "{text}");

    let dir = folder(&[(TAR, TAR)], &[]);
    let text = refused(dir.path());
    assert!(text.contains("without labels") && text.contains(DEVKIT), "{text}");

    let dir = folder(&[(DEVKIT, DEVKIT)], &[("validation_labels.txt", "n01440764\n")]);
    unpack(dir.path());
    let kit = dir.path().join(DEVKIT);
    crate::fs::remove_file(&kit).unwrap();
    let text = refused(dir.path());
    assert!(text.contains("line 2") && text.contains("ILSVRC2012_val_00000002.JPEG"), "{text}");

    let cut = |name: &str, bytes: usize| {
        let dir = folder(&[(DEVKIT, DEVKIT)], &[]);
        let whole = golden(name);
        write(&dir.path().join(name), &whole[..bytes]);
        refused(dir.path())
    };
    assert!(cut(TAR, 700).contains("ends inside its member `ILSVRC2012_val_00000001.JPEG`"));
    assert!(cut(TAR, 0).contains("no members"));
    let parquet = "validation-00001-of-00002.parquet";
    assert!(cut(parquet, 900).contains(parquet));
    assert!(cut(parquet, 0).contains(parquet));

    let dir = folder(&[], &[("labels.csv", "path,label\nnone.jpg,3\n")]);
    let text = refused(dir.path());
    assert!(text.contains("line 2") && text.contains("none.jpg"), "{text}");
}

/// Damaged archives are errors or datasets, never a panic.
#[test]
fn damaged_archives_do_no_harm() {
    let mut state = 1_u64;
    for name in [DEVKIT, "meta.mat", "meta-compressed.mat", "validation-00000-of-00002.parquet", TAR] {
        let whole = golden(name);
        for _ in 0..25 {
            let mut damaged = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (state >> 33) as usize % damaged.len();
                damaged[at] = (state >> 20) as u8;
            }
            match name {
                "meta.mat" | "meta-compressed.mat" => drop(matlab::synsets(&damaged, name)),
                _ => {
                    let dir = folder(&[(TAR, TAR), (DEVKIT, DEVKIT)], &[]);
                    let path = match name {
                        DEVKIT => dir.path().join(TAR),
                        _ => dir.path().join(name),
                    };
                    write(&dir.path().join(name), &damaged);
                    if let Ok(dataset) = open(&path) {
                        dataset.items.iter().for_each(|item| drop(dataset.bytes(item)));
                    }
                }
            }
        }
    }
}
