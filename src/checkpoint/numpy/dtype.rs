//! numpy's type strings, `<f4` and the like. Called for `.npy` headers and pickled dtypes.

use safetensors::Dtype as S;

use crate::checkpoint::dtype::Dtype;

/// The element type of `kind` (`f4`, `b1`, `c8` …) and, for a big-endian `order`, the bytes to turn round.
/// `None` for types without a tensor's form: text, objects, dates, records.
pub(in crate::checkpoint) fn parse(order: u8, kind: &str) -> Option<(Dtype, Option<usize>)> {
    let dtype = match kind {
        "b1" => Dtype::Safe(S::BOOL),
        "u1" => Dtype::Safe(S::U8),
        "u2" => Dtype::Safe(S::U16),
        "u4" => Dtype::Safe(S::U32),
        "u8" => Dtype::Safe(S::U64),
        "i1" => Dtype::Safe(S::I8),
        "i2" => Dtype::Safe(S::I16),
        "i4" => Dtype::Safe(S::I32),
        "i8" => Dtype::Safe(S::I64),
        "f2" => Dtype::Safe(S::F16),
        "f4" => Dtype::Safe(S::F32),
        "f8" => Dtype::Safe(S::F64),
        "c8" => Dtype::Safe(S::C64),
        "c16" => Dtype::Complex128,
        _ => return None,
    };
    match order {
        b'<' | b'|' | b'=' => Some((dtype, None)),
        b'>' => Some((dtype, (dtype.word() > 1).then(|| dtype.word()))),
        _ => None,
    }
}

/// A whole type string, as in a `.npy` header.
pub(in crate::checkpoint) fn descr(text: &str) -> Option<(Dtype, Option<usize>)> {
    let (&order, _) = text.as_bytes().split_first()?;
    parse(order, text.get(1..)?)
}
