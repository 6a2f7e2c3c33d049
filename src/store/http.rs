//! One file over HTTP into a partial file: resumed by Range, over one connection or several, retried with growing pauses,
//! stopped by Ctrl-C or silence.
//!
//! The request runs on a thread of its own ([`super::transport`]) and hands chunks over a short queue, so that
//! hashing overlaps the network and neither a dead server nor a slow disk can make zoo deaf to the user.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{self, HeaderMap};

use super::error::{Error, Result};
use super::expected::Expected;
use super::pace::Pace;
use super::partial::{Origin, Partial};
use super::progress::{Event, FetchProgress};
use super::retry::{MAX_RETRY_AFTER, MIN_PROGRESS, RetryPolicy, Stall, is_transient, retry_after};
use super::transport::{
    Chunk, Failure, client, content_range, header_text, is_web_page, shown, spawn_request,
};

/// However much progress each makes, a file takes no more requests than this.
const MAX_REQUESTS: u32 = 200;

/// A download's parts.
pub(super) struct Download<'a> {
    pub(super) url: &'a Url,
    /// A bearer token for the address itself; never sent on to another host.
    pub(super) token: Option<&'a str>,
    pub(super) expected: &'a Expected,
    pub(super) progress: &'a dyn FetchProgress,
    pub(super) retry: RetryPolicy,
    /// Connections at once; nothing: as many as make it faster.
    pub(super) connections: Option<usize>,
}

/// How an attempt ended that did not fail.
pub(super) enum Ended {
    /// The file is whole.
    Whole,
    /// Another number of connections is to be tried.
    Repace,
}

/// Why an attempt ended without the file.
pub(super) enum AttemptError {
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

pub(super) type Attempt<T> = std::result::Result<T, AttemptError>;

impl Download<'_> {
    /// Gets the whole file into the partial one.
    pub(super) fn run(&self, part: &mut Partial) -> Result<()> {
        let client = self.client()?;
        part.resume(&shown(self.url), self.expected.is_checked(), self.expected.size)?;
        let mut pace = Pace::new(self.connections);
        let mut failures = 0;
        for _ in 0..MAX_REQUESTS {
            let before = part.done;
            let ended = match pace.several() {
                Some(connections) => self.segments(connections, part, &mut pace),
                None => self.attempt(&client, part, &mut pace),
            };
            let (error, pause) = match ended {
                Ok(Ended::Whole) => return Ok(()),
                Ok(Ended::Repace) => continue,
                Err(AttemptError::Permanent(error)) => return Err(*error),
                Err(AttemptError::Transient(error, pause)) => (error, pause),
            };
            let progressed = part.done >= before.saturating_add(MIN_PROGRESS);
            failures = if progressed { 1 } else { failures + 1 };
            if failures >= self.retry.max_attempts {
                return Err(*error);
            }
            let pause = pause.unwrap_or_else(|| self.retry.pause(failures));
            let text = format!("{error}; trying again in {:.1} s", pause.as_secs_f64());
            self.progress.event(Event::Note { name: &self.expected.name, text: &text });
            self.sleep(pause)?;
        }
        Err(self.broken("it broke off too often".into()))
    }

    pub(super) fn client(&self) -> Result<Client> {
        client(self.url, self.expected.pinned().is_some())
    }

