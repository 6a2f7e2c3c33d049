//! Evidence without ImageNet: does the network compute what timm computes?
//!
//! In: an entry, and logits on record. Out: a [`Checked`] with a named [`Level`]: `checkpoint` when timm's logits
//! for exactly these weights are on record, `architecture` when they are for the architecture with seeded
//! weights, `unknown` when neither is. Called by `zoo verify --dataset golden` and `zoo golden record`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::logits_record::{self, TOLERANCE};
use super::{Error, Result};
use crate::fs;
use crate::hash::Sha256;
use crate::model::{Engine, EngineKind, Loader, Prepared};
use crate::nn::seeded::{self, Seeded};
use crate::registry::Entry;
use crate::store::Store;

/// The schema's name and version.
pub const SCHEMA: &str = "zoo.golden/1";

/// Seed of the image that recorded logits are of.
pub const SEED: u64 = 0;

/// The largest record that is read.
const MAX_RECORD: u64 = 16 << 20;

/// How much is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
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

impl Level {
    /// Its name in tables and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Architecture => "architecture",
            Level::Checkpoint => "checkpoint",
            Level::Unknown => "unknown",
        }
    }
}

/// The golden levels of entries, told without fetching, hashing or computing anything. Called by `zoo list`.
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
    pub fn of(&self, entry: &Entry) -> Level {
        let recorded = |store: &Store| {
            store.recorded_tensors(entry).is_some_and(|sha256| path(store.home(), sha256).is_file())
        };
        let arch = entry.zoo.arch.as_deref().unwrap_or_default();
        match self.store.as_ref().is_some_and(recorded) {
            true => Level::Checkpoint,
            false if self.archs.binary_search(&arch).is_ok() => Level::Architecture,
            false => Level::Unknown,
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
    pub level: Level,
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
}

/// timm's logits for one file's weights, as the script of `zoo golden record` prints them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
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

impl Record {
    /// Reads what the script printed.
    ///
    /// # Errors
    /// A file that cannot be read or is no record; one of other weights than `tensors_sha256`.
    pub fn open(file: &Path, tensors_sha256: Sha256) -> Result<Self> {
        let bytes = fs::read(file, MAX_RECORD)?;
        let bad = |reason: String| Error::BadRecord { path: file.to_owned(), reason };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
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
        match rest.is_empty() && values.len() > 1 && values.iter().all(|v| v.is_finite()) {
            true => Ok(values),
            false => Err("its logits are not finite float32 values".into()),
        }
    }
}

/// Compares an entry's network with what is on record. Weights are not fetched for it: `has_weights` says
/// whether they are here.
///
/// # Errors
/// Weights that do not fit, an engine that cannot be started.
pub fn check(entry: &Entry, loader: &Loader<'_>, home: &Path, has_weights: bool) -> Result<Checked> {
    if has_weights {
        let model = loader.prepare(entry)?;
        let tensors_sha256 = model.provenance().tensors_sha256;
        let file = path(home, tensors_sha256);
        if file.exists() {
            return checkpoint(model, &Record::open(&file, tensors_sha256)?, loader.engine);
        }
    }
    architecture(entry, loader.engine)
}

/// The entry's own weights against recorded logits.
fn checkpoint(model: Prepared, record: &Record, engine: EngineKind) -> Result<Checked> {
    let (name, arch) = (model.entry().name.clone(), record.arch.clone());
    let size = model.preprocess().size.height;
    let model = model.start(engine)?;
    let bad =
        |reason: String| Error::BadRecord { path: PathBuf::from(format!("{name}: golden record")), reason };
    let theirs = record.values().map_err(bad)?;
    let ours = model.runner()?.logits(&seeded::input(SEED, [1, 3, size, size]))?;
    let distance = distance(&ours, &theirs);
    Ok(Checked {
        model: name,
        arch,
        level: Level::Checkpoint,
        tensors_sha256: Some(record.tensors_sha256),
        size: Some(size),
        distance: Some(distance),
        tolerance: TOLERANCE,
        agrees: Some(distance <= TOLERANCE),
        isa: Some(model.engine().isa().to_owned()),
    })
}

/// The entry's architecture with seeded weights against timm's, where it is on record.
fn architecture(entry: &Entry, kind: EngineKind) -> Result<Checked> {
    let arch = entry.zoo.arch.clone().unwrap_or_default();
    let mut checked = Checked {
        model: entry.name.clone(),
        arch: arch.clone(),
        level: Level::Unknown,
        tensors_sha256: None,
        size: None,
        distance: None,
        tolerance: TOLERANCE,
        agrees: None,
        isa: None,
    };
    let golden = logits_record::of(&arch).map_err(|e| Error::Source(Box::new(e.into())))?;
    // The smallest row tells as much of the network as a larger one, sooner.
    let rows = golden.as_ref().map(|g| g.rows.as_slice()).unwrap_or_default();
    let (Some(golden), Some(row)) = (&golden, rows.iter().min_by_key(|r| r.size)) else { return Ok(checked) };
    let Ok(graph) = crate::arch::build(&arch, row.logits.len()) else { return Ok(checked) };
    let shape = [3, row.size, row.size];
    let engine = Engine::new(kind, &graph, &Seeded::new(&graph, golden.seed), shape)?;
    let logits = engine.runner()?.logits(&seeded::input(golden.seed, [1, 3, row.size, row.size]))?;
    let distance = row.distance(&logits);
    checked.level = Level::Architecture;
    checked.size = Some(row.size);
    checked.distance = Some(distance);
    checked.agrees = Some(distance <= TOLERANCE);
    checked.isa = Some(engine.isa().to_owned());
    Ok(checked)
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

    fn record() -> Record {
        let logits: Vec<u8> = [0.5_f32, -1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        Record {
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
        assert_eq!(Record::open(&file, Sha256::of(b"weights")).unwrap(), record());
        let error = Record::open(&file, Sha256::of(b"others")).unwrap_err().to_string();
        assert!(error.contains(&Sha256::of(b"others").to_string()), "{error}");
        let damaged = Record { logits: "AAAA".into(), ..record() };
        let error = Record::open(&damaged.keep(home.path()).unwrap(), Sha256::of(b"weights")).unwrap_err();
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
