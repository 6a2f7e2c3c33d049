//! The tar form of torch 0.1.1 to 0.1.9 (2016): members `storages` (each a pickled triple, a count and raw
//! bytes), `tensors` (a pickled triple, then sizes and strides) and `pickle` (the object, with numbers for
//! tensors). Called by `super::super::open`.

use std::collections::HashMap;
use std::io;

use crate::checkpoint::archive::sound;
use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::pickle::{Arena, Known, Limits, Machine, Ref};
use crate::checkpoint::source::Source;
use crate::checkpoint::tensor::{At, MAX_TENSORS, Storage, Tensor};
use crate::checkpoint::torch::rebuild::Storages;

const BLOCK_SIZE: u64 = 512;
const MAX_MEMBERS: usize = 64;

/// The members of an archive: name, first byte, length.
#[derive(Debug)]
pub(in crate::checkpoint) struct Tar(pub(in crate::checkpoint) Vec<(String, u64, u64)>);

impl Tar {
    /// Reads the headers; every block of the file must be accounted for.
    pub(in crate::checkpoint) fn open(source: &dyn Source) -> io::Result<Result<Tar, FormatError>> {
        let total = source.len();
        let mut members: Vec<(String, u64, u64)> = Vec::new();
        let mut at = 0;
        let bad = |at: u64, problem: &str| Ok(Err(FormatError::malformed(FilePosition::byte(at), problem)));
        loop {
            if total - at < BLOCK_SIZE {
                return bad(at, "the tar archive is cut short");
            }
            let block = source.bytes(at, BLOCK_SIZE as usize)?;
            if block.iter().all(|&b| b == 0) {
                break;
            }
            let Some((name, len)) = header(&block) else {
                return bad(at, "a tar header with a wrong checksum or size");
            };
            if !matches!(block.get(156), Some(b'0' | 0)) {
                return bad(at, "a tar member that is not a regular file");
            }
            if name.starts_with('/') || name.split('/').any(|p| p == ".." || p.is_empty()) {
                return bad(at, "a tar member whose name leaves its folder");
            }
            let start = at + BLOCK_SIZE;
            let end = start.checked_add(len).and_then(|e| e.checked_next_multiple_of(BLOCK_SIZE));
            let Some(end) = end.filter(|&e| e <= total) else {
                return bad(at, "a tar member that is longer than the file");
            };
            if members.iter().any(|(other, ..)| other.to_lowercase() == name.to_lowercase()) {
                return Ok(Err(FormatError::ambiguous(
                    FilePosition::byte(at).within(&name),
                    "two members of this name",
                )));
            }
            members.push((name, start, len));
            if members.len() > MAX_MEMBERS {
                return bad(at, "more members than torch's four");
            }
            at = end;
        }
        // tarfile pads to 20 blocks; anything but zeros there is another archive or hidden bytes.
        let rest = source.bytes(at, usize::try_from((total - at).min(1 << 20)).unwrap_or(0))?;
        if total - at > 1 << 20 || rest.iter().any(|&b| b != 0) {
            return Ok(Err(FormatError::ambiguous(
                FilePosition::byte(at),
                "bytes after the end of the tar archive",
            )));
        }
        Ok(Ok(Tar(members)))
    }

    /// A member's bytes.
    pub(in crate::checkpoint) fn range(&self, name: &str) -> Result<(u64, u64), FormatError> {
        let member = self.0.iter().find(|(n, ..)| n == name);
        let missing = || {
            FormatError::malformed(
                FilePosition::member(name),
                "a tar archive without it is not a torch checkpoint",
            )
        };
        member.map(|&(_, start, len)| (start, len)).ok_or_else(missing)
    }
}

fn header(block: &[u8]) -> Option<(String, u64)> {
    let octal = |range: std::ops::Range<usize>| {
        let text: Vec<u8> = block.get(range)?.iter().copied().take_while(|&b| b != 0).collect();
        u64::from_str_radix(std::str::from_utf8(&text).ok()?.trim(), 8).ok()
    };
    let sum =
        block.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u64::from(b) }).sum();
    if octal(148..156) != Some(sum) {
        return None;
    }
    let name: Vec<u8> = block.get(..100)?.iter().copied().take_while(|&b| b != 0).collect();
    Some((String::from_utf8(name).ok().filter(|n| !n.is_empty())?, octal(124..136)?))
}

/// Pickles and numbers, one after the other in a member.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the member begins in the file.
    start: u64,
    seen: &'a mut dyn FnMut(&Machine<'_>, &str, u64),
    member: &'static str,
}

impl<'a> Reader<'a> {
    fn pickle(&mut self) -> Result<(Arena<'a>, Ref), FormatError> {
        let mut machine = Machine::new(self.bytes, self.at, Limits::default());
        let result = machine.run();
        (self.seen)(&machine, self.member, self.start);
        let root = result.map_err(|f| f.within(self.member))?;
        self.at = machine.position();
        Ok((machine.into_arena(), root))
    }

    fn int(&mut self) -> Result<i64, FormatError> {
        let bytes = self.bytes.get(self.at..self.at + 8).and_then(|b| b.try_into().ok());
        self.at += 8;
        bytes.map(i64::from_le_bytes).ok_or_else(|| self.bad("the member ends early"))
    }

    fn size(&mut self) -> Result<usize, FormatError> {
        let value = self.int()?;
        usize::try_from(value).map_err(|_| self.bad(format!("a size of {value}")))
    }

    fn bad(&self, problem: impl Into<String>) -> FormatError {
        FormatError::malformed(FilePosition::byte(self.at as u64).within(self.member), problem)
    }

    fn count(&mut self) -> Result<usize, FormatError> {
        let (arena, root) = self.pickle()?;
        arena.size(root).ok_or_else(|| self.bad("a count that is not a number"))
    }

