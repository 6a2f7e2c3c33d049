//! Datasets: the same whatever layout they were found in; what is wrong is named.

use std::path::Path;

use super::*;
use crate::error::{Class, Classify};
use crate::registry::Registry;

fn entry(name: &str) -> DatasetEntry {
    Registry::builtin().unwrap().dataset(name).unwrap().clone()
}

fn write(root: &Path, path: &str) {
    let path = root.join(path);
    crate::fs::create_dir_all(path.parent().unwrap()).unwrap();
    crate::fs::write_atomic(&path, b"not read here").unwrap();
}

fn open_folder(name: &str, files: &[&str]) -> Result<Dataset> {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|f| write(dir.path(), f));
    let entry = entry(name);
    Dataset::new(&entry, layout::list(dir.path(), &entry)?, &Classes::imagenet())
}

#[test]
fn synset_and_index_folders_are_the_same_dataset() {
    let a = open_folder("imagenet-val", &["n01440764/ILSVRC2012_val_00000293.JPEG", "n15075141/x.y.png"]);
    let b = open_folder("imagenet-val", &["val/0/ILSVRC2012_val_00000293.JPEG", "val/999/x.y.jpg"]);
    let (a, b) = (a.unwrap(), b.unwrap());
    let pairs = |d: &Dataset| d.items.iter().map(|i| (i.id.clone(), i.labels.clone())).collect::<Vec<_>>();
    assert_eq!(pairs(&a), [("00000293".into(), vec![0]), ("n15075141/x.y".into(), vec![999])]);
    assert_eq!(pairs(&a), pairs(&b));
    assert_eq!((a.layout, b.layout), ("folders by synset", "folders by class index"));
    assert_eq!(a.labels_sha256(), Sha256::of(b"00000293\t0\nn15075141/x.y\t999\n"));
    assert_eq!(a.labels_sha256(), b.labels_sha256());
    assert_eq!(a.relation, Relation::Given, "a part of the set is not the set");
}

#[test]
fn two_images_of_one_id_are_refused_by_name() {
    let error = open_folder("imagenet-val", &["n01440764/a/x.jpg", "n01440764/x.png"]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("n01440764/x") && text.contains("a/x.jpg") && text.contains("x.png"), "{text}");
    assert_eq!(error.class(), Class::BadInput);
}

#[test]
fn what_is_no_dataset_says_so() {
    let text = |files: &[&str]| {
        let error = open_folder("imagenet-val", files).unwrap_err();
        assert_eq!(error.class(), Class::BadInput);
        error.to_string()
    };
    assert!(text(&["n99999999/x.jpg"]).contains("n99999999"));
    assert!(text(&["1000/x.jpg"]).contains("class index 1000"));
    assert!(text(&["n01440764/notes.txt"]).contains("no images"));
    assert!(text(&["x.jpg", "y.jpg"]).contains("2 images side by side"));
    assert!(text(&[]).contains("no images"));
}

#[test]
fn the_order_is_the_digest_of_seed_dataset_and_id() {
    assert_eq!(order(0, "imagenet-val", "00000293"), Sha256::of(b"0imagenet-val00000293"));
}

#[test]
fn a_subset_is_a_prefix_of_a_larger_one() {
    let files: Vec<_> = (1..=40).map(|i| format!("n01440764/ILSVRC2012_val_{i:08}.JPEG")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let ids = |n, seed| {
        let mut dataset = open_folder("imagenet-val", &files).unwrap();
        dataset.select(&Subset::Drawn { n, seed }).unwrap();
        dataset.items.into_iter().map(|i| i.id).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(ids(10, 0).is_subset(&ids(20, 0)));
    assert_ne!(ids(10, 0), ids(10, 1));
    assert_eq!(ids(10, 0).len(), 10);
    let mut dataset = open_folder("imagenet-val", &files).unwrap();
    assert!(dataset.select(&Subset::Drawn { n: 41, seed: 0 }).unwrap_err().to_string().contains("41"));
}

#[test]
fn a_subset_file_names_ids_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ids.txt");
    crate::fs::write_atomic(&path, b"# mine\n00000002\n\n").unwrap();
    let mut dataset = open_folder("imagenet-val", &["0/ILSVRC2012_val_00000002.JPEG", "0/y.jpg"]).unwrap();
    dataset.select(&Subset::read(&path).unwrap()).unwrap();
    assert_eq!(dataset.items.len(), 1);
    crate::fs::write_atomic(&path, b"00000003\n").unwrap();
    let error = dataset.select(&Subset::read(&path).unwrap()).unwrap_err();
    assert!(error.to_string().contains("00000003"));
    crate::fs::write_atomic(&path, b"# nothing\n").unwrap();
    assert!(Subset::read(&path).is_err());
}

#[test]
fn a_complete_set_is_a_census_and_a_draw_from_it_random() {
    let mut entry = entry("imagenet-val");
    entry.population.as_mut().unwrap().n = 3;
    let dir = tempfile::tempdir().unwrap();
    (1..=3).for_each(|i| write(dir.path(), &format!("n01440764/ILSVRC2012_val_{i:08}.JPEG")));
    let open =
        || Dataset::new(&entry, layout::list(dir.path(), &entry).unwrap(), &Classes::imagenet()).unwrap();
    assert_eq!(open().relation, Relation::Census);
    let selected = |subset| {
        let mut dataset = open();
        dataset.select(&subset).unwrap();
        dataset.relation
    };
    assert_eq!(selected(Subset::Drawn { n: 2, seed: 0 }), Relation::Random);
    assert_eq!(selected(Subset::Drawn { n: 3, seed: 0 }), Relation::Census);
    assert_eq!(selected(Subset::Listed(vec!["00000002".into()])), Relation::Given);
}

#[test]
fn remembered_places_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = DatasetPaths::open(dir.path()).unwrap();
    assert!(paths.get("imagenet-val").is_none());
    let place = paths.add("imagenet-val", dir.path()).unwrap();
    assert_eq!(DatasetPaths::open(dir.path()).unwrap().get("imagenet-val"), Some(place.as_path()));
    assert!(paths.add("imagenet-val", &dir.path().join("nowhere")).is_err());
    crate::fs::write_atomic(&dir.path().join("datasets.json"), b"[").unwrap();
    assert!(DatasetPaths::open(dir.path()).is_err());
}
