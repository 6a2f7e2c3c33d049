//! One file over HTTP into a partial file that is always a prefix of it: hashed as it arrives, resumed by
//! Range, retried with growing pauses, stopped by Ctrl-C or silence.
//!
//! The request runs on a thread of its own ([`super::transport`]) and hands chunks over a short queue, so that
//! hashing overlaps the network and neither a dead server nor a slow disk can make zoo deaf to the user.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::Url;
use reqwest::blocking::Client;
use reqwest::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256 as Hasher};

use super::error::{Error, Result};
use super::expected::Expected;
use super::progress::{Event, Progress};
use super::transport::{Chunk, client, content_range, is_web_page, spawn_request};
use crate::fs;
use crate::hash::Sha256;

/// When a download is tried again, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Failures in a row, without a byte arriving between them, before giving up.
    pub max_attempts: u32,
    /// The pause after the first failure; each further one doubles it.
    pub backoff: Duration,
    /// Silence that counts as a failure.
    pub idle_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 4,
            backoff: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// However much progress each makes, a file takes no more requests than this.
const MAX_REQUESTS: u32 = 200;

/// A finished download, not yet compared with what is expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// Of all bytes.
    pub(super) sha256: Sha256,
    /// How many.
    pub(super) bytes: u64,
    /// Whether some were here from an earlier run.
    pub(super) resumed: bool,
}

/// A download's parts.
pub(super) struct Download<'a> {
    pub(super) url: &'a Url,
    /// A bearer token for the address itself; never sent on to another host.
    pub(super) token: Option<&'a str>,
    /// Where the bytes go.
    pub(super) part: &'a Path,
    pub(super) expected: &'a Expected,
    pub(super) progress: &'a dyn Progress,
    pub(super) retry: RetryPolicy,
}

/// What is kept beside a partial file, to ask the server for the rest *of the same file*.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
struct Origin {
    url: String,
    /// A strong ETag or a modification date.
    validator: Option<String>,
    total: Option<u64>,
}

/// Why an attempt ended without the file.
enum AttemptError {
    /// Worth another try, perhaps after the pause that the server asked for.
    Transient(Box<Error>, Option<Duration>),
    /// Another try would end the same way.
    Permanent(Box<Error>),
}

impl<E: Into<Error>> From<E> for AttemptError {
    fn from(error: E) -> Self {
        AttemptError::Permanent(Box::new(error.into()))
    }
}

/// The partial file and the state of its hash.
struct Part {
    file: File,
    hasher: Hasher,
    done: u64,
    origin: Option<Origin>,
}

