//! What is in the cache: listing, checking, mending, removing. Called by `zoo cache` and `zoo doctor`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Store;
use super::cache::{CacheRecord, hash_file, record_path};
use super::error::{Error, Result};
use super::{Request, exclusive, set};
use crate::fs;
use crate::hash::Sha256;
use crate::registry::Source;

/// What kind of thing an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum ItemKind {
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

/// What became of a damaged item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// It was fetched again.
    Fetched,
    /// It was converted again.
    Converted,
    /// It is gone until it is needed.
    Removed,
}

/// One thing in the cache.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Where.
    pub path: PathBuf,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it came or was last used, by this machine's clock.
    #[serde(skip)]
    pub used: Option<SystemTime>,
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
        for (folder, kind) in
            [("files", ItemKind::File), ("sets", ItemKind::Set), ("derived", ItemKind::Derived)]
        {
            for path in fs::list(&self.cache.folder(folder))? {
                let stem = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let stem = stem.strip_suffix(".safetensors").unwrap_or(&stem);
                if is_left_over(&path) {
                    items.push(Item::bare(ItemKind::Scratch, path)?);
                    continue;
                }
                let Ok(sha256) = stem.parse() else { continue };
                let record = if kind == ItemKind::Derived { None } else { self.cache.record(&path) };
                let mut item = Item { sha256: Some(sha256), record, ..Item::bare(kind, path)? };
                item.used = item.used.max(modified(&beside(&item)));
                items.push(item);
            }
        }
        for path in fs::list(&self.cache.folder("partial"))? {
            let is_json = path.extension().is_some_and(|e| e == "json");
            if is_left_over(&path) || (is_json && !path.with_extension("part").exists()) {
                items.push(Item::bare(ItemKind::Scratch, path)?);
            } else if path.extension().is_some_and(|e| e == "part") {
                items.push(Item::bare(ItemKind::Partial, path)?);
            }
        }
        for path in fs::list(&self.cache.folder("scratch"))? {
            items.push(Item::bare(ItemKind::Scratch, path)?);
        }
        Ok(items)
    }

    /// Whether a file's or set's bytes still hash to what it is kept under, and a conversion's to what is on record of it;
    /// others are taken as they are.
    pub fn is_whole(&self, item: &Item) -> Result<bool> {
        let Some(sha256) = item.sha256 else { return Ok(true) };
        Ok(match item.kind {
            ItemKind::File => hash_file(&item.path)?.0 == sha256,
            ItemKind::Set => {
                let files = fs::list(&item.path)?;
                let files = files.iter().map(|p| set::file_at(p)).collect::<Result<Vec<_>>>()?;
                set::digest(&files) == sha256
            }
            ItemKind::Derived => self.conversion_is_whole(sha256)?,
            ItemKind::Partial | ItemKind::Scratch => true,
        })
    }

    /// Takes a damaged item out of the cache and, where that can be, has it there again: a file from where it came from, a
    /// conversion from its file.
    ///
    /// # Errors
    /// What cannot be removed. That it cannot be had again is no error: it is when it is needed.
    pub fn repair(&self, item: &Item) -> Result<Repaired> {
        self.remove(item)?;
        let (Some(sha256), Some(known)) = (item.sha256, &item.record) else {
            return Ok(if self.reconvert(item)? { Repaired::Converted } else { Repaired::Removed });
        };
        let name = known.names.first().unwrap_or(&known.file_name).clone();
        let sources = vec![Source(known.source.clone())];
        let request = Request { name, sources, sha256: Some(sha256), ..Request::default() };
        let fetched = match item.kind {
            ItemKind::Set => self.fetch_set(&request).map(|_| ()),
            _ => self.fetch_one(&request).map(|_| ()),
        };
        match fetched {
            Ok(()) => {
                self.cache.remember(&item.path, known.clone())?;
                Ok(Repaired::Fetched)
            }
            Err(error @ Error::Interrupted { .. }) => Err(error),
            Err(error) => {
                self.note(&request.name, &error.to_string());
                Ok(Repaired::Removed)
            }
        }
    }

    /// Whether the file of a conversion was here, whole, and it is made again.
    fn reconvert(&self, item: &Item) -> Result<bool> {
        let Some(sha256) = item.sha256.filter(|_| item.kind == ItemKind::Derived) else { return Ok(false) };
        let path = self.cache.file(sha256);
        if !path.is_file() || hash_file(&path)?.0 != sha256 {
            return Ok(false);
        }
        Ok(self.convert_file(&path.display().to_string(), sha256).is_ok())
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
        if item.kind == ItemKind::Scratch {
            return Ok(());
        }
        Ok(fs::remove_file(&beside(item))?)
    }

    /// Whether some process is fetching just now.
    pub(super) fn is_busy(&self) -> Result<bool> {
        let claims = fs::list(&self.cache.folder("partial"))?;
        let claims = claims.iter().filter(|p| p.extension().is_some_and(|e| e == "claim"));
        Ok(claims.into_iter().any(|path| exclusive::is_held(path)))
    }
}

impl Item {
    /// An item of which no more is known than its path.
    fn bare(kind: ItemKind, path: PathBuf) -> Result<Self> {
        let (bytes, used) = (size(&path)?, modified(&path));
        Ok(Item { kind, path, bytes, used, sha256: None, record: None })
    }
}

/// The record of an item.
fn beside(item: &Item) -> PathBuf {
    match item.kind {
        ItemKind::File | ItemKind::Set => record_path(&item.path),
        ItemKind::Derived | ItemKind::Partial | ItemKind::Scratch => item.path.with_extension("json"),
    }
}

/// Whether a file is what a process leaves that is killed: a file half written, a claim.
fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|e| name.ends_with(e));
    (name.starts_with(".zoo-") && name.ends_with(".part")) || ends(&[".claim", ".dead", ".guard"])
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::symlink_metadata(path).ok()?.modified().ok()
}

/// Bytes of a file, or of the files in a folder and below.
pub(super) fn size(path: &Path) -> Result<u64> {
    let mut total = 0;
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        match std::fs::symlink_metadata(&path) {
            Ok(known) if known.is_dir() => open.extend(fs::list(&path)?),
            Ok(known) => total += known.len(),
            // Another process has just removed it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(fs::at("look at", &path)(e).into()),
        }
    }
    Ok(total)
}