    fn done(&self) -> Result<(), FormatError> {
        match self.at == self.bytes.len() {
            true => Ok(()),
            false => Err(FormatError::ambiguous(
                FilePosition::byte(self.at as u64).within(self.member),
                "bytes after the last entry",
            )),
        }
    }
}

/// A storage by its number: which, its first unit, its units, its type.
type Numbered = HashMap<i64, (usize, usize, usize, Dtype)>;

/// Reads `storages` and `tensors`; every machine that ran is shown to `seen`, with its member.
pub(in crate::checkpoint) fn read(
    source: &dyn Source,
    tar: &Tar,
    storages: &mut Storages,
    seen: &mut dyn FnMut(&Machine<'_>, &str, u64),
) -> io::Result<Result<(), FormatError>> {
    let (start, len) = sound!(tar.range("storages"));
    let bytes = source.bytes(start, usize::try_from(len).unwrap_or(usize::MAX))?;
    let numbered = sound!(read_storages(
        &mut Reader { bytes: &bytes, at: 0, start, seen, member: "storages" },
        storages
    ));
    let (start, len) = sound!(tar.range("tensors"));
    let bytes = source.bytes(start, usize::try_from(len).unwrap_or(usize::MAX))?;
    Ok(read_tensors(
        &mut Reader { bytes: &bytes, at: 0, start, seen, member: "tensors" },
        &numbered,
        storages,
    ))
}

fn read_storages(reader: &mut Reader<'_>, storages: &mut Storages) -> Result<Numbered, FormatError> {
    let mut numbered = Numbered::new();
    for _ in 0..reader.count()? {
        let (arena, root) = reader.pickle()?;
        let parts = arena.arguments(root).unwrap_or_default();
        let [key, _location, class] = parts.as_slice() else {
            return Err(reader.bad("a storage that is not a triple"));
        };
        let (Some(key), Some(Known::Storage(Some(dtype)))) = (arena.int(*key), arena.known(*class)) else {
            return Err(reader.bad(format!("a storage of class {}", arena.kind(*class))));
        };
        let units = reader.size()?;
        let len =
            units.checked_mul(dtype.unit()).ok_or_else(|| reader.bad("a storage whose size overflows"))?;
        let left = reader.bytes.len().saturating_sub(reader.at);
        if len > left {
            return Err(reader.bad(format!("a storage of {len} bytes, with {left} left")));
        }
        let start = reader.start + reader.at as u64;
        let at = At::File { file: 0, start };
        let storage = storages.add(Storage { len: len as u64, swap: None, crc: None, at })?;
        if numbered.insert(key, (storage, 0, units, dtype)).is_some() {
            return Err(reader.bad(format!("storage {key} is there twice")));
        }
        reader.at += len;
    }
    let (arena, views) = reader.pickle()?;
    for view in arena.sequence(views).ok_or_else(|| reader.bad("storage views that are not a list"))? {
        let parts: Option<Vec<i64>> =
            arena.arguments(view).unwrap_or_default().iter().map(|&n| arena.int(n)).collect();
        let Some(&[target, root, offset, count]) = parts.as_deref() else {
            return Err(reader.bad("a storage view that is not four numbers"));
        };
        let window = numbered.get(&root).and_then(|&(storage, base, units, dtype)| {
            let (offset, count) = (usize::try_from(offset).ok()?, usize::try_from(count).ok()?);
            (offset.checked_add(count)? <= units).then_some((storage, base + offset, count, dtype))
        });
        let window = window.ok_or_else(|| reader.bad("a storage view outside of its storage"))?;
        if numbered.len() >= MAX_TENSORS {
            return Err(reader.bad(format!("more than {MAX_TENSORS} storages and views")));
        }
        numbered.insert(target, window);
    }
    reader.done()?;
    Ok(numbered)
}

fn read_tensors(
    reader: &mut Reader<'_>,
    numbered: &Numbered,
    storages: &mut Storages,
) -> Result<(), FormatError> {
    for _ in 0..reader.count()? {
        let (arena, root) = reader.pickle()?;
        let parts = arena.arguments(root).unwrap_or_default();
        let [key, storage, _class] = parts.as_slice() else {
            return Err(reader.bad("a tensor that is not a triple"));
        };
        let (Some(key), Some(number)) = (arena.int(*key), arena.int(*storage)) else {
            return Err(reader.bad("a tensor without numbers"));
        };
        let &(storage, base, units, dtype) = numbered
            .get(&number)
            .ok_or_else(|| reader.bad(format!("storage {number}, which is not there")))?;
        // An int32 of dimensions, then four bytes that mean nothing.
        let dimensions = reader.int()? as u32 as usize;
        if dimensions > 64 {
            return Err(reader.bad(format!("a tensor of {dimensions} dimensions")));
        }
        let shape = (0..dimensions).map(|_| reader.size()).collect::<Result<Vec<_>, _>>()?;
        let strides = (0..dimensions).map(|_| reader.size()).collect::<Result<Vec<_>, _>>()?;
        let offset = reader.size()?;
        Tensor::check(&shape, &strides, offset, dtype.unit(), units).map_err(|p| reader.bad(p))?;
        let offset = base.checked_add(offset).ok_or_else(|| reader.bad("a storage offset that overflows"))?;
        if storages.tensors.len() >= MAX_TENSORS {
            return Err(reader.bad(format!("more than {MAX_TENSORS} tensors")));
        }
        let tensor =
            Tensor { name: String::new(), dtype, shape, strides, offset, storage, conj: false, neg: false };
        if storages.tensors.insert(key, tensor).is_some() {
            return Err(reader.bad(format!("tensor {key} is there twice")));
        }
    }
    reader.done()
}
