//! A file on a server, read by a few Range requests: enough to list a checkpoint's tensors, whose
//! directory is at one end of the file. Handed to the checkpoint readers as a [`Source`].

use std::borrow::Cow;
use std::io;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url, header};

use super::error::{Error, Result};
use super::location::Location;
use super::progress::FetchProgress;
use super::retry::{MAX_RETRY_AFTER, RetryPolicy, Stall, is_transient, retry_after};
use super::transport::{Chunk, client, content_range, header_text, is_web_page, shown, spawn_request};
use super::{Request, Store};
use crate::checkpoint::Source;

/// The first request, and the least that a later one asks for: a round trip costs more than these bytes.
const FIRST_REQUEST_LEN: u64 = 128 << 10;
const MIN_REQUEST_LEN: u64 = 64 << 10;
/// Between two looks at whether the user wants to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// What is kept of a file before zoo would rather have it fetched.
const MAX_KEPT: u64 = 512 << 20;
/// A file no longer than this is taken whole from a server that sends no parts.
const MAX_WHOLE_LEN: u64 = 8 << 20;

/// An open file on a server.
pub struct RemoteFile {
    url: Url,
    client: Client,
    token: Option<String>,
    /// The file's version: every part must be of the same.
    validator: Option<String>,
    len: u64,
    parts: Mutex<Vec<(u64, Vec<u8>)>>,
    retry: RetryPolicy,
    progress: Arc<dyn FetchProgress>,
}

/// An answer to a request for a part.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self, name: header::HeaderName) -> Option<&str> {
        header_text(&self.headers, name)
    }
}

impl Store {
    /// Opens the first of a request's places that is a file on a server, for reading parts of it.
    ///
    /// # Errors
    /// No such place among them, `offline`, a server that refuses or does not serve ranges.
    pub fn remote(&self, request: &Request) -> Result<RemoteFile> {
        let expected = self.expected(request)?;
        let (mut tried, mut needed) = (Vec::new(), Vec::new());
        for text in self.places(request, &expected) {
            let location = Location::parse(&text)?;
            if !matches!(location, Location::Web(_) | Location::Hub(_)) {
                continue;
            }
            if self.options.offline {
                needed.push(text);
                continue;
            }
            match self.remote_at(&request.name, location, expected.pinned().is_some()) {
                Ok(file) => return Ok(file),
                Err(error) => tried.push(error),
            }
        }
        if tried.is_empty() && needed.is_empty() {
            Err(Error::NotRemote { name: request.name.clone() })
        } else {
            Err(Error::of_attempts(&request.name, tried, needed))
        }
    }

    fn remote_at(&self, name: &str, location: Location, pinned: bool) -> Result<RemoteFile> {
        let (url, token) = match location {
            Location::Hub(file) => (self.options.hub.resolve(&file)?, self.options.hub.token.clone()),
            Location::Web(url) => (url, None),
            Location::File(_) | Location::Wheel(_) => {
                return Err(Error::NotRemote { name: name.to_owned() });
            }
        };
        let client = client(&url, pinned)?;
        let (retry, progress) = (self.options.retry, self.options.progress.clone());
        let parts = Mutex::new(Vec::new());
        RemoteFile { url, client, token, validator: None, len: 0, parts, retry, progress }.open(name)
    }
}

