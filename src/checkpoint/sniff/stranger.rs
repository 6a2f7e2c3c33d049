//! Names for what is no checkpoint, on weaker evidence than a magic number: archives by their members' names, and
//! files that the pickle machine has refused. Called by [`super::super::open`] and [`super::super::scan`].

use std::io;
use std::path::Path;

use super::{Foreign, by_name, foreign, inert, is_text};
use crate::checkpoint::pickle::opcode;
use crate::checkpoint::source::Source;

pub(super) const TENSORFLOW_CHECKPOINT: Foreign = foreign(
    "it is a part of a TensorFlow checkpoint",
    "`tf.train.load_checkpoint` reads it, with the `.index` and `.data` files beside it",
);

/// What a zip archive is that torch and numpy did not write, by the names of its members.
pub(in crate::checkpoint) fn archive<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<Foreign> {
    let has = |name: &str| names.clone().any(|n| n == name);
    let ends = |tail: &str| names.clone().any(|n| n == &tail[1..] || n.ends_with(tail));
    if has("config.json") && (has("model.weights.h5") || has("metadata.json")) {
        return Some(foreign("it is a Keras model", "`keras.models.load_model` reads it"));
    }
    if has("MAR-INF/MANIFEST.json") {
        return Some(foreign(
            "it is a TorchServe model archive",
            "TorchServe reads it and runs the handler in it; unpack it for the checkpoint inside",
        ));
    }
    if ends("/archive_format") || ends("/serialized_exported_program.json") {
        return Some(foreign(
            "it is a program that `torch.export` saved",
            "`torch.export.load` reads it: save `program.state_dict` for its weights",
        ));
    }
    if ends("/.data/extern_modules") {
        return Some(foreign(
            "it is a torch.package archive",
            "`torch.package.PackageImporter` reads it, and runs the Python source in it",
        ));
    }
    if has("[Content_Types].xml") {
        return Some(foreign("it is an Office document", "it holds no checkpoint"));
    }
    if has("META-INF/MANIFEST.MF") {
        return Some(foreign("it is a Java archive", "it holds no checkpoint"));
    }
    if names.clone().any(|n| n.ends_with(".dist-info/METADATA")) {
        return Some(foreign("it is a Python wheel", "unpack it for the checkpoint inside"));
    }
    None
}

/// What a file is that is no pickle either; `None` where nothing tells.
pub(in crate::checkpoint) fn guess(source: &dyn Source, path: &Path) -> io::Result<Option<Foreign>> {
    let total = source.len();
    let len = usize::try_from(total.min(4096)).unwrap_or(0);
    let head = source.bytes(0, len)?;
    if let Some(found) = message_pack(&head).or_else(|| text(&head)) {
        return Ok(Some(found));
    }
    // LevelDB's table, which TensorFlow's `.index` is.
    if total >= 48 && source.bytes(total - 8, 8)?.as_ref() == b"\x57\xfb\x80\x8b\x24\x75\x47\xdb" {
        return Ok(Some(TENSORFLOW_CHECKPOINT));
    }
    Ok(by_name(path))
}

/// A map whose first key is a word: what flax writes.
fn message_pack(head: &[u8]) -> Option<Foreign> {
    let (&first, rest) = head.split_first()?;
    let (count, rest) = match first {
        0x81..=0x8f => (u32::from(first & 0x0f), rest),
        0xde => (rest.get(..2)?.iter().fold(0, |n, &b| n << 8 | u32::from(b)), rest.get(2..)?),
        0xdf => (rest.get(..4)?.iter().fold(0, |n, &b| n << 8 | u32::from(b)), rest.get(4..)?),
        _ => return None,
    };
    let (len, rest) = match *rest.first()? {
        short @ 0xa1..=0xbf => (usize::from(short & 0x1f), rest.get(1..)?),
        0xd9 => (usize::from(*rest.get(1)?), rest.get(2..)?),
        _ => return None,
    };
    let key = std::str::from_utf8(rest.get(..len)?).ok()?;
    // What may follow: a map, an array, an extension (flax's arrays), a number, a string.
    let value = *rest.get(len)?;
    let may_follow = !matches!(value, 0xc1);
    (count > 0 && may_follow && key.chars().all(|c| c.is_alphanumeric() || "_-./ ".contains(c))).then_some(
        foreign(
            "it is MessagePack, as flax writes its parameters",
            "`flax.serialization.msgpack_restore` reads it: save its arrays with `safetensors.numpy.save_file`",
        ),
    )
}

/// Text that no pickle of protocol 0 is: prose, a list of settings, source.
fn text(head: &[u8]) -> Option<Foreign> {
    if !is_text(head) {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    let first = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    if first.starts_with("model_checkpoint_path:") {
        return Some(inert(
            "it is the list of a folder's TensorFlow checkpoints",
            TENSORFLOW_CHECKPOINT.hint,
        ));
    }
    if first == "7767517" {
        return Some(inert(
            "it is the graph of an ncnn model",
            Some("ncnn reads it, with the `.bin` beside it"),
        ));
    }
    if ["import ", "from ", "def ", "class ", "\"\"\""].iter().any(|word| first.starts_with(word)) {
        return Some(inert("it is Python source", None));
    }
    if first == "---" || first.split_once(": ").is_some_and(|(key, _)| !key.contains(' ')) {
        return Some(inert("it is YAML or other text", None));
    }
    let words = text.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 1);
    let no_opcode = head.first().is_some_and(|&byte| opcode::of(byte).is_none());
    (no_opcode || words.count() > 2).then_some(inert("it is text", None))
}
