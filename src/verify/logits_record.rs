//! What timm computes on seeded stand-in weights: the record that every engine is held to.
//!
//! In: an architecture's name. Out: [`Golden`]: seed, gain, sizes, logits, and the two figures that say what a
//! comparison with them is worth. The files are made by `tests/oracle/logits.py` and embedded: a line of JSON for each
//! architecture, and the logits in 24 bits each, some 2e-7 standard deviations from timm's. Called by the tests and by
//! `zoo verify --dataset golden` (level `architecture`).

use std::sync::OnceLock;

use serde::Deserialize;

use crate::error::{Class, Classify};
use crate::nn::graph::Graph;
use crate::nn::seeded::Seeded;

static RECORDS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/logits/records.json"));
static LOGITS: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/logits/logits.bin"));

/// Steps between the least and the largest logit of a row.
const LEVELS: f64 = ((1 << 24) - 1) as f64;

/// How far logits may be from timm's, in standard deviations of timm's over the classes. Below it the
/// smallest figure [`Sensitivity::smallest`] of any record by ten, above torch's own noise by ten.
pub const TOLERANCE: f64 = 1e-4;

/// timm's logits for one architecture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Golden {
    /// Architecture name.
    pub arch: String,
    /// Seed of weights and image.
    pub seed: u64,
    /// What norms' weights are multiplied by.
    pub gain: f64,
    /// The version of timm that was asked.
    pub timm: String,
    /// SHA-256 of the bytes of every floating tensor, in the order of the state dict.
    pub weights_sha256: String,
    /// One a size.
    pub rows: Vec<Row>,
}

/// timm's logits at one size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    /// Height and width of the image.
    pub size: usize,
    /// Standard deviation of the logits over the classes.
    pub sigma: f64,
    /// torch's own largest |float32 − float64|, in σ.
    pub noise: f64,
    /// What the row would notice.
    pub sensitivity: Sensitivity,
    /// One for each class.
    #[serde(skip)]
    pub logits: Vec<f32>,
    /// Where they begin in the file of logits, and how many they are.
    at: usize,
    classes: usize,
    /// The least and the largest of them.
    least: f64,
    most: f64,
}

/// The file of records.
#[derive(Deserialize)]
struct Records {
    records: Vec<Golden>,
}

/// What happens to the logits when one tensor is exchanged.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sensitivity {
    /// The smallest of the largest changes, in σ, over the tensors tried.
    pub smallest: f64,
    /// The tensor it was.
    pub tensor: String,
    /// Tensors tried.
    pub tried: usize,
    /// Floating tensors in all.
    pub of: usize,
}

impl Golden {
    /// The stand-in weights that the logits are of, for the architecture's graph.
    pub fn weights(&self, graph: &Graph) -> Seeded {
        Seeded::with_gain(graph, self.seed, self.gain)
    }
}

impl Row {
    /// The logits out of their 24 bits; `None` where they lie beyond the file's end.
    fn unpack(&mut self) -> Option<()> {
        let (values, _) = LOGITS.as_chunks::<3>();
        let values = values.get(self.at..self.at.checked_add(self.classes)?)?;
        let value = |&[a, b, c]: &[u8; 3]| {
            let q = f64::from(u32::from_le_bytes([a, b, c, 0]));
            (self.least + q * (self.most - self.least) / LEVELS) as f32
        };
        self.logits = values.iter().map(value).collect();
        Some(())
    }

    /// The largest difference from timm's logits, in σ; infinite where the lengths differ or a value is
    /// not finite.
    pub fn distance(&self, logits: &[f32]) -> f64 {
        distance(logits, &self.logits, self.sigma)
    }
}

/// The largest difference of `ours` from `theirs`, in units of `sigma`; infinite where the lengths differ or a
/// value of ours is not finite.
pub fn distance(ours: &[f32], theirs: &[f32], sigma: f64) -> f64 {
    if ours.len() != theirs.len() || ours.iter().any(|l| !l.is_finite()) {
        return f64::INFINITY;
    }
    let apart = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    apart.fold(0.0, f64::max) / sigma
}

/// The embedded records cannot be read: a file was edited by hand.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the golden records: {reason}")]
pub struct Error {
    /// What is wrong.
    pub reason: String,
}

impl Classify for Error {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// All records, read once; sorted by architecture.
fn records() -> Result<&'static [Golden], Error> {
    static ALL: OnceLock<Result<Vec<Golden>, Error>> = OnceLock::new();
    let read = || match serde_json::from_str::<Records>(RECORDS) {
        Ok(Records { mut records }) => {
            records.sort_by(|a, b| a.arch.cmp(&b.arch));
            Ok(records)
        }
        Err(e) => Err(Error { reason: e.to_string() }),
    };
    ALL.get_or_init(read).as_deref().map_err(Clone::clone)
}

/// The record of `arch`; `None` where timm was not asked about it.
///
/// # Errors
/// Embedded files that are damaged.
pub fn of(arch: &str) -> Result<Option<Golden>, Error> {
    let all = records()?;
    let Ok(at) = all.binary_search_by(|record| record.arch.as_str().cmp(arch)) else { return Ok(None) };
    let Some(mut golden) = all.get(at).cloned() else { return Ok(None) };
    for row in &mut golden.rows {
        let short = || Error { reason: format!("`logits.bin` ends before those of `{arch}`") };
        row.unpack().ok_or_else(short)?;
    }
    Ok(Some(golden))
}

/// Architectures on record, sorted.
pub fn archs() -> Vec<&'static str> {
    records().unwrap_or_default().iter().map(|record| record.arch.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_in_standard_deviations() {
        let sensitivity = Sensitivity { smallest: 1e-2, tensor: "w".into(), tried: 1, of: 1 };
        let (least, most) = (0.0, 1.0);
        let mut row = Row {
            size: 8,
            sigma: 0.5,
            noise: 1e-6,
            sensitivity,
            logits: vec![0.0, 1.0],
            at: 0,
            classes: 2,
            least,
            most,
        };
        assert_eq!(row.distance(&[0.25, 1.0]), 0.5);
        assert_eq!(row.distance(&[0.0]), f64::INFINITY);
        assert_eq!(row.distance(&[f32::NAN, 1.0]), f64::INFINITY);
        row.at = usize::MAX;
        assert_eq!(row.unpack(), None);
    }

    #[test]
    fn every_record_is_worth_comparing_with() {
        for arch in archs() {
            let golden = of(arch).unwrap().unwrap();
            assert_eq!(golden.arch, arch);
            for row in &golden.rows {
                assert!(
                    row.noise <= 1e-5,
                    "{arch} at {}: torch differs from itself by {}",
                    row.size,
                    row.noise
                );
                let s = &row.sensitivity;
                assert!(
                    s.smallest >= 1e-3,
                    "{arch} at {}: {} moves it by {}",
                    row.size,
                    s.tensor,
                    s.smallest
                );
            }
        }
        assert_eq!(of("none").unwrap(), None);
        assert!(RECORDS.len() + LOGITS.len() <= 1_000_000, "records are in the binary: a megabyte at most");
        // Every architecture of the index is on record.
        let registry = crate::registry::Registry::builtin().unwrap();
        let of_index = registry.models().iter().filter_map(|entry| entry.zoo.arch.as_deref());
        let of_index: std::collections::BTreeSet<&str> = of_index.collect();
        assert_eq!(archs(), Vec::from_iter(of_index));
    }
}
