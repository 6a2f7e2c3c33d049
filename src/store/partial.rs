//! A file that is arriving: always a prefix of its source, hashed as it grows. In: bytes in order. Out: a whole file put in
//! its place, or a prefix left for the next run. Called by downloads and copies.
//!
//! Nobody else writes it, whatever locks are worth on a file system: its name has the random identity of the claim it was
//! made under. What an earlier run has given up lies under a name of its own and is taken by renaming it, which one
//! process can. What a run has left without giving it up, because it was killed, is copied: its writer may only be asleep.
//!
//! ```text
//! KEY.part, KEY.json             given up: the next run goes on with it
//! KEY.IDENTITY.part, .json       being written, or left by a process that was killed
//! ```

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::hash_file;
use super::error::Result;
use crate::beside::DigestBeside;
use crate::fs;
use crate::hash::Sha256;

/// The largest record of a partial file that is read.
const MAX_ORIGIN_LEN: u64 = 1 << 16;

/// A finished transfer, not yet compared with what is expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// Of all bytes.
    pub(super) sha256: Sha256,
    /// How many.
    pub(super) bytes: u64,
    /// Whether some were here from an earlier run.
    pub(super) resumed: bool,
}

/// What is kept beside a partial file, to ask the server for the rest *of the same file*.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub(super) struct Origin {
    pub(super) url: String,
    /// A strong ETag or a modification date.
    pub(super) validator: Option<String>,
    pub(super) total: Option<u64>,
}

/// The partial file and the state of its hash.
pub(super) struct Partial {
    path: PathBuf,
    /// Its name once it is given up.
    released: PathBuf,
    /// What was copied from: in the way once this one is longer.
    copied: Option<PathBuf>,
    file: File,
    hasher: DigestBeside,
    pub(super) done: u64,
    pub(super) resumed: bool,
    pub(super) origin: Option<Origin>,
}

impl Partial {
    /// Takes what earlier runs left of `key`, or begins an empty file, under the name of a claim's identity.
    pub(super) fn take(folder: &Path, key: &str, identity: &str) -> Result<Self> {
        let released = folder.join(format!("{key}.part"));
        let path = folder.join(format!("{key}.{identity}.part"));
        let mut copied = None;
        match fs::rename(&released, &path) {
            Ok(()) => move_beside(&released, &path),
            Err(_) => copied = copy_abandoned(folder, key, &path)?,
        }
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(fs::at("create", &path))?;
        let (hasher, origin) = (DigestBeside::default(), None);
        Ok(Partial { path, released, copied, file, hasher, done: 0, resumed: false, origin })
    }

    /// Reads what is here as the head of what `url` has; where it is of something else, or longer than `total` says, or
    /// nothing would catch a wrong head in the end, it begins anew.
    pub(super) fn resume(&mut self, url: &str, checked: bool, total: Option<u64>) -> Result<()> {
        let remembered = fs::read(&beside(&self.path), MAX_ORIGIN_LEN).ok();
        let origin = remembered.and_then(|bytes| serde_json::from_slice::<Origin>(&bytes).ok());
        let Some(origin) = origin.filter(|o| o.url == url && checked) else { return self.restart() };
        self.rewind()?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.file.read(&mut buffer).map_err(fs::at("read", &self.path))?;
            if read == 0 {
                break;
            }
            self.hasher.update(buffer.get(..read).unwrap_or_default());
            self.done += read as u64;
        }
        if total.or(origin.total).is_some_and(|total| self.done > total) {
            return self.restart();
        }
        (self.origin, self.resumed) = (Some(origin), self.done > 0);
        Ok(())
    }

    /// Begins anew with nothing.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(fs::at("truncate", &self.path))?;
        self.rewind()?;
        (self.origin, self.resumed) = (None, false);
        Ok(fs::remove_file(&beside(&self.path))?)
    }

    fn rewind(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(fs::at("seek in", &self.path))?;
        (self.hasher, self.done) = (DigestBeside::default(), 0);
        Ok(())
    }

    /// Writes down where the bytes are from.
    pub(super) fn remember(&mut self, origin: Origin) -> Result<()> {
        let text = serde_json::to_vec(&origin).unwrap_or_default();
        // Without it the next run begins anew, no worse.
        fs::write_atomic_unsynced(&beside(&self.path), &text)?;
        self.origin = Some(origin);
        Ok(())
    }

    /// The next bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(fs::at("write", &self.path))?;
        self.hasher.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// What has come, as a whole: nothing more is appended.
    pub(super) fn arrived(&mut self) -> Arrived {
        let sha256 = std::mem::take(&mut self.hasher).whole();
        Arrived { sha256, bytes: self.done, resumed: self.resumed }
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.len() == 0)
    }

    /// The open file, for whoever reads what was just written and hashed.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The same, for writers that hash themselves; the file must be empty.
    pub(super) fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// For messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the whole, checked and synced file in its place; `sha256` is what was found of it.
    pub(super) fn publish(self, target: &Path, sha256: Sha256) -> Result<()> {
        // What other processes left of the same file, killed one after the other.
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let key = self.released.file_stem().and_then(|k| k.to_str()).unwrap_or_default();
        for left in abandoned(folder, key).filter(|left| *left != self.path) {
            fs::remove_file(&left)?;
            fs::remove_file(&beside(&left))?;
        }
        if let Err(e) = fs::rename(&self.path, target) {
            // Another process may have held this one for dead, taken over what it had and been sooner.
            let there = e.source.kind() == ErrorKind::NotFound && target.is_file();
            if !(there && hash_file(target)?.0 == sha256) {
                return Err(e.into());
            }
        }
        Ok(fs::remove_file(&beside(&self.path))?)
    }

    /// Leaves the head for the next run.
    pub(super) fn release(self) -> Result<()> {
        move_beside(&self.path, &self.released);
        fs::rename(&self.path, &self.released)?;
        self.remove_copied()
    }

    /// Leaves nothing.
    pub(super) fn discard(self) -> Result<()> {
        fs::remove_file(&self.path)?;
        fs::remove_file(&beside(&self.path))?;
        self.remove_copied()
    }

    fn remove_copied(&self) -> Result<()> {
        if let Some(copied) = &self.copied {
            fs::remove_file(copied)?;
            fs::remove_file(&beside(copied))?;
        }
        Ok(())
    }
}

