//! The `.npy` format (numpy's `format.py`): magic, version, a dict literal, the elements. Called for `.npy`
//! files and the members of `.npz`.

use super::literal::{self, Literal};
use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{FilePosition, FormatError, shortened};
use crate::checkpoint::tensor::{Tensor, contiguous_strides};

/// The longest header that is read; numpy's own limit for trusted files is 10,000 characters.
pub(in crate::checkpoint) const MAX_HEADER: usize = 64 << 10;

/// What a header says.
#[derive(Debug)]
pub(in crate::checkpoint) struct Header {
    /// Bytes before the elements.
    pub(in crate::checkpoint) len: usize,
    pub(in crate::checkpoint) dtype: Dtype,
    pub(in crate::checkpoint) swap: Option<usize>,
    pub(in crate::checkpoint) shape: Vec<usize>,
    pub(in crate::checkpoint) strides: Vec<usize>,
}

/// The magic bytes.
pub(in crate::checkpoint) const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads the header at the start of `bytes` of an array that is `total` bytes long in all.
pub(in crate::checkpoint) fn header(bytes: &[u8], total: u64) -> Result<Header, FormatError> {
    let bad = |at: usize, problem: String| FormatError::malformed(FilePosition::byte(at as u64), problem);
    let (start, text) = header_text(bytes)?;
    let Facts { descr, fortran, shape } = facts(text).ok_or_else(|| {
        bad(start, "a .npy header that is not a dict of descr, fortran_order and shape".into())
    })?;
    let (dtype, swap) = match &descr {
        Literal::Text(name) => super::dtype::descr(name),
        _ => None,
    }
    .ok_or_else(|| {
        let name = match &descr {
            Literal::Text(name) => shortened(name),
            other => shortened(&other.to_string()),
        };
        let what = if holds_objects(&descr) { ", which are pickled objects" } else { "" };
        FormatError::unsupported(
            FilePosition::byte(start as u64),
            format!("an array of numpy type `{name}`{what}"),
        )
    })?;
    let strides = if fortran {
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        contiguous_strides(&reversed).into_iter().rev().collect()
    } else {
        contiguous_strides(&shape)
    };
    let len = start + text.len();
    let data = total.saturating_sub(len as u64);
    let units = usize::try_from(data).unwrap_or(usize::MAX) / dtype.unit();
    Tensor::check(&shape, &strides, 0, dtype.unit(), units).map_err(|p| bad(start, p))?;
    let wanted = (shape.iter().product::<usize>() * dtype.unit()) as u64;
    if wanted != data {
        return Err(bad(len, format!("{data} bytes of elements, where {dtype}{shape:?} takes {wanted}")));
    }
    Ok(Header { len, dtype, swap, shape, strides })
}

/// The type of an array of text, `<U3`: labels beside the weights, no tensor.
pub(in crate::checkpoint) fn text_type(bytes: &[u8]) -> Option<String> {
    let (_, header) = header_text(bytes).ok()?;
    let Literal::Text(name) = facts(header)?.descr else { return None };
    let kind = name.strip_prefix(['<', '>', '|', '=']).unwrap_or(&name);
    let digits = kind.strip_prefix(['S', 'U', 'a'])?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(name)
}

