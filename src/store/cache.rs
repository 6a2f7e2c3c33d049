//! The cache on disk: what lies where, and what is on record about it.
//!
//! ```text
//! files/SHA256                 bytes as they came from the source
//! files/SHA256.json            names, source, size of them
//! derived/SHA256.safetensors   converted from the file of that SHA-256
//! derived/SHA256.json          by which converter, and what came out
//! sets/SHA256/NAME…            several small files that belong together
//! partial/                     downloads under way, and the claims of their writers
//! scratch/                     gone when the process that made it is
//! zoo.lock                     the user's pins
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Result;
use crate::fs;
pub(super) use crate::fs::sha256 as hash_file;
use crate::hash::Sha256;

/// What is on record about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRecord {
    /// Who asked for it, by the registry's names.
    pub names: Vec<String>,
    /// What the source calls it.
    pub file_name: String,
    /// The registry's source.
    pub source: String,
    /// Where it really came from; another place than `source` when a mirror had it.
    pub url: String,
    /// How many.
    pub bytes: u64,
}

/// Paths of the cache.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    home: PathBuf,
}

impl Cache {
    /// Makes the folders. A cache that cannot be written is one all the same: what is in it can be used.
    pub(super) fn open(home: &Path) -> Result<Self> {
        for folder in ["files", "derived", "sets", "partial", "scratch"] {
            match fs::create_dir_all(&home.join(folder)) {
                Err(_) if home.join("files").is_dir() => {}
                made => made?,
            }
        }
        Ok(Cache { home: home.to_owned() })
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    pub(super) fn file(&self, sha256: Sha256) -> PathBuf {
        self.home.join("files").join(sha256.to_string())
    }

    pub(super) fn set(&self, sha256: Sha256) -> PathBuf {
        self.home.join("sets").join(sha256.to_string())
    }

    pub(super) fn user_lock(&self) -> PathBuf {
        self.home.join("zoo.lock")
    }

    /// What the partial files of a place are called; the name must not depend on what the place's text contains. Those of
    /// two sources differ, even at the same place: each belongs to one claim.
    pub(super) fn partial_key(&self, source: &str, place: &str) -> String {
        if source == place { key(place) } else { key(&format!("{source}\n{place}")) }
    }

    /// The claim that the one writer of a source holds.
    pub(super) fn claim(&self, source: &str) -> PathBuf {
        self.home.join("partial").join(format!("{}.claim", key(source)))
    }

    /// What is on record about a file or a set; nothing when the record is missing or unreadable, since
    /// everything in it can be fetched again.
    pub(super) fn record(&self, at: &Path) -> Option<CacheRecord> {
        let bytes = fs::read(&record_path(at), 1 << 20).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Notes that what a record is of was used now. A cache that cannot be written keeps no such notes.
    pub(super) fn touch(&self, record: &Path) {
        if let Ok(file) = std::fs::OpenOptions::new().append(true).open(record) {
            let _ = file.set_modified(std::time::SystemTime::now());
        }
    }

    /// Writes the record beside a file; names accumulate.
    pub(super) fn remember(&self, at: &Path, mut record: CacheRecord) -> Result<()> {
        let known = self.record(at);
        if let Some(old) = &known {
            let more = old.names.iter().filter(|n| !record.names.contains(n)).cloned().collect::<Vec<_>>();
            record.names.extend(more);
            record.names.sort();
        }
        if known.as_ref() == Some(&record) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&record).unwrap_or_default();
        Ok(fs::write_atomic(&record_path(at), &text)?)
    }
}

/// Beside a file, under its name with `.json` added.
pub(super) fn record_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

fn key(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string().chars().take(32).collect()
}
