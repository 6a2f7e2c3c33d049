//! Deflated members of archives: small ones into memory, storages into memory or one file without a name that
//! is gone with the process. Called for pickles by [`super::archive`], for storages by [`super::read`].

use std::fs::File;
use std::io::{self, Read};
use std::sync::Mutex;

use super::error::{FilePosition, FormatError};
use super::source::{Source, read_exact_at};

/// An inflated storage.
#[derive(Debug)]
pub(super) enum Inflated {
    /// A small one.
    Memory(Vec<u8>),
    /// In the spill, from this byte on.
    Spilled(u64),
}

/// Up to here an inflated storage is kept in memory: an archive may have a hundred thousand.
const IN_MEMORY: u64 = 16 << 10;

/// Inflated storages on disk, one after another in one file: a descriptor each would run out.
#[derive(Debug, Default)]
pub(super) struct Spill(Mutex<Option<(File, u64)>>);

impl Spill {
    /// Room for `len` bytes: the file, and where in it they begin.
    fn reserve(&self, len: u64) -> io::Result<(File, u64)> {
        let mut place = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (file, end) = match place.as_mut() {
            Some(open) => open,
            None => place.insert((tempfile::tempfile()?, 0)),
        };
        let start = *end;
        *end += len;
        Ok((file.try_clone()?, start))
    }

    /// Bytes that were spilled.
    pub(super) fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let place = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (file, _) = place.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; len];
        read_exact_at(file, &mut bytes, at)?;
        Ok(bytes)
    }
}

/// A deflated member, as its archive describes it.
#[derive(Clone, Copy)]
pub(super) struct Deflated<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) start: u64,
    pub(super) compressed: u64,
    /// What it claims to inflate to.
    pub(super) len: u64,
    pub(super) crc: u32,
    pub(super) member: &'a str,
}

impl Deflated<'_> {
    /// All of it in memory; the caller has bounded its length.
    pub(super) fn bytes(&self) -> io::Result<Result<Vec<u8>, FormatError>> {
        let mut bytes = Vec::new();
        let sound = self.each(&mut |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(sound.map(|()| bytes))
    }

    /// In memory where it is small, else in the spill.
    pub(super) fn storage(&self, spill: &Spill) -> io::Result<Result<Inflated, FormatError>> {
        if self.len <= IN_MEMORY {
            return Ok(self.bytes()?.map(Inflated::Memory));
        }
        let (file, start) = spill.reserve(self.len)?;
        let mut at = start;
        let sound = self.each(&mut |chunk| {
            write_all_at(&file, chunk, at)?;
            at += chunk.len() as u64;
            Ok(())
        })?;
        Ok(sound.map(|()| Inflated::Spilled(start)))
    }

    /// Hands on what it inflates to; checks length and checksum.
    fn each(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<Result<(), FormatError>> {
        let bad =
            |problem: String| Ok(Err(FormatError::malformed(FilePosition::member(self.member), problem)));
        let window = Window { source: self.source, at: self.start, left: self.compressed };
        let mut decoder = flate2::read::DeflateDecoder::new(window);
        let mut hasher = flate2::Crc::new();
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0u64;
        loop {
            let read = match decoder.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if is_broken(&e) => return bad(format!("deflated data is broken: {e}")),
                Err(e) => return Err(e),
            };
            let chunk = buffer.get(..read).unwrap_or_default();
            total += read as u64;
            if total > self.len {
                return bad(format!("inflates to more than the {} bytes it claims", self.len));
            }
            hasher.update(chunk);
            sink(chunk)?;
        }
        if total != self.len {
            return bad(format!("inflates to {total} bytes, not the {} it claims", self.len));
        }
        if decoder.total_in() != self.compressed {
            let left = self.compressed.saturating_sub(decoder.total_in());
            return bad(format!("{left} bytes after its deflated data"));
        }
        if hasher.sum() != self.crc {
            return bad(format!("its CRC-32 is {:08x}, not the {:08x} it claims", hasher.sum(), self.crc));
        }
        Ok(Ok(()))
    }
}

/// The first `len` bytes of deflated data; fewer where there are fewer, or where they are broken: which shows itself
/// again when the whole is inflated.
pub(super) fn inflated_front(
    source: &dyn Source,
    start: u64,
    compressed: u64,
    len: u64,
) -> io::Result<Vec<u8>> {
    let decoder = flate2::read::DeflateDecoder::new(Window { source, at: start, left: compressed });
    let mut front = Vec::new();
    let mut limited = decoder.take(len);
    match limited.read_to_end(&mut front) {
        Err(e) if !is_broken(&e) => Err(e),
        _ => Ok(front),
    }
}

/// What a decoder says of broken data, as against a system that cannot read them.
fn is_broken(e: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(e.kind(), InvalidInput | InvalidData | UnexpectedEof)
}

/// A range of a source as a reader.
struct Window<'a> {
    source: &'a dyn Source,
    at: u64,
    left: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.left.min(buffer.len() as u64) as usize;
        if len == 0 {
            return Ok(0);
        }
        let bytes = self.source.bytes(self.at, len)?;
        buffer.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
        self.at += len as u64;
        self.left -= len as u64;
        Ok(len)
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        bytes = bytes.get(written..).unwrap_or_default();
        at += written as u64;
    }
    Ok(())
}
