//! The report: what was measured and judged, as JSON that others build on (`zoo.verify/1`).
//!
//! `run` and `results` are a function of the weights, the images and the settings; `timing` and `host` are not,
//! and [`Report::canonical`] leaves them out: two runs are the same when those bytes are. Written by `zoo
//! verify` and `zoo merge`; read by `merge`, the gates and `zoo report`.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::diagnose::Diagnosis;
use super::settings::{Gates, OnBadImage, Settings, Shard};
use super::stats::{Percent, Verdict};
use super::{Error, Result};
use crate::dataset::Subset;
use crate::hash::Sha256;
use crate::registry::Relation;

/// The schema's name and version.
pub const SCHEMA: &str = "zoo.verify/1";

/// The largest report that is read, unpacked: a hundred models on all of ImageNet's validation set.
const MAX_REPORT: u64 = 1 << 30;

/// What a file begins with that gzip wrote.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A run's settings, results and circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// What decides the results.
    pub run: Run,
    /// One a model.
    pub results: Vec<ModelResult>,
    /// Models that could not be judged, with `--keep-going`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
    /// Why numbers do not match, where that was asked or a claim is contradicted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnoses: Vec<Diagnosis>,
    /// Clocks.
    #[serde(default)]
    pub timing: Timing,
    /// Where and how.
    #[serde(default)]
    pub host: Host,
}

/// What decides the results of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// zoo's version.
    pub zoo: String,
    /// The dataset.
    pub dataset: String,
    /// Of the order.
    pub seed: u64,
    /// Which images; null for all.
    pub subset: Option<Drawn>,
    /// `decided`, or null.
    pub until: Option<String>,
    /// Percent points; null for the usual.
    pub tolerance: Option<Percent>,
    /// A fraction.
    pub confidence: f64,
    /// What CI asks.
    pub gates: Gates,
    /// What becomes of unreadable images.
    pub on_bad_image: OnBadImage,
    /// Digest of the plan written beforehand.
    pub plan_sha256: Option<Sha256>,
}

impl Run {
    /// Settings as reports have them.
    pub fn of(settings: &Settings, dataset: &str) -> Self {
        Run {
            zoo: env!("CARGO_PKG_VERSION").to_owned(),
            dataset: dataset.to_owned(),
            seed: settings.seed,
            subset: settings.subset.as_ref().map(|subset| match subset {
                Subset::Drawn { n, .. } => Drawn::First(*n),
                Subset::Listed(ids) => {
                    let mut ids = ids.clone();
                    ids.sort_unstable();
                    ids.dedup();
                    Drawn::Listed { ids_sha256: Sha256::of((ids.join("\n") + "\n").as_bytes()) }
                }
            }),
            until: settings.until_decided.then(|| "decided".to_owned()),
            tolerance: settings.tolerance,
            confidence: settings.level.confidence(),
            gates: settings.gates.clone(),
            on_bad_image: settings.on_bad_image,
            plan_sha256: settings.plan_sha256,
        }
    }
}

/// A subset: how many of the order, or which ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Drawn {
    /// The first so many of the order.
    First(u64),
    /// Those of a file.
    Listed {
        /// Of the sorted ids, a line each.
        ids_sha256: Sha256,
    },
}

/// Which weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsOf {
    /// Of the published file.
    pub file_sha256: Sha256,
    /// Of its tensors, whatever the format.
    pub tensors_sha256: Sha256,
    /// Where the file is the hub's, and not the one that the page names: `tensors on record` of the page's, which are the same,
    /// or `not seen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_file: Option<String>,
}

/// Which images: of a shard's report, those of the whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesOf {
    /// The dataset.
    pub name: String,
    /// What they are of the claim's population.
    pub relation: Relation,
    /// Images in that population.
    pub population: u64,
    /// How many images.
    pub images: u64,
    /// Of ids and labels.
    pub labels_sha256: Sha256,
}

