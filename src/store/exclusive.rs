//! One writer a file, across threads and processes: an advisory lock on a file of its own.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::error::Result;
use crate::fs;

/// Runs `work` while holding the lock at `path`. While another holds it, `waiting` is called several times
/// a second, with `true` at first; its error ends the wait.
pub(super) fn with<T>(
    path: &Path,
    mut waiting: impl FnMut(bool) -> Result<()>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let mut lock = fd_lock::RwLock::new(file.map_err(fs::at("open", path))?);
    let mut first = true;
    loop {
        match lock.try_write() {
            Ok(_guard) => return work(),
            Err(e) if e.kind() == ErrorKind::WouldBlock => waiting(std::mem::take(&mut first))?,
            // A file system without locks: atomic renames still keep every file whole.
            Err(e) if e.kind() == ErrorKind::Unsupported => break,
            Err(e) => return Err(fs::at("lock", path)(e).into()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    work()
}

/// Whether nobody holds the lock at `path` just now.
pub(super) fn is_free(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return true };
    fd_lock::RwLock::new(file).try_write().is_ok()
}
