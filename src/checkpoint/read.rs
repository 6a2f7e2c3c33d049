//! A tensor's elements: contiguous, little-endian, signs resolved, as runs of bounded size. Called by the
//! writer, the digests and whoever asks for [`Checkpoint::bytes`].

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Checkpoint;
use super::error::{FilePosition, FormatError, Result};
use super::inflate::{Deflated, Inflated, Spill};
use super::source::{Source, read_exact_at};
use super::tensor::{At, Storage, Tensor, runs};

/// The largest piece that is handed on at once.
const MAX_PIECE: usize = 1 << 20;

impl Checkpoint {
    /// A tensor's bytes: contiguous, row-major, little-endian. Borrowed where the file has them so.
    ///
    /// # Errors
    /// A storage that cannot be read or whose checksum is wrong.
    pub fn bytes(&self, tensor: &Tensor) -> Result<Cow<'_, [u8]>> {
        if let Some(bytes) = self.borrowed(tensor) {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut out = Vec::with_capacity(tensor.nbytes());
        self.stream(tensor, &mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Cow::Owned(out))
    }

    /// A tensor's bytes in order, in pieces of at most 1 MiB: memory does not grow with the tensor.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`], and whatever `sink` returns.
    pub fn stream(&self, tensor: &Tensor, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let result = self.pieces(tensor, sink);
        match result {
            Ok(sound) => sound.map_err(|f| self.fault(f.of_tensor(&tensor.name))),
            Err(source) => Err(self.unreadable(source)),
        }
    }

    /// Where a tensor's bytes lie as they are to be written: the open file, first byte, length. For copies
    /// inside the kernel. `None` for views, swapped, inflated or signed ones.
    pub fn extent(&self, tensor: &Tensor) -> Option<(&File, u64, u64)> {
        if tensor.conj || tensor.neg || !tensor.is_contiguous() {
            return None;
        }
        let (file, start) = self.storages.get(tensor.storage)?.in_file()?;
        let first = (tensor.offset as u64).checked_mul(tensor.dtype.unit() as u64)?;
        Some((self.sources.get(file)?.file()?, start.checked_add(first)?, tensor.nbytes() as u64))
    }

    /// Compares stored members with the checksums that their archive claims; those of deflated members are
    /// checked as they are inflated. Ends early, and content, once `stop` is set.
    pub(super) fn check_sums(&self, stop: &AtomicBool) -> Result<()> {
        let mut buffer = Vec::new();
        for storage in &self.storages {
            let (Some(claimed), At::File { file, start }) = (storage.crc, &storage.at) else { continue };
            let Some(source) = self.sources.get(*file) else { continue };
            let mut sum = flate2::Crc::new();
            let mut done = 0;
            while done < storage.len && !stop.load(Ordering::Relaxed) {
                let len = usize::try_from(storage.len - done).unwrap_or(MAX_PIECE).min(MAX_PIECE);
                // Read rather than mapped: faulting pages in costs more than copying them.
                match source.file() {
                    Some(file) => {
                        buffer.resize(len, 0);
                        read_exact_at(file, &mut buffer, start + done).map_err(|e| self.unreadable(e))?;
                        sum.update(&buffer);
                    }
                    None => sum.update(&source.bytes(start + done, len).map_err(|e| self.unreadable(e))?),
                }
                done += len as u64;
            }
            if done == storage.len && sum.sum() != claimed {
                let problem = format!("its CRC-32 is {:08x}, not the {claimed:08x} it claims", sum.sum());
                return Err(self.fault(FormatError::malformed(FilePosition::byte(*start), problem)));
            }
        }
        Ok(())
    }

    fn borrowed(&self, tensor: &Tensor) -> Option<&[u8]> {
        if tensor.conj || tensor.neg || !tensor.is_contiguous() {
            return None;
        }
        let storage = self.storages.get(tensor.storage).filter(|s| s.swap.is_none())?;
        let all = match &storage.at {
            At::File { file, start } => {
                let start = usize::try_from(*start).ok()?;
                self.sources
                    .get(*file)?
                    .whole()?
                    .get(start..start.checked_add(usize::try_from(storage.len).ok()?)?)?
            }
            At::Memory(bytes) => bytes,
            _ => return None,
        };
        let first = tensor.offset.checked_mul(tensor.dtype.unit())?;
        all.get(first..first.checked_add(tensor.nbytes())?)
    }