/// Who makes a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimSource {
    /// A model page.
    #[serde(rename = "page")]
    Page,
    /// `registry/corrections.yaml`, against the page.
    #[serde(rename = "correction")]
    Correction,
    /// An entry that no page stands behind.
    #[serde(rename = "entry")]
    Entry,
}

/// The claim that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// Percent.
    pub value: Percent,
    /// Who says so.
    pub source: ClaimSource,
    /// Decimals it is printed with.
    pub digits: u32,
}

/// What the page says where a correction differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Percent.
    pub value: Percent,
    /// Decimals it is printed with.
    pub digits: u32,
    /// The verdict on that.
    pub verdict: Verdict,
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Guessed.
    #[serde(rename = "ok")]
    Ok,
    /// It cannot be decoded.
    #[serde(rename = "unreadable")]
    Unreadable,
    /// Nobody labelled it: it leaves n.
    #[serde(rename = "unlabelled")]
    Unlabelled,
}

/// One image: `[id, labels, [5 classes], [5 probs], status]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "RowTuple", into = "RowTuple")]
pub struct Row {
    /// The same in every layout.
    pub id: String,
    /// Class indices that count as right.
    pub labels: Vec<usize>,
    /// Best first.
    pub classes: Vec<usize>,
    /// Of those classes, fractions with six decimals.
    pub probs: Vec<f64>,
    /// What became of it.
    pub status: Status,
}

type RowTuple = (String, Vec<usize>, Vec<usize>, Vec<f64>, Status);

impl From<RowTuple> for Row {
    fn from((id, labels, classes, probs, status): RowTuple) -> Self {
        Row { id, labels, classes, probs, status }
    }
}

impl From<Row> for RowTuple {
    fn from(row: Row) -> Self {
        (row.id, row.labels, row.classes, row.probs, row.status)
    }
}

impl Row {
    /// Whether a label is among the `k` best guesses.
    pub fn is_right(&self, k: usize) -> bool {
        self.classes.iter().take(k).any(|class| self.labels.contains(class))
    }
}

/// An image that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Whether a gate holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// `min_top1`, `require`, `max_drop`, `prove_no_drop`.
    pub gate: String,
    /// What was asked.
    pub asked: String,
    /// What was found.
    pub found: String,
    /// Whether that is enough.
    pub passed: bool,
}

/// What one model did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// The entry's name.
    pub model: String,
    /// Which weights.
    pub weights: WeightsOf,
    /// Which images.
    pub dataset: ImagesOf,
    /// Images that count.
    pub n: u64,
    /// Of them, those whose label is the first guess.
    pub top1_correct: u64,
    /// Of them, those whose label is among five guesses.
    pub top5_correct: u64,
    /// Percent.
    pub top1: Percent,
    /// Percent.
    pub top5: Percent,
    /// Of top-1, percent.
    pub interval: [Percent; 2],
    /// A fraction.
    pub confidence: f64,
    /// What was judged; null where nothing is claimed for this dataset.
    pub claim: Option<Claimed>,
    /// What the page says where a correction differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
    /// Percent points from the claim that still are the claim.
    pub tolerance: Option<Percent>,
    /// The verdict on the claim.
    pub verdict: Verdict,
    /// Percent points below the claim that would have been noticed.
    pub detectable_drop: Option<Percent>,
    /// How many random images would decide.
    pub images_to_decide: Option<u64>,
    /// On a board of several models: Holm's adjusted p-value of the contradiction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holm_p: Option<f64>,
    /// What CI asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    /// Images that could not be read.
    pub skipped: Vec<Skipped>,
    /// What computed: `plan`, `reference`.
    #[serde(default)]
    pub engine: String,
    /// The instruction set that decides the engine's last bits.
    pub isa: String,
    /// Of that engine: changes when the last bits may.
    pub algorithms_version: u32,
    /// What the model calls its classes, by index, where they are not ImageNet's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// By id.
    pub per_image: Vec<Row>,
}

