//! Mirrors: other places of the same files, asked before the registry's own.
//!
//! `BASE` is asked for `BASE/FILENAME`; `FROM => TO` rewrites the head of an address; `file:DIR` is a
//! folder, also one that `zoo fetch --mirror-layout` wrote. A mirror is trusted with nothing: what it gives
//! is hashed like anything else.

use std::str::FromStr;

use super::error::{Error, Result};
use super::location::Location;
use super::lock::Lock;
use crate::hash::Sha256;
use crate::registry::Source;

/// A place to look first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// An `https:`, `http:` or `file:` folder.
    Base(String),
    /// What an address begins with, and what it begins with at the mirror.
    Rewrite(String, String),
}

impl FromStr for Mirror {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let error = |reason: &str| Error::Mirror { text: text.to_owned(), reason: reason.to_owned() };
        let folder = |base: &str| Location::parse(&format!("{}/x", base.trim_end_matches('/')));
        match text.split_once("=>") {
            Some((from, to)) => match (from.trim(), to.trim()) {
                ("", _) | (_, "") => Err(error("a rewrite is `FROM => TO`")),
                (from, to) => Ok(Mirror::Rewrite(from.to_owned(), to.to_owned())),
            },
            None => match folder(text) {
                Ok(Location::Web(_) | Location::File(_)) => {
                    Ok(Mirror::Base(text.trim_end_matches('/').to_owned()))
                }
                _ => Err(error("a mirror is `https://…`, `file:/folder` or `FROM => TO`")),
            },
        }
    }
}

impl Mirror {
    /// The lock in a folder that `--mirror-layout` wrote, where there is one.
    pub(super) fn lock(&self) -> Option<Lock> {
        let Mirror::Base(base) = self else { return None };
        let Ok(Location::File(folder)) = Location::parse(base) else { return None };
        Lock::open(&folder.join("zoo.lock")).ok()
    }

    /// The places this mirror may have a source at, in the order to ask.
    pub(super) fn places(&self, source: &Source, pinned: Option<Sha256>) -> Vec<String> {
        match self {
            Mirror::Rewrite(from, to) => {
                source.0.strip_prefix(from.as_str()).map(|rest| format!("{to}{rest}")).into_iter().collect()
            }
            Mirror::Base(base) => {
                let mut places = Vec::new();
                if let Ok(Location::File(folder)) = Location::parse(base) {
                    // Two sources may share a file name; the mirror's lock tells which of its files is which.
                    let listed = self.lock().and_then(|l| l.get(&source.0).map(|pin| pin.sha256));
                    if let Some(sha256) = pinned.or(listed) {
                        let file = folder.join("files").join(sha256.to_string());
                        if file.is_file() {
                            places.push(format!("file:{}", file.display()));
                        }
                    }
                }
                // `model.safetensors` is the name of every repository's file, and says nothing of which.
                if !source.0.starts_with("hf:") {
                    places.push(format!("{base}/{}", source.file_name()));
                }
                places
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms() {
        let source = Source("https://example.org/v1/a-0123abcd.pth".into());
        let places = |m: &str| m.parse::<Mirror>().unwrap().places(&source, None);
        assert_eq!(places("https://mirror.example/w/"), ["https://mirror.example/w/a-0123abcd.pth"]);
        assert_eq!(
            places("https://example.org/ => https://other.example/x/"),
            ["https://other.example/x/v1/a-0123abcd.pth"]
        );
        assert!(places("https://elsewhere.org => https://x").is_empty());
        assert_eq!(places("file:/srv/weights"), ["file:/srv/weights/a-0123abcd.pth"]);
    }

    #[test]
    fn a_mirror_that_is_none() {
        for text in ["", "weights", "=> x", "ftp://x", "pypi:a==1!/b"] {
            assert!(text.parse::<Mirror>().is_err(), "{text}");
        }
    }
}
