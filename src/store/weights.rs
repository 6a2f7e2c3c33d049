//! Weights: the source file and, beside it, the safetensors converted from it with a record of what was
//! made from what. Called by everything that computes with an entry's weights.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::{Fetched, PageFile, Request, Status, Store, Strength, exclusive};
use crate::checkpoint::{Checkpoint, LocalFile, Options, Source, write};
use crate::fs;
use crate::hash::Sha256;

/// Raised whenever the same source would convert to other bytes: older conversions are then made anew.
const CONVERTER: u32 = 2;

/// The largest record of a conversion that is read.
const MAX_RECORD: u64 = 1 << 16;

/// An entry's weights, fetched and converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWeights {
    /// The file as it came. Where `zoo cache gc --sources` has dropped it, its path leads nowhere.
    pub source: Fetched,
    /// The conversion: the file's own tensor names, contiguous and little-endian.
    pub safetensors: PathBuf,
    /// Of the tensors, whatever file they are in.
    pub tensors_sha256: Sha256,
}

/// What is on record beside a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Derived {
    /// Digest of the file it was made from.
    source: Sha256,
    converter: u32,
    tensors_sha256: Sha256,
    /// Of the conversion's bytes. Records say it no more: the tensors' digest covers all that is read of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    bytes: u64,
}

impl Store {
    /// Weights that are wanted: fetched, checked and converted where that has not been done. The conversion is hashed again
    /// each time.
    ///
    /// # Errors
    /// As [`Store::fetch`]; and a file that came whole and is not a checkpoint that can be converted.
    pub fn weights(&self, request: &Request) -> Result<StoredWeights> {
        Ok(self.open_weights(request)?.0)
    }

