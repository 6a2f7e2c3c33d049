//! `zoo scan`: what is looked into and what is named as not looked into; one verdict for a file in `scan`, `inspect` and
//! `convert`; folders and reports. Files that torch wrote are in `tests/golden/scans/`, those of a few lines are made
//! here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zoo::checkpoint::scan::{self, Answer, ImportClass, Scan};
use zoo::checkpoint::{Checkpoint, Options};

use crate::hostile::build::*;
use crate::schemas::Schemas;
use crate::support::{Home, unpacked};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scans")
}

pub(crate) fn golden_files() -> BTreeMap<String, Vec<u8>> {
    unpacked(&root().join("files.tar.gz"))
}

/// `posix.system("touch executed")`, as a whole pickle.
fn gadget() -> Vec<u8> {
    pickle(&[global("posix", "system").as_slice(), &text("touch executed"), b"\x85R"].concat())
}

fn harmless() -> Vec<u8> {
    state(&[("w", b"K\x01".to_vec())])
}

fn scanned(bytes: &[u8]) -> Scan {
    scan::scan_source(Path::new("x"), Box::new(bytes.to_vec())).unwrap()
}

fn refused(bytes: &[u8]) -> Option<String> {
    Checkpoint::from_source(Path::new("x"), Box::new(bytes.to_vec()), &Options::default())
        .err()
        .map(|e| e.to_string())
}

/// The verdict of the three verbs is one: what a scan does not call known, opening refuses, and what it calls
/// malformed too.
fn agrees(name: &str, bytes: &[u8], scan: &Scan) {
    let refused = refused(bytes);
    if scan.answer != Answer::Known {
        assert!(refused.is_some(), "{name}: {:?}, and it opens", scan.answer);
    }
    if let Some(message) = refused.filter(|_| scan.answer == Answer::Known) {
        let of_code = message.contains("names code") || message.contains("not looked into");
        assert!(!of_code, "{name}: known to `scan`: {message}");
    }
}

#[track_caller]
fn finds_the_gadget(name: &str, bytes: &[u8]) {
    let scan = scanned(bytes);
    assert_eq!(scan.answer, Answer::Dangerous, "{name}: {scan:?}");
    assert!(scan.imports.iter().any(|f| f.path() == "posix.system"), "{name}: {scan:?}");
    agrees(name, bytes, &scan);
}

#[track_caller]
fn is_named(name: &str, bytes: &[u8], says: &str) {
    let scan = scanned(bytes);
    assert_eq!(scan.answer, Answer::Unknown, "{name}: {scan:?}");
    assert!(scan.unscanned.iter().any(|part| part.to_string().contains(says)), "{name}: {scan:?}");
    agrees(name, bytes, &scan);
}

