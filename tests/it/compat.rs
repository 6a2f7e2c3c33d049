//! What an earlier zoo left behind is gone on with: its journal resumes, its cache and locks are hit, its reports merge
//! and are the baseline of gates, its plan is the same plan. `tests/oracle/compat.py` made the files with zoo 0.1.0, whose
//! records had keys by the names of Rust types; now they are written out, and these tests hold that they stay.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::lite0::{MODEL, golden, lite0, weights};
use crate::support::{Home, Ran};

fn compat(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compat").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(compat(name)).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A canonical report of that time as it is written now: with the engine, which was told of the whole run only.
fn with_engine(canonical: String) -> String {
    canonical.replace(r#","isa":"portable""#, r#","engine":"plan","isa":"portable""#)
}

/// The machine that the records are of: the same pictures at the same time, and the same weights.
fn machine() -> Home {
    let home = Home::new();
    let manifest = json(&text("manifest.json"));
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(manifest["modified"].as_u64().unwrap());
    for image in manifest["images"].as_array().unwrap() {
        let [folder, name, picture] = [0, 1, 2].map(|i| image[i].as_str().unwrap());
        let path = home.write(&format!("val/{folder}/{name}"), std::fs::read(golden(picture)).unwrap());
        std::fs::File::options().append(true).open(path).unwrap().set_modified(modified).unwrap();
    }
    home.write("w.safetensors", weights(&lite0(), |_, _| {}));
    home
}

fn verify(home: &Home, more: &[&str]) -> Ran {
    let args =
        ["verify", MODEL, "--weights", "w.safetensors", "--dataset", "imagenet-val", "--data-dir", "val"];
    let args = [&args[..], &["--progress", "none", "--tolerance", "40"], more].concat();
    crate::support::ran(home.command(&args).env("ZOO_ISA", "portable").output().unwrap())
}

fn canonical(home: &Home, report: &Path) -> String {
    let ran = home.run(&["report", report.to_str().unwrap(), "--canonical"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

#[test]
fn a_journal_resumes_and_a_plan_is_the_same_plan() {
    let home = machine();
    copy(&compat("runs"), &home.cache("runs"));
    std::fs::copy(compat("plan.json"), home.path("plan.json")).unwrap();
    let ran = verify(&home, &["--plan-out", "plan.json", "--report", "r.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report = json(&std::fs::read_to_string(home.path("r.json")).unwrap());
    assert_eq!(report["timing"]["models"][0]["computed"], 2, "four of the six are on record");
    assert_eq!(canonical(&home, &home.path("r.json")), with_engine(text("whole.canonical.json")));
}

#[test]
fn shards_merge_and_reports_are_baselines() {
    let home = machine();
    // The journal is not there: all that is measured here is measured by this build.
    let ran = verify(&home, &["--shard", "2/2", "--report", "part-2-of-2.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let part = compat("part-1-of-2.json");
    let ran = home.run(&["merge", part.to_str().unwrap(), "part-2-of-2.json", "--report", "merged.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(canonical(&home, &home.path("merged.json")), with_engine(text("merged.canonical.json")));
    let old = compat("whole.json");
    assert_eq!(canonical(&home, &old), with_engine(text("whole.canonical.json")));
    let ran = verify(&home, &["--baseline", old.to_str().unwrap(), "--max-drop", "0"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("gate max_drop passed"), "{}", ran.out);
}

#[test]
fn a_cache_and_its_locks_are_hit() {
    let home = Home::new();
    copy(&compat("cache"), &home.dir.path().join("zoo"));
    std::fs::copy(compat("tiny.yaml"), home.path("tiny.yaml")).unwrap();
    let fetched = json(&text("manifest.json"))["fetched"].clone();
    let fetch = |home: &Home, more: &[&str]| {
        let args = ["fetch", "tiny", "--registry", "tiny.yaml", "--offline", "--json"];
        home.run(&[&args[..], more].concat())
    };
    let ran = fetch(&home, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let row = json(&ran.out)[0].clone();
    assert_eq!((&row["status"], &row["strength"]), (&"cached".into(), &"256 bits, pinned".into()));
    for key in ["sha256", "bytes", "tensors_sha256"] {
        assert_eq!(row[key], fetched[key], "{key}");
    }
    // Without the source, too, the conversion that is here says what it is of.
    let ran = home.run(&["cache", "ls", "--json"]);
    let kinds: Vec<_> = json(&ran.out).as_array().unwrap().iter().map(|i| i["kind"].clone()).collect();
    assert_eq!(kinds, ["file", "derived"]);
    assert_eq!(home.run(&["cache", "verify"]).code, Some(0));

    // The lock of a folder that others use as a mirror pins the file on a machine that never saw it.
    let other = Home::new();
    std::fs::copy(compat("tiny.yaml"), other.path("tiny.yaml")).unwrap();
    let sha256 = fetched["sha256"].as_str().unwrap();
    let bytes = std::fs::read(compat(&format!("cache/files/{sha256}"))).unwrap();
    other.write(&format!("mirror/files/{sha256}"), &bytes);
    let mirror = format!("file:{}", other.path("mirror").display());
    let lock = compat("zoo.lock");
    let ran = fetch(&other, &["--mirror", &mirror, "--lock", lock.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let row = json(&ran.out)[0].clone();
    assert_eq!((&row["status"], &row["strength"]), (&"fetched".into(), &"256 bits, pinned".into()));
    let spoilt = Home::new();
    std::fs::copy(compat("tiny.yaml"), spoilt.path("tiny.yaml")).unwrap();
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 1;
    spoilt.write(&format!("mirror/files/{sha256}"), &changed);
    let mirror = format!("file:{}", spoilt.path("mirror").display());
    let ran = fetch(&spoilt, &["--mirror", &mirror, "--lock", lock.to_str().unwrap()]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains(sha256), "{}", ran.err);
}
