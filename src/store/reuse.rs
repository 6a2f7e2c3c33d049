//! Files that torch and Hugging Face have already downloaded. They are copied and the copy is hashed;
//! never linked, since those caches are not ours to keep unchanged.

use std::path::{Path, PathBuf};

use super::Request;
use super::expected::Expected;
use super::location::{HubFile, Location};
use crate::fs;

/// Roots of the other caches.
#[derive(Clone, Debug, Default)]
pub struct OtherCaches {
    /// `TORCH_HOME`, where `hub/checkpoints` is.
    pub torch: Option<PathBuf>,
    /// `HF_HOME`, where `hub/models--…` is.
    pub hugging_face: Option<PathBuf>,
}

impl OtherCaches {
    /// From the environment, as torch and `huggingface_hub` read it.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        OtherCaches {
            torch: set("TORCH_HOME").or_else(|| Some(cache.as_ref()?.join("torch"))),
            hugging_face: set("HF_HOME").or_else(|| Some(cache.as_ref()?.join("huggingface"))),
        }
    }

    /// Files there that may be the one asked for. Without a digest to check them against: none.
    pub(super) fn candidates(&self, request: &Request, expected: &Expected) -> Vec<PathBuf> {
        if !expected.is_checked() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for source in &request.sources {
            if let Some(torch) = &self.torch {
                found.push(torch.join("hub/checkpoints").join(source.file_name()));
            }
            if let (Some(root), Ok(Location::Hub(file))) = (&self.hugging_face, Location::parse(&source.0)) {
                found.extend(snapshot(root, &file));
            }
        }
        found.retain(|path| path.is_file());
        found.dedup();
        found
    }
}

fn snapshot(root: &Path, file: &HubFile) -> Option<PathBuf> {
    let repo = root.join("hub").join(format!("models--{}", file.repo.replace('/', "--")));
    let commit = match fs::read(&repo.join("refs").join(&file.revision), 100) {
        Ok(commit) => String::from_utf8(commit).ok()?.trim().to_owned(),
        Err(_) => file.revision.clone(),
    };
    let plain = commit.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    (plain && !commit.starts_with('.')).then(|| repo.join("snapshots").join(commit).join(&file.file))
}
