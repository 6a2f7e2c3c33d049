//! Tables by `datasets` and pyarrow (`tests/oracle/parquets.py`): whatever their columns are, the images, ids and labels
//! are the same.

use std::path::Path;

use super::*;
use crate::dataset::layout;
use crate::dataset::{Classes, Dataset};
use crate::registry::Registry;

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/parquet").join(name);
    crate::fs::read(&path, 1 << 20).unwrap()
}

/// A folder with one of the tables as its validation split.
fn folder(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    crate::fs::write_atomic(&dir.path().join("validation-00000-of-00001.parquet"), &golden(name)).unwrap();
    dir
}

fn open(place: &Path) -> Result<Dataset> {
    let entry = Registry::builtin().unwrap().dataset("imagenet-val").unwrap().clone();
    Dataset::new(&entry, layout::list(place, &entry)?, &Classes::imagenet())
}

/// Id, labels and digest of each image, as the script says.
fn expected() -> Vec<(String, Vec<usize>, String)> {
    let golden: serde_json::Value = serde_json::from_slice(&golden("golden.json")).unwrap();
    let of = |i: &serde_json::Value| {
        let id = i["name"].as_str().unwrap().trim_start_matches("ILSVRC2012_val_").trim_end_matches(".JPEG");
        (id.to_owned(), vec![i["label"].as_u64().unwrap() as usize], i["sha256"].as_str().unwrap().to_owned())
    };
    golden["images"].as_array().unwrap().iter().map(of).collect()
}

fn found(dataset: &Dataset) -> Vec<(String, Vec<usize>, String)> {
    let of = |item: &crate::dataset::Item| {
        let digest =
            dataset.bytes(item).map_or_else(|e| e.to_string(), |bytes| Sha256::of(&bytes).to_string());
        (item.id.clone(), item.labels.clone(), digest)
    };
    dataset.items.iter().map(of).collect()
}

#[test]
fn every_table_gives_the_same_dataset() {
    for name in [
        "class-label",
        "fine-and-coarse",
        "label-list",
        "texts",
        "small-ints",
        "zstd",
        "gzip",
        "lz4",
        "brotli",
        "snappy",
        "none",
        "plain-bytes",
        "large",
        "dictionary",
        "no-dictionary",
        "nested",
        "webdataset",
        "small-pages",
    ] {
        let dir = folder(&format!("{name}.parquet"));
        let dataset = open(dir.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found(&dataset), expected(), "{name}");
        assert!(dataset.notes.is_empty(), "{:?}", dataset.notes);
        // The last rows first: an image is found from wherever one looks.
        let last = dataset.items.last().unwrap();
        assert_eq!(Sha256::of(&dataset.bytes(last).unwrap()).to_string(), expected().last().unwrap().2);
    }
}

#[test]
fn images_that_a_table_only_names_are_files() {
    let source = open(folder("none.parquet").path()).unwrap();
    for name in ["paths-only", "path-texts"] {
        let dir = folder(&format!("{name}.parquet"));
        for item in source.items.iter().skip(1) {
            let file = dir.path().join(format!("ILSVRC2012_val_{}.JPEG", item.id));
            crate::fs::write_atomic(&file, &source.bytes(item).unwrap()).unwrap();
        }
        let dataset = open(dir.path()).unwrap();
        let (found, expected) = (found(&dataset), expected());
        assert_eq!(found[1..], expected[1..], "{name}");
        assert!(found[0].2.contains("no file `ILSVRC2012_val_00000001.JPEG`"), "{}", found[0].2);
        assert!(dataset.bytes(&dataset.items[0]).unwrap_err().is_of_one_image());
    }
}

#[test]
fn a_row_without_bytes_or_label_is_one_bad_image() {
    let dir = folder("no-bytes.parquet");
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.items.len(), 6);
    let error = dataset.bytes(&dataset.items[2]).unwrap_err();
    assert!(error.is_of_one_image() && error.to_string().contains("row 2"), "{error}");
    for name in ["no-label", "floats"] {
        let dir = folder(&format!("{name}.parquet"));
        let dataset = open(dir.path()).unwrap();
        let bad: Vec<_> = dataset.items.iter().filter(|i| i.defect.is_some()).collect();
        assert_eq!((dataset.items.len(), bad.len(), bad[0].id.as_str()), (6, 1, "00000001"), "{name}");
        assert!(bad[0].defect.as_ref().unwrap().contains("null") && !bad[0].is_unlabelled());
        let (found, expected) = (found(&dataset), expected());
        assert_eq!(found[1..], expected[1..], "{name}");
    }
}

