//! Evidence without ImageNet: does the network compute what timm computes?
//!
//! In: an entry, and logits on record. Out: a [`Checked`] with a named [`GoldenLevel`]: `checkpoint` when timm's logits
//! for exactly these weights are on record, `architecture` when they are for the architecture with seeded
//! weights, `unknown` when neither is. Called by `zoo verify --dataset golden` and `zoo golden record`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::logits_record::{self, TOLERANCE};
use super::{Error, Result};
use crate::arch::facts::IMAGE_CHANNELS;
use crate::fs;
use crate::hash::Sha256;
use crate::model::{EngineKind, Loader, ModelSpec, Network, Prepared};
use crate::nn::seeded;
use crate::registry::Entry;
use crate::store::{Request, Store};

/// The schema's name and version.
pub const SCHEMA: &str = "zoo.golden/1";

/// Seed of the image that recorded logits are of.
pub const SEED: u64 = 0;

/// The largest record that is read.
const MAX_RECORD: u64 = 16 << 20;

/// How much is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GoldenLevel {
    /// timm's logits for the architecture with seeded weights are on record.
    #[serde(rename = "architecture")]
    Architecture,
    /// timm's logits for exactly these weights are on record.
    #[serde(rename = "checkpoint")]
    Checkpoint,
    /// Nothing is on record.
    #[serde(rename = "unknown")]
    Unknown,
}

impl GoldenLevel {
    /// Its name in tables and reports.
    pub const fn name(self) -> &'static str {
        match self {
            GoldenLevel::Architecture => "architecture",
            GoldenLevel::Checkpoint => "checkpoint",
            GoldenLevel::Unknown => "unknown",
        }
    }
}

/// The golden levels of entries, found without fetching, hashing or computing anything. Called by `zoo list`.
pub struct Levels {
    /// Sorted.
    archs: Vec<&'static str>,
    /// Whose home has records.
    store: Option<Store>,
}

impl Levels {
    /// Whether anybody has put a record into a home: only then a store is needed.
    pub fn are_kept(home: &Path) -> bool {
        folder(home).is_dir()
    }

    /// With the records of a store's home, or the embedded ones only.
    pub fn new(store: Option<Store>) -> Self {
        let (mut archs, known) = (logits_record::archs(), crate::arch::names());
        archs.retain(|arch| known.binary_search(arch).is_ok());
        Levels { archs, store }
    }

    /// What `zoo verify NAME --dataset golden` would compare with.
    pub fn of(&self, entry: &Entry) -> GoldenLevel {
        let recorded = |store: &Store| {
            store
                .recorded_tensors(&Request::of(entry))
                .is_some_and(|sha256| path(store.home(), sha256).is_file())
        };
        let arch = entry.zoo.arch.as_deref().unwrap_or_default();
        if self.store.as_ref().is_some_and(recorded) {
            GoldenLevel::Checkpoint
        } else if self.archs.binary_search(&arch).is_ok() {
            GoldenLevel::Architecture
        } else {
            GoldenLevel::Unknown
        }
    }
}

/// A comparison with timm's logits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// The entry's name.
    pub model: String,
    /// The architecture.
    pub arch: String,
    /// How much is known.
    pub level: GoldenLevel,
    /// Of the weights, at level `checkpoint`.
    pub tensors_sha256: Option<Sha256>,
    /// Height and width of the image.
    pub size: Option<usize>,
    /// The largest difference from timm's logits, in standard deviations of timm's over the classes.
    pub distance: Option<f64>,
    /// How large it may be.
    pub tolerance: f64,
    /// Whether it is within; null where nothing is known.
    pub agrees: Option<bool>,
    /// What computed.
    pub isa: Option<String>,
    /// Of the logits, float32, little-endian: the same on every machine with the same `isa`.
    pub logits_sha256: Option<Sha256>,
}

