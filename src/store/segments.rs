//! One file over several connections: each brings one segment at a time, and what arrives ahead of its turn waits in
//! memory, so that the partial file stays a prefix of the source. Called by [`super::http`].

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::header::{self, HeaderMap};

use super::error::Result;
use super::http::{Attempt, AttemptError, Download, Ended};
use super::pace::Pace;
use super::partial::Partial;
use super::progress::Event;
use super::retry::{MIN_PROGRESS, Stall};
use super::transport::{Chunk, content_range, header_text, spawn_into};

/// Bytes of a segment: a round trip costs little beside it, and what waits in memory is at most this a connection.
const SEGMENT_LEN: u64 = 4 << 20;

/// A part of the file on its way.
struct Segment {
    start: u64,
    len: u64,
    got: u64,
    /// Chunks whose turn has not come.
    waiting: VecDeque<Vec<u8>>,
    /// The connection that brings it, until it is whole.
    client: Option<Client>,
    stall: Stall,
}

/// What a segment's thread says, and of which segment.
type Said = (u64, Chunk);

/// All that is on its way.
struct Flight<'a> {
    download: &'a Download<'a>,
    segments: VecDeque<Segment>,
    /// Where the next segment starts.
    next: u64,
    total: u64,
    idle: Vec<Client>,
    sender: SyncSender<Said>,
}

impl Download<'_> {
    /// What is still missing, over so many connections.
    pub(super) fn segments(&self, connections: usize, part: &mut Partial, pace: &mut Pace) -> Attempt<Ended> {
        let Some(total) = self.total(part) else {
            pace.refuse_several();
            return Ok(Ended::Repace);
        };
        self.progress.event(Event::Started {
            name: &self.expected.name,
            done: part.done,
            total: Some(total),
        });
        // Each client has connections, and a thread that serves them, of its own.
        let idle = (0..connections).map(|_| self.client()).collect::<Result<Vec<_>>>()?;
        let (sender, said) = sync_channel(2 * connections);
        let (segments, next) = (VecDeque::new(), part.done);
        let mut flight = Flight { download: self, segments, next, total, idle, sender };
        let before = part.done;
        let result = flight.run(&said, part, pace);
        if let Err(AttemptError::Transient(_, asked)) = &result
            && (asked.is_some() || part.done < before.saturating_add(MIN_PROGRESS))
        {
            // One connection at a time asks less of a server that cannot keep up.
            pace.refuse_several();
        }
        result
    }
}

impl Flight<'_> {
    fn run(&mut self, said: &Receiver<Said>, part: &mut Partial, pace: &mut Pace) -> Attempt<Ended> {
        pace.begin(part.done);
        loop {
            self.start(part);
            if self.segments.is_empty() {
                return Ok(Ended::Whole);
            }
            self.download.interrupted()?;
            match said.recv_timeout(Duration::from_millis(100)) {
                Ok((start, chunk)) => self.take(start, chunk)?,
                // The sender here lives as long as the receiver.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let running = self.segments.iter().filter(|s| s.client.is_some());
                    if let Some(reason) = running.filter_map(|s| s.stall.reason()).next() {
                        return Err(self.download.transient(reason));
                    }
                }
            }
            self.drain(part)?;
            if pace.wants_one(part.done) && !self.segments.is_empty() {
                return Ok(Ended::Repace);
            }
        }
    }

    /// Asks for the next segments while connections are idle. A segment that is whole and waits for its turn counts: that
    /// bounds what waits.
    fn start(&mut self, part: &Partial) {
        while self.next < self.total
            && self.idle.len() > self.segments.iter().filter(|s| s.client.is_none()).count()
        {
            let Some(client) = self.idle.pop() else { return };
            let (start, len) = (self.next, SEGMENT_LEN.min(self.total - self.next));
            let request = self.download.request(&client, part, start, Some(start + len - 1));
            let sender = self.sender.clone();
            spawn_into(request, move |chunk| sender.send((start, chunk)).is_ok());
            let stall = Stall::new(self.download.retry.stall_timeout);
            self.segments.push_back(Segment {
                start,
                len,
                got: 0,
                waiting: VecDeque::new(),
                client: Some(client),
                stall,
            });
            self.next += len;
        }
    }

    fn take(&mut self, start: u64, chunk: Chunk) -> Attempt<()> {
        let (download, total) = (self.download, self.total);
        let Some(segment) = self.segments.iter_mut().find(|s| s.start == start) else { return Ok(()) };
        match chunk {
            Chunk::Head(status, headers) => fits(download, status, &headers, start, total),
            Chunk::Data(bytes) => {
                segment.stall.got(bytes.len());
                if let Some(reason) = segment.stall.reason() {
                    return Err(download.transient(reason));
                }
                segment.got += bytes.len() as u64;
                if segment.got > segment.len {
                    return Err(download.transient("it sent more than was asked for".into()));
                }
                segment.waiting.push_back(bytes);
                Ok(())
            }
            Chunk::End if segment.got == segment.len => {
                self.idle.extend(segment.client.take());
                Ok(())
            }
            Chunk::End => {
                let end = start + segment.got;
                Err(download.transient(format!("it ended after {end} of {total} bytes")))
            }
            Chunk::Broken(failure) => Err(download.failed(failure)),
        }
    }

    /// Writes what is next in turn.
    fn drain(&mut self, part: &mut Partial) -> Result<()> {
        while let Some(first) = self.segments.front_mut() {
            while let Some(bytes) = first.waiting.pop_front() {
                self.download.append(part, &bytes)?;
            }
            if first.client.is_some() {
                break;
            }
            self.segments.pop_front();
        }
        Ok(())
    }
}

/// Whether an answer is the segment that was asked for, of the same file.
fn fits(
    download: &Download<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    start: u64,
    total: u64,
) -> Attempt<()> {
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = header_text(headers, header::CONTENT_RANGE);
            match range.and_then(content_range) {
                Some((from, all)) if from == start && all.is_none_or(|all| all == total) => {
                    download.decoded(headers)
                }
                _ => Err(download.transient("it sent another part than was asked for".into())),
            }
        }
        // The whole file instead: it changed, or parts are not to be had after all.
        StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => {
            Err(download.transient("it no longer sends parts of the same file".into()))
        }
        _ => match download.refused(status, headers) {
            // Over one connection it may be served: the head of the file was.
            AttemptError::Permanent(error) => Err(AttemptError::Transient(error, None)),
            transient => Err(transient),
        },
    }
}
