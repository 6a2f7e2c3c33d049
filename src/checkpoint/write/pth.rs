//! The zip `.pth` writer: a state dict that `torch.load(weights_only=True)` reads. In: an open checkpoint.
//! Out: an archive with `data.pkl`, `byteorder`, one stored member a tensor, and `version`, as torch's own.
//!
//! The pickle is protocol 2 and names only what torch's own writer names: a rebuilder, storage classes or
//! dtypes, and `OrderedDict` for the hooks that are not there.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;

use crate::checkpoint::Checkpoint;
use crate::checkpoint::error::{Error, FilePosition, FormatError, Result};
use crate::checkpoint::tensor::Tensor;

/// torch aligns storages so that they can be mapped.
const ALIGNMENT: u16 = 64;

/// Writes all tensors into `file`, which will be `target`.
///
/// # Errors
/// A type that torch does not have; a storage that cannot be read; a write that fails.
pub fn pth(checkpoint: &Checkpoint, target: &Path, file: &mut File) -> Result<()> {
    if checkpoint.tensors().is_empty() {
        return Err(checkpoint.fault(FormatError::no_tensors("holds no tensors: there is nothing to write")));
    }
    let pickle = pickle(checkpoint)?;
    let failed = |e: zip::result::ZipError| {
        let source = match e {
            zip::result::ZipError::Io(source) => source,
            other => std::io::Error::other(other),
        };
        Error::File(crate::fs::Error { action: "write", path: target.to_owned(), source })
    };
    let wrong = |e: std::io::Error| failed(zip::result::ZipError::Io(e));
    // One name for all files: bytes depend on the tensors alone.
    let folder = "archive";
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    // The earliest date that zip can hold; torch writes none either.
    let options = options.last_modified_time(zip::DateTime::default()).with_alignment(ALIGNMENT);
    let mut zip = zip::ZipWriter::new(BufWriter::with_capacity(1 << 20, file));
    let small = [("data.pkl", pickle.as_slice()), ("byteorder", b"little".as_slice())];
    for (name, bytes) in small {
        zip.start_file(format!("{folder}/{name}"), options).map_err(failed)?;
        zip.write_all(bytes).map_err(wrong)?;
    }
    for (key, tensor) in checkpoint.tensors().iter().enumerate() {
        let large = tensor.nbytes() as u64 >= u64::from(u32::MAX);
        zip.start_file(format!("{folder}/data/{key}"), options.large_file(large)).map_err(failed)?;
        checkpoint.stream(tensor, &mut |piece| zip.write_all(piece))?;
    }
    zip.start_file(format!("{folder}/version"), options).map_err(failed)?;
    zip.write_all(b"3\n").map_err(wrong)?;
    let mut inner = zip.finish().map_err(failed)?;
    inner.flush().map_err(wrong)
}

/// The state dict as a pickle whose tensors are views of storages `0`, `1`, …
fn pickle(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let mut out = b"\x80\x02}(".to_vec();
    for (key, tensor) in checkpoint.tensors().iter().enumerate() {
        text(&mut out, &tensor.name);
        value(&mut out, key, tensor).map_err(|f| checkpoint.fault(f.of_tensor(&tensor.name)))?;
    }
    out.extend_from_slice(b"u.");
    Ok(out)
}

/// `_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`; for types that have no storage
/// class of their own `_rebuild_tensor_v3(…, dtype)` over an untyped storage.
fn value(out: &mut Vec<u8>, key: usize, tensor: &Tensor) -> std::result::Result<(), FormatError> {
    let dtype = tensor.dtype;
    let unsupported =
        || FormatError::unsupported(FilePosition::whole(), format!("torch has no type {dtype}"));
    let class = dtype.storage_class();
    let name = dtype.torch().ok_or_else(unsupported)?;
    let (rebuild, class, module) = match class {
        Some(class) => ("_rebuild_tensor_v2", class, "torch"),
        None => ("_rebuild_tensor_v3", "UntypedStorage", "torch.storage"),
    };
    let units = match class {
        "UntypedStorage" => tensor.nbytes(),
        _ => tensor.nbytes() / dtype.unit(),
    };
    global(out, "torch._utils", rebuild);
    out.extend_from_slice(b"((");
    text(out, "storage");
    global(out, module, class);
    text(out, &key.to_string());
    text(out, "cpu");
    int(out, units);
    out.extend_from_slice(b"tQ");
    int(out, 0);
    // Types packed two to a byte count bytes in torch.
    let extents = tensor.extents();
    for dimensions in [extents.to_vec(), crate::checkpoint::tensor::contiguous_strides(&extents)] {
        out.push(b'(');
        dimensions.iter().for_each(|&n| int(out, n));
        out.push(b't');
    }
    out.push(0x89);
    global(out, "collections", "OrderedDict");
    out.extend_from_slice(b")R");
    if class == "UntypedStorage" {
        global(out, "torch", name);
    }
    out.extend_from_slice(b"tR");
    Ok(())
}

/// BINUNICODE.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    // Names are bounded by the readers far below 4 GB.
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn global(out: &mut Vec<u8>, module: &str, name: &str) {
    out.extend_from_slice(format!("c{module}\n{name}\n").as_bytes());
}

/// BININT1, BININT2, BININT or LONG1, whichever holds it.
fn int(out: &mut Vec<u8>, n: usize) {
    match n {
        0..=0xff => out.extend_from_slice(&[b'K', n as u8]),
        0x100..=0xffff => {
            out.push(b'M');
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        0x1_0000..=0x7fff_ffff => {
            out.push(b'J');
            out.extend_from_slice(&(n as u32).to_le_bytes());
        }
        _ => {
            // Nine bytes, the last for the sign.
            out.extend_from_slice(&[0x8a, 9]);
            out.extend_from_slice(&(n as u64).to_le_bytes());
            out.push(0);
        }
    }
}
