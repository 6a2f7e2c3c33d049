//! HTTP transport: a client whose redirects keep what an address promises, one request on a thread of its own,
//! and what answers look like. Used by downloads, the hub and files read from afar.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};

use super::error::{Error, Result};
use super::location::is_loopback;

const CHUNK_LEN: usize = 256 << 10;
const MAX_REDIRECTS: usize = 10;

/// A part of a response, from the thread that reads it.
pub(super) enum Chunk {
    Head(StatusCode, HeaderMap),
    Data(Vec<u8>),
    End,
    Broken(String),
}

/// A client whose redirects cannot leave what the address promised.
pub(super) fn client(url: &Url, pinned: bool) -> Result<Client> {
    let home = is_loopback(url);
    if url.scheme() == "http" && !home && !pinned {
        return Err(Error::Insecure { url: url.to_string() });
    }
    let policy = Policy::custom(move |attempt| {
        let to = attempt.url();
        let safe = to.scheme() == "https" || (to.scheme() == "http" && (pinned || (home && is_loopback(to))));
        match (safe, attempt.previous().len() > MAX_REDIRECTS) {
            (true, false) => attempt.follow(),
            (true, true) => attempt.error("too many redirects"),
            (false, _) => {
                let message = format!("it redirects to `{to}`, which nothing protects");
                attempt.error(message)
            }
        }
    });
    let builder = Client::builder()
        .user_agent(concat!("zoo/", env!("CARGO_PKG_VERSION")))
        .redirect(policy)
        .connect_timeout(Duration::from_secs(20))
        .timeout(None);
    builder.build().map_err(|e| Error::Transport { url: url.to_string(), reason: chain(&e) })
}

/// Sends the request on a thread of its own; the queue is short, so a slow disk slows the server down.
pub(super) fn spawn_request(request: RequestBuilder) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(8);
    std::thread::spawn(move || {
        let _ = send_chunks(request, &sender);
    });
    receiver
}

/// Ends early when nobody listens any more.
fn send_chunks(
    request: RequestBuilder,
    sender: &SyncSender<Chunk>,
) -> std::result::Result<(), std::sync::mpsc::SendError<Chunk>> {
    let mut response = match request.send() {
        Ok(response) => response,
        Err(e) => return sender.send(Chunk::Broken(chain(&e.without_url()))),
    };
    sender.send(Chunk::Head(response.status(), response.headers().clone()))?;
    loop {
        let mut chunk = vec![0; CHUNK_LEN];
        match response.read(&mut chunk) {
            Ok(0) => return sender.send(Chunk::End),
            Ok(read) => {
                chunk.truncate(read);
                sender.send(Chunk::Data(chunk))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return sender.send(Chunk::Broken(chain(&e))),
        }
    }
}

/// An error and its causes in one line; the outer ones repeat what the inner ones say better.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// `bytes 100-199/200` → start and total.
pub(super) fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

/// Whether bytes begin as an HTML or XML page does.
pub(super) fn is_web_page(head: &[u8]) -> bool {
    let head = head.get(..head.len().min(512)).unwrap_or_default();
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    ["<!doctype html", "<html", "<head", "<?xml", "<!--"].iter().any(|tag| text.starts_with(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        assert_eq!(content_range("pages 1-2/3"), None);
    }

    #[test]
    fn pages_are_told_from_files() {
        assert!(is_web_page(b"\n <!DOCTYPE html><html>"));
        assert!(is_web_page("\u{feff}<html lang=en>".as_bytes()));
        assert!(!is_web_page(b"PK\x03\x04") && !is_web_page(b"\x80\x02\x8a") && !is_web_page(b""));
    }

    #[test]
    fn plain_http_needs_a_whole_digest() {
        let url = |u: &str| Url::parse(u).unwrap();
        assert!(matches!(client(&url("http://example.org/x"), false), Err(Error::Insecure { .. })));
        assert!(client(&url("http://example.org/x"), true).is_ok());
        assert!(client(&url("http://127.0.0.1:9/x"), false).is_ok());
    }
}
