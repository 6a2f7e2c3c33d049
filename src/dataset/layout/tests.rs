//! Six images in every layout: the same ids, labels, order and bytes. The files are those of other people's
//! programs (`tests/oracle/layouts.py`: tarfile, pyarrow, scipy), and what is wrong with broken ones is named.

mod tars;

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

fn labels(dataset: &Dataset) -> Vec<(&str, &[usize])> {
    dataset.items.iter().map(|i| (i.id.as_str(), i.labels.as_slice())).collect()
}

/// The six images' names, labels and words.
fn six() -> Vec<(String, usize, &'static crate::registry::labels::Label)> {
    let golden: serde_json::Value = serde_json::from_slice(&golden("golden.json")).unwrap();
    let of = |i: &serde_json::Value| {
        let label = i["label"].as_u64().unwrap() as usize;
        (i["name"].as_str().unwrap().to_owned(), label, &crate::registry::labels::imagenet()[label])
    };
    golden["images"].as_array().unwrap().iter().map(of).collect()
}

/// A tar of some files.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn whole_texts_of_classes_are_names_in_every_layout() {
    let row = |(name, _, label): &(String, usize, &crate::registry::labels::Label)| {
        (name.clone(), label.words.to_owned())
    };
    let rows: Vec<_> = six().iter().map(row).collect();
    for quoted in [true, false] {
        let text: String = rows
            .iter()
            .map(
                |(name, words)| {
                    if quoted { format!("{name},\"{words}\"\r\n") } else { format!("{name},{words}\n") }
                },
            )
            .collect();
        let flat = folder(&[], &[("labels.csv", &format!("\u{feff}file_name,label\n{text}\n"))]);
        unpack(flat.path());
        assert_same(flat.path(), "a table of paths and labels");
    }
    let lines: String =
        rows.iter().map(|(n, w)| format!("{}\n", serde_json::json!({"file_name": n, "label": w}))).collect();
    let flat = folder(&[], &[("metadata.jsonl", &lines)]);
    unpack(flat.path());
    assert_same(flat.path(), "a table of paths and labels");
    let by_name = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    unpack(files.path());
    let mut members = Vec::new();
    for (name, words) in &rows {
        let bytes = crate::fs::read(&files.path().join(name), 1 << 20).unwrap();
        let class = by_name.path().join(words);
        crate::fs::create_dir_all(&class).unwrap();
        write(&class.join(name), &bytes);
        let stem = name.trim_end_matches(".JPEG");
        members.push((format!("{stem}.jpg"), bytes));
        members.push((format!("{stem}.cls"), format!("{words}\n").into_bytes()));
    }
    assert_same(by_name.path(), "folders by class name");
    let members: Vec<_> = members.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    let shard = tempfile::tempdir().unwrap();
    write(&shard.path().join("shard.tar"), &tar_of(&members));
    assert_same(shard.path(), "WebDataset shards");
}

#[test]
fn every_layout_may_lie_in_a_folder_of_its_split() {
    for split in ["val", "validation", "imagenet/val", "data", "ILSVRC/Data/CLS-LOC/val"] {
        let within = |name: &str| format!("{split}/{name}");
        let tar =
            folder(&[(TAR, &within(TAR)), (DEVKIT, DEVKIT)], &[("train/n01440764/x.JPEG", "never read")]);
        assert_same(tar.path(), "the official tar");
        let shards = [("shard-000000.tar", within("a-0.tar")), ("shard-000001.tar", within("a-1.tar"))];
        let shards: Vec<_> = shards.iter().map(|(from, to)| (*from, to.as_str())).collect();
        assert_same(folder(&shards, &[]).path(), "WebDataset shards");
        let parquet = ["validation-00000-of-00002.parquet", "validation-00001-of-00002.parquet"];
        let parquet: Vec<_> = parquet.iter().map(|n| (*n, within(n))).collect();
        let parquet: Vec<_> = parquet.iter().map(|(from, to)| (*from, to.as_str())).collect();
        assert_same(folder(&parquet, &[]).path(), "parquet");
        let flat = folder(&[(DEVKIT, DEVKIT)], &[(&within(".keep"), ""), ("train/n01440764/x.JPEG", "")]);
        unpack(&flat.path().join(split));
        assert_same(flat.path(), "flat, with the devkit's labels");
        let rows: String =
            six().iter().map(|(n, l, _)| format!("{},{l}\n", n.trim_end_matches(".JPEG"))).collect();
        let texts =
            [("LOC_val_solution.csv", &*format!("ImageId,PredictionString\n{rows}")), (&within(".keep"), "")];
        let table = folder(&[], &texts);
        unpack(&table.path().join(split));
        assert_same(table.path(), "a table of paths and labels");
        // A table is looked for beside the folder that was given, not further up.
        if !split.contains('/') {
            assert_same(&table.path().join(split), "a table of paths and labels");
        }
    }
}

