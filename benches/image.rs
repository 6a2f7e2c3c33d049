//! Decoding, resizing and preparing images. `cargo bench --bench image` measures with criterion;
//! `benches/images_vs_pillow.py` runs the same program as `image peer` and takes turns with Pillow.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stdout)]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::BufRead;

use criterion::{Criterion, criterion_group};
use zoo::image::{self, Preparer, Preprocess};
use zoo::registry::{CropMode, ImageSize, Interpolation};

/// 224 pixels, bicubic, crop 0.875, ImageNet's mean: what the facts about Pillow were measured with.
fn preprocess(side: usize, crop_pct: f64) -> Preprocess {
    Preprocess {
        size: ImageSize { height: side, width: side },
        crop_pct,
        crop_mode: CropMode::Center,
        interpolation: Interpolation::Bicubic,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    }
}

fn photo() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/images/photo.jpg")).unwrap()
}

fn images(c: &mut Criterion) {
    let bytes = photo();
    let picture = image::decode(&bytes).unwrap();
    c.bench_function("decode 500x375 JPEG", |b| b.iter(|| image::decode(black_box(&bytes)).unwrap()));
    for (side, crop) in [(224, 0.875), (380, 0.922), (600, 0.949)] {
        let settings = preprocess(side, crop);
        let mut preparer = Preparer::new(&settings);
        let mut out = vec![0.0; settings.len()];
        c.bench_function(&format!("resize, crop, normalise to {side}"), |b| {
            b.iter(|| preparer.tensor(black_box(&picture), &mut out).unwrap());
        });
        c.bench_function(&format!("500x375 JPEG to {side}"), |b| {
            b.iter(|| preparer.file(black_box(&bytes), &mut out).unwrap());
        });
    }
}

criterion_group!(benches, images);

/// Reads lines `WHAT TURNS PATH`, does that, and answers each with a line. Whoever asks measures: this
/// process does nothing else, and keeps the pictures it has seen.
fn peer() {
    let settings = preprocess(224, 0.875);
    let mut preparer = Preparer::new(&settings);
    let mut out = vec![0.0; settings.len()];
    let mut seen = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let mut words = line.splitn(3, ' ');
        let (what, turns, path) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let (bytes, picture) = seen.entry(path.to_owned()).or_insert_with(|| {
            let bytes = std::fs::read(path).unwrap();
            let picture = image::decode(&bytes).unwrap();
            (bytes, picture)
        });
        for _ in 0..turns.parse().unwrap() {
            match what {
                "decode" => drop(black_box(image::decode(bytes).unwrap())),
                "resize" => preparer.tensor(black_box(picture), &mut out).unwrap(),
                "whole" => preparer.file(black_box(bytes), &mut out).unwrap(),
                other => panic!("`{other}` is not one of decode, resize, whole"),
            }
            black_box(&out);
        }
        println!("done");
    }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("peer") {
        return peer();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
