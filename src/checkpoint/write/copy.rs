//! A tensor's bytes into the output. Where nothing has to look at them and pages allow it they are copied inside
//! the kernel, file to file; else they pass through in pieces, once, whatever is computed.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::layout::Planned;
use super::{Narrow, Options, Output, Written};
use crate::beside::DigestBeside;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::digest::Digests;
use crate::checkpoint::error::Error;
use crate::checkpoint::source::read_exact_at;
use crate::checkpoint::tensor::Tensor;
use crate::checkpoint::values::Number;

/// Whose fault it was.
pub(super) enum CopyError {
    /// The output could not be written.
    Output(io::Error),
    /// The checkpoint could not be read.
    Input(Error),
}

impl From<Error> for CopyError {
    fn from(error: Error) -> Self {
        CopyError::Input(error)
    }
}

/// Tensors below this are cheaper to read and write than to ask the kernel for.
const MIN_KERNEL_COPY: u64 = 64 << 10;
/// Small pieces are gathered up to this.
const MAX_PENDING: usize = 1 << 20;
/// Read and written at once where the kernel does not copy; pieces end where the output is at a multiple of it, so
/// that whole pages are written (a page written in two parts costs half as much again).
const COPY_STEP: u64 = 512 << 10;
/// Bytes of a page.
const PAGE: u64 = 4096;

/// The output and what is computed of it on the way.
pub(super) struct Copier<'a, 'o> {
    checkpoint: &'a Checkpoint,
    narrow: Option<Narrow>,
    sink: Sink<'o>,
    overflowed: Vec<(String, u64)>,
}

impl<'a, 'o> Copier<'a, 'o> {
    pub(super) fn new(checkpoint: &'a Checkpoint, output: Output<'o>, options: &Options) -> Self {
        let sink = Sink {
            output,
            whole: options.sha256.then(DigestBeside::default),
            tensor: options.tensors_sha256.then(DigestBeside::default),
            pending: Vec::with_capacity(MAX_PENDING),
            buffer: Vec::new(),
            bytes: 0,
        };
        Copier { checkpoint, narrow: options.narrow, sink, overflowed: Vec::new() }
    }

