//! numpy arrays inside pickles: `_reconstruct` with a state, and protocol 5's `_frombuffer`. Called by
//! `torch::rebuild` for calls of those names.

use super::dtype;
use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::pickle::{Arena, Known, Object, Ref, Value};
use crate::checkpoint::storages::{Found, Inline, Storages};
use crate::checkpoint::tensor::{Tensor, contiguous_strides};

/// The array that a call stands for.
pub(in crate::checkpoint) fn array(
    arena: &Arena<'_>,
    known: Known,
    object: &Object,
    storages: &mut Storages,
) -> Result<Found, FormatError> {
    let (shape, class, fortran, data) = match known {
        Known::NumpyReconstruct => {
            let state = arena.arguments(object.state).unwrap_or_default();
            let [_version, shape, class, fortran, data] = state.as_slice() else {
                return Err(malformed("a numpy array without its state"));
            };
            (*shape, *class, matches!(arena.get(*fortran), Value::Bool(true) | Value::Int(1)), *data)
        }
        _ => {
            let args = arena.arguments(object.args).unwrap_or_default();
            let [data, class, shape, order] = args.as_slice() else {
                return Err(malformed("a numpy array without its buffer"));
            };
            (*shape, *class, arena.word(*order) == Some("F"), *data)
        }
    };
    let Some((dtype, swap)) = element(arena, class) else {
        return Ok(Found::Refused(format!("a numpy array of {}", arena.show(class, 60))));
    };
    let shape = arena.arguments(shape).ok_or_else(|| malformed("a numpy array without a shape"))?;
    let shape: Option<Vec<usize>> = shape.iter().map(|&n| arena.size(n)).collect();
    let shape = shape.ok_or_else(|| malformed("a numpy shape that is not a tuple of counts"))?;
    let strides = if fortran {
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        contiguous_strides(&reversed).into_iter().rev().collect()
    } else {
        contiguous_strides(&shape)
    };
    // An array that several names share is one storage, decoded once.
    let storage = match storages.inline.get(&data) {
        Some(&storage) => storage,
        None => {
            let storage = storages.add_inline(buffer(arena, data)?)?;
            storages.inline.insert(data, storage);
            storage
        }
    };
    let storage = storages.turned(storage, swap)?;
    let len = storages.list.get(storage).map_or(0, |s| s.len as usize);
    let unit = dtype.unit();
    Tensor::check(&shape, &strides, 0, unit, len / unit).map_err(malformed)?;
    if shape.iter().product::<usize>() * unit != len {
        return Err(malformed(format!("a numpy array of shape {shape:?} with {len} bytes")));
    }
    Ok(Found::Tensor(Tensor {
        name: String::new(),
        dtype,
        shape,
        strides,
        offset: 0,
        storage,
        conj: false,
        neg: false,
    }))
}

/// `dtype('f4', False, True)` with the state `(3, '<', …)`.
fn element(arena: &Arena<'_>, at: Ref) -> Option<(Dtype, Option<usize>)> {
    let Some((Known::NumpyDtype, object)) = arena.call(at) else { return None };
    let args = arena.arguments(object.args)?;
    let kind = arena.word(*args.first()?)?;
    let state = arena.arguments(object.state).unwrap_or_default();
    let order = state.get(1).and_then(|&at| arena.word(at));
    let order = order.and_then(|o| o.bytes().next()).unwrap_or(b'|');
    dtype::parse(order, kind)
}

/// The bytes of an array: as they lie in the input, or decoded from text.
pub(in crate::checkpoint) fn buffer<'a>(arena: &'a Arena<'_>, at: Ref) -> Result<Inline<'a>, FormatError> {
    match (arena.get(at), arena.call(at)) {
        // Text is a Python 2 string of raw bytes.
        (Value::Bytes(span) | Value::Text(span), _) => Ok(match arena.place(span) {
            Some(range) => Inline::Input(range, arena.bytes(span)),
            None => Inline::Decoded(arena.bytes(span).to_vec()),
        }),
        (_, Some((Known::Encode | Known::ByteArray, object))) => encoded(arena, object),
        _ => Err(malformed(format!("a numpy array whose data are a {}", arena.kind(at)))),
    }
}

/// `_codecs.encode(text, 'latin1')`, which protocols 0 to 2 write bytes as, and `bytearray` around it.
fn encoded<'a>(arena: &'a Arena<'_>, object: &Object) -> Result<Inline<'a>, FormatError> {
    let args = arena.arguments(object.args).unwrap_or_default();
    let Some(&first) = args.first() else { return Ok(Inline::Decoded(Vec::new())) };
    if let (Some(Known::ByteArray), Some((Known::Encode, inner))) =
        (arena.known(object.callee), arena.call(first))
    {
        let args = arena.arguments(inner.args).unwrap_or_default();
        return latin1(arena, &args);
    }
    match arena.get(first) {
        Value::Bytes(_) => buffer(arena, first),
        _ => latin1(arena, &args),
    }
}

fn latin1<'a>(arena: &'a Arena<'_>, args: &[Ref]) -> Result<Inline<'a>, FormatError> {
    let text =
        args.first().and_then(|&at| arena.text(at)).ok_or_else(|| malformed("bytes encoded from no text"))?;
    let codec = args.get(1).and_then(|&at| arena.word(at)).unwrap_or("latin1");
    if !matches!(codec, "latin1" | "latin-1" | "iso-8859-1") {
        return Err(malformed(format!("bytes encoded as `{codec}`, where latin1 is meant")));
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.map(Inline::Decoded).ok_or_else(|| malformed("bytes encoded from characters beyond Latin-1"))
}

fn malformed(problem: impl Into<String>) -> FormatError {
    FormatError::malformed(FilePosition::whole(), problem)
}
