//! The safetensors format: a length, a JSON header, the elements. Called by [`super::open`]. Its own crate
//! has the last word on what is valid; the checks here are there to say which tensor is wrong, and to refuse
//! what that crate lets through (a name twice).

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::archive::sound;
use super::dtype::Dtype;
use super::error::{FilePosition, FormatError};
use super::source::Source;
use super::tensor::{At, MAX_TENSORS, Storage, Tensor};
use super::torch::rebuild;

/// safetensors' own limit of a header.
pub(super) const MAX_HEADER_LEN: u64 = 100_000_000;

/// What a file holds.
pub(super) struct Contents {
    pub(super) tensors: Vec<Tensor>,
    pub(super) storages: Vec<Storage>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Whether the first bytes look like a header: a length that fits and a brace.
pub(super) fn looks_like(head: &[u8], total: u64) -> bool {
    let len = head.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    len.is_some_and(|n| (2..=MAX_HEADER_LEN).contains(&n) && n <= total.saturating_sub(8))
        && head.get(8) == Some(&b'{')
}

/// Reads a header; every tensor becomes a storage of its own in file `file` of the checkpoint.
pub(super) fn read(source: &dyn Source, file: usize) -> io::Result<Result<Contents, FormatError>> {
    let total = source.len();
    let bad = |at: u64, problem: String| Ok(Err(FormatError::malformed(FilePosition::byte(at), problem)));
    if total < 8 {
        return bad(total, format!("{total} bytes, where a safetensors file has at least 8"));
    }
    let len = source.bytes(0, 8)?;
    let len = u64::from_le_bytes(len.as_ref().try_into().unwrap_or_default());
    if len > MAX_HEADER_LEN {
        return bad(0, format!("a header of {len} bytes, where at most {MAX_HEADER_LEN} are allowed"));
    }
    if len > total - 8 {
        return bad(0, format!("a header of {len} bytes, with {} left in the file", total - 8));
    }
    let bytes = source.bytes(8, len as usize)?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(e) => return bad(8 + e.valid_up_to() as u64, "a header that is not UTF-8".into()),
    };
    if !text.starts_with('{') {
        return bad(8, "a header that does not begin with `{`".into());
    }
    let header: Header = match serde_json::from_str(text) {
        Ok(header) => header,
        // The message may quote megabytes of the header.
        Err(e) => return bad(8, format!("the header: {}", super::error::shortened(&e.to_string()))),
    };
    let start = 8 + len;
    let contents = sound!(contents(header, start, total - start, file));
    Ok(Ok(contents))
}

fn contents(header: Header, start: u64, data: u64, file: usize) -> Result<Contents, FormatError> {
    let mut entries = header.tensors;
    entries.sort_by_key(|(_, info)| info.data_offsets);
    let mut tensors = Vec::with_capacity(entries.len());
    let mut storages = Vec::with_capacity(entries.len());
    let mut at = 0u64;
    for (name, info) in entries {
        let bad = |problem: String| FormatError::malformed(FilePosition::tensor(&name), problem);
        let Some(dtype) = Dtype::from_safetensors(&info.dtype) else {
            return Err(FormatError::unsupported(
                FilePosition::tensor(&name),
                format!("type `{}`", super::error::shortened(&info.dtype)),
            ));
        };
        let (begin, end) = info.data_offsets;
        if begin != at || end < begin || end > data {
            return Err(bad(format!(
                "data_offsets [{begin},{end}], where it should begin at {at} and end by {data}"
            )));
        }
        let elements = info.shape.0.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
        let bits = elements.and_then(|n| n.checked_mul(dtype.bits()));
        let Some(bits) = bits.filter(|bits| info.shape.0.len() <= 64 && bits % 8 == 0) else {
            return Err(bad(format!("{dtype}{:?} is not a whole number of bytes that fits", info.shape.0)));
        };
        if (bits / 8) as u64 != end - begin {
            return Err(bad(format!(
                "{dtype}{:?} takes {} bytes, not {}",
                info.shape.0,
                bits / 8,
                end - begin
            )));
        }
        let shape: Vec<usize> = info.shape.0.iter().map(|&d| d as usize).collect();
        // Zero-sized tensors may have dimensions whose product with the others would overflow.
        if shape.iter().filter(|&&d| d > 0).try_fold(dtype.unit(), |n, &d| n.checked_mul(d)).is_none() {
            return Err(bad(format!("{dtype}{shape:?} overflows")));
        }
        tensors.push(rebuild::plain(&name, dtype, shape, storages.len()));
        storages.push(Storage {
            len: end - begin,
            swap: None,
            at: At::File { file, start: start + begin },
            crc: None,
        });
        at = end;
    }
    if at != data {
        return Err(FormatError::ambiguous(
            FilePosition::byte(start + at),
            format!("{} bytes that belong to no tensor", data - at),
        ));
    }
    Ok(Contents { tensors, storages, metadata: header.metadata })
}

/// The header, with every name once.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Info)>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { metadata: BTreeMap::new(), tensors: Vec::new() };
                let mut seen = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if header.tensors.len() >= MAX_TENSORS {
                        return Err(serde::de::Error::custom(format!("more than {MAX_TENSORS} tensors")));
                    }
                    if !seen.insert(name.clone()) {
                        let shown = super::error::shortened(&name);
                        return Err(serde::de::Error::custom(format!("`{shown}` is there twice")));
                    }
                    match name.as_str() {
                        "__metadata__" => header.metadata = map.next_value::<Texts>()?.0,
                        _ => {
                            let info = map.next_value::<Info>().map_err(|e| {
                                let shown = super::error::shortened(&name);
                                serde::de::Error::custom(format!("tensor `{shown}`: {e}"))
                            })?;
                            header.tensors.push((name, info));
                        }
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// At most 64 dimensions, so that a list of millions is not kept.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(dimension) = list.next_element()? {
                    if shape.len() == 64 {
                        return Err(serde::de::Error::custom("more than 64 dimensions"));
                    }
                    shape.push(dimension);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}

/// Text to text, every key once.
pub(super) struct Texts(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if texts.len() >= MAX_TENSORS {
                        return Err(serde::de::Error::custom(format!("more than {MAX_TENSORS} entries")));
                    }
                    if texts.insert(key, value).is_some() {
                        return Err(serde::de::Error::custom("a metadata key is there twice"));
                    }
                }
                Ok(Texts(texts))
            }

            // Some writers put `"__metadata__": null`, which the reference reads as none.
            fn visit_unit<E>(self) -> Result<Texts, E> {
                Ok(Texts(BTreeMap::new()))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}
