//! One writer a file, across threads and processes: an advisory lock on a file of its own.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use super::error::Result;
use crate::fs;

/// Runs `work` while holding the lock at `path`; `waiting` is called once when another holds it.
pub(super) fn with<T>(path: &Path, waiting: impl FnOnce(), work: impl FnOnce() -> Result<T>) -> Result<T> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let mut lock = fd_lock::RwLock::new(file.map_err(fs::at("open", path))?);
    match lock.try_write() {
        Ok(guard) => {
            let result = work();
            drop(guard);
            return result;
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => waiting(),
        // A file system without locks: atomic renames still keep every file whole.
        Err(e) if e.kind() == ErrorKind::Unsupported => return work(),
        Err(e) => return Err(fs::at("lock", path)(e).into()),
    }
    let _guard = lock.write().map_err(fs::at("lock", path))?;
    work()
}