    /// Writes a header and tensors. Checksums that an archive claims are checked on another thread, for a
    /// copy inside the kernel shows nobody its bytes.
    pub(super) fn all(mut self, header: &[u8], tensors: &[Planned<'_>]) -> Result<Written, CopyError> {
        let checkpoint = self.checkpoint;
        let stop = AtomicBool::new(false);
        let (copied, checked) = std::thread::scope(|scope| {
            let checking = scope.spawn(|| checkpoint.check_sums(&stop));
            let copied = self.tensors(header, tensors);
            if copied.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            (copied, checking.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
        });
        copied?;
        checked?;
        let Sink { whole, tensor, bytes, .. } = self.sink;
        let of_tensors = tensor.map(|tensor| {
            let mut digests = Digests::default();
            for (Planned { tensor, dtype, .. }, digest) in tensors.iter().zip(tensor.finish()) {
                digests.add(&tensor.name, &dtype.to_string(), &tensor.shape, digest);
            }
            digests.finish()
        });
        Ok(Written {
            bytes,
            sha256: whole.map(DigestBeside::whole),
            tensors_sha256: of_tensors,
            removed: Vec::new(),
            overflowed: self.overflowed,
        })
    }

    fn tensors(&mut self, header: &[u8], tensors: &[Planned<'_>]) -> Result<(), CopyError> {
        self.sink.put(header).map_err(CopyError::Output)?;
        for planned in tensors {
            match self.narrow.zip(Number::of(planned.tensor.dtype).filter(|&n| Narrow::takes(n))) {
                Some((narrow, number)) => self.narrowed(planned.tensor, narrow, number)?,
                None => self.plain(planned.tensor)?,
            }
            self.sink.end();
        }
        self.sink.flush().map_err(CopyError::Output)
    }

    /// Bytes as they are.
    fn plain(&mut self, tensor: &Tensor) -> Result<(), CopyError> {
        match self.checkpoint.extent(tensor).filter(|(_, _, len)| *len >= MIN_KERNEL_COPY) {
            Some((file, at, len)) => {
                let read = |e: io::Error| CopyError::Input(self.checkpoint.unreadable(e));
                self.sink.put_range(file, at, len).map_err(|(fault, e)| match fault {
                    Side::Read => read(e),
                    Side::Write => CopyError::Output(e),
                })
            }
            None => self.stream(tensor, |sink, piece| sink.put_tensor(piece)),
        }
    }

    fn narrowed(&mut self, tensor: &Tensor, narrow: Narrow, number: Number) -> Result<(), CopyError> {
        let mut overflowed = 0;
        let mut out = Vec::new();
        self.stream(tensor, |sink, piece| {
            out.clear();
            overflowed += narrow.append(number, piece, &mut out);
            sink.put_tensor(&out)
        })?;
        if overflowed > 0 {
            self.overflowed.push((tensor.name.clone(), overflowed));
        }
        Ok(())
    }

    /// Hands a tensor's pieces to `put`, and tells its errors from the checkpoint's.
    fn stream(
        &mut self,
        tensor: &Tensor,
        mut put: impl FnMut(&mut Sink<'_>, &[u8]) -> io::Result<()>,
    ) -> Result<(), CopyError> {
        let mut failed = None;
        let sink = &mut self.sink;
        let result = self.checkpoint.stream(tensor, &mut |piece| {
            put(sink, piece).map_err(|e| {
                let kind = e.kind();
                failed = Some(e);
                kind.into()
            })
        });
        match (failed, result) {
            (Some(e), _) => Err(CopyError::Output(e)),
            (None, result) => Ok(result?),
        }
    }
}

/// Which side of a copy failed.
enum Side {
    Read,
    Write,
}

/// The output, buffered and hashed.
struct Sink<'a> {
    output: Output<'a>,
    /// Hashes the output.
    whole: Option<DigestBeside>,
    /// Hashes each tensor.
    tensor: Option<DigestBeside>,
    /// Small pieces are gathered here.
    pending: Vec<u8>,
    /// What is read of a range.
    buffer: Vec<u8>,
    bytes: u64,
}

impl Sink<'_> {
    fn put(&mut self, piece: &[u8]) -> io::Result<()> {
        self.bytes += piece.len() as u64;
        let large = piece.len() as u64 >= MIN_KERNEL_COPY;
        if large || self.pending.len() + piece.len() > MAX_PENDING {
            self.flush()?;
        }
        match large {
            true => self.write(piece),
            false => {
                self.pending.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn put_tensor(&mut self, piece: &[u8]) -> io::Result<()> {
        if let Some(hasher) = &mut self.tensor {
            hasher.update(piece);
        }
        self.put(piece)
    }

    /// The tensor is complete.
    fn end(&mut self) {
        if let Some(digests) = &mut self.tensor {
            digests.end();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.write(&pending)?;
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if let Some(whole) = &mut self.whole {
            whole.update(piece);
        }
        match &mut self.output {
            Output::File(file) => file.write_all(piece),
            Output::Stream(stream) => stream.write_all(piece),
        }
    }

    /// A range of a file: by the kernel alone where nobody has to see the bytes and both files stand at the same
    /// place of a page, else in pieces. (Elsewhere the kernel's own copy takes a quarter longer.)
    fn put_range(&mut self, from: &File, at: u64, len: u64) -> Result<(), (Side, io::Error)> {
        let mut done = 0;
        let unseen = self.whole.is_none() && self.tensor.is_none();
        if unseen && at % PAGE == self.bytes % PAGE {
            self.flush().map_err(|e| (Side::Write, e))?;
            if let Output::File(file) = &mut self.output {
                done = inside_kernel(from, at, file, len).map_err(|e| (Side::Write, e))?;
                self.bytes += done;
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(COPY_STEP as usize, 0);
        while done < len {
            let piece = (len - done).min(COPY_STEP - self.bytes % COPY_STEP);
            let bytes = buffer.get_mut(..piece as usize).unwrap_or_default();
            read_exact_at(from, bytes, at + done).map_err(|e| (Side::Read, e))?;
            self.put_tensor(bytes).map_err(|e| (Side::Write, e))?;
            done += piece;
        }
        self.buffer = buffer;
        Ok(())
    }
}

/// Copies a range to where `to` stands; less than all of it where the kernel or the file system cannot.
#[cfg(target_os = "linux")]
fn inside_kernel(from: &File, at: u64, to: &mut File, len: u64) -> io::Result<u64> {
    use rustix::io::Errno;
    let (mut offset, mut done) = (at, 0);
    while done < len {
        let most = usize::try_from(len - done).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut offset), &*to, None, most) {
            // Nothing more: the file was cut short, which reading it piece by piece will say.
            Ok(0) => break,
            Ok(copied) => done += copied as u64,
            Err(Errno::INTR) => {}
            // Not between these two file systems, or not at all: the rest is read and written.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::IO) => {
                break;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(done)
}

/// Copies nothing: there is no such call here.
#[cfg(not(target_os = "linux"))]
fn inside_kernel(_: &File, _: u64, _: &mut File, _: u64) -> io::Result<u64> {
    Ok(0)
}
