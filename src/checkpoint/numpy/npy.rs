//! The `.npy` format (numpy's `format.py`): magic, version, a dict literal, the elements. Called for `.npy`
//! files and the members of `.npz`.

use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{Fault, Place};
use crate::checkpoint::tensor::{Tensor, contiguous_strides};

/// The longest header that is read; numpy's own limit for trusted files is 10,000 characters.
pub(in crate::checkpoint) const LONGEST: usize = 64 << 10;

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
pub(in crate::checkpoint) fn header(bytes: &[u8], total: u64) -> Result<Header, Fault> {
    let bad = |at: usize, problem: String| Fault::malformed(Place::byte(at as u64), problem);
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
    if len > LONGEST {
        return Err(bad(8, format!("a .npy header of {len} bytes")));
    }
    let text = bytes.get(start..start + len).ok_or_else(short)?;
    let text = std::str::from_utf8(text).map_err(|_| bad(start, "a .npy header that is no text".into()))?;
    let (descr, fortran, shape) = literal(text).ok_or_else(|| {
        bad(start, "a .npy header that is no dict of descr, fortran_order and shape".into())
    })?;
    let (dtype, swap) = super::dtype::descr(&descr).ok_or_else(|| {
        Fault::unsupported(Place::byte(start as u64), format!("an array of numpy type `{descr}`"))
    })?;
    let strides = if fortran {
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        contiguous_strides(&reversed).into_iter().rev().collect()
    } else {
        contiguous_strides(&shape)
    };
    let data = total.saturating_sub((start + len) as u64);
    let units = usize::try_from(data).unwrap_or(usize::MAX) / dtype.unit();
    Tensor::check(&shape, &strides, 0, dtype.unit(), units).map_err(|p| bad(start, p))?;
    let wanted = (shape.iter().product::<usize>() * dtype.unit()) as u64;
    if wanted != data {
        return Err(bad(
            start + len,
            format!("{data} bytes of elements, where {dtype}{shape:?} takes {wanted}"),
        ));
    }
    Ok(Header { len: start + len, dtype, swap, shape, strides })
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

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order, each once.
fn literal(text: &str) -> Option<(String, bool, Vec<usize>)> {
    let body = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut rest = body.trim_start();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        let (fresh, after) = match key {
            "descr" => {
                let (value, after) = quoted(after)?;
                (descr.replace(value.to_owned()).is_none(), after)
            }
            "fortran_order" => {
                let (value, after) = match after.strip_prefix("True") {
                    Some(after) => (true, after),
                    None => (false, after.strip_prefix("False")?),
                };
                (fortran.replace(value).is_none(), after)
            }
            "shape" => {
                let (inside, after) = after.strip_prefix('(')?.split_once(')')?;
                let mut dims = Vec::new();
                for part in inside.split(',').map(str::trim).filter(|p| !p.is_empty()) {
                    if dims.len() >= 64 || !part.bytes().all(|b| b.is_ascii_digit()) {
                        return None;
                    }
                    dims.push(part.parse().ok()?);
                }
                (shape.replace(dims).is_none(), after)
            }
            _ => return None,
        };
        if !fresh {
            return None;
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some((descr?, fortran?, shape?))
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text.get(1..)?.split_once(quote)
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
}
