//! Images inside larger files, read where they lie: by position, from any number of threads, without
//! unpacking. Used by the tar and parquet layouts.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use super::{Images, MAX_IMAGE, stamp};
use crate::dataset::error::{Error, Result};
use crate::fs::at;
use crate::hash::Sha256;

/// An archive that is open for as long as its images may be asked for.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) bytes: u64,
}

impl Archive {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = crate::fs::open(path)?;
        let bytes = file.metadata().map_err(at("look at", path))?.len();
        Ok(Archive { path: path.to_owned(), file, bytes })
    }

    /// What is wrong with it.
    pub(super) fn broken(&self, reason: impl Into<String>) -> Error {
        Error::BadArchive { path: self.path.display().to_string(), reason: reason.into() }
    }

    /// Fills `buffer` from a position on, whoever else is reading.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset);
        #[cfg(not(unix))]
        {
            use std::io::{Read, Seek, SeekFrom};
            // A second open file has a position of its own.
            let mut file = crate::fs::open(&self.path).map_err(|e| e.source)?;
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(buffer)
        }
    }
}

/// A run of bytes in one of several archives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// The archive's number.
    pub(super) archive: usize,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Images that lie whole and uncompressed in archives.
#[derive(Debug)]
pub(super) struct Spans {
    pub(super) archives: Vec<Archive>,
    pub(super) spans: Vec<Span>,
}

impl Images for Spans {
    fn bytes(&self, index: usize) -> crate::Result<Vec<u8>> {
        let span = self.spans.get(index).copied();
        let Some((span, archive)) = span.and_then(|s| Some((s, self.archives.get(s.archive)?))) else {
            return Ok(Vec::new());
        };
        if span.bytes > MAX_IMAGE {
            return Err(archive
                .broken(format!("an image of {} bytes; at most {MAX_IMAGE} are read", span.bytes))
                .into());
        }
        let mut buffer = vec![0; span.bytes as usize];
        archive.read_at(&mut buffer, span.offset).map_err(at("read", &archive.path))?;
        Ok(buffer)
    }

    fn size(&self, index: usize) -> crate::Result<u64> {
        Ok(self.spans.get(index).map_or(0, |s| s.bytes))
    }

    fn fingerprint(&self) -> crate::Result<Sha256> {
        fingerprint(&self.archives)
    }
}

/// Changes when an archive does.
pub(super) fn fingerprint(archives: &[Archive]) -> crate::Result<Sha256> {
    let mut hasher = Hasher::new();
    for archive in archives {
        stamp(&mut hasher, &archive.path)?;
    }
    Ok(Sha256::from_hasher(hasher))
}