impl ModelResult {
    /// Whether a card computed it: then `isa` is its kernels' name and version.
    pub(crate) fn is_of_card(&self) -> bool {
        self.isa.starts_with("cuda/")
    }
}

/// A model that could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The entry's name.
    pub model: String,
    /// What is wrong.
    pub error: String,
    /// The exit code that it alone would give.
    pub exit_code: u8,
}

/// Clocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// When it began, UTC.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// One a model.
    pub models: Vec<ModelTiming>,
}

/// A model's clocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelTiming {
    /// The entry's name.
    pub model: String,
    /// Images that were computed now, and not taken from the record.
    pub computed: u64,
    /// How long they took.
    pub seconds: f64,
    /// Computed images a second, decoding included; null where all were on record.
    pub images_per_second: Option<f64>,
    /// When all of it was on record: since when.
    pub unchanged_since: Option<String>,
    /// Where the time of each thread went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<ThreadTiming>,
}

/// Where the time of one thread went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadTiming {
    /// Reading files.
    pub read: f64,
    /// Decoding them.
    pub decode: f64,
    /// Resizing, cropping, normalising.
    pub resize: f64,
    /// The network; on a device, waiting for its answer.
    pub network: f64,
    /// Nothing to do: no image left, no room for one, or no batch that is full.
    pub waiting: f64,
}

/// Where and how it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// What was typed.
    pub command: Vec<String>,
    /// Workers.
    pub threads: usize,
    /// Images that a worker takes at a time.
    pub batch: usize,
    /// Which part, where it is one.
    pub shard: Option<Shard>,
    /// How the images were found.
    pub layout: String,
    /// What computed.
    pub engine: String,
    /// Of merged reports: the parts' instruction sets, where they differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merged_isas: Vec<String>,
}

impl Report {
    /// The bytes that two equal runs have in common.
    pub fn canonical(&self) -> String {
        #[derive(Serialize)]
        struct Canonical<'a> {
            schema: &'a str,
            run: &'a Run,
            results: &'a [ModelResult],
        }
        let canonical = Canonical { schema: &self.schema, run: &self.run, results: &self.results };
        serde_json::to_string(&canonical).unwrap_or_default() + "\n"
    }

    /// As JSON, ending in a line feed.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads a report, `.json` or `.json.gz`.
    ///
    /// # Errors
    /// A file that cannot be read, is not a report, or is one of another version.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Report::open_hashed(path)?.0)
    }

    /// The same, and the digest of the bytes that it was read from.
    ///
    /// # Errors
    /// As [`Report::open`].
    pub fn open_hashed(path: &Path) -> Result<(Self, Sha256)> {
        let bytes = crate::fs::read(path, MAX_REPORT)?;
        let sha256 = Sha256::of(&bytes);
        let bad = |reason: String| Error::BadReport { path: path.to_owned(), reason };
        let bytes = if bytes.starts_with(&GZIP_MAGIC) {
            let mut unpacked = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&bytes[..]).take(MAX_REPORT + 1);
            reader.read_to_end(&mut unpacked).map_err(|e| bad(e.to_string()))?;
            unpacked
        } else {
            bytes
        };
        if bytes.len() as u64 > MAX_REPORT {
            return Err(bad(format!("it is larger than {MAX_REPORT} bytes")));
        }
        #[derive(Deserialize)]
        struct Schema {
            schema: String,
        }
        let Schema { schema } = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if schema != SCHEMA {
            return Err(bad(format!("its schema is `{schema}`, expected `{SCHEMA}`")));
        }
        let mut report: Report = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        // Before results had it, the engine was that of the whole run.
        for result in report.results.iter_mut().filter(|r| r.engine.is_empty()) {
            result.engine.clone_from(&report.host.engine);
        }
        Ok((report, sha256))
    }
}