/// timm's logits for one file's weights, as the script of `zoo golden record` prints them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenRecord {
    /// [`SCHEMA`].
    pub schema: String,
    /// The architecture.
    pub arch: String,
    /// Of the weights.
    pub tensors_sha256: Sha256,
    /// Height and width of the image.
    pub size: usize,
    /// timm's version.
    pub timm: String,
    /// torch's version.
    pub torch: String,
    /// float32, little-endian, base64, one a class.
    pub logits: String,
}

/// Where the records of a home are.
fn path(home: &Path, tensors_sha256: Sha256) -> PathBuf {
    folder(home).join(format!("{tensors_sha256}.json"))
}

fn folder(home: &Path) -> PathBuf {
    home.join("golden")
}

impl GoldenRecord {
    /// Reads what the script printed.
    ///
    /// # Errors
    /// A file that cannot be read or is not a record; one of other weights than `tensors_sha256`.
    pub fn open(file: &Path, tensors_sha256: Sha256) -> Result<Self> {
        let bytes = fs::read(file, MAX_RECORD)?;
        let bad = |reason: String| Error::BadRecord { path: file.to_owned(), reason };
        let record: GoldenRecord = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if record.schema != SCHEMA {
            return Err(bad(format!("its schema is `{}`, expected `{SCHEMA}`", record.schema)));
        }
        if record.tensors_sha256 != tensors_sha256 {
            let found = record.tensors_sha256;
            return Err(bad(format!(
                "it is of weights with tensors_sha256 {found}, expected {tensors_sha256}"
            )));
        }
        record.values().map_err(bad)?;
        Ok(record)
    }

    /// Keeps it in a store's home.
    ///
    /// # Errors
    /// A home that cannot be written.
    pub fn keep(&self, home: &Path) -> Result<PathBuf> {
        let path = path(home, self.tensors_sha256);
        fs::create_dir_all(&folder(home))?;
        fs::write_atomic(&path, &serde_json::to_vec_pretty(self).unwrap_or_default())?;
        Ok(path)
    }

    fn values(&self) -> std::result::Result<Vec<f32>, String> {
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(&self.logits).map_err(|e| e.to_string())?;
        let (values, rest) = bytes.as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|v| f32::from_le_bytes(*v)).collect();
        if rest.is_empty() && values.len() > 1 && values.iter().all(|v| v.is_finite()) {
            Ok(values)
        } else {
            Err("its logits are not finite float32 values".into())
        }
    }
}

/// What is compared with the logits on record.
#[derive(Clone, Debug)]
pub struct GoldenModel<'a> {
    /// How messages call it.
    pub name: &'a str,
    /// Its architecture, where it has one.
    pub arch: Option<&'a str>,
    /// The model, where its weights are here: none are fetched for a comparison.
    pub spec: Option<ModelSpec>,
}

/// Compares a network with what is on record.
///
/// # Errors
/// Weights that do not fit, an engine that cannot be started.
pub fn check(subject: &GoldenModel<'_>, loader: &Loader<'_>, home: &Path) -> Result<Checked> {
    if let Some(spec) = &subject.spec {
        let model = loader.prepare(spec)?;
        let tensors_sha256 = model.provenance().tensors_sha256;
        let file = path(home, tensors_sha256);
        if file.exists() {
            return checkpoint(model, &GoldenRecord::open(&file, tensors_sha256)?, loader.engine);
        }
    }
    architecture(subject, loader.engine)
}

/// The entry's own weights against recorded logits.
fn checkpoint(model: Prepared, record: &GoldenRecord, engine: EngineKind) -> Result<Checked> {
    let (name, arch) = (model.spec().name.clone(), record.arch.clone());
    let size = model.preprocess().size.height;
    let model = model.start(engine)?;
    let bad =
        |reason: String| Error::BadRecord { path: PathBuf::from(format!("{name}: golden record")), reason };
    let theirs = record.values().map_err(bad)?;
    let ours = model.network().logits(&seeded::input(SEED, [1, IMAGE_CHANNELS, size, size]))?;
    let distance = distance(&ours, &theirs);
    Ok(Checked {
        model: name,
        arch,
        level: GoldenLevel::Checkpoint,
        tensors_sha256: Some(record.tensors_sha256),
        size: Some(size),
        distance: Some(distance),
        tolerance: TOLERANCE,
        agrees: Some(distance <= TOLERANCE),
        isa: Some(model.network().engine().isa.to_owned()),
        logits_sha256: Some(sha256_of(&ours)),
    })
}