#[test]
fn tables_without_labels_say_so() {
    let text = |name: &str| open(folder(name).path()).unwrap_err().to_string();
    let test = text("test-split.parquet");
    assert!(test.contains("none of the 6 images") && test.contains("-1"), "{test}");
    let none = text("no-label-column.parquet");
    assert!(none.contains("no column `label`") && none.contains("caption"), "{none}");
}

#[test]
fn names_in_a_dataset_card_count_where_the_table_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    crate::fs::create_dir_all(&data).unwrap();
    crate::fs::write_atomic(&data.join("validation-00000-of-00001.parquet"), &golden("small-ints.parquet"))
        .unwrap();
    let names: String = (0..1000).map(|i| format!("          '{i}': n{:08}\n", 0)).collect();
    let card = |names: &str| {
        format!(
            "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n{names}---\n"
        )
    };
    crate::fs::write_atomic(&dir.path().join("README.md"), card(&names).as_bytes()).unwrap();
    let text = open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("n00000000") && text.contains("README.md"), "{text}");
    let wnids = crate::registry::labels::imagenet();
    let names: String =
        wnids.iter().rev().enumerate().map(|(i, l)| format!("          '{i}': {}\n", l.wnid)).collect();
    crate::fs::write_atomic(&dir.path().join("README.md"), card(&names).as_bytes()).unwrap();
    let dataset = open(dir.path()).unwrap();
    let labels: Vec<_> = dataset.items.iter().map(|i| 999 - i.labels[0]).collect();
    assert_eq!(labels, expected().iter().map(|e| e.1[0]).collect::<Vec<_>>());
}

#[test]
fn shards_that_are_missing_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("default/validation");
    crate::fs::create_dir_all(&place).unwrap();
    crate::fs::create_dir_all(&dir.path().join("default/train")).unwrap();
    crate::fs::write_atomic(&dir.path().join("default/train/0000.parquet"), b"not read").unwrap();
    crate::fs::write_atomic(&place.join("0000.parquet"), &golden("zstd.parquet")).unwrap();
    assert_eq!(found(&open(dir.path()).unwrap()), expected());
    crate::fs::remove_file(&place.join("0000.parquet")).unwrap();
    crate::fs::write_atomic(&place.join("validation-00001-of-00003.parquet"), &golden("zstd.parquet"))
        .unwrap();
    let notes = open(dir.path()).unwrap().notes.join("\n");
    assert!(
        notes.contains("`validation-00000-of-00003.parquet` is missing") && notes.contains("2 of 3"),
        "{notes}"
    );
}

/// One damaged byte of packed images costs the images of its page; which those are the other pages show.
#[test]
fn a_damaged_page_costs_its_own_images() {
    let (mut some, mut all) = (0, 0);
    for name in ["zstd", "gzip", "snappy", "small-pages"] {
        let whole = golden(&format!("{name}.parquet"));
        let expected = expected();
        let reader = SerializedFileReader::new(bytes::Bytes::from(whole.clone())).unwrap();
        let group = reader.metadata().row_group(0);
        let column = group.columns().iter().find(|c| c.column_path().string().ends_with("bytes")).unwrap();
        let (start, len) = column.byte_range();
        for place in 1..8 {
            let mut damaged = whole.clone();
            let at = (start + len * place / 8) as usize;
            damaged[at..at + 4].copy_from_slice(b"\xff\0\xff\x55");
            let dir = tempfile::tempdir().unwrap();
            crate::fs::write_atomic(&dir.path().join("validation-00000-of-00001.parquet"), &damaged).unwrap();
            let dataset = open(dir.path()).unwrap();
            assert_eq!(dataset.items.len(), expected.len());
            let mut bad = 0;
            for item in &dataset.items {
                if let Err(error) = dataset.bytes(item) {
                    assert!(error.is_of_one_image(), "{name}, {at}: {error}");
                    assert!(error.to_string().contains("of group"), "{error}");
                    bad += 1;
                }
            }
            some += usize::from(bad > 0 && bad < expected.len());
            all += usize::from(bad > 0);
        }
    }
    assert!(all > 0 && some > 0, "{some} of {all}");
}
