//! Adding an operation without teaching its readers does not compile: with `--cfg zoo_extra_op` the graph has one
//! operation more, and the compiler must refuse every file that reads operations.

use std::path::Path;
use std::process::Command;

/// Every file with a `match` over operations, and how many it has.
const READERS: &[(&str, usize)] = &[
    ("src/nn/cuda/pack.rs", 1),
    ("src/nn/cuda/schedule/plain.rs", 1),
    ("src/nn/describe.rs", 1),
    ("src/nn/graph/op.rs", 6),
    ("src/nn/graph/widths.rs", 1),
    ("src/nn/lower.rs", 2),
    ("src/nn/plan/build.rs", 1),
    ("src/nn/plan/packer.rs", 1),
    ("src/nn/plan/plain.rs", 2),
    ("src/nn/plan/version.rs", 1),
    ("src/nn/reference.rs", 1),
];

#[test]
#[ignore = "checks `zoo-nn` and all it is built on with a flag of its own: a step of `.ci/run`"]
fn every_reader_of_an_operation_is_named_by_the_compiler() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Only checked, and in a folder of its own: the flag is part of what every dependency is built with.
    let said = Command::new(env!("CARGO"))
        .current_dir(root)
        .args([
            "check",
            "--release",
            "--offline",
            "--color",
            "never",
            "-p",
            "zoo-nn",
            "--lib",
            "--target-dir",
            "target/readers",
        ])
        .env("RUSTFLAGS", "--cfg zoo_extra_op")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let mut lines = said.lines();
    let mut found: Vec<String> = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("error[E0004]") && line.contains("Op::Extra") {
            let place = lines.next().and_then(|l| l.trim().strip_prefix("--> ")).unwrap_or_default();
            found.push(place.split(':').next().unwrap_or_default().to_owned());
        }
    }
    for (file, count) in READERS {
        let named = found.iter().filter(|f| f == file).count();
        assert_eq!(named, *count, "{file}\n{said}");
    }
    let known = |f: &String| READERS.iter().any(|(file, _)| f == file);
    assert!(found.iter().all(known), "a reader that this test does not know: {found:?}");
}
