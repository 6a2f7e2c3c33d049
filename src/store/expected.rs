//! What is known of a file before it is here, and who says so.
//!
//! Whose word counts, in this order: the entry's own `sha256`, the lock shipped with zoo, `--lock` files,
//! the user's lock. Two of them that differ are an error: one of them must be wrong, and zoo cannot know which.

use super::Request;
use super::error::{Error, Result};
use super::lock::Lock;
use crate::hash::{HashPrefix, Sha256};

/// What a file must turn out to be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// What was asked for, for messages.
    pub(super) name: String,
    /// The whole digest and whose word it is.
    pub(super) sha256: Option<(Sha256, String)>,
    /// Its first digits, from the file name.
    pub(super) prefix: Option<HashPrefix>,
    /// Bytes.
    pub(super) size: Option<u64>,
    /// The digest of its tensors, and whose word it is.
    pub(super) tensors: Option<(Sha256, String)>,
}

impl Expected {
    /// Gathers what the request and the locks say.
    ///
    /// # Errors
    /// [`Error::Disagree`], naming both.
    pub(super) fn of<'a>(request: &Request, locks: impl IntoIterator<Item = &'a Lock>) -> Result<Self> {
        let mut words: Vec<(Sha256, String)> = Vec::new();
        let mut tensors: Vec<(Sha256, String)> = Vec::new();
        let mut size = request.size;
        words.extend(request.sha256.map(|d| (d, "the registry entry's `sha256`".to_owned())));
        for lock in locks {
            for pin in request.sources.iter().filter_map(|s| lock.get(&s.0)) {
                words.push((pin.sha256, lock.origin.clone()));
                tensors.extend(pin.tensors_sha256.map(|d| (d, lock.origin.clone())));
                size = size.or(Some(pin.bytes));
            }
        }
        let disagree = |first: &(String, String), second: &(String, String)| Error::Disagree {
            name: request.name.clone(),
            first: first.0.clone(),
            first_origin: first.1.clone(),
            second: second.0.clone(),
            second_origin: second.1.clone(),
        };
        let text = |(digest, origin): &(Sha256, String)| (digest.to_string(), origin.clone());
        let sha256 = words.first().cloned();
        if let Some(first) = &sha256 {
            if let Some(other) = words.iter().find(|w| w.0 != first.0) {
                return Err(disagree(&text(first), &text(other)));
            }
            if let Some(prefix) = request.prefix.as_ref().filter(|p| !p.matches(&first.0)) {
                let name = (format!("{prefix}…"), "the digits in the file's name".to_owned());
                return Err(disagree(&text(first), &name));
            }
        }
        let first = tensors.first().cloned();
        if let Some(first) = &first
            && let Some(other) = tensors.iter().find(|w| w.0 != first.0)
        {
            let of_tensors = |word| {
                let (digest, origin) = text(word);
                (digest, format!("of its tensors, {origin}"))
            };
            return Err(disagree(&of_tensors(first), &of_tensors(other)));
        }
        let (name, prefix) = (request.name.clone(), request.prefix.clone());
        Ok(Expected { name, sha256, prefix, size, tensors: first })
    }

    /// The whole digest.
    pub(super) fn pinned(&self) -> Option<Sha256> {
        self.sha256.as_ref().map(|(digest, _)| *digest)
    }

    /// Whether anything would catch other bytes.
    pub(super) fn is_checked(&self) -> bool {
        self.sha256.is_some() || self.prefix.is_some()
    }

    /// Compares the digest of a file's tensors with what is on record.
    ///
    /// # Errors
    /// [`Error::Tensors`], with both values.
    pub(super) fn check_tensors(&self, url: &str, found: Sha256) -> Result<()> {
        match &self.tensors {
            Some((expected, origin)) if *expected != found => Err(Error::Tensors {
                name: self.name.clone(),
                url: url.to_owned(),
                expected: expected.to_string(),
                origin: origin.clone(),
                found: found.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Compares with what came.
    ///
    /// # Errors
    /// [`Error::Size`] or [`Error::Mismatch`], with both values.
    pub(super) fn check(&self, url: &str, found: Sha256, bytes: u64) -> Result<()> {
        let name = || self.name.clone();
        if let Some(expected) = self.size.filter(|&s| s != bytes) {
            let found = bytes.to_string();
            return Err(Error::Size { name: name(), url: url.to_owned(), expected, found });
        }
        let (expected, origin) = match (&self.sha256, &self.prefix) {
            (Some((digest, origin)), _) if *digest != found => (digest.to_string(), origin.clone()),
            (None, Some(prefix)) if !prefix.matches(&found) => {
                (format!("{prefix}…"), "the digits in the file's name".to_owned())
            }
            _ => return Ok(()),
        };
        Err(Error::Mismatch { name: name(), url: url.to_owned(), expected, origin, found: found.to_string() })
    }
}
