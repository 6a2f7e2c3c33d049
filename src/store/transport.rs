//! HTTP transport: a client whose redirects keep what an address promises and lead somewhere, one request on a thread of
//! its own, and what answers look like. Used by downloads, the hub and files read from afar.

use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};

use super::error::{Error, Result};
use super::location::is_loopback;
use crate::fs;

const CHUNK_LEN: usize = 256 << 10;
pub(super) const MAX_REDIRECTS: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The certificates of all authorities there are take a quarter of a megabyte.
const MAX_CERTIFICATES_LEN: u64 = 16 << 20;
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// A part of a response, from the thread that reads it.
pub(super) enum Chunk {
    Head(StatusCode, HeaderMap),
    Data(Vec<u8>),
    End,
    Broken(Failure),
}

/// Why there is no answer, or no more of it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// Another try would end the same way: a redirect that is refused, a certificate, a proxy's password.
    pub(super) permanent: bool,
}

impl Failure {
    /// What the client says, without the address, which may hold a password.
    pub(super) fn of(error: reqwest::Error) -> Self {
        let misled = error.is_redirect() || error.is_builder();
        let reason = chain(&error.without_url());
        let permanent = misled || is_certificate(&reason) || is_proxy_password(&reason);
        Failure { reason, permanent }
    }
}

/// Whether a failure is about the server's certificate, by rustls' words.
pub(super) fn is_certificate(reason: &str) -> bool {
    reason.contains("invalid peer certificate")
}

/// Whether a proxy wants a user and a password, or others, by the words of reqwest's tunnel and of HTTP.
pub(super) fn is_proxy_password(reason: &str) -> bool {
    reason.contains("proxy authorization required") || reason.contains("407 Proxy Authentication Required")
}

/// The address as it may be shown and written down: without user and password.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.username().is_empty() && url.password().is_none() {
        return url.to_string();
    }
    // Both succeed on every address that has a host.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// A client whose redirects cannot leave what the address promised, nor lead in a circle.
pub(super) fn client(url: &Url, pinned: bool) -> Result<Client> {
    let home = is_loopback(url);
    if url.scheme() == "http" && !home && !pinned {
        return Err(Error::Insecure { url: shown(url) });
    }
    let policy = Policy::custom(move |attempt| {
        let to = attempt.url();
        let safe = to.scheme() == "https" || (to.scheme() == "http" && (pinned || (home && is_loopback(to))));
        if !safe {
            let message = format!("it redirects to `{}`, which nothing protects", shown(to));
            return attempt.error(message);
        }
        if let Some(from) = attempt.previous().iter().position(|p| p == to) {
            let circle = attempt.previous().iter().skip(from).chain([to]).map(shown).collect::<Vec<_>>();
            return attempt.error(format!("it redirects in a circle: {}", circle.join(" to ")));
        }
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error(format!("it redirects more than {MAX_REDIRECTS} times"));
        }
        attempt.follow()
    });
    client_with(url, policy)
}

/// A client that follows no redirect, for who wants to see each.
pub(super) fn client_without_redirects(url: &Url) -> Result<Client> {
    client_with(url, Policy::none())
}

fn client_with(url: &Url, policy: Policy) -> Result<Client> {
    check_certificates()?;
    // Whoever came first, another program that uses the library perhaps, has chosen one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("zoo/", env!("CARGO_PKG_VERSION")))
        .redirect(policy)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(None);
    builder.build().map_err(|e| Error::Transport { url: shown(url), reason: chain(&e) })
}

/// Looks at the certificates that `SSL_CERT_FILE` names, since the TLS library passes over what it cannot read.
///
/// # Errors
/// A file that is missing, or holds none.
pub fn check_certificates() -> Result<()> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|v| !v.is_empty()) else { return Ok(()) };
    let path = Path::new(&path);
    let reason = match fs::read(path, MAX_CERTIFICATES_LEN) {
        Ok(text) if text.windows(PEM.len()).any(|w| w == PEM) => return Ok(()),
        Ok(_) => "it has no `-----BEGIN CERTIFICATE-----` in it".to_owned(),
        Err(e) => e.source.to_string(),
    };
    Err(Error::Certificates { path: path.to_owned(), reason })
}

/// Sends the request on a thread of its own; the queue is short, so a slow disk slows the server down.
pub(super) fn spawn_request(request: RequestBuilder) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(8);
    spawn_into(request, move |chunk| sender.send(chunk).is_ok());
    receiver
}

/// The same into any queue; `send` says whether anybody still listens.
pub(super) fn spawn_into(request: RequestBuilder, send: impl Fn(Chunk) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let mut response = match request.send() {
            Ok(response) => response,
            Err(e) => {
                send(Chunk::Broken(Failure::of(e)));
                return;
            }
        };
        let mut listening = send(Chunk::Head(response.status(), response.headers().clone()));
        while listening {
            let mut chunk = vec![0; CHUNK_LEN];
            listening = match response.read(&mut chunk) {
                Ok(0) => {
                    send(Chunk::End);
                    return;
                }
                Ok(read) => {
                    chunk.truncate(read);
                    send(Chunk::Data(chunk))
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => true,
                Err(e) => {
                    send(Chunk::Broken(Failure { reason: chain(&e), permanent: false }));
                    return;
                }
            };
        }
    });
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

/// A header's text, where it has one of ASCII.
pub(super) fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
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
    fn passwords_are_not_shown() {
        let url = |u: &str| Url::parse(u).unwrap();
        assert_eq!(shown(&url("https://me:secret@example.org/x?a=b")), "https://example.org/x?a=b");
        assert_eq!(shown(&url("https://example.org/x")), "https://example.org/x");
    }

    #[test]
    fn plain_http_needs_a_whole_digest() {
        let url = |u: &str| Url::parse(u).unwrap();
        assert!(matches!(client(&url("http://example.org/x"), false), Err(Error::Insecure { .. })));
        assert!(client(&url("http://example.org/x"), true).is_ok());
        assert!(client(&url("http://127.0.0.1:9/x"), false).is_ok());
    }
}
