//! Files, with errors that name them. `clippy.toml` bans the bare `std::fs` calls in favour of these.
//!
//! Used by every module that touches the disk. Writes go to a sibling temporary file, are synced, then
//! renamed, so that a reader sees the old bytes or the new ones and never half of them.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use crate::error::{Class, Classify};
use crate::hash::Sha256;

/// An operation on a file that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub struct Error {
    /// What was tried: `read`, `write`, `rename` …
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Classify for Error {
    fn class(&self) -> Class {
        match (self.action, self.source.kind()) {
            (
                "read" | "open" | "list" | "look at",
                io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory,
            ) => Class::BadInput,
            (_, io::ErrorKind::Interrupted) => Class::Interrupted,
            _ => Class::World,
        }
    }

    fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull => Some("free some space, or point ZOO_HOME at another disk".into()),
            io::ErrorKind::PermissionDenied => Some("check who owns it".into()),
            io::ErrorKind::ReadOnlyFilesystem => {
                Some("point ZOO_HOME at a folder that can be written".into())
            }
            io::ErrorKind::NotFound if self.class() == Class::World => {
                Some("its folder is gone: something removed or unmounted it meanwhile".into())
            }
            _ => None,
        }
    }
}

/// What an operation on files returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Gives an I/O error the file's name.
pub fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error { action, path: path.to_owned(), source }
}

/// Opens a file for reading.
#[allow(clippy::disallowed_methods)]
pub fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(at("open", path))?;
    if file.metadata().map_err(at("look at", path))?.is_dir() {
        Err(at("open", path)(io::ErrorKind::IsADirectory.into()))
    } else {
        Ok(file)
    }
}

/// The whole file, at most `limit` bytes of it: a larger one is an error.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(at("read", path))?;
    if read as u64 > limit {
        let message = format!("larger than the {limit} bytes allowed here");
        return Err(at("read", path)(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    Ok(bytes)
}

/// Digest and length of a file, from one open descriptor.
pub fn sha256(path: &Path) -> Result<(Sha256, u64)> {
    sha256_of(&open(path)?, path)
}

/// Digest and length of an open file, from its first byte on; `path` is its name for messages. What is read through the
/// same descriptor afterwards is what was hashed, whatever has been put in the file's place since.
pub fn sha256_of(mut file: &File, path: &Path) -> Result<(Sha256, u64)> {
    file.seek(SeekFrom::Start(0)).map_err(at("read", path))?;
    let (mut hasher, mut bytes, mut buffer) = (Hasher::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(at("read", path))?;
        if read == 0 {
            return Ok((Sha256::from_hasher(hasher), bytes));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

/// What the system knows of a path; symlinks followed.
#[allow(clippy::disallowed_methods)]
pub fn metadata(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).map_err(at("look at", path))
}

/// The folder, or the nearest one above it that exists.
fn existing(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().find(|p| p.is_dir()).map(Path::to_owned)
}

/// Bytes that the file system of a folder, which need not exist yet, has for this user. Some that are none (FUSE, images of
/// containers) say nothing about themselves.
pub fn free_space(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(existing(folder)?.as_path()).ok()?;
    (disk.f_blocks > 0).then(|| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether two folders, which need not exist yet, are on one file system.
pub fn same_file_system(a: &Path, b: &Path) -> bool {
    let device = |folder: &Path| rustix::fs::stat(existing(folder)?.as_path()).ok().map(|s| s.st_dev);
    matches!((device(a), device(b)), (Some(a), Some(b)) if a == b)
}

/// The entries of a folder, sorted by name.
#[allow(clippy::disallowed_methods)]
pub fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).map_err(at("list", path))?;
    let mut paths =
        entries.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>().map_err(at("list", path))?;
    paths.sort();
    Ok(paths)
}

/// Makes a folder and its parents.
#[allow(clippy::disallowed_methods)]
pub fn create_dir_all(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(at("create folder", path))
}

/// Removes a file; one that is not there is no error.
#[allow(clippy::disallowed_methods)]
pub fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Renames within one file system, replacing the target.
#[allow(clippy::disallowed_methods)]
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(at("rename", from))
}

/// Makes a symbolic link.
pub fn symlink(target: &Path, link: &Path) -> Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link).map_err(at("link", link));
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, link).map_err(at("link", link));
}

/// A file being written next to its target; dropping it without [`AtomicFile::commit`] leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: tempfile::NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Starts writing what will be `target`.
    pub fn create(target: &Path) -> Result<Self> {
        let folder = match target.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".zoo-").suffix(".part");
        let temporary = builder.tempfile_in(folder).map_err(at("create a temporary file beside", target))?;
        Ok(AtomicFile { temporary, target: target.to_owned() })
    }

    /// The open file.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Where the bytes are until [`AtomicFile::commit`].
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Syncs, then puts the file in place. With `overwrite` false an existing target is an error.
    pub fn commit(self, overwrite: bool) -> Result<()> {
        self.temporary.as_file().sync_all().map_err(at("sync", &self.target))?;
        self.commit_unsynced(overwrite)
    }

    /// Puts the file in place without waiting for the disk: after a power cut it may be empty.
    pub fn commit_unsynced(self, overwrite: bool) -> Result<()> {
        let AtomicFile { temporary, target } = self;
        // tempfile creates 0600; what a user converts should be as readable as what they copy.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = 0o666 & !umask();
            let mode = std::fs::Permissions::from_mode(mode);
            temporary.as_file().set_permissions(mode).map_err(at("set permissions of", &target))?;
        }
        let placed =
            if overwrite { temporary.persist(&target) } else { temporary.persist_noclobber(&target) };
        placed.map_err(|e| at("write", &target)(e.error))?;
        Ok(())
    }
}

/// The process's umask. Linux tells it without changing it; elsewhere the usual one is assumed.
#[cfg(unix)]
fn umask() -> u32 {
    static UMASK: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = read(Path::new("/proc/self/status"), 1 << 16).unwrap_or_default();
        let status = String::from_utf8_lossy(&status).into_owned();
        let line = status.lines().find_map(|l| l.strip_prefix("Umask:"));
        line.and_then(|v| u32::from_str_radix(v.trim(), 8).ok()).unwrap_or(0o022)
    })
}

/// Writes a whole file in one step: temporary sibling, sync, rename. Replaces what is there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.file().write_all(bytes).map_err(at("write", path))?;
    file.commit(true)
}

/// The same without waiting for the disk, for what can be made again: after a power cut it may be empty.
pub fn write_atomic_unsynced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.file().write_all(bytes).map_err(at("write", path))?;
    file.commit_unsynced(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.bin");
        let mut file = AtomicFile::create(&target).unwrap();
        file.file().write_all(b"half").unwrap();
        drop(file);
        assert!(list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn an_existing_target_is_kept_unless_told() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.bin");
        write_atomic(&target, b"old").unwrap();
        let file = AtomicFile::create(&target).unwrap();
        assert!(file.commit(false).is_err());
        assert_eq!(read(&target, 10).unwrap(), b"old");
    }

    #[test]
    fn a_missing_file_is_bad_input_and_names_itself() {
        let error = read(Path::new("no/such.file"), 10).unwrap_err();
        assert_eq!(error.class(), Class::BadInput);
        assert!(error.to_string().contains("no/such.file"));
    }
}
