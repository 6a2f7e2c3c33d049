//! What addresses answer, asked for their heads only: which are gone, moved for good, or of another length. In: sources. Out:
//! an answer for each. Called by `zoo lint --online`.
//!
//! Servers are asked politely: each host one question at a time, with a pause after it, few hosts at once, none again that
//! said it is busy; and what was answered counts for a day, kept in `ZOO_HOME/heads.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::blocking::{Client, Response};
use reqwest::{StatusCode, Url, header};
use serde::{Deserialize, Serialize};

use super::Store;
use super::error::{Error, Result};
use super::location::Location;
use super::transport::{Failure, MAX_REDIRECTS, client_without_redirects, header_text, shown};
use crate::fs;
use crate::registry::Source;

/// What an address answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// There is a file.
    Found {
        /// Its length, where the server says so.
        bytes: Option<u64>,
        /// Where it has moved for good, by the server's own word (301, 308).
        moved_to: Option<String>,
    },
    /// There is none any more: the server's words.
    Gone(String),
    /// That is not known: why it could not be asked, or did not say.
    Unknown(String),
}

/// What is kept of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// When, in seconds since 1970.
    asked: u64,
    gone: Option<String>,
    bytes: Option<u64>,
    moved_to: Option<String>,
}

/// How long an answer counts.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Between two questions to one host.
const REQUEST_INTERVAL: Duration = Duration::from_millis(250);
/// Hosts that are asked at the same time.
const MAX_HOSTS: usize = 4;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Larger than the answers of ten thousand addresses.
const MAX_KEPT_LEN: u64 = 16 << 20;