    /// One file's, and the conversion open for reading, through the descriptor that it was hashed from.
    pub(super) fn open_one(&self, request: &Request) -> Result<(StoredWeights, Checkpoint)> {
        if let Some(source) = self.converted(request)? {
            let path = self.derived(source.sha256);
            if let Some((derived, file)) = self.checked(source.sha256, &path)? {
                self.cache.touch(&path.with_extension("json"));
                self.cache.touch(&super::cache::record_path(&source.path));
                return opened(&request.name, source, path, &derived, file);
            }
        }
        // What has just come is converted while the disk is waited for, from the descriptor that it was hashed on the way to.
        let made = Mutex::new(None);
        let convert = |file: &File, sha256: Sha256, _| {
            let from = file.try_clone().map_err(fs::at("open", &self.cache.file(sha256)));
            let made_now =
                from.map_err(Error::from).and_then(|file| self.convert(&request.name, file, sha256));
            *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(made_now);
        };
        let source = self.fetch_and(request, Some(&convert))?;
        let path = self.derived(source.sha256);
        if let Some(made) = made.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let (derived, file) = made?;
            return opened(&request.name, source, path, &derived, file);
        }
        let (derived, file) = exclusive::claimed(
            &self.cache.claim(&path.display().to_string()),
            &request.name,
            |waiting| self.waiting(&request.name, waiting),
            |_| match self.checked(source.sha256, &path)? {
                Some(checked) => Ok(checked),
                None => self.convert_cached(&request.name, &source),
            },
        )?;
        opened(&request.name, source, path, &derived, file)
    }

    /// The tensors' digest that is on record of a file's conversion, where that is here. Nothing is read but the record: for
    /// telling what is known, not for computing.
    pub fn recorded_tensors(&self, request: &Request) -> Option<Sha256> {
        let of_page = self.expected(request).ok()?.pinned().and_then(|sha256| self.recorded(sha256));
        let others = || self.listed(request).ok()?.iter().find_map(|(_, pin)| self.recorded(pin.sha256));
        of_page.or_else(others)
    }

    /// The same of one file.
    fn recorded(&self, source: Sha256) -> Option<Sha256> {
        let text = fs::read(&self.derived(source).with_extension("json"), MAX_RECORD).ok()?;
        let derived = serde_json::from_slice::<Derived>(&text).ok()?;
        (derived.source == source && derived.converter == CONVERTER).then_some(derived.tensors_sha256)
    }

    pub(super) fn derived(&self, source: Sha256) -> PathBuf {
        self.cache.folder("derived").join(format!("{source}.safetensors"))
    }

    /// The source of a conversion that is here, without reading the source's bytes.
    fn converted(&self, request: &Request) -> Result<Option<Fetched>> {
        let Some(sha256) = self.expected(request)?.pinned() else { return Ok(None) };
        let path = self.cache.file(sha256);
        let Some(record) = self.cache.record(&path) else { return Ok(None) };
        let (url, bytes) = (record.url, record.bytes);
        let source = request.sources.first().map(|s| s.0.clone()).unwrap_or_default();
        let (strength, status, page_file) = (Strength::Pinned, Status::Cached, PageFile::Seen);
        let found = Fetched { path, url, source, page_file, bytes, sha256, strength, status };
        Ok(self.derived(sha256).is_file().then_some(found))
    }

    /// The record of a conversion and the file, open, if they are of this converter's and the file's tensors, their names,
    /// types, shapes and bytes, are what the record says.
    fn checked(&self, source: Sha256, path: &Path) -> Result<Option<(Derived, LocalFile)>> {
        let Ok(text) = fs::read(&path.with_extension("json"), MAX_RECORD) else { return Ok(None) };
        let Ok(derived) = serde_json::from_slice::<Derived>(&text) else { return Ok(None) };
        if derived.source != source || derived.converter != CONVERTER || !path.is_file() {
            return Ok(None);
        }
        let file = LocalFile::open(path, true)?;
        let is_whole = match (derived.sha256, file.file()) {
            (Some(sha256), Some(open)) => fs::sha256_of(open, path)? == (sha256, derived.bytes),
            (None, Some(open)) if file.len() == derived.bytes => {
                let same = open.try_clone().map_err(fs::at("open", path))?;
                tensors_in(same, path) == Some(derived.tensors_sha256)
            }
            _ => false,
        };
        Ok(is_whole.then_some((derived, file)))
    }

    /// Converts the file of that digest, which is in the cache.
    pub(super) fn convert_file(&self, name: &str, source: Sha256) -> Result<()> {
        let file = fs::open(&self.cache.file(source))?;
        self.convert(name, file, source).map(|_| ())
    }

    /// Whether a conversion is of this converter's, and its bytes are those on record.
    pub(super) fn conversion_is_whole(&self, source: Sha256) -> Result<bool> {
        Ok(self.checked(source, &self.derived(source))?.is_some())
    }

    /// Converts a file that has been here: hashed again through the descriptor that it is read from.
    fn convert_cached(&self, name: &str, source: &Fetched) -> Result<(Derived, LocalFile)> {
        let file = fs::open(&source.path)?;
        let (found, _) = fs::sha256_of(&file, &source.path)?;
        if found != source.sha256 {
            let (path, expected) = (source.path.clone(), source.sha256);
            return Err(Error::Damaged { path, expected, found });
        }
        self.convert(name, file, source.sha256)
    }

    /// Converts the open file of that digest. Nothing waits for the disk: after a power cut the conversion may be damaged,
    /// which its digest tells, and it can be made again.
    fn convert(&self, name: &str, file: File, source: Sha256) -> Result<(Derived, LocalFile)> {
        let unreadable = |e| Error::Unreadable { name: name.to_owned(), reason: Box::new(e) };
        let (from, path) = (self.cache.file(source), self.derived(source));
        let file = LocalFile::of(file, &from, true)?;
        let checkpoint = Checkpoint::from_source(&from, Box::new(file), &Options::default());
        let checkpoint = checkpoint.map_err(unreadable)?;
        let mut file = fs::AtomicFile::create(&path)?;
        let options = write::Options { sha256: false, ..write::Options::default() };
        let written = write::safetensors(&checkpoint, &path, write::Output::File(file.file()), &options)
            .map_err(unreadable)?;
        let same = file.file().try_clone().map_err(fs::at("open", &path))?;
        file.commit_unsynced(true)?;
        // It is asked for by default.
        let lost = || Error::NotCached { wanted: name.to_owned() };
        let tensors_sha256 = written.tensors_sha256.ok_or_else(lost)?;
        let bytes = written.bytes;
        let derived = Derived { source, converter: CONVERTER, tensors_sha256, sha256: None, bytes };
        let text = serde_json::to_vec_pretty(&derived).unwrap_or_default();
        fs::write_atomic_unsynced(&path.with_extension("json"), &text)?;
        Ok((derived, LocalFile::of(same, &path, true)?))
    }
}

fn opened(
    name: &str,
    source: Fetched,
    safetensors: PathBuf,
    derived: &Derived,
    file: LocalFile,
) -> Result<(StoredWeights, Checkpoint)> {
    let unreadable = |e| Error::Unreadable { name: name.to_owned(), reason: Box::new(e) };
    let checkpoint = Checkpoint::from_source(&safetensors, Box::new(file), &Options::default());
    let checkpoint = checkpoint.map_err(unreadable)?;
    let tensors_sha256 = derived.tensors_sha256;
    Ok((StoredWeights { source, safetensors, tensors_sha256 }, checkpoint))
}

/// The digest of the tensors in an open file, computed on all cores; nothing where it is no checkpoint.
fn tensors_in(file: File, path: &Path) -> Option<Sha256> {
    let file = LocalFile::of(file, path, true).ok()?;
    let checkpoint = Checkpoint::from_source(path, Box::new(file), &Options::default()).ok()?;
    let found = checkpoint.tensors_sha256().ok();
    checkpoint.forget();
    found
}