#[track_caller]
fn is_known(name: &str, bytes: &[u8]) {
    let scan = scanned(bytes);
    assert_eq!(scan.answer, Answer::Known, "{name}: {scan:?}");
    agrees(name, bytes, &scan);
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn with(more: Vec<Member>) -> Vec<u8> {
    zip(&good_members().into_iter().chain(more).collect::<Vec<_>>())
}

#[test]
fn files_that_torch_wrote_have_the_verdict_that_is_right() {
    let golden: Value = serde_json::from_slice(&std::fs::read(root().join("golden.json")).unwrap()).unwrap();
    let files = golden_files();
    let rows = golden["files"].as_array().unwrap();
    assert!(rows.len() >= 16);
    for row in rows {
        let name = row["file"].as_str().unwrap();
        let bytes = &files[name];
        let found = scan::scan_source(Path::new(name), Box::new(bytes.clone()));
        let Some(verdict) = row["verdict"].as_str() else {
            let message = found.unwrap_err().to_string();
            assert!(message.contains("torch."), "{name}: {message}");
            continue;
        };
        let found = found.unwrap();
        assert_eq!(found.answer.name(), verdict, "{name}: {found:?}");
        let strange: Vec<String> =
            found.imports.iter().filter(|f| f.verdict != ImportClass::Known).map(scan::Found::path).collect();
        let expected: Vec<&str> =
            row["imports"].as_array().unwrap().iter().map(|i| i.as_str().unwrap()).collect();
        assert_eq!(strange, expected, "{name}");
        assert_eq!(!found.unscanned.is_empty(), row["unscanned"].as_bool().unwrap(), "{name}: {found:?}");
        agrees(name, bytes, &found);
    }
}

#[test]
fn arrays_of_objects_are_looked_into_however_their_type_is_written() {
    for descr in [
        "'|O'",
        "'O'",
        "'O8'",
        "'O4'",
        "'<O'",
        "'>O'",
        "'=O'",
        "'object'",
        "'object_'",
        "\"O\"",
        "'\\x4f'",
        "'\\u004f'",
        "'\\117'",
        "u'O'",
        "'' 'O'",
        "('O')",
        "'''O'''",
        "[('a', 'O')]",
        "[('a', '<f4'), ('b', '|O', (2,))]",
        "('O', (2,))",
        "'f4,O'",
        "'(2,)O'",
        "None",
        "{'a': ('O', 0)}",
        "['O']",
        "'anything at all'",
    ] {
        let array = npy(descr, "()", &gadget());
        finds_the_gadget(descr, &array);
        finds_the_gadget(
            descr,
            &zip(&[member("w.npy", &npy("'<f4'", "(1,)", &[0; 4])), member("o.npy", &array)]),
        );
        finds_the_gadget(descr, &with(vec![deflated("a/extra.npy", &array)]));
    }
    // Headers that numpy refuses, and one that it takes only on demand: the pickle is found all the same.
    let long = format!("'O'{}", " ".repeat(20_000));
    finds_the_gadget("a long header", &npy(&long, "()", &gadget()));
    is_known("objects of known classes", &npy("'|O'", "(1,)", &harmless()));
    is_known("numbers", &npy("'<f4'", "(2,)", &[0; 8]));
    is_known("a record", &npy("[('a', '<f4'), ('b', '<i4')]", "(1,)", &[0x80; 8]));
}

#[test]
fn large_members_are_looked_into_or_named() {
    // Inflates to 40 MB; what runs is in its first bytes.
    let mut large = gadget();
    large.truncate(large.len() - 1);
    large.extend_from_slice(b"0X");
    large.extend_from_slice(&(40u32 << 20).to_le_bytes());
    large.resize(large.len() + (40 << 20), b'x');
    large.push(b'.');
    finds_the_gadget("at the front", &zip(&[deflated("w.npy", &npy("'O'", "()", &large))]));
    // What runs comes after 40 MB.
    let mut hidden = b"\x80\x02X".to_vec();
    hidden.extend_from_slice(&(40u32 << 20).to_le_bytes());
    hidden.resize(hidden.len() + (40 << 20), b'x');
    hidden.push(b'0');
    hidden.extend_from_slice(&gadget()[2..]);
    finds_the_gadget("stored", &with(vec![member("a/x.bin", &hidden)]));
    is_named("deflated", &with(vec![deflated("a/x.bin", &hidden)]), "only its first");
    let array = zip(&[deflated("w.npy", &npy("'O'", "()", &hidden))]);
    let scan = scanned(&array);
    assert_ne!(scan.answer, Answer::Known, "{scan:?}");
    agrees("array", &array, &scan);
}

#[test]
fn pickles_in_members_of_any_name_are_found() {
    for name in [
        "evil.bin",
        ".hidden.pkl",
        "config.p",
        "data/9",
        "README",
        "version.txt",
        "x/y/z",
        ".data/a",
        "extra/a.json",
    ] {
        finds_the_gadget(name, &with(vec![member(&format!("a/{name}"), &gadget())]));
        finds_the_gadget(name, &with(vec![deflated(&format!("a/{name}"), &gadget())]));
        finds_the_gadget(name, &zip(&[member(name, &gadget())]));
    }
    // In the bytes of a tensor.
    let mut members = good_members();
    members[2].data = gadget();
    members[2] = member("a/data/0", &[gadget(), vec![0; 64]].concat()[..24.max(gadget().len())]);
    let scan = scanned(&zip(&members));
    assert!(scan.imports.iter().any(|f| f.path() == "posix.system"), "{scan:?}");
    // After a harmless one, and broken after what runs.
    finds_the_gadget("second", &with(vec![member("a/x", &[harmless(), gadget()].concat())]));
    let mut broken = gadget();
    broken.pop();
    broken.extend_from_slice(b"0\xff\xff");
    finds_the_gadget("broken", &with(vec![member("a/x", &broken)]));
    let old = b"cposix\nsystem\n(S'touch executed'\ntR.";
    finds_the_gadget("protocol 0", &with(vec![member("a/x.txt", old)]));
    finds_the_gadget("protocol 0, broken", &with(vec![member("a/x.txt", &old[..old.len() - 1])]));
}

#[test]
fn what_python_goes_on_from_hides_nothing() {
    let tail = &gadget()[2..];
    for (name, head) in [
        ("a hexadecimal number", &b"I0x10\n0"[..]),
        ("a number with an underscore", b"I1_0\n0"),
        ("a long number with blanks", b"L 5 \n0"),
        ("a memo index with a sign", b"Np+7\n0"),
        ("an element of a list set", b"]NaK\x00Ns0"),
        ("a state for a function", b"ccollections\nOrderedDict\n}b0"),
        ("a frame that is too long", b"\x80\x04\x95\xff\0\0\0\0\0\0\0"),
        ("a frame that is too short", b"\x80\x04\x95\x01\0\0\0\0\0\0\0K\x010"),
        ("an extension", b"\x80\x02\x82\x010"),
        ("bytes that grow", b"\x80\x05\x96\x01\0\0\0\0\0\0\0xK\x01a0"),
    ] {
        let scan = scanned(&with(vec![member("a/x", &[head, tail].concat())]));
        assert_ne!(scan.answer, Answer::Known, "{name}: {scan:?}");
    }
    // A name of thousands of characters is an import like another.
    let long = format!("OrderedDict{}", ".__init__.__class__".repeat(200));
    let import = [b"\x80\x04".as_slice(), &text("collections"), &text(&long), b"\x93."].concat();
    let scan = scanned(&with(vec![member("a/x", &import)]));
    assert_eq!(scan.answer, Answer::Dangerous, "{scan:?}");
}

#[test]
fn archives_in_archives_are_looked_into() {
    let inner = zip(&[member("m/evil.pkl", &gadget())]);
    finds_the_gadget("zip in zip", &with(vec![member("a/inner.zip", &inner)]));
    finds_the_gadget("deflated zip in zip", &with(vec![deflated("a/inner.zip", &inner)]));
    finds_the_gadget("zip in zip in zip", &zip(&[member("x", &zip(&[member("y", &inner)]))]));
    finds_the_gadget("tar in zip", &with(vec![member("a/x", &tar(&[("evil", gadget())]))]));
    finds_the_gadget("zip in tar", &tar(&[("x.zip", inner.clone())]));
    finds_the_gadget(
        "npz in zip",
        &with(vec![member("a/x.npz", &zip(&[member("w.npy", &npy("'O'", "()", &gadget()))]))]),
    );
    finds_the_gadget("plain tar", &tar(&[("readme", b"text".to_vec()), ("evil.p", gadget())]));
    finds_the_gadget("legacy in zip", &with(vec![member("a/x", &legacy(&gadget(), &keys(&[]), &[]))]));
    let nested = (0..20).fold(gadget(), |inner, _| zip(&[member("x", &inner)]));
    is_named("twenty deep", &nested, "deep");
    for (name, bytes, says) in [
        ("a/x.7z", &b"7z\xbc\xaf\x27\x1c\0\x04"[..], "7z"),
        ("a/x.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc", "gzip"),
        ("a/x.xz", b"\xfd7zXZ\0abc", "xz"),
        ("a/x.zst", b"\x28\xb5\x2f\xfdabc", "zstd"),
        ("a/x.bz2", b"BZh91AY&SYabc", "bzip2"),
        ("a/x.rar", b"Rar!\x1a\x07\0abc", "RAR"),
        ("a/x.h5", b"\x89HDF\r\n\x1a\nabc", "HDF5"),
        ("a/handler.py", b"import os\n", "Python source"),
        ("a/lib.so", b"\x7fELF\x02\x01\x01", "machine code"),
        ("a/lib", b"\x7fELF\x02\x01\x01", "program"),
        ("a/run", b"#!/bin/sh\nls\n", "script"),
        ("a/x.zip", b"PK\x03\x04broken", "zip"),
    ] {
        is_named(name, &with(vec![member(name, bytes)]), says);
    }
    let mut locked = member("a/secret.pkl", &gadget());
    locked.flags = 1;
    is_named("an encrypted member", &with(vec![locked]), "encrypted");
    for (name, bytes) in [
        ("a/README.md", &b"# A model\ncat\ndog\n"[..]),
        ("a/labels.txt", b"cat\ndog\nhorse\n"),
        ("a/config.json", b"{\"a\": 1}\n"),
        ("a/preview.png", b"\x89PNG\r\n\x1a\n"),
        ("a/data/7", b"\x80\x02\x9d\xc2\x11\x3f\x00\x00"),
        ("a/data/8", b"\x84\x01\x02\x03\x04.\x11\x3f"),
        ("a/x.safetensors", &safe("{}      ", 0)),
    ] {
        is_known(name, &with(vec![member(name, bytes)]));
    }
}

#[test]
fn bytes_inside_of_pickles_are_looked_into() {
    let bytes = |inner: &[u8]| [b"B".as_slice(), &(inner.len() as u32).to_le_bytes(), inner].concat();
    let load = |inner: &[u8]| {
        [global("torch.storage", "_load_from_bytes"), bytes(inner), b"\x85R".to_vec()].concat()
    };
    let inner = good_legacy();
    is_known("a legacy file", &state(&[("w", load(&inner))]));
    is_known("a zip file", &state(&[("w", load(&zip(&good_members())))]));
    finds_the_gadget("in its bytes", &state(&[("w", load(&gadget()))]));
    finds_the_gadget(
        "in the zip in its bytes",
        &state(&[("w", load(&with(vec![member("a/x", &gadget())])))]),
    );
    finds_the_gadget("in bytes that nothing loads", &state(&[("w", bytes(&gadget()))]));
    // Not called with bytes that are there, but handed on.
    for (name, value) in [
        ("kept", [b"]".as_slice(), &global("torch.storage", "_load_from_bytes"), b"a"].concat()),
        (
            "called with another's result",
            [
                global("torch.storage", "_load_from_bytes").as_slice(),
                &global("collections", "OrderedDict"),
                b")R\x85R",
            ]
            .concat(),
        ),
    ] {
        let scan = scanned(&state(&[("w", value)]));
        assert_eq!(scan.answer, Answer::Dangerous, "{name}: {scan:?}");
    }
    let both = state(&[
        ("w", load(&inner)),
        ("v", [b"]".as_slice(), &global("torch.storage", "_load_from_bytes"), b"a"].concat()),
    ]);
    assert_eq!(scanned(&both).answer, Answer::Dangerous);
}

#[test]
fn what_follows_a_legacy_file_is_looked_into() {
    let scan = scanned(&[good_legacy(), gadget()].concat());
    assert_eq!(scan.answer, Answer::Malformed);
    assert!(scan.imports.iter().any(|f| f.path() == "posix.system"), "{scan:?}");
    // Also where the object is none that converts.
    let list = legacy(&pickle(b"]"), &keys(&[]), &[]);
    assert_eq!(scanned(&list).answer, Answer::Known);
    let scan = scanned(&[list, gadget()].concat());
    assert!(scan.imports.iter().any(|f| f.path() == "posix.system"), "{scan:?}");
    let scan = scanned(&[harmless().repeat(200), gadget()].concat());
    assert!(scan.imports.iter().any(|f| f.path() == "posix.system"), "{scan:?}");
}

#[test]
fn odd_contents_are_not_malformed() {
    for (name, bytes) in [
        ("a list", pickle(b"](K\x01e")),
        ("a number", pickle(b"K\x07")),
        ("an array of text", npy("'<U3'", "(1,)", &[0; 12])),
        ("an array of records", npy("[('a', '<f4')]", "(1,)", &[0; 4])),
    ] {
        is_known(name, &bytes);
    }
}

#[test]
fn a_limit_never_turns_into_clean() {
    let many: Vec<u8> = (0..5000).flat_map(|i| global("collections", &format!("n{i}"))).collect();
    let scan = scanned(&with(vec![member("a/x", &[b"\x80\x02(".as_slice(), &many, b"1N."].concat())]));
    assert_eq!(scan.answer, Answer::Unknown);
    assert!(
        scan.unscanned.iter().any(|part| part.reason.contains("more than")),
        "{:?}",
        scan.unscanned.first()
    );
    let marks = with(vec![member("a/x", &[b"(".repeat(5 << 20), gadget()].concat())]);
    is_named("marks", &marks, "more than");
    let pickles = with(vec![member("a/x", &[pickle(b"N").repeat(10_001), gadget()].concat())]);
    is_named("pickles", &pickles, "more than");
    let names: Vec<Vec<u8>> =
        (0..3).map(|k| (0..4000).flat_map(|i| global("m", &format!("n{k}.{i}"))).collect()).collect();
    let members = names
        .iter()
        .enumerate()
        .map(|(i, n)| member(&format!("a/{i}"), &[b"\x80\x02(", n.as_slice(), b"1N."].concat()));
    let scan = scanned(&with(members.chain([member("a/z", &gadget())]).collect()));
    assert_eq!(scan.answer, Answer::Dangerous, "what is not listed counts too");
    assert!(scan.imports.len() <= 10_000 && !scan.unscanned.is_empty());
}

#[test]
fn the_verbs_and_their_exit_codes() {
    let home = Home::new();
    let evil = with(vec![member("a/evil.bin", &gadget())]);
    home.write("evil.pth", &evil);
    home.write("locked.pth", with(vec![member("a/x.7z", b"7z\xbc\xaf\x27\x1c\0\x04")]));
    let good = zip(&good_members());
    home.write("good.pth", &good);
    for (file, code, says) in
        [("good.pth", 0, "known"), ("evil.pth", 1, "dangerous"), ("locked.pth", 1, "unknown")]
    {
        let ran = home.run(&["scan", file, "--json"]);
        assert_eq!(ran.code, Some(code), "{file}: {}", ran.err);
        let value: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(Schemas::check("scan-1.json", &value), Vec::<String>::new());
        assert_eq!(value["verdict"], says, "{file}");
        for verb in [&["inspect", file][..], &["convert", file, "-o", "out.safetensors"]] {
            let ran = home.run(verb);
            assert_eq!(ran.code, Some(if code == 0 { 0 } else { 3 }), "{verb:?}: {}", ran.err);
        }
        let _ = std::fs::remove_file(home.path("out.safetensors"));
    }
    let text = home.run(&["scan", "locked.pth"]);
    assert!(text.out.contains("not looked into: `a/x.7z` from byte 0: a 7z archive"), "{}", text.out);
    // The hint is right: it keeps the tensors, and says what was let pass.
    for file in ["evil.pth", "locked.pth"] {
        let ran = home.run(&["convert", file, "-o", "opaque.safetensors", "--allow-opaque", "--force"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
}

#[test]
fn a_folder_and_a_report_for_ci() {
    let home = Home::new();
    home.write("models/b/good.pth", zip(&good_members()));
    home.write("models/README.md", b"# Models\n");
    home.write("models/a [x].pkl", gadget());
    home.write("models/weights.7z", b"7z\xbc\xaf\x27\x1c\0\x04");
    let ran = home.run(&["scan", "models", "--report", "scan.sarif", "--report", "scan.json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.first().unwrap().starts_with("models/README.md: not a checkpoint"), "{}", ran.out);
    assert!(
        ran.out.ends_with("4 files: 1 known, 1 unknown, 1 dangerous, 1 not a checkpoint\n"),
        "{}",
        ran.out
    );
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(home.path(name)).unwrap()).unwrap() };
    let files = read("scan.json");
    assert_eq!(Schemas::check("scan.files-1.json", &files), Vec::<String>::new());
    let sarif = read("scan.sarif");
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{results:?}");
    for result in results {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.starts_with("models/") && !uri.contains([' ', '[']), "{uri}");
    }
    assert_eq!(results[0]["level"], "error");
    // A report that exists stays, an ending that means nothing is refused, both before anything is read.
    assert_eq!(home.run(&["scan", "models", "--report", "scan.sarif"]).code, Some(2));
    assert_eq!(home.run(&["scan", "models", "--report", "scan.html"]).code, Some(2));
    let ran = home.run(&["scan", "models/b", "--json"]);
    assert_eq!(
        (ran.code, Schemas::check("scan.files-1.json", &serde_json::from_str(&ran.out).unwrap())),
        (Some(0), vec![])
    );
    // Several files: 3 goes before 1.
    home.write("broken.pth", &zip(&good_members())[..200]);
    let ran = home.run(&["scan", "models/a [x].pkl", "broken.pth", "models/b/good.pth"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.out.contains("good.pth: torch-zip: nothing outside the known set"), "{}", ran.out);
    assert_eq!(home.run(&["scan", "models/README.md"]).code, Some(3));
    home.write("only/x.txt", b"x y z\n# and more words\n");
    assert_eq!(home.run(&["scan", "only"]).code, Some(0));
    std::fs::create_dir(home.path("empty")).unwrap();
    assert_eq!(home.run(&["scan", "empty"]).code, Some(3));
    assert_eq!(home.run(&["scan", "missing.pth"]).code, Some(3));
}

#[test]
fn what_is_no_checkpoint_is_named_by_every_verb() {
    let home = Home::new();
    let field = |number: u8, body: &[u8]| [&[number << 3 | 2, body.len() as u8], body].concat();
    let onnx = [&[8, 8][..], &field(2, b"pytorch"), &field(7, &field(1, b"node"))].concat();
    let keras = zip(&[
        member("metadata.json", b"{}"),
        member("config.json", b"{}"),
        member("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
    ]);
    for (name, bytes, says) in [
        ("model.onnx", onnx, "an ONNX model"),
        ("saved_model.pb", [&[8, 1][..], &field(2, &field(1, b"meta"))].concat(), "TensorFlow SavedModel"),
        ("model.tflite", b"\x1c\0\0\0TFL3\0\0\0\0".to_vec(), "TFLite"),
        ("model.keras", keras, "Keras"),
        ("flax_model.msgpack", b"\x81\xa6params\x81\xa1w\xc7\x10\x01".to_vec(), "MessagePack"),
        ("model.pth", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git-lfs"),
        ("model.html", b"<!DOCTYPE html><html>".to_vec(), "HTML"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "7z"),
        ("model.ckpt.data-00000-of-00001", vec![1; 64], "TensorFlow"),
        ("model.weights", vec![0, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0], "Darknet"),
        ("notes.yaml", b"a: 1\n".to_vec(), "YAML"),
        ("docs.zip", zip(&[member("readme.txt", b"text")]), "zip archive"),
        ("docs.tar", tar(&[("readme.txt", b"text".to_vec())]), "tar archive"),
    ] {
        home.write(name, &bytes);
        for verb in [&["scan", name][..], &["inspect", name], &["convert", name, "-o", "out.safetensors"]] {
            let ran = home.run(verb);
            assert_eq!(ran.code, Some(3), "{verb:?}: {} {}", ran.out, ran.err);
            assert!(
                ran.err.contains("is not a checkpoint") && ran.err.contains(says),
                "{verb:?}: {}",
                ran.err
            );
        }
    }
}