impl RemoteFile {
    /// Asks for the head of the file, which says how long it is.
    fn open(mut self, name: &str) -> Result<Self> {
        let url = shown(&self.url);
        let broken = |reason: String| Error::Transport { url: url.clone(), reason };
        let answer = self.ask(0, FIRST_REQUEST_LEN).map_err(|e| broken(e.to_string()))?;
        let page = || Error::WebPage { name: name.to_owned(), url: url.clone() };
        let is_page = answer.text(header::CONTENT_TYPE).is_some_and(|k| k.starts_with("text/html"))
            && is_web_page(&answer.body);
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                let Some((0, Some(len))) = answer.text(header::CONTENT_RANGE).and_then(content_range) else {
                    return Err(broken("the server does not say how long the file is".into()));
                };
                self.len = len;
            }
            _ if is_page => return Err(page()),
            StatusCode::OK => {
                let len = answer.text(header::CONTENT_LENGTH).and_then(|v| v.parse::<u64>().ok());
                if len != Some(answer.body.len() as u64) {
                    return Err(broken("the server does not send parts of files; fetch it whole".into()));
                }
                self.len = answer.body.len() as u64;
            }
            // Of an empty file there is no part.
            StatusCode::RANGE_NOT_SATISFIABLE if answer.text(header::CONTENT_RANGE) == Some("bytes */0") => {}
            status => {
                let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
                return Err(Error::Status { url, status: status.to_string(), gone });
            }
        }
        if self.len > 0 && (answer.body.len() as u64) < FIRST_REQUEST_LEN.min(self.len) {
            return Err(broken(format!("it ended after {} of {} bytes", answer.body.len(), self.len)));
        }
        if is_web_page(&answer.body) {
            return Err(page());
        }
        let etag = answer.text(header::ETAG).filter(|e| !e.starts_with("W/"));
        self.validator = etag.or_else(|| answer.text(header::LAST_MODIFIED)).map(str::to_owned);
        self.parts = Mutex::new(vec![(0, answer.body)]);
        Ok(self)
    }

    /// The address, for messages.
    pub fn url(&self) -> String {
        shown(&self.url)
    }

    /// Asks for a part, again where that may help.
    fn ask(&self, at: u64, len: u64) -> io::Result<Answer> {
        let mut failures = 0;
        loop {
            let (error, after) = match self.ask_once(at, len) {
                Ok(answer) if is_transient(answer.status) => {
                    let after = retry_after(&answer.headers);
                    if after.is_some_and(|a| a > MAX_RETRY_AFTER) {
                        return Ok(answer);
                    }
                    (io::Error::other(format!("the server answers {}", answer.status)), after)
                }
                Ok(answer) => return Ok(answer),
                Err((error, permanent)) if permanent => return Err(error),
                Err((error, _)) => (error, None),
            };
            failures += 1;
            if failures >= self.retry.max_attempts {
                return Err(error);
            }
            let (pause, started) = (after.unwrap_or_else(|| self.retry.pause(failures)), Instant::now());
            while started.elapsed() < pause {
                self.interrupted()?;
                std::thread::sleep((pause.saturating_sub(started.elapsed())).min(POLL_INTERVAL));
            }
        }
    }

    /// Asks once; an error says also whether it will not be otherwise.
    fn ask_once(&self, at: u64, len: u64) -> std::result::Result<Answer, (io::Error, bool)> {
        let last = at + len.saturating_sub(1);
        let mut request = self
            .client
            .get(self.url.clone())
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::RANGE, format!("bytes={at}-{last}"));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(validator) = &self.validator {
            request = request.header(header::IF_RANGE, validator);
        }
        let chunks = spawn_request(request);
        let mut stall = Stall::new(self.retry.stall_timeout);
        let mut answer = None;
        let again = |reason: String| (io::Error::other(reason), false);
        loop {
            self.interrupted().map_err(|e| (e, true))?;
            match chunks.recv_timeout(POLL_INTERVAL) {
                Ok(Chunk::Head(status, headers)) => {
                    answer = Some(Answer { status, headers, body: Vec::new() });
                }
                Ok(Chunk::Data(bytes)) => {
                    stall.got(bytes.len());
                    let Some(answer) = answer.as_mut() else { continue };
                    answer.body.extend_from_slice(&bytes);
                    // Whatever it sends, no more is taken than a part, or a small file.
                    let most = if answer.status == StatusCode::OK { MAX_WHOLE_LEN } else { len };
                    if answer.body.len() as u64 > most {
                        answer.body.truncate(usize::try_from(len).unwrap_or(usize::MAX));
                        break;
                    }
                }
                Ok(Chunk::End) => break,
                Ok(Chunk::Broken(failure)) => {
                    return Err((io::Error::other(failure.reason), failure.permanent));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(reason) = stall.reason() {
                        return Err(again(reason));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(again("it broke off".into())),
            }
        }
        answer.ok_or_else(|| again("no answer".into()))
    }

    fn interrupted(&self) -> io::Result<()> {
        if self.progress.cancelled() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn fetch(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let answer = self.ask(at, len)?;
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => return Err(io::Error::other("the file changed while it was read")),
            status => return Err(io::Error::other(format!("the server answers {status}"))),
        }
        match answer.text(header::CONTENT_RANGE).and_then(content_range) {
            Some((start, total)) if start == at && total.is_none_or(|t| t == self.len) => {
                if answer.body.len() as u64 == len {
                    Ok(answer.body)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
            }
            _ => Err(io::Error::other("the server sends another part than was asked for")),
        }
    }

    /// The file of that name beside it, of the same server.
    fn beside(&self, name: &str) -> Result<RemoteFile> {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop().push(name);
        }
        let (client, token) = (self.client.clone(), self.token.clone());
        let (retry, progress) = (self.retry, self.progress.clone());
        let parts = Mutex::new(Vec::new());
        RemoteFile { url, client, token, validator: None, len: 0, parts, retry, progress }.open(name)
    }
}

impl Source for RemoteFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        let end = at.checked_add(len as u64).filter(|&end| end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = parts.iter().find_map(|(start, part)| within(*start, part, at, len)) {
            return Ok(Cow::Owned(found));
        }
        // What is asked for begins in a part that is here when a reader doubles its first read: only the
        // rest is fetched then.
        let head = parts.iter().find_map(|(start, part)| {
            let from = usize::try_from(at.checked_sub(*start)?).ok()?;
            part.get(from..).filter(|head| !head.is_empty()).map(<[u8]>::to_vec)
        });
        let mut bytes = head.unwrap_or_default();
        let from = at + bytes.len() as u64;
        // Near the end, where directories are, more than was asked for is read backwards.
        let (from, keep) = if bytes.is_empty() && self.len - from < MIN_REQUEST_LEN {
            (self.len.saturating_sub(MIN_REQUEST_LEN), from)
        } else {
            (from, from)
        };
        let ask = (end - from).max(MIN_REQUEST_LEN).min(self.len - from);
        let kept: u64 = parts.iter().map(|(_, part)| part.len() as u64).sum();
        if kept.saturating_add(ask) > MAX_KEPT {
            return Err(io::Error::other("too much of the file is needed; fetch it whole"));
        }
        let fresh = self.fetch(from, ask)?;
        let skip = usize::try_from(keep - from).unwrap_or(usize::MAX);
        bytes.extend_from_slice(fresh.get(skip..).unwrap_or_default());
        parts.push((from, fresh));
        if bytes.len() > len {
            bytes.truncate(len);
        } else if bytes.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Cow::Owned(bytes))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn sibling(&self, name: &str) -> Option<io::Result<Box<dyn Source>>> {
        let opened = self.beside(name).map(|file| -> Box<dyn Source> { Box::new(file) });
        Some(opened.map_err(|e| match e {
            Error::Status { gone: true, .. } => io::Error::new(io::ErrorKind::NotFound, e.to_string()),
            e => io::Error::other(e.to_string()),
        }))
    }
}

fn within(start: u64, part: &[u8], at: u64, len: usize) -> Option<Vec<u8>> {
    let from = usize::try_from(at.checked_sub(start)?).ok()?;
    part.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
}
