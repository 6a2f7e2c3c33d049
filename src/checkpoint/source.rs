//! Where a checkpoint's bytes come from: a mapped file, a file read piecewise, memory, or (in the store)
//! Range requests. Every reader asks for ranges; none needs the whole file.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

use crate::fs;

/// Random access to a checkpoint's bytes.
pub trait Source: Send + Sync {
    /// Bytes in all.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes `at..at + len`, which the caller has checked to lie inside.
    ///
    /// # Errors
    /// What the system or network says; `UnexpectedEof` beyond the end.
    fn bytes(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>>;

    /// What was read may leave this process's memory, where it can be read again.
    fn forget(&self) {}

    /// Everything at once, where that costs nothing.
    fn whole(&self) -> Option<&[u8]> {
        None
    }

    /// Whether a range is a round trip: then readers ask for few, large ones, and leave out checks that
    /// would ask for a range a tensor.
    fn is_remote(&self) -> bool {
        false
    }

    /// The file of that name beside this one, where it is not on this machine's disk: the shards of an index.
    fn sibling(&self, _name: &str) -> Option<io::Result<Box<dyn Source>>> {
        None
    }

    /// The open file, where there is one (for copies inside the kernel).
    fn file(&self) -> Option<&File> {
        None
    }
}

/// A file on disk.
pub struct LocalFile {
    file: File,
    map: Option<Mmap>,
    len: u64,
}

impl LocalFile {
    /// Opens a regular file; mapped unless `mmap` is false or it lies on a network file system.
    ///
    /// # Errors
    /// A file that is missing, unreadable or not regular.
    pub fn open(path: &Path, mmap: bool) -> fs::Result<Self> {
        LocalFile::of(fs::open(path)?, path, mmap)
    }

    /// The same of a file that is open already; `path` is its name for messages.
    ///
    /// # Errors
    /// A file that is not regular.
    pub fn of(file: File, path: &Path, mmap: bool) -> fs::Result<Self> {
        let metadata = file.metadata().map_err(fs::at("look at", path))?;
        if !metadata.is_file() {
            let error = io::Error::new(io::ErrorKind::NotADirectory, "not a regular file");
            return Err(fs::at("read", path)(error));
        }
        let len = metadata.len();
        let map = if mmap { super::map::map(&file, len).map_err(fs::at("map", path))? } else { None };
        Ok(LocalFile { file, map, len })
    }
}

impl Source for LocalFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        match &self.map {
            Some(map) => slice(map, at, len).map(Cow::Borrowed),
            None => {
                // The caller has checked the range against `len()`; checked again so that a wrong one
                // allocates nothing.
                if at.checked_add(len as u64).is_none_or(|end| end > self.len) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let mut bytes = vec![0; len];
                read_exact_at(&self.file, &mut bytes, at)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    fn forget(&self) {
        if let Some(map) = &self.map {
            super::map::forget(map);
        }
    }

    fn whole(&self) -> Option<&[u8]> {
        self.map.as_deref()
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}

/// Bytes in memory: tests, fuzzing, archive members.
impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        Vec::len(self) as u64
    }

    fn bytes(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        slice(self, at, len).map(Cow::Borrowed)
    }

    fn whole(&self) -> Option<&[u8]> {
        Some(self)
    }
}

fn slice(bytes: &[u8], at: u64, len: usize) -> io::Result<&[u8]> {
    let start = usize::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
    let end = start.checked_add(len).ok_or(io::ErrorKind::UnexpectedEof)?;
    bytes.get(start..end).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                bytes = bytes.get_mut(n..).unwrap_or_default();
                at += n as u64;
            }
        }
    }
    Ok(())
}