#[test]
fn what_systems_leave_is_skipped_in_every_layout() {
    let junk = [
        "._ILSVRC2012_val_00000001.JPEG",
        ".DS_Store",
        "Thumbs.db",
        "__MACOSX/._x.JPEG",
        "lost+found/x.JPEG",
    ];
    let texts: Vec<_> = junk.iter().map(|name| (*name, "not an image")).collect();
    let flat = folder(&[(DEVKIT, DEVKIT)], &texts);
    unpack(flat.path());
    assert_same(flat.path(), "flat, with the devkit's labels");

    let files = tempfile::tempdir().unwrap();
    unpack(files.path());
    let (mut members, mut classes) = (Vec::new(), folder(&[], &texts));
    for (name, _, label) in six() {
        let bytes = crate::fs::read(&files.path().join(&name), 1 << 20).unwrap();
        let class = classes.path().join(label.wnid);
        crate::fs::create_dir_all(&class).unwrap();
        write(&class.join(&name), &bytes);
        write(&class.join(format!("._{name}")), b"not an image");
        write(&class.join("Thumbs.db"), b"not an image");
        members.push((format!("./._{}", label.wnid), Vec::new()));
        members.push((format!("{}/._{name}", label.wnid), b"not an image".to_vec()));
        members.push((format!("__MACOSX/{}/._{name}", label.wnid), b"not an image".to_vec()));
        members.push((format!("{}/{name}", label.wnid), bytes));
    }
    assert_same(classes.path(), "folders by synset");
    let members: Vec<_> = members.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    write(&files.path().join("all.tar"), &tar_of(&members));
    assert_same(&files.path().join("all.tar"), "class folders in a tar");
    classes = folder(&[(TAR, TAR), (DEVKIT, DEVKIT)], &[("._ILSVRC2012_img_val.tar", "not a tar")]);
    assert_same(classes.path(), "the official tar");
    let parquet = ["validation-00000-of-00002.parquet", "validation-00001-of-00002.parquet"].map(|n| (n, n));
    assert_same(folder(&parquet, &[("._validation-00000-of-00002.parquet", "no table")]).path(), "parquet");
}

#[test]
fn texts_with_marks_and_blank_lines_are_read() {
    let synsets: String = six().iter().map(|(_, _, label)| format!("{}\r\n", label.wnid)).collect();
    let flat = folder(&[], &[("validation_labels.txt", &format!("\u{feff}{synsets}\r\n\n"))]);
    unpack(flat.path());
    assert_same(flat.path(), "flat, with the devkit's labels");
    let truth = String::from_utf8(golden("ground-truth.txt")).unwrap().replace('\n', "\r\n");
    let data = "ILSVRC2012_devkit_t12/data";
    let kit = folder(
        &[("meta.mat", &format!("{data}/meta.mat"))],
        &[(&format!("{data}/{TRUTH}"), &format!("\u{feff}{truth}\n"))],
    );
    unpack(kit.path());
    assert_same(kit.path(), "flat, with the devkit's labels");
    // The list that Caffe and mmpretrain pass around, and one with tabs and boxes as Tiny ImageNet has it.
    let rows: String = six().iter().map(|(n, l, _)| format!("{n} {l}\n")).collect();
    let list = folder(&[], &[("meta/unused", ""), ("val/.keep", ""), ("val.txt", &rows)]);
    unpack(&list.path().join("val"));
    assert_same(list.path(), "a table of paths and labels");
    let rows: String = six().iter().map(|(n, _, l)| format!("{n}\t{}\t0\t32\t44\t62\n", l.wnid)).collect();
    let tiny = folder(
        &[],
        &[("val/images/.keep", ""), ("val/val_annotations.txt", &rows), ("wnids.txt", "n01440764\n")],
    );
    unpack(&tiny.path().join("val/images"));
    assert_same(tiny.path(), "a table of paths and labels");
    // pandas writes its own index, and floats where a column has gaps.
    let rows: String = six().iter().enumerate().map(|(i, (n, l, _))| format!("{i};{l}.0;{n}\n")).collect();
    let pandas = folder(&[], &[("labels.csv", &format!(";target;filename\n{rows}"))]);
    unpack(pandas.path());
    assert_same(pandas.path(), "a table of paths and labels");
}

