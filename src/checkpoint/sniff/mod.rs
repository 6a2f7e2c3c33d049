//! What a file is, by its first bytes: as torch decides it for checkpoints, by magic and structure for what is
//! none. In: a source. Out: a [`Content`]. Called by [`super::open`] and [`super::scan`].
//!
//! Two tiers: [`sniff`] only names what cannot be a pickle; [`guess`] is for what the pickle machine refused, where
//! weaker evidence (a text, a MessagePack map, a known ending) is enough.

use std::io;
use std::path::Path;

use super::numpy::npy;
use super::safe;
use super::source::Source;

mod protobuf;
mod stranger;

pub(super) use stranger::{archive, guess};

/// What the first bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Zip,
    Tar,
    Safetensors,
    /// JSON that may be an index of shards: it has a `weight_map`, or is too long to tell from its head.
    Index,
    Npy,
    /// Anything else is for the pickle machine to say.
    Pickle,
    /// Recognised, and no checkpoint.
    Foreign(Foreign),
}

/// Something that is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// `it is …`.
    pub(super) what: &'static str,
    /// Which tool reads it, or what to do.
    pub(super) hint: Option<&'static str>,
    /// Nothing that could run hides in it: text, pictures.
    pub(super) inert: bool,
}

const fn foreign(what: &'static str, hint: &'static str) -> Foreign {
    Foreign { what, hint: Some(hint), inert: false }
}

const fn inert(what: &'static str, hint: Option<&'static str>) -> Foreign {
    Foreign { what, hint, inert: true }
}

const HEAD_LEN: usize = 1024;
const DOWNLOAD_AGAIN: Option<&str> = Some("download it again");

/// Looks at the first bytes of a file.
pub(super) fn sniff(source: &dyn Source) -> io::Result<Content> {
    let total = source.len();
    let head = source.bytes(0, HEAD_LEN.min(usize::try_from(total).unwrap_or(HEAD_LEN)))?;
    if let Some(content) = by_head(&head, total) {
        return Ok(match content {
            Content::Foreign(found) if found == HDF5 => Content::Foreign(hdf5(source)?),
            content => content,
        });
    }
    Ok(protobuf::model(source)?.map_or(Content::Pickle, Content::Foreign))
}

pub(super) fn by_head(head: &[u8], total: u64) -> Option<Content> {
    match head {
        [] => return Some(Content::Foreign(inert("it is empty", DOWNLOAD_AGAIN))),
        [b'P', b'K', 3, 4, ..] => return Some(Content::Zip),
        [b'P', b'K', 5, 6, ..] => {
            return Some(Content::Foreign(inert("it is an empty zip archive", DOWNLOAD_AGAIN)));
        }
        _ => {}
    }
    if safe::looks_like(head, total) {
        let both = Foreign {
            what: "it could be read as a tar archive and as safetensors",
            hint: None,
            inert: false,
        };
        return Some(if is_tar(head) { Content::Foreign(both) } else { Content::Safetensors });
    }
    if is_tar(head) {
        return Some(Content::Tar);
    }
    if head.starts_with(npy::MAGIC) {
        return Some(Content::Npy);
    }
    if let Some((.., found)) =
        MAGICS.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|h| h.starts_with(magic)))
    {
        return Some(Content::Foreign(*found));
    }
    if let Some(found) = compressed(head).or_else(|| program(head)) {
        return Some(Content::Foreign(found));
    }
    markup(head, total).or_else(|| {
        let zeros = inert("it begins with nothing but zero bytes", DOWNLOAD_AGAIN);
        head.iter().all(|&b| b == 0).then_some(Content::Foreign(zeros))
    })
}

const HDF5: Foreign = foreign(
    "it is an HDF5 file, as h5py and MATLAB write them",
    "`h5py` reads it: save its arrays with `safetensors.numpy.save_file`",
);

