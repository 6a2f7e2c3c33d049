//! `zoo.lock`: the full SHA-256 of files that were fetched and checked.
//!
//! A file name such as `NAME-0123abcd.pth` promises 32 bits; a lock promises all 256. One line a file,
//! `SHA256 BYTES SOURCE`, so that it merges and reads like the output of `sha256sum`. One lock ships with
//! zoo, others are named with `--lock`, and the store pins what it fetches in the user's own.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{Error, Result};
use crate::fs;
use crate::hash::Sha256;

const SHIPPED: &str = include_str!("../../registry/zoo.lock");
const HEADER: &str = "# zoo.lock 1: SHA-256, bytes and source of files that were fetched and checked\n";
/// Larger than a line for every file of the registry a hundred times over.
const MAX_LOCK_LEN: u64 = 16 << 20;

/// What a lock says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The whole digest.
    pub sha256: Sha256,
    /// Bytes; of a set, of all its files.
    pub bytes: u64,
}

/// A lock file, read.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    /// How messages call it.
    pub(super) origin: String,
    pins: BTreeMap<String, Pin>,
}

impl Lock {
    /// The lock inside the binary.
    pub fn shipped() -> Result<Self> {
        Lock::parse("registry/zoo.lock, shipped with zoo", Path::new("registry/zoo.lock"), SHIPPED)
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// The file cannot be read, or [`Error::Lock`] with its line.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path, MAX_LOCK_LEN)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let before = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
            let line = before.filter(|&&b| b == b'\n').count() + 1;
            Error::Lock { file: path.to_owned(), line, reason: "it is not UTF-8".into() }
        })?;
        Lock::parse(&path.display().to_string(), path, &text)
    }

    /// Reads a lock that may not exist yet.
    pub(super) fn open_or_empty(path: &Path) -> Result<Self> {
        if path.exists() {
            Lock::open(path)
        } else {
            Ok(Lock { origin: path.display().to_string(), pins: BTreeMap::new() })
        }
    }

    fn parse(origin: &str, file: &Path, text: &str) -> Result<Self> {
        let mut pins = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let error = |reason: String| Error::Lock { file: file.to_owned(), line: at + 1, reason };
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut parts = line.splitn(3, ' ');
            let (Some(sha256), Some(bytes), Some(source)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(error("a line is `SHA256 BYTES SOURCE`".into()));
            };
            let sha256 = sha256.parse().map_err(|e| error(format!("{e}")))?;
            let bytes = bytes.parse().map_err(|_| error(format!("`{bytes}` is not a number of bytes")))?;
            let pin = Pin { sha256, bytes };
            match pins.insert(source.to_owned(), pin) {
                Some(other) if other != pin => {
                    return Err(error(format!("`{source}` is pinned a second time, to something else")));
                }
                _ => {}
            }
        }
        Ok(Lock { origin: origin.to_owned(), pins })
    }

    /// What it says of a source.
    pub fn get(&self, source: &str) -> Option<Pin> {
        self.pins.get(source).copied()
    }

    /// Every source and its pin, sorted by source.
    pub fn pins(&self) -> impl Iterator<Item = (&str, Pin)> {
        self.pins.iter().map(|(source, pin)| (source.as_str(), *pin))
    }

    /// Adds a pin; what was there is replaced.
    pub fn insert(&mut self, source: &str, pin: Pin) {
        self.pins.insert(source.to_owned(), pin);
    }

    /// Adds a pin to the lock file at `path`, which may not exist yet; one process at a time.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn pin(path: &Path, source: &str, pin: Pin) -> Result<()> {
        let guard = path.with_file_name(".zoo.lock.guard");
        super::exclusive::with(
            &guard,
            |_| Ok(()),
            || {
                let mut lock = Lock::open_or_empty(path)?;
                if lock.get(source) == Some(pin) {
                    return Ok(());
                }
                lock.insert(source, pin);
                Ok(fs::write_atomic(path, lock.text().as_bytes())?)
            },
        )
    }

    /// The file's text, sorted by source.
    pub fn text(&self) -> String {
        self.pins.iter().fold(HEADER.to_owned(), |text, (source, pin)| {
            format!("{text}{} {} {source}\n", pin.sha256, pin.bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_lock_reads() {
        let lock = Lock::shipped().unwrap();
        assert!(lock.pins().count() >= 2);
        assert_eq!(lock.text(), SHIPPED, "the shipped lock is sorted and in the form that zoo writes");
    }

    #[test]
    fn a_bad_line_is_named() {
        let digest = Sha256::of(b"");
        for (text, line) in [
            ("# comment\nxyz\n".to_owned(), 2),
            (format!("{digest} twelve https://a/b\n"), 1),
            (format!("{digest} 1 https://a/b\n{digest} 2 https://a/b\n"), 2),
        ] {
            match Lock::parse("t", Path::new("t"), &text) {
                Err(Error::Lock { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn pins_accumulate_across_writers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zoo.lock");
        std::thread::scope(|scope| {
            for i in 0..8_u64 {
                let path = &path;
                scope.spawn(move || {
                    let source = format!("https://example.org/{i} with space");
                    Lock::pin(path, &source, Pin { sha256: Sha256::of(&[i as u8]), bytes: i }).unwrap();
                });
            }
        });
        assert_eq!(Lock::open(&path).unwrap().pins().count(), 8);
    }
}
