//! Where `zoo fetch --to DIR` puts the files: a copy each, or a folder that other machines use as a mirror.

use std::path::{Path, PathBuf};

use super::Format;
use crate::error::Result;
use crate::fs;
use crate::registry::Entry;
use crate::store::{Fetched, Lock, PageFile, Pin};

/// What the source calls its file.
fn file_name(entry: &Entry) -> String {
    entry.sources.first().map_or_else(|| entry.name.clone(), |s| s.file_name().to_owned())
}

/// What the file is called in a folder of the user's.
pub(super) fn handed_out(format: Format, entry: &Entry) -> String {
    match format {
        Format::Safetensors => format!("{}.safetensors", entry.name),
        Format::Pth => file_name(entry),
    }
}

/// Adds a file to a folder that other machines use as a mirror; `pin` goes into its lock.
pub(super) fn mirror(folder: &Path, entry: &Entry, fetched: &Fetched, pin: Pin) -> Result<PathBuf> {
    let files = folder.join("files");
    fs::create_dir_all(&files)?;
    let path = files.join(fetched.sha256.to_string());
    copy(&fetched.path, &path, true)?;
    let link = folder.join(file_name(entry));
    // The page's name is that of the page's file.
    if fetched.page_file == PageFile::Seen && !link.exists() {
        let target = Path::new("files").join(fetched.sha256.to_string());
        fs::symlink(&target, &link)?;
    }
    Lock::pin(&folder.join("zoo.lock"), &fetched.source, pin)?;
    Ok(path)
}

/// A copy under a name of the user's.
pub(super) fn copy(from: &Path, to: &Path, force: bool) -> Result<()> {
    let mut file = fs::AtomicFile::create(to)?;
    // Reflinked where the file system can.
    std::io::copy(&mut fs::open(from)?, file.file()).map_err(fs::at("write", to))?;
    Ok(file.commit(force)?)
}