impl Store {
    /// What the sources that are addresses of the web or of the hub answer; those of other kinds are left out.
    ///
    /// # Errors
    /// `offline`; Ctrl-C; a cache that cannot be written.
    pub fn heads(&self, sources: &[&Source]) -> Result<BTreeMap<String, Head>> {
        let mut addresses: BTreeMap<String, Url> = BTreeMap::new();
        for source in sources {
            match Location::parse(&source.0) {
                Ok(Location::Web(url)) => addresses.insert(source.0.clone(), url),
                Ok(Location::Hub(file)) => {
                    addresses.insert(source.0.clone(), self.options.hub.address(&file, &file.revision)?)
                }
                Ok(Location::File(_) | Location::Wheel(_)) | Err(_) => None,
            };
        }
        if self.options.offline {
            let needed = addresses.into_keys().collect();
            return Err(Error::Offline { name: "what addresses answer".into(), needed });
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut kept = self.kept_heads();
        // A clock that was wrong must not make an answer count for ever.
        kept.retain(|_, k| now.checked_sub(k.asked).is_some_and(|age| age < MAX_AGE.as_secs()));
        let mut hosts: BTreeMap<String, Vec<(&str, &Url)>> = BTreeMap::new();
        for (source, url) in addresses.iter().filter(|(source, _)| !kept.contains_key(*source)) {
            hosts.entry(url.authority().to_owned()).or_default().push((source, url));
        }
        let wanted: usize = hosts.values().map(Vec::len).sum();
        let queue = Mutex::new(hosts.into_values());
        let answers = Mutex::new(BTreeMap::new());
        let worker = || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(host) = next else { break };
                self.ask_host(&host, &|source, head| {
                    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                    answers.insert(source.to_owned(), head);
                    if answers.len().is_multiple_of(50) {
                        self.note("addresses", &format!("{} of {wanted} asked", answers.len()));
                    }
                });
            }
        };
        std::thread::scope(|scope| (0..MAX_HOSTS).for_each(|_| drop(scope.spawn(worker))));
        let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (source, head) in &answers {
            let fresh = |gone, bytes, moved_to| Kept { asked: now, gone, bytes, moved_to };
            match head {
                Head::Found { bytes, moved_to } => {
                    kept.insert(source.clone(), fresh(None, *bytes, moved_to.clone()))
                }
                Head::Gone(words) => kept.insert(source.clone(), fresh(Some(words.clone()), None, None)),
                Head::Unknown(_) => None,
            };
        }
        let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        fs::write_atomic(&self.heads_path(), &text)?;
        if self.options.progress.cancelled() {
            return Err(Error::Interrupted { name: "what addresses answer".into() });
        }
        drop(queue);
        for source in addresses.into_keys() {
            if let (false, Some(Kept { gone, bytes, moved_to, .. })) =
                (answers.contains_key(&source), kept.get(&source))
            {
                let found = Head::Found { bytes: *bytes, moved_to: moved_to.clone() };
                answers.insert(source, gone.clone().map_or(found, Head::Gone));
            }
        }
        Ok(answers)
    }

    fn heads_path(&self) -> PathBuf {
        self.home().join("heads.json")
    }

    /// What was answered before; nothing where that cannot be read, since it can be asked again.
    fn kept_heads(&self) -> BTreeMap<String, Kept> {
        let bytes = fs::read(&self.heads_path(), MAX_KEPT_LEN).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Asks one host for its addresses, one after the other, until it has enough.
    fn ask_host(&self, addresses: &[(&str, &Url)], tell: &dyn Fn(&str, Head)) {
        let Some((_, first)) = addresses.first() else { return };
        let (client, mut stopped) = match client_without_redirects(first) {
            Ok(client) => (Some(client), None),
            Err(error) => (None, Some(error.to_string())),
        };
        for (at, (source, url)) in addresses.iter().enumerate() {
            if self.options.progress.cancelled() {
                return;
            }
            let client = match (&client, &stopped) {
                (Some(client), None) => client,
                (_, reason) => {
                    let reason = reason.as_deref().unwrap_or("its host is left alone");
                    tell(source, Head::Unknown(format!("not asked: {reason}")));
                    continue;
                }
            };
            if at > 0 {
                std::thread::sleep(REQUEST_INTERVAL);
            }
            match self.ask_head(client, url) {
                Ok(head) => tell(source, head),
                Err(Refusal { reason, host_is_busy }) => {
                    if host_is_busy {
                        stopped = Some(reason.clone());
                    }
                    tell(source, Head::Unknown(reason));
                }
            }
        }
    }

    /// One address, through its redirects. Only those before the first temporary one say where it has moved.
    fn ask_head(&self, client: &Client, from: &Url) -> std::result::Result<Head, Refusal> {
        let (mut url, mut moved_to, mut for_good) = (from.clone(), None, true);
        let is_hub = Url::parse(&self.options.hub.endpoint).is_ok_and(|hub| hub.origin() == from.origin());
        for _ in 0..=MAX_REDIRECTS {
            let mut request =
                client.head(url.clone()).timeout(TIMEOUT).header(header::ACCEPT_ENCODING, "identity");
            if let (true, Some(token)) = (is_hub && url.origin() == from.origin(), &self.options.hub.token) {
                request = request.bearer_auth(token);
            }
            // Who does not answer at all will not answer the next question either.
            let answer =
                request.send().map_err(|e| Refusal { reason: Failure::of(e).reason, host_is_busy: true })?;
            let status = answer.status();
            let to = text(&answer, header::LOCATION).filter(|_| status.is_redirection());
            let Some(to) = to else { return judged(&answer, moved_to) };
            let refused = |reason: String| Refusal { reason, host_is_busy: false };
            url = url.join(&to).map_err(|e| refused(format!("it redirects to `{to}`: {e}")))?;
            for_good &= matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT);
            if for_good {
                moved_to = Some(shown(&url));
            }
        }
        Err(Refusal { reason: format!("it redirects more than {MAX_REDIRECTS} times"), host_is_busy: false })
    }
}

/// Why an address did not say what is there.
struct Refusal {
    reason: String,
    /// Its host is to be left alone.
    host_is_busy: bool,
}

fn text(answer: &Response, name: header::HeaderName) -> Option<String> {
    header_text(answer.headers(), name).map(str::to_owned)
}

/// What the last answer says.
fn judged(answer: &Response, moved_to: Option<String>) -> std::result::Result<Head, Refusal> {
    let status = answer.status();
    let refused = |reason: String, host_is_busy| Err(Refusal { reason, host_is_busy });
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Head::Gone(status.to_string())),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            refused(format!("it answers {status}"), true)
        }
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            refused(format!("it answers {status}: it does not say what is there without sending it"), false)
        }
        _ if !status.is_success() => refused(format!("it answers {status}"), false),
        _ if text(answer, header::CONTENT_TYPE).is_some_and(|t| t.starts_with("text/html")) => {
            refused("it answers with a web page: a login or a proxy may stand in between".into(), false)
        }
        _ => {
            let coded =
                text(answer, header::CONTENT_ENCODING).is_some_and(|c| !c.eq_ignore_ascii_case("identity"));
            let length = text(answer, header::CONTENT_LENGTH).and_then(|v| v.parse().ok());
            Ok(Head::Found { bytes: length.filter(|_| !coded), moved_to })
        }
    }
}