impl Download<'_> {
    /// Gets the whole file into the partial one.
    pub(super) fn run(&self) -> Result<Arrived> {
        let client = client(self.url, self.expected.pinned().is_some())?;
        let mut part = self.open_part()?;
        let resumed = part.done > 0;
        let mut failures = 0;
        for _ in 0..MAX_REQUESTS {
            let before = part.done;
            let (error, pause) = match self.attempt(&client, &mut part) {
                Ok(()) => {
                    part.file.sync_all().map_err(fs::at("sync", self.part))?;
                    let sha256 = Sha256::from_hasher(part.hasher);
                    return Ok(Arrived { sha256, bytes: part.done, resumed });
                }
                Err(AttemptError::Permanent(error)) => return Err(*error),
                Err(AttemptError::Transient(error, pause)) => (error, pause),
            };
            failures = if part.done > before { 1 } else { failures + 1 };
            if failures >= self.retry.max_attempts {
                return Err(*error);
            }
            let doubled = self.retry.backoff.saturating_mul(1 << (failures - 1).min(6));
            let pause = pause.unwrap_or(doubled).min(Duration::from_secs(60));
            let text = format!("{error}; trying again in {:.1} s", pause.as_secs_f64());
            self.progress.event(Event::Note { name: &self.expected.name, text: &text });
            self.sleep(pause)?;
        }
        Err(self.broken("it broke off too often".into()))
    }

    /// One request for what is still missing.
    fn attempt(&self, client: &Client, part: &mut Part) -> std::result::Result<(), AttemptError> {
        if part.done > 0 && self.total(part) == Some(part.done) {
            return Ok(());
        }
        let mut request = client.get(self.url.clone()).header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if part.done > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", part.done));
            if let Some(validator) = part.origin.as_ref().and_then(|o| o.validator.as_deref()) {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        let chunks = spawn_request(request);
        let (status, headers) = match self.next(&chunks)? {
            Chunk::Head(status, headers) => (status, headers),
            Chunk::Broken(reason) => return Err(self.transient(reason)),
            Chunk::Data(_) | Chunk::End => return Err(self.broken("no answer".into()).into()),
        };
        self.accept(status, &headers, part)?;
        let mut first = true;
        loop {
            match self.next(&chunks)? {
                Chunk::Data(chunk) => {
                    if std::mem::take(&mut first) {
                        self.judge(&headers, &chunk, part)?;
                    }
                    self.append(part, &chunk)?;
                }
                Chunk::End => break,
                Chunk::Broken(reason) => return Err(self.transient(reason)),
                Chunk::Head(..) => {}
            }
        }
        match self.total(part) {
            Some(total) if part.done < total => {
                let reason = format!("it ended after {} of {total} bytes", part.done);
                Err(self.transient(reason))
            }
            _ => Ok(()),
        }
    }

    /// Reads the answer's head: whether it continues the partial file, starts over, or refuses.
    fn accept(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        part: &mut Part,
    ) -> std::result::Result<(), AttemptError> {
        let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let length = text(header::CONTENT_LENGTH).and_then(|v| v.parse::<u64>().ok());
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let range = text(header::CONTENT_RANGE).and_then(content_range);
                let known = part.origin.as_ref().and_then(|o| o.total).or(self.expected.size);
                match range {
                    Some((start, total))
                        if start == part.done && (total.is_none() || known.is_none() || total == known) => {}
                    _ => {
                        self.restart(part)?;
                        let reason = "it sent another part than was asked for".into();
                        return Err(self.transient(reason));
                    }
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE if part.done > 0 => {
                self.restart(part)?;
                let reason = "it no longer has the rest of what is here".into();
                return Err(self.transient(reason));
            }
            StatusCode::OK => {
                self.restart(part)?;
                // A weak ETag does not promise the same bytes.
                let etag = text(header::ETAG).filter(|e| !e.starts_with("W/"));
                let validator = etag.or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned);
                let origin = Origin { url: self.url.to_string(), validator, total: length };
                self.remember(&origin)?;
                part.origin = Some(origin);
            }
            _ => {
                let transient = status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
                let error = Error::Status { url: self.url.to_string(), status: status.to_string(), gone };
                let after = text(header::RETRY_AFTER).and_then(|v| v.parse().ok()).map(Duration::from_secs);
                return Err(if transient {
                    AttemptError::Transient(Box::new(error), after)
                } else {
                    error.into()
                });
            }
        }
        let coding = text(header::CONTENT_ENCODING).filter(|&e| !e.eq_ignore_ascii_case("identity"));
        if let Some(coding) = coding {
            return Err(self
                .broken(format!("it sent the coding `{coding}`, which was not asked for"))
                .into());
        }
        let (done, total) = (part.done, self.total(part));
        self.progress.event(Event::Started { name: &self.expected.name, done, total });
        Ok(())
    }

    /// Looks at the first bytes: a web page is told apart from a file, then a wrong size from a right one.
    fn judge(&self, headers: &HeaderMap, chunk: &[u8], part: &Part) -> Result<()> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if part.done == 0 && (kind.starts_with("text/html") || is_web_page(chunk)) {
            let (name, url) = (self.expected.name.clone(), self.url.to_string());
            return Err(Error::WebPage { name, url });
        }
        let announced = part.origin.as_ref().and_then(|o| o.total);
        match (self.expected.size, announced) {
            (Some(expected), Some(found)) if expected != found => {
                Err(self.wrong_size(expected, format!("{found} announced")))
            }
            _ => Ok(()),
        }
    }

    fn append(&self, part: &mut Part, chunk: &[u8]) -> Result<()> {
        let done = part.done + chunk.len() as u64;
        if let Some(total) = self.total(part).filter(|&t| done > t) {
            return Err(self.wrong_size(total, format!("at least {done}")));
        }
        part.file.write_all(chunk).map_err(fs::at("write", self.part))?;
        part.hasher.update(chunk);
        part.done = done;
        self.progress.event(Event::Advanced { name: &self.expected.name, done });
        Ok(())
    }

    /// The next chunk, or the reason why there is none: the user, or silence.
    fn next(&self, chunks: &Receiver<Chunk>) -> std::result::Result<Chunk, AttemptError> {
        let started = Instant::now();
        loop {
            self.interrupted()?;
            match chunks.recv_timeout(Duration::from_millis(100)) {
                Ok(chunk) => return Ok(chunk),
                Err(RecvTimeoutError::Timeout) if started.elapsed() < self.retry.idle_timeout => {}
                Err(RecvTimeoutError::Timeout) => {
                    let reason = format!("silent for {} s", self.retry.idle_timeout.as_secs());
                    return Err(self.transient(reason));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.transient("it broke off".into()));
                }
            }
        }
    }

    fn sleep(&self, pause: Duration) -> Result<()> {
        let started = Instant::now();
        while let Some(left) = pause.checked_sub(started.elapsed()).filter(|l| !l.is_zero()) {
            self.interrupted()?;
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
        Ok(())
    }

    fn interrupted(&self) -> Result<()> {
        if self.progress.cancelled() {
            Err(Error::Interrupted { name: self.expected.name.clone() })
        } else {
            Ok(())
        }
    }

    /// Bytes the file will have, by the registry's word or else the server's.
    fn total(&self, part: &Part) -> Option<u64> {
        self.expected.size.or(part.origin.as_ref().and_then(|o| o.total))
    }

    fn wrong_size(&self, expected: u64, found: String) -> Error {
        Error::Size { name: self.expected.name.clone(), url: self.url.to_string(), expected, found }
    }

    /// A failure worth another try.
    fn transient(&self, reason: String) -> AttemptError {
        AttemptError::Transient(Box::new(self.broken(reason)), None)
    }

    fn broken(&self, reason: String) -> Error {
        Error::Transport { url: self.url.to_string(), reason }
    }

    fn origin_path(&self) -> PathBuf {
        self.part.with_extension("json")
    }

    fn remember(&self, origin: &Origin) -> Result<()> {
        let text = serde_json::to_vec(origin).unwrap_or_default();
        Ok(fs::write_atomic(&self.origin_path(), &text)?)
    }

    /// Opens what an earlier run left, and hashes it; without a digest to check the whole against in the
    /// end, bytes of an earlier run are not built upon.
    fn open_part(&self) -> Result<Part> {
        let error = fs::at("open", self.part);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.part);
        let mut part = Part { file: opened.map_err(error)?, hasher: Hasher::new(), done: 0, origin: None };
        let remembered = fs::read(&self.origin_path(), 1 << 16).ok();
        let origin = remembered.and_then(|bytes| serde_json::from_slice::<Origin>(&bytes).ok());
        match origin.filter(|o| o.url == self.url.as_str() && self.expected.is_checked()) {
            Some(origin) => part.origin = Some(origin),
            None => {
                self.restart(&mut part)?;
                return Ok(part);
            }
        }
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = part.file.read(&mut buffer).map_err(fs::at("read", self.part))?;
            part.hasher.update(buffer.get(..read).unwrap_or_default());
            part.done += read as u64;
            if read == 0 {
                break;
            }
        }
        if self.total(&part).is_some_and(|total| part.done > total) {
            self.restart(&mut part)?;
        }
        Ok(part)
    }

    fn restart(&self, part: &mut Part) -> Result<()> {
        part.file.set_len(0).map_err(fs::at("truncate", self.part))?;
        part.file.seek(SeekFrom::Start(0)).map_err(fs::at("seek in", self.part))?;
        part.hasher = Hasher::new();
        part.done = 0;
        part.origin = None;
        Ok(())
    }
}
