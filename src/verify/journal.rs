//! What was measured is written down at once: a run that is killed resumes, and a verdict that was reached
//! is answered from the record.
//!
//! In: a key of everything that decides an image's guesses (weights, images, preprocessing, instruction
//! set), and one guess after another. Out: the guesses of earlier runs. The file is `runs/KEY…rows` in the
//! store's home: lines of eight hex digits of the SHA-256 of what follows, a space, JSON. A line that was
//! cut off by a kill or a power cut fails its digits and is measured again. Called by `run`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::measure::Measured;
use super::settings::Shard;
use super::{Error, Result};
use crate::fs;
use crate::hash::Sha256;
use crate::image::Preprocess;
use crate::registry::{CropMode, Interpolation};

/// The largest record that is read; fifty thousand images take some 7 MB.
const MAX_JOURNAL_LEN: u64 = 1 << 30;

/// Guesses reach the file after this long, and the disk after [`SYNC_INTERVAL`].
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// What decides an image's guesses.
#[derive(Clone, Debug)]
pub(super) struct Key<'a> {
    pub(super) arch: &'a str,
    pub(super) tensors_sha256: Sha256,
    pub(super) dataset: &'a str,
    pub(super) images: Sha256,
    pub(super) mask: Option<&'a [usize]>,
    pub(super) preprocess: &'a Preprocess,
    pub(super) engine: &'a str,
    pub(super) isa: &'a str,
    pub(super) algorithms_version: u32,
}

impl Key<'_> {
    /// The text whose digest names the record. Records of earlier builds are found by it, so every key and every word
    /// stands here as it was first written, whatever the types are called: `tests/it/compat.rs` holds one.
    fn text(&self) -> String {
        serde_json::json!({
            "arch": self.arch,
            "tensors_sha256": self.tensors_sha256.to_string(),
            "dataset": self.dataset,
            "images": self.images.to_string(),
            "mask": self.mask,
            "preprocess": preprocess_text(self.preprocess),
            "engine": self.engine,
            "isa": self.isa,
            "algorithms_version": self.algorithms_version,
        })
        .to_string()
    }
}

/// Preprocessing as records have it.
fn preprocess_text(preprocess: &Preprocess) -> String {
    let Preprocess { size, crop_pct, crop_mode, interpolation, mean, std } = preprocess;
    let crop_mode = match crop_mode {
        CropMode::Center => "Center",
        CropMode::Squash => "Squash",
        CropMode::Border => "Border",
    };
    let interpolation = match interpolation {
        Interpolation::Bilinear => "Bilinear",
        Interpolation::Bicubic => "Bicubic",
        Interpolation::Nearest => "Nearest",
        Interpolation::Lanczos => "Lanczos",
    };
    // `{:?}` of a number writes it with a point, and of an array with brackets.
    format!(
        "Preprocess {{ size: ImageSize {{ height: {}, width: {} }}, crop_pct: {crop_pct:?}, crop_mode: {crop_mode}, \
         interpolation: {interpolation}, mean: {mean:?}, std: {std:?} }}",
        size.height, size.width
    )
}

/// A guess as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classes: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    probs: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// The record of one key.
pub(super) struct Journal {
    path: PathBuf,
    /// None where another process writes the same record.
    file: Option<BufWriter<File>>,
    flushed: Instant,
    synced: Instant,
}

/// What earlier runs found, by id, and when the last of it was written.
#[derive(Default)]
pub(super) struct Known {
    pub(super) guesses: HashMap<String, Measured>,
    pub(super) since: Option<SystemTime>,
}

impl Journal {
    /// Opens the record of a key in a store's home, and reads what it and those of other shards hold; with
    /// `forget` they are thrown away instead.
    pub(super) fn open(
        home: &Path,
        key: &Key<'_>,
        shard: Option<Shard>,
        forget: bool,
    ) -> Result<(Self, Known)> {
        let folder = home.join("runs");
        fs::create_dir_all(&folder)?;
        let text = key.text();
        let digest = Sha256::of(text.as_bytes()).to_string();
        let stem = digest.get(..32).unwrap_or(&digest);
        let part = shard.map_or(String::new(), |s| format!(".{}-of-{}", s.index, s.of));
        let path = folder.join(format!("{stem}{part}.rows"));
        let mut known = Known::default();
        for file in fs::list(&folder)? {
            let ours = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with(stem));
            if !ours || file.extension().is_none_or(|e| e != "rows") {
                continue;
            }
            if forget { fs::remove_file(&file)? } else { known.read(&file)? }
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path).map_err(fs::at("open", &path))?;
        let file = match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => None,
            // A file system without locks: two writers only write the same lines twice.
            Err(TryLockError::Error(_)) => Some(file),
        };
        let now = Instant::now();
        let mut journal = Journal { path, file: file.map(BufWriter::new), flushed: now, synced: now };
        // A line that was cut off is ended, so that the next one is whole; a new file says what it is of.
        journal.write(&text)?;
        Ok((journal, known))
    }

    /// Whether another process writes this record.
    pub(super) fn is_taken(&self) -> bool {
        self.file.is_none()
    }

    /// Writes a guess down.
    pub(super) fn add(&mut self, id: &str, measured: &Measured) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let id = id.to_owned();
        let line = match measured {
            Measured::Guessed { classes, probs } => {
                Line { id, classes: classes.clone(), probs: probs.clone(), unreadable: None }
            }
            Measured::Unreadable(reason) => {
                Line { id, classes: Vec::new(), probs: Vec::new(), unreadable: Some(reason.clone()) }
            }
            // Whether a file or label is there is asked anew each time: what is on record is of the image's own bytes.
            Measured::Absent(_) => return Ok(()),
        };
        let text = serde_json::to_string(&line).unwrap_or_default();
        self.write(&format!("{} {text}", digits(&text)))?;
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands what was written to the system, and now and then to the disk.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush().map_err(fs::at("write", &self.path))?;
        if self.synced.elapsed() >= SYNC_INTERVAL {
            self.synced = Instant::now();
            file.get_ref().sync_data().map_err(fs::at("sync", &self.path))?;
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(b"\n").and_then(|()| file.write_all(line.as_bytes()));
        written.and_then(|()| file.write_all(b"\n")).map_err(|e| Error::from(fs::at("write", &self.path)(e)))
    }
}

impl Known {
    fn read(&mut self, path: &Path) -> Result<()> {
        let bytes = fs::read(path, MAX_JOURNAL_LEN)?;
        let since = fs::metadata(path)?.modified().ok();
        for line in bytes.split(|b| *b == b'\n').filter_map(|l| std::str::from_utf8(l).ok()) {
            let Some((said, text)) = line.split_once(' ') else { continue };
            if said != digits(text) {
                continue;
            }
            let Ok(Line { id, classes, probs, unreadable }) = serde_json::from_str(text) else { continue };
            let measured = unreadable.map_or(Measured::Guessed { classes, probs }, Measured::Unreadable);
            self.guesses.insert(id, measured);
            self.since = self.since.max(since);
        }
        Ok(())
    }
}

/// The first eight hex digits of a text's SHA-256.
fn digits(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string().get(..8).unwrap_or_default().to_owned()
}
