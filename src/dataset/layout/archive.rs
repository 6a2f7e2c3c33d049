//! Images inside larger files, read where they lie: by position, from any number of threads. Used by the tar and
//! parquet layouts. A compressed archive is unpacked first, into a temporary file that goes with the run.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::files::fingerprint;
use super::{Images, MAX_IMAGE};
use crate::dataset::error::{Error, Result};
use crate::fs::at;
use crate::hash::Sha256;

/// What a compressed archive may unpack to; ImageNet's training set has 150 GB.
const MAX_UNPACKED: u64 = 1 << 40;

/// How compressed files begin, and what they are called.
const COMPRESSED: [(&[u8], &str); 4] =
    [(&[0x1f, 0x8b], GZIP), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd")];
const GZIP: &str = "gzip";

/// An archive that is open for as long as its images may be asked for.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) bytes: u64,
    /// Where it was unpacked to.
    pub(super) unpacked: Option<tempfile::NamedTempFile>,
}

impl Archive {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = crate::fs::open(path)?;
        let bytes = file.metadata().map_err(at("look at", path))?.len();
        Ok(Archive { path: path.to_owned(), file, bytes, unpacked: None })
    }

    /// Opens a tar, whatever it is called; one that is packed with gzip is unpacked.
    pub(super) fn open_tar(path: &Path) -> Result<Self> {
        let mut archive = Archive::open(path)?;
        let mut head = Vec::new();
        (&archive.file).take(6).read_to_end(&mut head).map_err(at("read", path))?;
        (&archive.file).seek(SeekFrom::Start(0)).map_err(at("read", path))?;
        match COMPRESSED.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name) {
            None => {}
            Some(GZIP) => archive.unpack()?,
            Some(name) => {
                return Err(archive
                    .broken(format!("it is packed with {name}: unpack it first, to a folder or a `.tar`")));
            }
        }
        Ok(archive)
    }

    fn unpack(&mut self) -> Result<()> {
        let folder = std::env::temp_dir();
        let mut target = tempfile::Builder::new()
            .prefix("zoo-")
            .suffix(".tar")
            .tempfile_in(&folder)
            .map_err(at("create a temporary file in", &folder))?;
        let source = flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, &self.file));
        let bytes = io::copy(&mut source.take(MAX_UNPACKED), &mut target).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                self.broken(format!("its gzip data are damaged or cut short: {e}"))
            }
            _ => at("unpack into a temporary file", &self.path)(e).into(),
        })?;
        if bytes == MAX_UNPACKED {
            return Err(self.broken(format!("it unpacks to more than {MAX_UNPACKED} bytes")));
        }
        self.file = target.reopen().map_err(at("open", &folder))?;
        (self.bytes, self.unpacked) = (bytes, Some(target));
        Ok(())
    }

    /// What is worth saying about how it is read.
    pub(super) fn note(&self) -> Option<String> {
        let unpacked = self.unpacked.as_ref()?;
        Some(format!(
            "`{}` is packed: it was unpacked to {} ({} bytes) for this run; a `.tar` is read in place",
            self.path.display(),
            unpacked.path().display(),
            self.bytes
        ))
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
            // A second open file has a position of its own.
            let path = self.unpacked.as_ref().map_or(self.path.as_path(), |u| u.path());
            let mut file = crate::fs::open(path).map_err(|e| e.source)?;
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

/// Where an image of an archive is.
#[derive(Clone, Debug)]
pub(super) enum MemberLocation {
    Here(Span),
    /// It is not there: its path, and why.
    Nowhere(String, String),
}

/// Images that lie whole and uncompressed in archives.
#[derive(Debug)]
pub(super) struct Spans {
    pub(super) archives: Vec<Archive>,
    pub(super) places: Vec<MemberLocation>,
}

impl Images for Spans {
    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let (span, archive) = match self.places.get(index) {
            Some(MemberLocation::Here(span)) => match self.archives.get(span.archive) {
                Some(archive) => (span, archive),
                None => return Ok(Vec::new()),
            },
            Some(MemberLocation::Nowhere(path, reason)) => {
                return Err(Error::NoImage { path: path.clone(), reason: reason.clone() });
            }
            None => return Ok(Vec::new()),
        };
        if span.bytes > MAX_IMAGE {
            let reason = format!("it has {} bytes; at most {MAX_IMAGE} are read", span.bytes);
            return Err(Error::NoImage { path: archive.path.display().to_string(), reason });
        }
        let mut buffer = vec![0; span.bytes as usize];
        archive.read_at(&mut buffer, span.offset).map_err(at("read", &archive.path))?;
        Ok(buffer)
    }

    fn size(&self, index: usize) -> Result<u64> {
        match self.places.get(index) {
            Some(MemberLocation::Here(span)) => Ok(span.bytes),
            Some(MemberLocation::Nowhere(path, reason)) => {
                Err(Error::NoImage { path: path.clone(), reason: reason.clone() })
            }
            None => Ok(0),
        }
    }

    fn fingerprint(&self) -> Result<Sha256> {
        fingerprint(self.archives.iter().map(|a| a.path.as_path()))
    }
}