/// The entry's architecture with seeded weights against timm's, where it is on record.
fn architecture(subject: &GoldenModel<'_>, kind: EngineKind) -> Result<Checked> {
    let arch = subject.arch.unwrap_or_default().to_owned();
    let mut checked = Checked {
        model: subject.name.to_owned(),
        arch: arch.clone(),
        level: GoldenLevel::Unknown,
        tensors_sha256: None,
        size: None,
        distance: None,
        tolerance: TOLERANCE,
        agrees: None,
        isa: None,
        logits_sha256: None,
    };
    let golden = logits_record::of(&arch).map_err(|e| Error::Source(Box::new(e.into())))?;
    // The smallest row tells as much of the network as a larger one, sooner.
    let rows = golden.as_ref().map(|g| g.rows.as_slice()).unwrap_or_default();
    let (Some(golden), Some(row)) = (&golden, rows.iter().min_by_key(|r| r.size)) else { return Ok(checked) };
    let Ok(graph) = crate::arch::build(&arch, row.logits.len()) else { return Ok(checked) };
    let shape = [IMAGE_CHANNELS, row.size, row.size];
    let network = Network::new(kind, &graph, &golden.weights(&graph), shape)?;
    let input = seeded::input(golden.seed, [1, IMAGE_CHANNELS, row.size, row.size]);
    let logits = network.logits(&input)?;
    let distance = row.distance(&logits);
    checked.level = GoldenLevel::Architecture;
    checked.size = Some(row.size);
    checked.distance = Some(distance);
    checked.agrees = Some(distance <= TOLERANCE);
    checked.isa = Some(network.engine().isa.to_owned());
    checked.logits_sha256 = Some(sha256_of(&logits));
    Ok(checked)
}

/// Of the values' bytes.
fn sha256_of(values: &[f32]) -> Sha256 {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Sha256::of(&bytes)
}

/// The largest difference in standard deviations of `theirs`.
fn distance(ours: &[f32], theirs: &[f32]) -> f64 {
    let n = theirs.len() as f64;
    let mean = theirs.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let sigma = (theirs.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt();
    logits_record::distance(ours, theirs, sigma.max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> GoldenRecord {
        let logits: Vec<u8> = [0.5_f32, -1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        GoldenRecord {
            schema: SCHEMA.into(),
            arch: "net".into(),
            tensors_sha256: Sha256::of(b"weights"),
            size: 8,
            timm: "1.0.31".into(),
            torch: "2.0".into(),
            logits: base64::engine::general_purpose::STANDARD.encode(logits),
        }
    }

    #[test]
    fn a_record_is_kept_under_its_weights_and_of_no_others() {
        let home = tempfile::tempdir().unwrap();
        let file = record().keep(home.path()).unwrap();
        assert_eq!(GoldenRecord::open(&file, Sha256::of(b"weights")).unwrap(), record());
        let error = GoldenRecord::open(&file, Sha256::of(b"others")).unwrap_err().to_string();
        assert!(error.contains(&Sha256::of(b"others").to_string()), "{error}");
        let damaged = GoldenRecord { logits: "AAAA".into(), ..record() };
        let error =
            GoldenRecord::open(&damaged.keep(home.path()).unwrap(), Sha256::of(b"weights")).unwrap_err();
        assert!(error.to_string().contains("float32"), "{error}");
    }

    #[test]
    fn distance_is_in_standard_deviations_of_theirs() {
        assert_eq!(distance(&[1.0, 3.0], &[1.0, 3.0]), 0.0);
        assert_eq!(distance(&[1.0, 3.5], &[1.0, 3.0]), 0.5);
        assert_eq!(distance(&[1.0], &[1.0, 3.0]), f64::INFINITY);
        assert_eq!(distance(&[f32::NAN, 3.0], &[1.0, 3.0]), f64::INFINITY);
    }
}