    /// A request for what is in the file from `from` on, up to and with `last`.
    pub(super) fn request(
        &self,
        client: &Client,
        part: &Partial,
        from: u64,
        last: Option<u64>,
    ) -> RequestBuilder {
        let mut request = client.get(self.url.clone()).header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if from > 0 || last.is_some() {
            let last = last.map(|n| n.to_string()).unwrap_or_default();
            request = request.header(header::RANGE, format!("bytes={from}-{last}"));
            if let Some(validator) = part.origin.as_ref().and_then(|o| o.validator.as_deref()) {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        request
    }

    /// One request for what is still missing.
    fn attempt(&self, client: &Client, part: &mut Partial, pace: &mut Pace) -> Attempt<Ended> {
        if part.done > 0 && self.total(part) == Some(part.done) {
            return Ok(Ended::Whole);
        }
        let chunks = spawn_request(self.request(client, part, part.done, None));
        let (status, headers) = match self.next(&chunks, &mut Stall::new(self.retry.stall_timeout))? {
            Chunk::Head(status, headers) => (status, headers),
            Chunk::Broken(failure) => return Err(self.failed(failure)),
            Chunk::Data(_) | Chunk::End => return Err(self.broken("no answer".into()).into()),
        };
        self.accept(status, &headers, part)?;
        let mut first = true;
        let mut stall = Stall::new(self.retry.stall_timeout);
        pace.begin(part.done);
        loop {
            match self.next(&chunks, &mut stall)? {
                Chunk::Data(chunk) => {
                    if std::mem::take(&mut first) {
                        self.judge(&headers, &chunk, part)?;
                    }
                    self.append(part, &chunk)?;
                    stall.got(chunk.len());
                    if let Some(reason) = stall.reason() {
                        return Err(self.transient(reason));
                    }
                    let known = part.origin.as_ref().is_some_and(|o| o.validator.is_some());
                    if let Some(total) = self.total(part).filter(|_| known)
                        && pace.wants_several(part.done, total)
                    {
                        return Ok(Ended::Repace);
                    }
                }
                Chunk::End => break,
                Chunk::Broken(failure) => return Err(self.failed(failure)),
                Chunk::Head(..) => {}
            }
        }
        match self.total(part) {
            Some(total) if part.done < total => {
                let reason = format!("it ended after {} of {total} bytes", part.done);
                Err(self.transient(reason))
            }
            _ => Ok(Ended::Whole),
        }
    }

    /// Reads the answer's head: whether it continues the partial file, starts over, or refuses.
    fn accept(&self, status: StatusCode, headers: &HeaderMap, part: &mut Partial) -> Attempt<()> {
        let text = |name| header_text(headers, name);
        let length = text(header::CONTENT_LENGTH).and_then(|v| v.parse::<u64>().ok());
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let range = text(header::CONTENT_RANGE).and_then(content_range);
                let known = part.origin.as_ref().and_then(|o| o.total).or(self.expected.size);
                match range {
                    Some((start, total))
                        if start == part.done && (total.is_none() || known.is_none() || total == known) => {}
                    _ => {
                        part.restart()?;
                        let reason = "it sent another part than was asked for".into();
                        return Err(self.transient(reason));
                    }
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE if part.done > 0 => {
                part.restart()?;
                let reason = "it no longer has the rest of what is here".into();
                return Err(self.transient(reason));
            }
            StatusCode::OK => {
                part.restart()?;
                // A weak ETag does not promise the same bytes.
                let etag = text(header::ETAG).filter(|e| !e.starts_with("W/"));
                let validator = etag.or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned);
                part.remember(Origin { url: shown(self.url), validator, total: length })?;
            }
            _ => return Err(self.refused(status, headers)),
        }
        self.decoded(headers)?;
        let (done, total) = (part.done, self.total(part));
        self.progress.event(Event::Started { name: &self.expected.name, done, total });
        Ok(())
    }

    /// What a status that is no part of the file means, and when to ask again.
    pub(super) fn refused(&self, status: StatusCode, headers: &HeaderMap) -> AttemptError {
        let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        let after = retry_after(headers);
        let mut said = status.to_string();
        if let Some(after) = after.filter(|&a| a > MAX_RETRY_AFTER) {
            said = format!("{said} and asks to come back in {} s", after.as_secs());
        }
        let error = Error::Status { url: shown(self.url), status: said, gone };
        if is_transient(status) && after.is_none_or(|a| a <= MAX_RETRY_AFTER) {
            AttemptError::Transient(Box::new(error), after)
        } else {
            error.into()
        }
    }

    /// Refuses a coding that was not asked for.
    pub(super) fn decoded(&self, headers: &HeaderMap) -> Attempt<()> {
        let coding = header_text(headers, header::CONTENT_ENCODING);
        match coding.filter(|e| !e.eq_ignore_ascii_case("identity")) {
            Some(coding) => {
                Err(self.broken(format!("it sent the coding `{coding}`, which was not asked for")).into())
            }
            None => Ok(()),
        }
    }

    /// Looks at the first bytes: a web page is no file, then a wrong size from a right one.
    fn judge(&self, headers: &HeaderMap, chunk: &[u8], part: &Partial) -> Result<()> {
        let kind = header_text(headers, header::CONTENT_TYPE).unwrap_or("");
        if part.done == 0 && (kind.starts_with("text/html") || is_web_page(chunk)) {
            let (name, url) = (self.expected.name.clone(), shown(self.url));
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

    pub(super) fn append(&self, part: &mut Partial, chunk: &[u8]) -> Result<()> {
        let done = part.done + chunk.len() as u64;
        if let Some(total) = self.total(part).filter(|&t| done > t) {
            return Err(self.wrong_size(total, format!("at least {done}")));
        }
        part.append(chunk)?;
        self.progress.event(Event::Advanced { name: &self.expected.name, done });
        Ok(())
    }

    /// The next chunk, or the reason why there is none: the user, or silence.
    fn next(&self, chunks: &Receiver<Chunk>, stall: &mut Stall) -> Attempt<Chunk> {
        loop {
            self.interrupted()?;
            match chunks.recv_timeout(Duration::from_millis(100)) {
                Ok(chunk) => return Ok(chunk),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(reason) = stall.reason() {
                        return Err(self.transient(reason));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.transient("it broke off".into())),
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

    pub(super) fn interrupted(&self) -> Result<()> {
        if self.progress.cancelled() {
            Err(Error::Interrupted { name: self.expected.name.clone() })
        } else {
            Ok(())
        }
    }

    /// Bytes the file will have, by the registry's word or else the server's.
    pub(super) fn total(&self, part: &Partial) -> Option<u64> {
        self.expected.size.or(part.origin.as_ref().and_then(|o| o.total))
    }

    pub(super) fn wrong_size(&self, expected: u64, found: String) -> Error {
        Error::Size { name: self.expected.name.clone(), url: shown(self.url), expected, found }
    }

    /// What the client could not do.
    pub(super) fn failed(&self, failure: Failure) -> AttemptError {
        let Failure { reason, permanent } = failure;
        if permanent { self.broken(reason).into() } else { self.transient(reason) }
    }

    /// A failure worth another try.
    pub(super) fn transient(&self, reason: String) -> AttemptError {
        AttemptError::Transient(Box::new(self.broken(reason)), None)
    }

    fn broken(&self, reason: String) -> Error {
        Error::Transport { url: shown(self.url), reason }
    }
}