/// Magic numbers of at least four bytes, and where they stand.
const MAGICS: &[(usize, &[u8], Foreign)] = &[
    (0, b"\xfd7zXZ\0", foreign("it is compressed with xz", "unpack it with `unxz` first")),
    (0, b"\x28\xb5\x2f\xfd", foreign("it is compressed with zstd", "unpack it with `unzstd` first")),
    (0, b"\x04\x22\x4d\x18", foreign("it is compressed with lz4", "unpack it with `unlz4` first")),
    (0, b"7z\xbc\xaf\x27\x1c", foreign("it is a 7z archive", "unpack it with `7z x` first")),
    (0, b"Rar!\x1a\x07", foreign("it is a RAR archive", "unpack it with `unrar x` first")),
    (0, b"\x89HDF\r\n\x1a\n", HDF5),
    (512, b"\x89HDF\r\n\x1a\n", HDF5),
    (4, b"TFL3", foreign("it is a TFLite model", "TensorFlow Lite (`ai-edge-litert`) reads it")),
    (4, b"PTMF", foreign("it is a PyTorch Mobile flatbuffer", "`torch.jit.load` reads it")),
    (4, b"ET12", foreign("it is an ExecuTorch program", "the ExecuTorch runtime reads it")),
    (0, b"GGUF", foreign("it is a GGUF file, as llama.cpp reads", "the `gguf` package reads it")),
    (0, b"lmgg", foreign("it is a GGML file, as old llama.cpp read", "llama.cpp's converters read it")),
    (0, b"tjgg", foreign("it is a GGML file, as old llama.cpp read", "llama.cpp's converters read it")),
    (0, b"MATLAB 5.0 MAT-file", foreign("it is a MATLAB file", "`scipy.io.loadmat` reads it")),
    (0, b"MATLAB 7.3 MAT-file", foreign("it is a MATLAB 7.3 file, which is HDF5", "`h5py` reads it")),
    (0, b"\x12\x01\0\0\0\0\0\0", foreign("it is an MXNet parameter file", "`mxnet.nd.load` reads it")),
    (0, b"ftrt", foreign("it is a TensorRT engine", "TensorRT reads it")),
    (0, b"PAR1", foreign("it is a parquet file", "`pyarrow` reads it")),
    (0, b"ARROW1", foreign("it is an Arrow file", "`pyarrow` reads it")),
    (0, b"SQLite format 3\0", foreign("it is an SQLite database", "`sqlite3` reads it")),
    (
        0,
        b"version https://git-lfs.github.com/spec/",
        inert(
            "it is a git-lfs pointer, not the file it points to",
            Some("fetch the file itself with `git lfs pull`"),
        ),
    ),
    (0, b"\x89PNG\r\n\x1a\n", inert("it is a PNG image", None)),
    (0, b"\xff\xd8\xff\xe0", inert("it is a JPEG image", None)),
    (0, b"\xff\xd8\xff\xe1", inert("it is a JPEG image", None)),
    (0, b"\xff\xd8\xff\xdb", inert("it is a JPEG image", None)),
    (0, b"\xff\xd8\xff\xee", inert("it is a JPEG image", None)),
    (0, b"GIF87a", inert("it is a GIF image", None)),
    (0, b"GIF89a", inert("it is a GIF image", None)),
    (0, b"%PDF-", inert("it is a PDF document", None)),
];

/// Keras and netCDF write HDF5 too.
fn hdf5(source: &dyn Source) -> io::Result<Foreign> {
    const LOOKED_AT: u64 = 64 << 10;
    let len = source.len().min(LOOKED_AT);
    let front = source.bytes(0, usize::try_from(len).unwrap_or(0))?;
    let has = |word: &[u8]| front.windows(word.len()).any(|w| w == word);
    Ok(if has(b"keras_version") || has(b"layer_names") || has(b"model_weights") {
        foreign(
            "it is a Keras model in HDF5",
            "`keras.models.load_model` reads it: save its weights with `safetensors.numpy.save_file`",
        )
    } else {
        HDF5
    })
}

/// gzip, bzip2: magic numbers that are too short to be believed alone.
fn compressed(head: &[u8]) -> Option<Foreign> {
    match head {
        [0x1f, 0x8b, 8, flags, _, _, _, _, 0 | 2 | 4, _, ..] if flags & 0xe0 == 0 => {
            Some(foreign("it is compressed with gzip", "unpack it with `gunzip` first"))
        }
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
            if rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90") =>
        {
            Some(foreign("it is compressed with bzip2", "unpack it with `bunzip2` first"))
        }
        _ => None,
    }
}

