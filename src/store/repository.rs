//! What is in a repository of the Hugging Face hub, by the hub's own listing, at one commit. In: a repository. Out: its
//! files with their sizes and, of large ones, digests. Called by `zoo inspect`, `scan` and `diff`.

use std::io::Read;
use std::time::Duration;

use reqwest::{StatusCode, Url, header};

use super::error::{Error, Result};
use super::location::{HubFile, HubRepo};
use super::transport::{Failure, client, header_text};
use super::{Hub, Store};
use crate::hash::Sha256;

/// A repository at a commit.
#[derive(Clone, Debug)]
pub struct Repository {
    /// As it was asked for.
    pub repo: HubRepo,
    /// What its revision stood for.
    pub commit: String,
    /// Sorted by path.
    pub files: Vec<RepositoryFile>,
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFile {
    /// Inside the repository.
    pub path: String,
    /// How many.
    pub bytes: u64,
    /// Of the bytes, by the hub's word; small files have none.
    pub sha256: Option<Sha256>,
}

/// A page of the listing that is larger is none.
const MAX_PAGE_LEN: u64 = 16 << 20;
/// So many files are listed; the hub recommends fewer than a hundred thousand.
const MAX_FILES: usize = 200_000;
/// For a page of the listing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The endings of files that hold tensors.
const ENDINGS: [&str; 9] = [".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".npz", ".npy", ".tar", ".pkl"];
/// What libraries of the hub load from a repository, the one they take first.
const LOADED: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

impl Repository {
    /// The checkpoint in it: what the hub's libraries load, else the only file that may be one.
    ///
    /// # Errors
    /// None, or several.
    pub fn checkpoint(&self) -> Result<&RepositoryFile> {
        let loaded = LOADED.iter().find_map(|name| self.files.iter().find(|f| f.path == *name));
        if let Some(file) = loaded {
            return Ok(file);
        }
        let may: Vec<_> = self.files.iter().filter(|f| ENDINGS.iter().any(|e| f.path.ends_with(e))).collect();
        match may.as_slice() {
            [one] => Ok(one),
            _ => Err(Error::NoCheckpoint {
                repository: self.repo.to_string(),
                candidates: may.iter().map(|f| f.path.clone()).collect(),
            }),
        }
    }

    /// The source of a file in it, at the commit that was listed.
    pub fn source(&self, file: &RepositoryFile) -> String {
        HubRepo { repo: self.repo.repo.clone(), revision: self.commit.clone() }.file(&file.path)
    }
}

impl Store {
    /// Lists a repository.
    ///
    /// # Errors
    /// `offline`; a hub that does not answer, or does not have it.
    pub fn repository(&self, repo: &HubRepo) -> Result<Repository> {
        if self.options.offline {
            let (name, needed) = (repo.to_string(), vec![self.options.hub.endpoint.clone()]);
            return Err(Error::Offline { name, needed });
        }
        let hub = &self.options.hub;
        let file = HubFile { repo: repo.repo.clone(), revision: repo.revision.clone(), file: String::new() };
        let commit = hub.commit_of(&file)?;
        let mut files = hub.tree(&repo.repo, &commit)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Repository { repo: repo.clone(), commit, files })
    }
}

impl Hub {
    /// The files of a repository at a commit, page by page.
    fn tree(&self, repo: &str, commit: &str) -> Result<Vec<RepositoryFile>> {
        let mut files = Vec::new();
        let mut next = Some(self.url(&format!("/api/models/{repo}/tree/{commit}?recursive=true"))?);
        while let Some(url) = next.take() {
            let broken = |reason: String| Error::Transport { url: url.to_string(), reason };
            let mut request = client(&url, false)?.get(url.clone()).timeout(REQUEST_TIMEOUT);
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().map_err(|e| broken(Failure::of(e).reason))?;
            if !answer.status().is_success() {
                let gone = answer.status() == StatusCode::NOT_FOUND;
                return Err(Error::Status {
                    url: url.to_string(),
                    status: answer.status().to_string(),
                    gone,
                });
            }
            let link = header_text(answer.headers(), header::LINK);
            // Only the hub itself is sent the token.
            next = link.and_then(|link| next_page(&url, link)).filter(|n| n.origin() == url.origin());
            let mut text = Vec::new();
            answer.take(MAX_PAGE_LEN).read_to_end(&mut text).map_err(|e| broken(e.to_string()))?;
            let page: Vec<TreeItem> = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
            files.extend(page.into_iter().filter(|e| e.kind == "file").map(RepositoryFile::from));
            if files.len() > MAX_FILES {
                return Err(broken(format!("more than {MAX_FILES} files are in it")));
            }
        }
        Ok(files)
    }
}

/// An entry of the hub's listing.
#[derive(serde::Deserialize)]
struct TreeItem {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

/// What the hub says of a large file.
#[derive(serde::Deserialize)]
struct Lfs {
    oid: String,
    size: Option<u64>,
}

impl From<TreeItem> for RepositoryFile {
    fn from(entry: TreeItem) -> Self {
        let TreeItem { path, size, lfs, .. } = entry;
        let bytes = lfs.as_ref().and_then(|l| l.size).unwrap_or(size);
        RepositoryFile { path, bytes, sha256: lfs.and_then(|l| l.oid.parse().ok()) }
    }
}

/// `<https://…>; rel="next"`.
fn next_page(url: &Url, link: &str) -> Option<Url> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    url.join(next.split_once('<')?.1.split_once('>')?.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(paths: &[&str]) -> Repository {
        let file = |path: &&str| RepositoryFile { path: (*path).into(), bytes: 1, sha256: None };
        let repo = HubRepo::parse("hf:a/b").unwrap();
        Repository { repo, commit: "c".into(), files: paths.iter().map(file).collect() }
    }

    #[test]
    fn the_checkpoint_is_what_libraries_load_or_the_only_one() {
        for (paths, expected) in [
            (&["README.md", "model.safetensors", "pytorch_model.bin"][..], Some("model.safetensors")),
            (&["pytorch_model.bin", "sub/other.pth"], Some("pytorch_model.bin")),
            (
                &["model-00001-of-00002.safetensors", "model.safetensors.index.json"],
                Some("model.safetensors.index.json"),
            ),
            (&["config.json", "weights/best.pth"], Some("weights/best.pth")),
            (&["a.pth", "b.pth"], None),
            (&["README.md"], None),
        ] {
            let repository = repository(paths);
            assert_eq!(repository.checkpoint().ok().map(|f| f.path.as_str()), expected, "{paths:?}");
        }
    }

    #[test]
    fn the_next_page_is_found_in_the_link() {
        let url = Url::parse("https://h/api/models/a/b/tree/c").unwrap();
        let next = next_page(&url, "<https://h/p?cursor=x>; rel=\"next\"");
        assert_eq!(next.unwrap().as_str(), "https://h/p?cursor=x");
        assert_eq!(
            next_page(&url, "</q>; rel=\"prev\", </p>; rel=\"next\"").unwrap().as_str(),
            "https://h/p"
        );
        assert!(next_page(&url, "</q>; rel=\"prev\"").is_none() && next_page(&url, "next").is_none());
    }
}
