//! Hugging Face repositories: a branch is resolved to its commit when it is fetched, and the address that
//! is downloaded and recorded names that commit.

use std::io::Read;

use reqwest::Url;

use super::error::{Error, Result};
use super::location::HubFile;
use super::transport::{Failure, client};

/// Where the hub is, and who asks.
#[derive(Clone)]
pub struct Hub {
    /// `HF_ENDPOINT`.
    pub endpoint: String,
    /// `HF_TOKEN`: sent to the endpoint and to nobody else.
    pub token: Option<String>,
}

/// The token is not for logs.
impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Hub").field("endpoint", &self.endpoint).field("token", &token).finish()
    }
}

impl Default for Hub {
    fn default() -> Self {
        Hub { endpoint: "https://huggingface.co".into(), token: None }
    }
}

impl Hub {
    /// `HF_ENDPOINT` and `HF_TOKEN`.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").map(|e| e.trim_end_matches('/').to_owned());
        Hub { endpoint: endpoint.unwrap_or_else(|| Hub::default().endpoint), token: set("HF_TOKEN") }
    }

    /// The address of a file at a fixed commit.
    pub(super) fn resolve(&self, file: &HubFile) -> Result<Url> {
        self.address(file, &self.commit_of(file)?)
    }

    /// The address of a file at a revision.
    pub(super) fn address(&self, file: &HubFile, revision: &str) -> Result<Url> {
        let mut url = self.url("")?;
        let refused =
            |()| Error::Source { text: self.endpoint.clone(), reason: "HF_ENDPOINT has no path".into() };
        let mut parts = url.path_segments_mut().map_err(refused)?;
        parts.pop_if_empty().extend(file.repo.split('/')).push("resolve").push(revision);
        parts.extend(file.file.split('/'));
        drop(parts);
        Ok(url)
    }

    /// The commit that a file's revision is, or stands for now.
    pub(super) fn commit_of(&self, file: &HubFile) -> Result<String> {
        if is_commit(&file.revision) { Ok(file.revision.clone()) } else { self.commit(file) }
    }

    pub(super) fn url(&self, path: &str) -> Result<Url> {
        let text = format!("{}{path}", self.endpoint);
        Url::parse(&text).map_err(|e| Error::Source { text, reason: format!("HF_ENDPOINT: {e}") })
    }

    /// Asks which commit a branch or tag stands for now.
    fn commit(&self, file: &HubFile) -> Result<String> {
        let url = self.url(&format!("/api/models/{}/revision/{}", file.repo, file.revision))?;
        let broken = |reason: String| Error::Transport { url: url.to_string(), reason };
        let mut request = client(&url, false)?.get(url.clone()).timeout(std::time::Duration::from_secs(30));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().map_err(|e| broken(Failure::of(e).reason))?;
        if !answer.status().is_success() {
            let (url, status) = (url.to_string(), answer.status().to_string());
            return Err(Error::Status {
                url,
                status,
                gone: answer.status() == reqwest::StatusCode::NOT_FOUND,
            });
        }
        let mut text = Vec::new();
        answer.take(4 << 20).read_to_end(&mut text).map_err(|e| broken(e.to_string()))?;
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
        let commit = json.get("sha").and_then(|v| v.as_str()).filter(|c| is_commit(c));
        commit.map(str::to_owned).ok_or_else(|| broken("its answer names no commit".into()))
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