fn program(head: &[u8]) -> Option<Foreign> {
    let program = Foreign { what: "it is a program", hint: None, inert: false };
    match head {
        [0x7f, b'E', b'L', b'F', 1 | 2, 1 | 2, 1, ..]
        | [0xcf, 0xfa, 0xed, 0xfe, ..]
        | [0xce, 0xfa, 0xed, 0xfe, ..]
        | [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1..=40, ..] => Some(program),
        [b'M', b'Z', ..] => {
            let at = head.get(60..64).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)?;
            let found = head.get(usize::try_from(at).ok()?..)?.starts_with(b"PE\0\0");
            found.then_some(program)
        }
        [b'#', b'!', ..] if is_text(head) => {
            Some(Foreign { what: "it is a script", hint: None, inert: false })
        }
        _ => None,
    }
}

/// HTML, XML, JSON.
fn markup(head: &[u8], total: u64) -> Option<Content> {
    let start = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let text = head.get(start..).unwrap_or_default();
    let blank = text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(text.len());
    let text = text.get(blank..).unwrap_or_default().to_ascii_lowercase();
    let has = |word: &[u8]| text.windows(word.len()).any(|w| w == word);
    if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") || text.starts_with(b"<head") {
        return Some(Content::Foreign(inert(
            "it is an HTML page: what a server answers in place of a file it does not have",
            Some("open it in a browser to read what the server said"),
        )));
    }
    if text.starts_with(b"<net ") || (text.starts_with(b"<?xml") && has(b"<net ")) {
        return Some(Content::Foreign(inert(
            "it is the graph of an OpenVINO model",
            Some("OpenVINO reads it, with the `.bin` beside it"),
        )));
    }
    if text.starts_with(b"<?xml") {
        let what = "it is an XML document: what a server answers in place of a file";
        return Some(Content::Foreign(inert(what, DOWNLOAD_AGAIN)));
    }
    // `{` and `[` are no pickle opcodes; protocol 0 opens with `(`, `c`, `I` …
    if text.starts_with(b"{") {
        let may_be_index = has(b"\"weight_map\"") || total > HEAD_LEN as u64 || text.starts_with(b"{\n");
        return Some(if may_be_index { Content::Index } else { Content::Foreign(inert("it is JSON", None)) });
    }
    let list = text.starts_with(b"[") && is_text(head);
    list.then_some(Content::Foreign(inert("it is JSON or YAML", None)))
}

/// Whether bytes are text: UTF-8, perhaps cut inside of a character, without control characters.
pub(super) fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => {
            std::str::from_utf8(head.get(..e.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x0c'))
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

/// A part of a folder of torch.distributed.checkpoint, by its name: a `.distcp` is archives one after the other, each a
/// tensor, and `.metadata` says what is where.
pub(super) fn distributed(path: &Path) -> Option<Foreign> {
    let name = path.file_name()?.to_str()?;
    let beside = || {
        let folder = path.parent()?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let names = crate::fs::list(folder).ok()?;
        Some(names.iter().any(|n| n.extension().is_some_and(|e| e == "distcp")))
    };
    let is_part = name.ends_with(".distcp") || (name == ".metadata" && beside() == Some(true));
    is_part.then(|| {
        foreign(
            "it is one part of a folder of torch.distributed.checkpoint",
            "join the parts with `python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER OUT.pth`",
        )
    })
}

/// What a file's name says, where its bytes say nothing.
fn by_name(path: &Path) -> Option<Foreign> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (_, extension) = name.rsplit_once('.').unwrap_or(("", ""));
    if extension.starts_with("data-") && extension.contains("-of-") {
        return Some(stranger::TENSORFLOW_CHECKPOINT);
    }
    match extension {
        "weights" => Some(foreign("it is named as Darknet names its weights", "Darknet or OpenCV reads it")),
        "bin" if path.with_extension("xml").is_file() => Some(foreign(
            "it lies beside an XML file, as the weights of an OpenVINO model do",
            "OpenVINO reads it",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