/// The record of a partial file.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// Moves the record along; without one the file is begun anew.
fn move_beside(from: &Path, to: &Path) {
    let _ = fs::rename(&beside(from), &beside(to));
}

/// Bytes that earlier runs left of `key`, for the next one to go on with.
pub(super) fn left(folder: &Path, key: &str) -> u64 {
    let released = folder.join(format!("{key}.part"));
    abandoned(folder, key).map(|path| length(&path)).fold(length(&released), u64::max)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// The files of `key` that are being written, or were when their writers were killed.
fn abandoned(folder: &Path, key: &str) -> impl Iterator<Item = PathBuf> {
    let is_left = move |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let identity = name.strip_prefix(key).and_then(|n| n.strip_prefix('.')?.strip_suffix(".part"));
        identity.is_some_and(|i| !i.is_empty()) && beside(path).is_file()
    };
    fs::list(folder).unwrap_or_default().into_iter().filter(is_left)
}

/// Copies the longest file that a killed process left of `key`; says which. The writer may only have been taken for dead: it
/// goes on with its own file, and its bytes stay where they are until the copy is whole.
fn copy_abandoned(folder: &Path, key: &str, to: &Path) -> Result<Option<PathBuf>> {
    let Some(longest) = abandoned(folder, key).max_by_key(|path| length(path)) else { return Ok(None) };
    // It may just have gone: its writer was alive after all, and has finished.
    let (Ok(mut from), Ok(origin)) = (fs::open(&longest), fs::read(&beside(&longest), MAX_ORIGIN_LEN)) else {
        return Ok(None);
    };
    let out = OpenOptions::new().write(true).create(true).truncate(true).open(to);
    // Shared with the other file where the file system can.
    std::io::copy(&mut from, &mut out.map_err(fs::at("create", to))?).map_err(fs::at("write", to))?;
    fs::write_atomic_unsynced(&beside(to), &origin)?;
    Ok(Some(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://example.org/f";

    fn started(folder: &Path, identity: &str, bytes: &[u8]) -> Partial {
        let mut part = Partial::take(folder, "k", identity).unwrap();
        part.resume(URL, true, None).unwrap();
        if part.origin.is_none() {
            part.remember(Origin { url: URL.into(), validator: None, total: Some(100) }).unwrap();
        }
        part.append(bytes).unwrap();
        part
    }

    #[test]
    fn what_was_given_up_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        started(dir.path(), "a", b"abc").release().unwrap();
        let mut part = started(dir.path(), "b", b"def");
        assert_eq!((part.done, part.resumed, part.arrived().sha256), (6, true, Sha256::of(b"abcdef")));
        part.publish(&dir.path().join("whole"), Sha256::of(b"abcdef")).unwrap();
        assert_eq!(fs::list(dir.path()).unwrap(), [dir.path().join("whole")]);
    }

    #[test]
    fn what_a_killed_process_left_is_copied_and_never_shared() {
        let dir = tempfile::tempdir().unwrap();
        let mut asleep = started(dir.path(), "a", b"abc");
        let mut part = started(dir.path(), "b", b"d");
        assert_eq!((part.done, part.resumed), (4, true));
        // It was only asleep: it begins anew, and nobody's bytes change.
        asleep.restart().unwrap();
        part.append(b"ef").unwrap();
        assert_eq!(fs::read(part.path(), 100).unwrap(), b"abcdef");
        part.publish(&dir.path().join("whole"), Sha256::of(b"abcdef")).unwrap();
        // It ends later, and finds its work done.
        asleep.append(b"abcdef").unwrap();
        asleep.publish(&dir.path().join("whole"), Sha256::of(b"abcdef")).unwrap();
        assert_eq!(fs::read(&dir.path().join("whole"), 100).unwrap(), b"abcdef");
    }

    #[test]
    fn a_head_of_something_else_is_begun_anew() {
        for (url, checked, total) in [("https://other", true, None), (URL, false, None), (URL, true, Some(2))]
        {
            let dir = tempfile::tempdir().unwrap();
            started(dir.path(), "a", b"abc").release().unwrap();
            let mut part = Partial::take(dir.path(), "k", "b").unwrap();
            part.resume(url, checked, total).unwrap();
            assert_eq!(
                (part.done, part.resumed, part.is_empty()),
                (0, false, true),
                "{url} {checked} {total:?}"
            );
        }
    }
}
