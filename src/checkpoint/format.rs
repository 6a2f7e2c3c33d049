//! Which format a file is, by its first bytes, as torch decides it; and what a file is that is none. Called
//! by [`super::open`] and [`super::scan`].

use std::fmt;
use std::io;

use super::numpy::npy;
use super::safe;
use super::source::Source;

/// A checkpoint's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// torch's since 1.6.
    TorchZip,
    /// torch's before 1.6.
    TorchLegacy,
    /// torch's of 2016.
    TorchTar,
    /// `torch.jit.save`.
    TorchScript,
    /// One pickle, of arrays.
    Pickle,
    /// numpy's, of one array.
    Npy,
    /// numpy's, of several.
    Npz,
    /// safetensors.
    Safetensors,
    /// safetensors in several files, by their index.
    ShardedSafetensors,
}

impl Format {
    /// As printed.
    pub const fn name(self) -> &'static str {
        match self {
            Format::TorchZip => "torch-zip",
            Format::TorchLegacy => "torch-legacy",
            Format::TorchTar => "torch-tar",
            Format::TorchScript => "torch-jit",
            Format::Pickle => "pickle",
            Format::Npy => "npy",
            Format::Npz => "npz",
            Format::Safetensors => "safetensors",
            Format::ShardedSafetensors => "safetensors-sharded",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the first bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outline {
    Zip,
    Tar,
    Safetensors,
    /// A safetensors index: JSON with a `weight_map`.
    Index,
    Npy,
    /// Anything else is for the pickle machine to say.
    Pickle,
    /// Recognised, and no checkpoint: what it is, and what to do.
    Else(&'static str, Option<&'static str>),
}

const HEAD: usize = 1024;

/// Looks at the first bytes of a file.
pub(super) fn outline(source: &dyn Source) -> io::Result<Outline> {
    let total = source.len();
    let head = source.bytes(0, HEAD.min(total as usize))?;
    Ok(outline_of(&head, total))
}

fn outline_of(head: &[u8], total: u64) -> Outline {
    const AGAIN: Option<&str> = Some("download it again");
    let text = || {
        let start = head.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
        let start = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { start };
        head.get(start..).unwrap_or_default().to_ascii_lowercase()
    };
    match head {
        [] => return Outline::Else("it is empty", AGAIN),
        [b'P', b'K', 3, 4, ..] => return Outline::Zip,
        [b'P', b'K', 5, 6, ..] => return Outline::Else("it is an empty zip archive", AGAIN),
        _ => {}
    }
    if safe::looks_like(head, total) {
        if is_tar(head) {
            return Outline::Else("it could be read as a tar archive and as safetensors", None);
        }
        return Outline::Safetensors;
    }
    if is_tar(head) {
        return Outline::Tar;
    }
    if head.starts_with(npy::MAGIC) {
        return Outline::Npy;
    }
    let magics: &[(&[u8], &str, Option<&str>)] = &[
        (b"\x1f\x8b", "it is compressed with gzip", Some("unpack it with `gunzip` first")),
        (b"BZh", "it is compressed with bzip2", Some("unpack it with `bunzip2` first")),
        (b"\xfd7zXZ\0", "it is compressed with xz", Some("unpack it with `unxz` first")),
        (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", Some("unpack it with `unzstd` first")),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", Some("unpack it first")),
        (b"Rar!\x1a\x07", "it is a RAR archive", Some("unpack it first")),
        (
            b"version https://git-lfs.github.com/spec/",
            "it is a git-lfs pointer, not the file it points to",
            Some("fetch the file itself with `git lfs pull`"),
        ),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file, as Keras writes", None),
        (b"GGUF", "it is a GGUF file, as llama.cpp reads", None),
        (b"\x89PNG", "it is a PNG image", None),
        (b"\xff\xd8\xff", "it is a JPEG image", None),
        (b"\x7fELF", "it is a program", None),
        (b"%PDF", "it is a PDF document", None),
        (b"#!", "it is a script", None),
    ];
    if let Some((_, what, hint)) = magics.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Outline::Else(what, *hint);
    }
    let text = text();
    if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") || text.starts_with(b"<head") {
        return Outline::Else(
            "it is an HTML page: what a server answers in place of a file it does not have",
            Some("open it in a browser to read what the server said"),
        );
    }
    if text.starts_with(b"<?xml") {
        return Outline::Else("it is an XML document: what a server answers in place of a file", AGAIN);
    }
    // A pickle may begin with `{`? No: protocol 0 opens with `(`, `c`, `I` …; `{` is no opcode.
    if text.starts_with(b"{") {
        return match text.windows(12).any(|w| w == b"\"weight_map\"")
            || total > HEAD as u64
            || text.starts_with(b"{\n")
        {
            true => Outline::Index,
            false => Outline::Else("it is JSON", None),
        };
    }
    if head.iter().all(|&b| b == 0) {
        return Outline::Else("it begins with nothing but zero bytes", AGAIN);
    }
    Outline::Pickle
}

/// Whether Python's `tarfile` would take the first block for a header: its checksum is right.
fn is_tar(head: &[u8]) -> bool {
    let (Some(block), Some(field)) = (head.get(..512), head.get(148..156)) else { return false };
    let text: Vec<u8> = field.iter().copied().take_while(|&b| b != 0).collect();
    let stored = std::str::from_utf8(&text).ok().and_then(|t| u64::from_str_radix(t.trim(), 8).ok());
    let Some(stored) = stored else { return false };
    let others = || block.iter().enumerate().filter(|(i, _)| !(148..156).contains(i)).map(|(_, &b)| b);
    let unsigned: u64 = 256 + others().map(u64::from).sum::<u64>();
    let signed: i64 = 256 + others().map(|b| i64::from(b as i8)).sum::<i64>();
    block.first() != Some(&0) && (stored == unsigned || i64::try_from(stored) == Ok(signed))
}