#[cfg(unix)]
#[test]
fn an_image_without_a_file_or_a_label_is_one_bad_image() {
    let bad = |dataset: &Dataset| -> Vec<String> {
        let reason =
            |i: &crate::dataset::Item| i.defect.clone().or_else(|| Some(dataset.bytes(i).err()?.to_string()));
        dataset.items.iter().filter_map(|i| Some(format!("{}: {}", i.id, reason(i)?))).collect()
    };
    let only = |place: &Path, words: &[&str]| {
        let dataset = open(place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        let bad = bad(&dataset);
        assert_eq!((dataset.items.len(), bad.len()), (6, 1), "{bad:?}");
        assert!(words.iter().all(|word| bad[0].contains(word)), "{} in {bad:?}", words.join(", "));
        dataset.fingerprint().unwrap();
    };
    // A link that leads nowhere, in class folders and flat.
    let files = tempfile::tempdir().unwrap();
    unpack(files.path());
    let classes = tempfile::tempdir().unwrap();
    for (i, (name, _, label)) in six().iter().enumerate() {
        let class = classes.path().join(label.wnid);
        crate::fs::create_dir_all(&class).unwrap();
        let target = if i == 3 { "/no/such/file".into() } else { files.path().join(name) };
        crate::fs::symlink(&target, &class.join(name)).unwrap();
    }
    only(classes.path(), &["00000004", "No such file"]);
    let flat = folder(&[(DEVKIT, DEVKIT)], &[]);
    unpack(flat.path());
    let third = flat.path().join("ILSVRC2012_val_00000003.JPEG");
    crate::fs::remove_file(&third).unwrap();
    crate::fs::symlink(&third, &third).unwrap();
    only(flat.path(), &["00000003"]);
    // A row without an image, an image without a row, a row without a label.
    let table = |rows: &dyn Fn(usize, &str, usize) -> String, without: Option<usize>| {
        let rows: String = six().iter().enumerate().map(|(i, (n, l, _))| rows(i, n, *l)).collect();
        let dir = folder(&[], &[("labels.csv", &format!("path,label\n{rows}"))]);
        unpack(dir.path());
        if let Some(i) = without {
            crate::fs::remove_file(&dir.path().join(&six()[i].0)).unwrap();
        }
        dir
    };
    only(table(&|_, n, l| format!("{n},{l}\n"), Some(2)).path(), &["00000003", "No such file"]);
    let missing = |i, n: &str, l| if i == 2 { String::new() } else { format!("{n},{l}\n") };
    only(table(&missing, None).path(), &["00000003", "no row"]);
    let blank = |i, n: &str, l| if i == 2 { format!("{n},\n") } else { format!("{n},{l}\n") };
    only(table(&blank, None).path(), &["00000003", "label is empty"]);
    // A sample without a label, and one whose label is empty.
    let shard = |cls: Option<&[u8]>| {
        let dir = tempfile::tempdir().unwrap();
        let mut members = Vec::new();
        for (i, (name, label, _)) in six().iter().enumerate() {
            let stem = name.trim_end_matches(".JPEG");
            let bytes = crate::fs::read(&files.path().join(name), 1 << 20).unwrap();
            members.push((format!("{stem}.jpg"), bytes));
            let text = if i == 4 { cls.map(<[u8]>::to_vec) } else { Some(label.to_string().into_bytes()) };
            members.extend(text.map(|text| (format!("{stem}.cls"), text)));
        }
        let members: Vec<_> = members.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        write(&dir.path().join("shard.tar"), &tar_of(&members));
        dir
    };
    only(shard(None).path(), &["00000005", "no `.cls`"]);
    only(shard(Some(b"\n")).path(), &["00000005", "label is empty"]);
}

#[test]
fn a_table_of_a_larger_set_is_said_to_be_one() {
    let known: String = six().iter().map(|(n, l, _)| format!("{n},{l}\n")).collect();
    let more: String = (100..120).map(|i| format!("ILSVRC2012_val_{i:08}.JPEG,0\n")).collect();
    let dir = folder(&[], &[("labels.csv", &format!("{known}{more}"))]);
    unpack(dir.path());
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.items.len(), 6);
    assert!(dataset.notes.join("").contains("20 of the 26 images"), "{:?}", dataset.notes);
}