    fn pieces(
        &self,
        tensor: &Tensor,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<std::result::Result<(), FormatError>> {
        let Some(storage) = self.storages.get(tensor.storage) else {
            return Ok(Err(FormatError::malformed(FilePosition::whole(), "a tensor without a storage")));
        };
        let storage = match Window::open(self, storage)? {
            Ok(window) => window,
            Err(fault) => return Ok(Err(fault)),
        };
        let unit = tensor.dtype.unit();
        let plain = storage.storage.swap.is_none() && !tensor.conj && !tensor.neg;
        let mut buffer: Vec<u8> = Vec::new();
        let mut flush = |buffer: &mut Vec<u8>| -> io::Result<()> {
            if !plain {
                turn(buffer, storage.storage.swap, tensor);
            }
            sink(buffer)?;
            buffer.clear();
            Ok(())
        };
        let extents = tensor.extents();
        let whole = MAX_PIECE - MAX_PIECE % unit;
        runs(&extents, &tensor.strides, tensor.offset, |first, count| {
            let (mut at, mut left) = (first * unit, count * unit);
            while left > 0 {
                let len = left.min(whole - buffer.len());
                let bytes = storage.bytes(at, len)?;
                if plain && buffer.is_empty() && len == whole {
                    // A long run goes on as it is.
                    sink_piece(&mut flush, &mut buffer, bytes)?;
                } else {
                    buffer.extend_from_slice(&bytes);
                    if buffer.len() == whole {
                        flush(&mut buffer)?;
                    }
                }
                at += len;
                left -= len;
            }
            Ok(())
        })?;
        if !buffer.is_empty() {
            flush(&mut buffer)?;
        }
        Ok(Ok(()))
    }
}

fn sink_piece(
    flush: &mut impl FnMut(&mut Vec<u8>) -> io::Result<()>,
    buffer: &mut Vec<u8>,
    bytes: Cow<'_, [u8]>,
) -> io::Result<()> {
    buffer.extend_from_slice(&bytes);
    flush(buffer)
}

/// Turns words to little-endian and resolves the lazy signs.
fn turn(bytes: &mut [u8], swap: Option<usize>, tensor: &Tensor) {
    if let Some(word) = swap.filter(|&w| w > 1) {
        bytes.chunks_exact_mut(word).for_each(<[u8]>::reverse);
    }
    let word = tensor.dtype.word();
    let flip = |chunk: &mut [u8]| {
        if let Some(last) = chunk.last_mut() {
            *last ^= 0x80;
        }
    };
    if tensor.conj {
        bytes.chunks_exact_mut(word).skip(1).step_by(2).for_each(flip);
    }
    if tensor.neg {
        bytes.chunks_exact_mut(word).for_each(flip);
    }
}

/// A storage, ready to be read.
struct Window<'a> {
    storage: &'a Storage,
    place: Ready<'a>,
}

enum Ready<'a> {
    Source(&'a dyn Source, u64),
    Memory(&'a [u8]),
    Spilled(&'a Spill, u64),
}

impl<'a> Window<'a> {
    fn open(
        checkpoint: &'a Checkpoint,
        storage: &'a Storage,
    ) -> io::Result<std::result::Result<Self, FormatError>> {
        let source = |file: usize| {
            let source = checkpoint.sources.get(file).map(AsRef::as_ref);
            source.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let place = match &storage.at {
            At::File { file, start } => Ready::Source(source(*file)?, *start),
            At::Memory(bytes) => Ready::Memory(bytes),
            At::Pending => {
                return Ok(Err(FormatError::malformed(FilePosition::whole(), "a storage without bytes")));
            }
            At::Deflated { file, start, compressed, crc, member, inflated } => {
                let ready = match inflated.get() {
                    Some(ready) => ready,
                    None => {
                        let (start, compressed) = (*start, *compressed);
                        let (source, len, crc) = (source(*file)?, storage.len, *crc);
                        let deflated = Deflated { source, start, compressed, len, crc, member };
                        match deflated.storage(&checkpoint.spill)? {
                            Ok(fresh) => inflated.get_or_init(|| fresh),
                            Err(fault) => return Ok(Err(fault)),
                        }
                    }
                };
                match ready {
                    Inflated::Memory(bytes) => Ready::Memory(bytes),
                    Inflated::Spilled(start) => Ready::Spilled(&checkpoint.spill, *start),
                }
            }
        };
        Ok(Ok(Window { storage, place }))
    }

    fn bytes(&self, at: usize, len: usize) -> io::Result<Cow<'a, [u8]>> {
        let end = at.checked_add(len).filter(|&end| end as u64 <= self.storage.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        match self.place {
            Ready::Source(source, start) => source.bytes(start + at as u64, len),
            Ready::Memory(bytes) => {
                bytes.get(at..end).map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
            Ready::Spilled(spill, start) => spill.read(start + at as u64, len).map(Cow::Owned),
        }
    }
}