/// Where the header's text begins, and the text.
fn header_text(bytes: &[u8]) -> Result<(usize, &str), FormatError> {
    let bad = |at: usize, problem: String| FormatError::malformed(FilePosition::byte(at as u64), problem);
    let short = || bad(bytes.len(), "the file ends inside the .npy header".into());
    if !bytes.starts_with(MAGIC) {
        return Err(bad(0, "no .npy magic".into()));
    }
    let (start, len) = match bytes.get(6..8).ok_or_else(short)? {
        [1, 0] => match bytes.get(8..10).ok_or_else(short)? {
            [a, b] => (10, usize::from(u16::from_le_bytes([*a, *b]))),
            _ => return Err(short()),
        },
        [2 | 3, 0] => match bytes.get(8..12).ok_or_else(short)? {
            [a, b, c, d] => (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
            _ => return Err(short()),
        },
        version => return Err(bad(6, format!("version {version:?} of .npy, where 1 to 3 exist"))),
    };
    if len > MAX_HEADER {
        return Err(bad(8, format!("a .npy header of {len} bytes")));
    }
    let text = bytes.get(start..start + len).ok_or_else(short)?;
    let text = std::str::from_utf8(text).map_err(|_| bad(start, "a .npy header that is not text".into()))?;
    Ok((start, text))
}

/// Whether the elements may be pickled objects: unless the header says in plain words that they are not.
pub(in crate::checkpoint) fn may_hold_objects(bytes: &[u8]) -> bool {
    let facts = header_text(bytes).ok().and_then(|(_, text)| facts(text));
    facts.is_none_or(|facts| holds_objects(&facts.descr))
}

/// Whether a type has objects in it: itself, or one of its fields.
fn holds_objects(descr: &Literal) -> bool {
    match descr {
        Literal::Text(name) => !super::dtype::is_plain(name),
        // (type, shape), or a field: (name, type) or (name, type, shape), where the name may be (title, name).
        Literal::Tuple(parts) => match parts.as_slice() {
            [_, Literal::Tuple(_) | Literal::Int(_)] => parts.first().is_some_and(holds_objects),
            [Literal::Text(_) | Literal::Tuple(_), kind]
            | [Literal::Text(_) | Literal::Tuple(_), kind, _] => holds_objects(kind),
            _ => true,
        },
        Literal::List(fields) => fields.iter().any(holds_objects),
        _ => true,
    }
}

/// Where the elements begin, whatever their type.
pub(in crate::checkpoint) fn elements_at(bytes: &[u8]) -> Option<usize> {
    let len = |range: std::ops::Range<usize>| {
        Some(bytes.get(range)?.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b)))
    };
    match (bytes.starts_with(MAGIC), bytes.get(6)?) {
        (true, 1) => Some(10 + len(8..10)?),
        (true, 2 | 3) => Some(12usize.checked_add(len(8..12)?)?),
        _ => None,
    }
    .filter(|&at| at <= bytes.len())
}

/// What a header's dict says.
struct Facts {
    descr: Literal,
    fortran: bool,
    shape: Vec<usize>,
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order, each once.
fn facts(text: &str) -> Option<Facts> {
    const MAX_DIMENSIONS: usize = 64;
    let Literal::Dict(entries) = literal::parse(text)? else { return None };
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    for (key, value) in entries {
        let Literal::Text(key) = key else { return None };
        let fresh = match (key.as_str(), value) {
            ("descr", value) => descr.replace(value).is_none(),
            ("fortran_order", Literal::Bool(value)) => fortran.replace(value).is_none(),
            ("shape", Literal::Tuple(dims)) if dims.len() <= MAX_DIMENSIONS => {
                let dims = dims.iter().map(|dim| match dim {
                    Literal::Int(n) => usize::try_from(*n).ok(),
                    _ => None,
                });
                shape.replace(dims.collect::<Option<Vec<usize>>>()?).is_none()
            }
            _ => return None,
        };
        if !fresh {
            return None;
        }
    }
    Some(Facts { descr: descr?, fortran: fortran?, shape: shape? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    #[test]
    fn headers_as_numpy_writes_them_and_as_it_does_not() {
        let good = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24);
        let header = header(&good, good.len() as u64).unwrap();
        assert_eq!((header.shape, header.strides), (vec![2, 3], vec![1, 2]));
        for (text, data) in [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 20),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", 24),
            ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 24),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", 24),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 24),
            ("{'descr': '<f4', 'shape': (2, 3)}", 24),
        ] {
            let bytes = npy(text, data);
            assert!(super::header(&bytes, bytes.len() as u64).is_err(), "{text}");
        }
    }

    #[test]
    fn objects_in_every_spelling_of_their_type() {
        let of = |descr: &str| {
            may_hold_objects(&npy(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (), }}"), 0))
        };
        for objects in [
            "'|O'",
            "'O'",
            "'O8'",
            "'<O'",
            "'=O'",
            "'>O8'",
            "'object'",
            "'object_'",
            "'\\x4f'",
            "u'O'",
            "'f4,O'",
            "[('a', '<f4'), ('b', '|O')]",
            "[('a', [('b', 'O')])]",
            "[('a', 'O', (2,))]",
            "('O', (3,))",
            "[(('title', 'a'), '|O')]",
            "'(2,)O'",
            "None",
            "{'a': 'O'}",
            "'anything'",
        ] {
            assert!(of(objects), "{objects}");
        }
        for plain in [
            "'<f4'",
            "'f4'",
            "'float32'",
            "'<U12'",
            "'|S3'",
            "'<M8[ns]'",
            "'|V16'",
            "'?'",
            "'d'",
            "'|b1'",
            "[('a', '<f4'), ('b', '<i8', (3,))]",
            "('<f4', (3,))",
            "[(('title', 'a'), '<f4')]",
        ] {
            assert!(!of(plain), "{plain}");
        }
    }
}
