//! Models that are protocol buffers: ONNX, TensorFlow, Core ML, Caffe, PaddlePaddle. They have no magic; the numbers
//! and wire types of their outermost fields tell them apart. In: a source. Out: what it is. Called by [`super::sniff`].
//!
//! Field numbers are those of `onnx.proto`, `saved_model.proto`, `graph.proto`, `meta_graph.proto`, `Model.proto` of
//! coremltools, `caffe.proto` and `framework.proto`.

use std::io;

use super::{Foreign, foreign};
use crate::checkpoint::source::Source;

/// The most outermost fields that are looked at.
const MAX_FIELDS: usize = 64;

/// A field: its number, and its value or where its bytes lie.
struct Field {
    number: u64,
    value: Value,
}

enum Value {
    Varint(u64),
    Bytes { start: u64, len: u64 },
    Fixed,
}

/// What a protocol buffer is the model of.
pub(super) fn model(source: &dyn Source) -> io::Result<Option<Foreign>> {
    let first = source.bytes(0, usize::from(!source.is_empty()))?;
    // The tags of fields 1 and 2, as a number and as bytes: none of them is a pickle's opcode.
    if !matches!(first.first(), Some(0x08 | 0x0a | 0x12)) {
        return Ok(None);
    }
    let (fields, whole) = fields(source)?;
    let bytes = |n: u64| {
        fields.iter().find_map(|f| match f.value {
            Value::Bytes { start, len } if f.number == n => Some((start, len)),
            _ => None,
        })
    };
    let number = |n: u64| {
        fields.iter().find_map(|f| match f.value {
            Value::Varint(value) if f.number == n => Some(value),
            _ => None,
        })
    };
    let only = |known: &[u64]| fields.iter().all(|f| known.contains(&f.number));
    if only(&[1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26])
        && bytes(7).is_some()
        && number(1).is_some_and(|n| (1..100).contains(&n))
        && (whole || bytes(2).is_some() || bytes(8).is_some())
    {
        return Ok(Some(foreign(
            "it is an ONNX model",
            "ONNX Runtime reads it; `onnx.load` and `onnx.numpy_helper.to_array` give its weights",
        )));
    }
    if only(&[1, 2]) && number(1) == Some(1) && bytes(2).is_some() {
        return Ok(Some(foreign(
            "it is a TensorFlow SavedModel's graph",
            "`tf.saved_model.load` reads the folder it lies in; its weights are in `variables/`",
        )));
    }
    if number(1).is_some_and(|n| (1..100).contains(&n))
        && bytes(2).is_some()
        && fields.iter().any(|f| f.number >= 200 && matches!(f.value, Value::Bytes { .. }))
    {
        return Ok(Some(foreign("it is a Core ML model", "`coremltools` reads it")));
    }
    let (Some((start, len)), true) = (bytes(1), whole) else { return Ok(None) };
    if fields.iter().any(|f| f.number == 100 && matches!(f.value, Value::Bytes { .. })) {
        return Ok(Some(foreign("it is a Caffe model", "Caffe or OpenCV's `dnn` reads it")));
    }
    let inner = source.bytes(start, usize::try_from(len.min(256)).unwrap_or(0))?;
    let tags = |first: u8, second: u8| match inner.as_ref() {
        [tag, len, rest @ ..] if *tag == first && (first & 7 == 0 || *len < 0x80) => {
            let skip = if first & 7 == 0 { 0 } else { usize::from(*len) };
            rest.get(skip) == Some(&second)
        }
        _ => false,
    };
    if only(&[1, 2, 3, 4, 5]) && tags(0x08, 0x10) {
        return Ok(Some(foreign("it is a PaddlePaddle program", "PaddlePaddle reads it")));
    }
    // A node is a name and an operator; a `MetaGraphDef` has its graph in field 2.
    if only(&[1, 2, 3, 4, 5, 6, 7]) && (tags(0x0a, 0x12) || bytes(2).is_some_and(|(_, len)| len > 64)) {
        return Ok(Some(foreign(
            "it is a TensorFlow graph",
            "TensorFlow reads it (`tf.compat.v1.GraphDef`); its weights are constants in it, or in the checkpoint beside it",
        )));
    }
    Ok(None)
}

/// The outermost fields, and whether the file is nothing else: one that is cut short, or padded, begins like a whole one.
fn fields(source: &dyn Source) -> io::Result<(Vec<Field>, bool)> {
    let total = source.len();
    let (mut at, mut fields) = (0, Vec::new());
    while at < total && fields.len() < MAX_FIELDS {
        // A tag and a length or number take at most ten bytes each.
        let bytes = source.bytes(at, usize::try_from((total - at).min(20)).unwrap_or(0))?;
        let Some((field, len)) = field(&bytes, at) else { return Ok((fields, false)) };
        at = at.saturating_add(len);
        fields.push(field);
        if at > total {
            return Ok((fields, false));
        }
    }
    Ok((fields, true))
}

/// The field at the front of `bytes`, which lie at `at`, and how long it is.
fn field(bytes: &[u8], at: u64) -> Option<(Field, u64)> {
    let (tag, tag_len) = varint(bytes)?;
    let number = tag >> 3;
    if number == 0 || number > 1 << 29 {
        return None;
    }
    let rest = bytes.get(tag_len..)?;
    let (value, len) = match tag & 7 {
        0 => {
            let (value, len) = varint(rest)?;
            (Value::Varint(value), len as u64)
        }
        1 => (Value::Fixed, 8),
        5 => (Value::Fixed, 4),
        2 => {
            let (len, len_len) = varint(rest)?;
            let start = at + (tag_len + len_len) as u64;
            (Value::Bytes { start, len }, (len_len as u64).saturating_add(len))
        }
        _ => return None,
    };
    Some((Field { number, value }, len.saturating_add(tag_len as u64)))
}

/// A number of seven bits a byte, and the bytes it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}
