//! What is in the cache: listing, checking, tidying, removing. Called by `zoo cache` and `zoo doctor`.

use std::path::{Path, PathBuf};

use super::Store;
use super::cache::{CacheRecord, hash_file, record_path};
use super::error::{Error, Result};
use super::{exclusive, set};
use crate::fs;
use crate::hash::Sha256;

/// What kind of thing an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Kind {
    /// A file as it came.
    #[serde(rename = "file")]
    File,
    /// Several files that belong together.
    #[serde(rename = "set")]
    Set,
    /// Converted from a file.
    #[serde(rename = "derived")]
    Derived,
    /// A download under way or broken off.
    #[serde(rename = "partial")]
    Partial,
    /// Left over by a process that was killed.
    #[serde(rename = "scratch")]
    Scratch,
}

/// One thing in the cache.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Where.
    pub path: PathBuf,
    /// How many bytes it takes.
    pub bytes: u64,
    /// Of a file or set, what it must hash to; of a derived file, of the file it was made from.
    pub sha256: Option<Sha256>,
    /// Of a file or set.
    #[serde(flatten)]
    pub record: Option<CacheRecord>,
}

impl Item {
    /// Whether it answers to a model's name, a file name, or at least eight digits of its digest.
    fn answers_to(&self, wanted: &str) -> bool {
        let by_record = self
            .record
            .as_ref()
            .is_some_and(|r| r.file_name == wanted || r.names.iter().any(|n| n == wanted));
        let by_digest = wanted.len() >= 8 && self.sha256.is_some_and(|s| s.to_string().starts_with(wanted));
        by_record || by_digest
    }
}

impl Store {
    /// Everything in the cache: by kind, then by path.
    pub fn inventory(&self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for (folder, kind) in [("files", Kind::File), ("sets", Kind::Set), ("derived", Kind::Derived)] {
            for path in fs::list(&self.cache.folder(folder))? {
                let stem = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let stem = stem.strip_suffix(".safetensors").unwrap_or(&stem);
                let Ok(sha256) = stem.parse() else { continue };
                let record = if kind == Kind::Derived { None } else { self.cache.record(&path) };
                items.push(Item { kind, bytes: size(&path)?, sha256: Some(sha256), record, path });
            }
        }
        for path in fs::list(&self.cache.folder("partial"))? {
            if path.extension().is_some_and(|e| e == "part") {
                let bytes = size(&path)?;
                items.push(Item { kind: Kind::Partial, bytes, sha256: None, record: None, path });
            }
        }
        for path in fs::list(&self.cache.folder("scratch"))? {
            let bytes = size(&path)?;
            items.push(Item { kind: Kind::Scratch, bytes, sha256: None, record: None, path });
        }
        Ok(items)
    }

    /// Whether a file's or set's bytes still hash to what it is kept under; others are taken as they are.
    pub fn is_whole(&self, item: &Item) -> Result<bool> {
        let Some(sha256) = item.sha256 else { return Ok(true) };
        Ok(match item.kind {
            Kind::File => hash_file(&item.path)?.0 == sha256,
            Kind::Set => {
                let files = fs::list(&item.path)?;
                let files = files.iter().map(|p| set::file_at(p)).collect::<Result<Vec<_>>>()?;
                set::digest(&files) == sha256
            }
            Kind::Derived | Kind::Partial | Kind::Scratch => true,
        })
    }

    /// What nobody needs: broken-off downloads, scratch of killed processes, conversions of files that are
    /// gone; with `sources` also files whose conversion is here.
    pub fn garbage(&self, sources: bool) -> Result<Vec<Item>> {
        let items = self.inventory()?;
        let has =
            |kind: Kind, sha256: Option<Sha256>| items.iter().any(|i| i.kind == kind && i.sha256 == sha256);
        let busy = self.is_busy()?;
        let garbage = |item: &&Item| match item.kind {
            Kind::Partial | Kind::Scratch => !busy,
            Kind::File => sources && has(Kind::Derived, item.sha256),
            Kind::Set | Kind::Derived => false,
        };
        Ok(items.iter().filter(garbage).cloned().collect())
    }

    /// The items that answer to a model's name, a file name or the head of a digest.
    ///
    /// # Errors
    /// [`Error::NotCached`].
    pub fn find(&self, wanted: &str) -> Result<Vec<Item>> {
        let items: Vec<_> = self.inventory()?;
        let named: Vec<_> = items.iter().filter(|i| i.answers_to(wanted)).filter_map(|i| i.sha256).collect();
        let found: Vec<_> =
            items.into_iter().filter(|i| i.sha256.is_some_and(|s| named.contains(&s))).collect();
        if found.is_empty() { Err(Error::NotCached { wanted: wanted.to_owned() }) } else { Ok(found) }
    }

    /// Takes an item out of the cache, its record with it. Pins stay: the next fetch must bring the same.
    pub fn remove(&self, item: &Item) -> Result<()> {
        if item.path.is_dir() {
            std::fs::remove_dir_all(&item.path).map_err(fs::at("remove", &item.path))?
        } else {
            fs::remove_file(&item.path)?
        }
        let beside = match item.kind {
            Kind::File | Kind::Set => record_path(&item.path),
            Kind::Derived | Kind::Partial | Kind::Scratch => item.path.with_extension("json"),
        };
        Ok(fs::remove_file(&beside)?)
    }

    /// Whether some process is fetching just now.
    fn is_busy(&self) -> Result<bool> {
        let locks = fs::list(&self.cache.folder("partial"))?;
        let claims = locks.iter().filter(|p| p.extension().is_some_and(|e| e == "claim"));
        Ok(claims.into_iter().any(|path| exclusive::is_held(path)))
    }
}

/// Bytes of a file, or of the files in a folder and below.
fn size(path: &Path) -> Result<u64> {
    let mut total = 0;
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let known = std::fs::symlink_metadata(&path).map_err(fs::at("look at", &path))?;
        if known.is_dir() { open.extend(fs::list(&path)?) } else { total += known.len() }
    }
    Ok(total)
}
