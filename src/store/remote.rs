//! A file on a server, read by a few Range requests: enough to list a checkpoint's tensors, whose
//! directory is at one end of the file. Handed to the checkpoint readers as a [`Source`].

use std::borrow::Cow;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::{StatusCode, Url, header};

use super::error::{Error, Result};
use super::location::Location;
use super::transport::{Failure, client, content_range, is_web_page};
use super::{Request, Store};
use crate::checkpoint::Source;

/// The first request, and the least that a later one asks for: a round trip costs more than these bytes.
const FIRST_REQUEST_LEN: u64 = 128 << 10;
const MIN_REQUEST_LEN: u64 = 64 << 10;
/// What is kept of a file before zoo would rather have it fetched.
const MAX_KEPT: u64 = 512 << 20;
/// Silence that ends a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// An open file on a server.
pub struct RemoteFile {
    url: Url,
    client: Client,
    token: Option<String>,
    /// The file's version: every part must be of the same.
    validator: Option<String>,
    len: u64,
    parts: Mutex<Vec<(u64, Vec<u8>)>>,
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
        RemoteFile::open(name, url, token, pinned)
    }
}

impl RemoteFile {
    fn open(name: &str, url: Url, token: Option<String>, pinned: bool) -> Result<Self> {
        let client = client(&url, pinned)?;
        let mut file =
            RemoteFile { url, client, token, validator: None, len: 0, parts: Mutex::new(Vec::new()) };
        let broken = |reason: String| Error::Transport { url: file.url.to_string(), reason };
        let answer = file.ask(0, FIRST_REQUEST_LEN).map_err(|e| broken(e.to_string()))?;
        let url = file.url.to_string();
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => {
                let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
                return Err(if kind.is_some_and(|k| k.starts_with("text/html")) {
                    Error::WebPage { name: name.to_owned(), url }
                } else {
                    broken("the server does not send parts of files; fetch it whole".into())
                });
            }
            status => {
                let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
                return Err(Error::Status { url, status: status.to_string(), gone });
            }
        }
        let text = |name: header::HeaderName| answer.headers().get(name).and_then(|v| v.to_str().ok());
        let Some((0, Some(len))) = text(header::CONTENT_RANGE).and_then(content_range) else {
            return Err(broken("the server does not say how long the file is".into()));
        };
        let etag = text(header::ETAG).filter(|e| !e.starts_with("W/"));
        file.validator = etag.or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned);
        file.len = len;
        let head = body(answer, FIRST_REQUEST_LEN.min(len)).map_err(|e| broken(e.to_string()))?;
        if is_web_page(&head) {
            return Err(Error::WebPage { name: name.to_owned(), url });
        }
        file.parts = Mutex::new(vec![(0, head)]);
        Ok(file)
    }

    /// The address, for messages.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    fn ask(&self, at: u64, len: u64) -> io::Result<Response> {
        let last = at + len.saturating_sub(1);
        let mut request = self
            .client
            .get(self.url.clone())
            .timeout(REQUEST_TIMEOUT)
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::RANGE, format!("bytes={at}-{last}"));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(validator) = &self.validator {
            request = request.header(header::IF_RANGE, validator);
        }
        request.send().map_err(|e| io::Error::other(Failure::of(e).reason))
    }

    fn fetch(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let answer = self.ask(at, len)?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => return Err(io::Error::other("the file changed while it was read")),
            status => return Err(io::Error::other(format!("the server answers {status}"))),
        }
        let range = answer.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
        match range.and_then(content_range) {
            Some((start, total)) if start == at && total.is_none_or(|t| t == self.len) => body(answer, len),
            _ => Err(io::Error::other("the server sends another part than was asked for")),
        }
    }
}

/// Exactly `len` bytes of an answer.
fn body(answer: Response, len: u64) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    answer.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
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
}

fn within(start: u64, part: &[u8], at: u64, len: usize) -> Option<Vec<u8>> {
    let from = usize::try_from(at.checked_sub(start)?).ok()?;
    part.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
}
