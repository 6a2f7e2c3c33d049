//! The devkit's `meta.mat`: which synset each of ILSVRC's class numbers is. A reader of as much of MATLAB's
//! level 5 format (MAT-File Format, MathWorks) as that file uses: a struct array `synsets` of numbers and
//! strings, whole or zlib-compressed. In: bytes. Out: number to synset. Called by `validation`.

use std::collections::HashMap;
use std::io::Read;

use crate::dataset::error::{Error, Result};

/// What `meta.mat` may unpack to; the real one is under 1 MB.
const MAX_UNPACKED: u64 = 64 << 20;

/// Elements of the struct array that are read; the real one has 1,860.
const MAX_ELEMENTS: usize = 1 << 16;

const HEADER: usize = 128;
const MI_UINT32: u32 = 6;
const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;
const STRUCT_CLASS: u8 = 2;

/// ILSVRC's number of each class that has no subclass: only these are labels.
pub(super) fn synsets(bytes: &[u8], path: &str) -> Result<HashMap<u32, String>> {
    let broken = |reason: &str| Error::BadArchive { path: path.to_owned(), reason: reason.to_owned() };
    let body = bytes.get(HEADER..).ok_or_else(|| broken("too short for a MATLAB file"))?;
    if bytes.get(126..128) != Some(b"IM") {
        return Err(broken("not a little-endian MATLAB file of level 5"));
    }
    let mut rest = body;
    while let Some((element, next)) = Element::read(rest) {
        rest = next;
        let unpacked;
        let element = if element.kind == MI_COMPRESSED {
            let mut buffer = Vec::new();
            flate2::read::ZlibDecoder::new(element.data)
                .take(MAX_UNPACKED)
                .read_to_end(&mut buffer)
                .map_err(|e| broken(&e.to_string()))?;
            unpacked = buffer;
            match Element::read(&unpacked) {
                Some((inner, _)) => inner,
                None => return Err(broken("a compressed element that is cut short")),
            }
        } else {
            element
        };
        if element.kind == MI_MATRIX
            && let Some(found) = struct_array(element.data)
        {
            return Ok(found);
        }
    }
    Err(broken("there is no struct array `synsets` with `ILSVRC2012_ID`, `WNID` and `num_children`"))
}

/// A tagged run of bytes.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element and what follows it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let tag = word(bytes, 0)?;
        // The short form keeps the size in the tag's upper half and the data in four bytes.
        if tag >> 16 != 0 {
            let data = bytes.get(4..8)?.get(..(tag >> 16) as usize)?;
            return Some((Element { kind: tag & 0xffff, data }, bytes.get(8..)?));
        }
        let size = word(bytes, 4)? as usize;
        let data = bytes.get(8..)?.get(..size)?;
        // Elements are padded to eight bytes, compressed ones are not; the last may lack its padding.
        let padded = if tag == MI_COMPRESSED { size } else { size.checked_next_multiple_of(8)? };
        let rest = bytes.get(8..)?;
        Some((Element { kind: tag, data }, rest.get(padded..).unwrap_or_default()))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The leaves of a struct array with the three fields; `None` when it is something else.
fn struct_array(matrix: &[u8]) -> Option<HashMap<u32, String>> {
    let (flags, rest) = Element::read(matrix)?;
    if flags.kind != MI_UINT32 || word(flags.data, 0)? as u8 != STRUCT_CLASS {
        return None;
    }
    let (dimensions, rest) = Element::read(rest)?;
    let count = dimensions
        .data
        .as_chunks::<4>()
        .0
        .iter()
        .try_fold(1usize, |n, side| n.checked_mul(usize::try_from(i32::from_le_bytes(*side)).ok()?))?;
    let (_name, rest) = Element::read(rest)?;
    let (length, rest) = Element::read(rest)?;
    let (names, mut rest) = Element::read(rest)?;
    let length = word(length.data, 0)? as usize;
    let fields: Vec<&[u8]> = names
        .data
        .chunks(length.max(1))
        .map(|name| name.split(|&b| b == 0).next().unwrap_or_default())
        .collect();
    let field = |name: &str| fields.iter().position(|f| *f == name.as_bytes());
    let (number, wnid, children) = (field("ILSVRC2012_ID")?, field("WNID")?, field("num_children")?);
    if count > MAX_ELEMENTS {
        return None;
    }
    let mut found = HashMap::new();
    for _ in 0..count {
        let mut values = Vec::with_capacity(fields.len());
        for _ in &fields {
            let (value, next) = Element::read(rest)?;
            values.push(value.data);
            rest = next;
        }
        // Fewer children than one: a leaf.
        if scalar(values.get(children)?)? < 1.0 {
            found.insert(scalar(values.get(number)?)? as u32, string(values.get(wnid)?)?);
        }
    }
    Some(found)
}

/// The last element of a numeric or character array: flags, dimensions and name come before it.
fn payload(matrix: &[u8]) -> Option<Element<'_>> {
    let (_flags, rest) = Element::read(matrix)?;
    let (_dimensions, rest) = Element::read(rest)?;
    let (_name, rest) = Element::read(rest)?;
    Some(Element::read(rest)?.0)
}

/// A number, in whichever type MATLAB found it to fit.
fn scalar(matrix: &[u8]) -> Option<f64> {
    let Element { kind, data } = payload(matrix)?;
    Some(match kind {
        1 => f64::from(*data.first()? as i8),
        2 => f64::from(*data.first()?),
        3 => f64::from(i16::from_le_bytes(*data.first_chunk()?)),
        4 => f64::from(u16::from_le_bytes(*data.first_chunk()?)),
        5 => f64::from(i32::from_le_bytes(*data.first_chunk()?)),
        6 => f64::from(u32::from_le_bytes(*data.first_chunk()?)),
        7 => f64::from(f32::from_le_bytes(*data.first_chunk()?)),
        9 => f64::from_le_bytes(*data.first_chunk()?),
        12 => i64::from_le_bytes(*data.first_chunk()?) as f64,
        13 => u64::from_le_bytes(*data.first_chunk()?) as f64,
        _ => return None,
    })
}

/// Characters, one or two bytes each.
fn string(matrix: &[u8]) -> Option<String> {
    let Element { kind, data } = payload(matrix)?;
    match kind {
        4 | 17 => {
            let units: Vec<u16> = data.as_chunks::<2>().0.iter().map(|&u| u16::from_le_bytes(u)).collect();
            String::from_utf16(&units).ok()
        }
        1 | 2 | 16 => String::from_utf8(data.to_vec()).ok(),
        _ => None,
    }
}
