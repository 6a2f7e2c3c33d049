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

/// A whole type string, as in a `.npy` header: with or without its byte order, or one of numpy's names.
pub(in crate::checkpoint) fn descr(text: &str) -> Option<(Dtype, Option<usize>)> {
    match text.split_at_checked(1) {
        Some(("<" | ">" | "|" | "=", kind)) => parse(text.bytes().next()?, named(kind).unwrap_or(kind)),
        _ => parse(b'=', named(text).unwrap_or(text)),
    }
}

/// numpy's names and one-letter codes, on a 64-bit machine that is not Windows.
fn named(name: &str) -> Option<&'static str> {
    Some(match name {
        "?" | "bool" | "bool_" => "b1",
        "b" | "int8" | "byte" => "i1",
        "B" | "uint8" | "ubyte" => "u1",
        "h" | "int16" | "short" => "i2",
        "H" | "uint16" | "ushort" => "u2",
        "i" | "int32" | "intc" => "i4",
        "I" | "uint32" | "uintc" => "u4",
        "l" | "q" | "int64" | "int" | "int_" | "longlong" => "i8",
        "L" | "Q" | "uint64" | "uint" | "ulonglong" => "u8",
        "e" | "float16" | "half" => "f2",
        "f" | "float32" | "single" => "f4",
        "d" | "float64" | "float" | "double" => "f8",
        "F" | "complex64" | "csingle" => "c8",
        "D" | "complex128" | "complex" | "cdouble" => "c16",
        _ => return None,
    })
}

/// Whether a type string is one of numbers, text, bytes or dates, and so not of objects.
pub(in crate::checkpoint) fn is_plain(text: &str) -> bool {
    let kind = text.strip_prefix(['<', '>', '|', '=']).unwrap_or(text);
    let (letter, rest) = match kind.split_at_checked(1) {
        Some(parts) => parts,
        None => return false,
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let dated =
        matches!(letter, "M" | "m") && unit.starts_with('[') && unit.ends_with(']') && !unit.contains(',');
    named(kind).is_some() || dated || ("biufcSUVaMm".contains(letter) && digits(rest))
}
