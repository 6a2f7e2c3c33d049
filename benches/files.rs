//! Hashing and conversion of 64 MB that are in the page cache. `cargo bench --bench files`. For whole files of 1.9 GB
//! beside `cp`, see `convert.py`.

#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use zoo::checkpoint::Checkpoint;
use zoo::checkpoint::write::{self, Options, Output};
use zoo::hash::Sha256;

const BYTES: usize = 64 << 20;
const TENSORS: usize = 64;

/// A safetensors file of equal float32 tensors, and a zip `.pth` of the same.
fn inputs(folder: &Path) -> [PathBuf; 2] {
    let each = BYTES / TENSORS;
    let tensors: BTreeMap<String, _> = (0..TENSORS)
        .map(|i| {
            let value = serde_json::json!({
                "dtype": "F32", "shape": [each / 4], "data_offsets": [i * each, (i + 1) * each],
            });
            (format!("blocks.{i:02}.weight"), value)
        })
        .collect();
    let mut header = serde_json::to_vec(&tensors).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend((0..BYTES / 4).flat_map(|i| (i as f32).to_le_bytes()));
    let [plain, zip] = ["in.safetensors", "in.pth"].map(|name| folder.join(name));
    fs::write(&plain, bytes).unwrap();
    let checkpoint = Checkpoint::open(&plain).unwrap();
    write::pth(&checkpoint, &zip, &mut File::create(&zip).unwrap()).unwrap();
    [plain, zip]
}

fn files(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let [plain, zip] = inputs(folder.path());
    let mut group = c.benchmark_group("64 MB");
    group.sample_size(20).throughput(Throughput::Bytes(BYTES as u64));
    let bytes = vec![7; BYTES];
    group.bench_function("SHA-256", |b| b.iter(|| Sha256::of(black_box(&bytes))));
    let quiet = Options { sha256: false, tensors_sha256: false, ..Options::default() };
    let hashed = Options { tensors_sha256: false, ..Options::default() };
    for (name, path) in [("safetensors", &plain), ("zip .pth", &zip)] {
        let target = folder.path().join("out");
        group.bench_function(format!("{name} to safetensors"), |b| {
            b.iter(|| {
                let checkpoint = Checkpoint::open(path).unwrap();
                let mut file = File::create(&target).unwrap();
                write::safetensors(&checkpoint, &target, Output::File(&mut file), &quiet).unwrap()
            });
        });
        group.bench_function(format!("{name} to nothing, hashed"), |b| {
            b.iter(|| {
                let checkpoint = Checkpoint::open(path).unwrap();
                let output = Output::Stream(&mut io::sink());
                write::safetensors(&checkpoint, &target, output, &hashed).unwrap()
            });
        });
    }
}

criterion_group!(benches, files);
criterion_main!(benches);
