//! Zip archives, read strictly. In: a source. Out: members with where their bytes lie. Called by the readers
//! of zip `.pth`, torch.jit archives and `.npz`.
//!
//! Zip has two descriptions of every member, one before its bytes and one in the directory at the end, and
//! readers differ in which they believe. Here they must agree, and members must follow one another without
//! gap or overlap from the first byte to the directory, so that there is only one way to read the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use crate::checkpoint::error::{Fault, Place};
use crate::checkpoint::inflate::Deflated;
use crate::checkpoint::source::Source;
use crate::checkpoint::tensor::MOST;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) deflated: bool,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    /// Where its local header begins.
    header: u64,
    /// General purpose flags.
    flags: u16,
    /// Where its bytes begin; for a remote archive not yet known.
    pub(super) start: Option<u64>,
}

/// An archive's members, in the order of their bytes.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) members: Vec<Member>,
    /// Every CRC in it is zero: torch can be told not to compute them.
    pub(super) without_crcs: bool,
    by_name: HashMap<String, usize>,
}

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;

/// The largest directory: 2¹⁸ members with names of 200 bytes.
const DIRECTORY: u64 = 64 << 20;
/// The largest deflated pickle.
const INFLATED: u64 = 32 << 20;
/// How much larger than the file its members may be together, and what is always allowed.
const RATIO: u64 = 16;
const ALWAYS: u64 = 64 << 20;

type Io<T> = io::Result<Result<T, Fault>>;

/// Passes a fault on, inside a function that can also fail in the file system.
macro_rules! sound {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(fault) => return Ok(Err(fault)),
        }
    };
}
pub(super) use sound;

impl Archive {
    /// Reads the directory and, unless the source is remote, every local header.
    pub(super) fn open(source: &dyn Source) -> Io<Archive> {
        let end = sound!(end(source)?);
        let directory =
            source.bytes(end.directory, usize::try_from(end.directory_len).unwrap_or(usize::MAX))?;
        let mut members = sound!(directory_entries(&directory, &end));
        drop(directory);
        sound!(check_names(&members));
        members.sort_by_key(|m| m.header);
        if !source.is_remote() {
            sound!(check_locals(source, &mut members, end.directory)?);
        }
        let mut held = 0u64;
        for member in &members {
            held = held.saturating_add(member.size);
        }
        if held > source.len().saturating_mul(RATIO).saturating_add(ALWAYS) {
            return Ok(Err(Fault::excessive(
                Place::byte(end.directory),
                format!("members of {held} bytes in an archive of {}: a zip bomb", source.len()),
            )));
        }
        let without_crcs = members.iter().all(|m| m.crc == 0);
        let by_name = members.iter().enumerate().map(|(i, m)| (m.name.clone(), i)).collect();
        Ok(Ok(Archive { members, without_crcs, by_name }))
    }

    /// A member by its name.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(*self.by_name.get(name)?)
    }

    /// The bytes of a small member, checked: borrowed where they are stored, inflated else; at most `limit`.
    pub(super) fn read<'a>(&self, source: &'a dyn Source, member: &Member, limit: u64) -> Io<Cow<'a, [u8]>> {
        let name = &member.name;
        // What is inflated is kept in memory, what is stored lies in the file anyway.
        let limit = if member.deflated { limit.min(INFLATED) } else { limit };
        if member.size > limit {
            return Ok(Err(Fault::excessive(
                Place::member(name),
                format!("{} bytes, where at most {limit} are read", member.size),
            )));
        }
        let start = sound!(start_of(source, member)?);
        if member.deflated {
            let Member { compressed, size: len, crc, name: member, .. } = member;
            let (compressed, len, crc) = (*compressed, *len, *crc);
            let deflated = Deflated { source, start, compressed, len, crc, member };
            return Ok(deflated.bytes()?.map(Cow::Owned));
        }
        let bytes = source.bytes(start, usize::try_from(member.size).unwrap_or(usize::MAX))?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        if !self.without_crcs && crc.sum() != member.crc {
            let problem = format!("its CRC-32 is {:08x}, not the {:08x} it claims", crc.sum(), member.crc);
            return Ok(Err(Fault::malformed(Place::member(name), problem)));
        }
        Ok(Ok(bytes))
    }
}

/// Where a member's bytes begin: known from opening, or for a remote archive from its local header now.
pub(super) fn start_of(source: &dyn Source, member: &Member) -> Io<u64> {
    match member.start {
        Some(start) => Ok(Ok(start)),
        None => local(source, member, source.len()),
    }
}

struct End {
    directory: u64,
    directory_len: u64,
    members: u64,
}

/// Whether a file ends in a zip end record, so that zip readers would take it for an archive. Python's
/// `zipfile` takes one also where its comment does not reach the file's end; the four bytes alone may be
/// chance, so the record must point at a directory before it.
pub(super) fn has_end_record(source: &dyn Source) -> io::Result<bool> {
    let (tail, base) = tail(source)?;
    let points_back = |at: usize| {
        let directory = u64::from(u32_at(&tail, at + 12)?) + u64::from(u32_at(&tail, at + 16)?);
        let volumes = u32_at(&tail, at + 4)?;
        let counts_agree = u16_at(&tail, at + 8)? == u16_at(&tail, at + 10)?;
        Some(volumes == 0 && counts_agree && directory <= base + at as u64)
    };
    let last = tail.len().checked_sub(22);
    let record = |at: usize| u32_at(&tail, at) == Some(END) && points_back(at) == Some(true);
    Ok(find_end(&tail).is_some() || last.is_some_and(|last| (0..=last).any(record)))
}

fn tail(source: &dyn Source) -> io::Result<(Vec<u8>, u64)> {
    let len = source.len().min(22 + 65_535);
    let at = source.len() - len;
    Ok((source.bytes(at, len as usize)?.into_owned(), at))
}

/// The last end record whose comment reaches exactly to the file's end.
fn find_end(tail: &[u8]) -> Option<usize> {
    let last = tail.len().checked_sub(22)?;
    (0..=last).rev().find(|&at| {
        u32_at(tail, at) == Some(END)
            && u16_at(tail, at + 20).is_some_and(|comment| at + 22 + usize::from(comment) == tail.len())
    })
}

fn end(source: &dyn Source) -> Io<End> {
    let (tail, base) = tail(source)?;
    let Some(at) = find_end(&tail) else {
        return Ok(Err(Fault::malformed(
            Place::byte(source.len()),
            "no zip end record at the end: the archive is cut short, or has bytes after it",
        )));
    };
    let here = base + at as u64;
    let bad = |problem: &str| Ok(Err(Fault::malformed(Place::byte(here), problem)));
    let record = tail.get(at..).unwrap_or_default();
    if record.len() > 22 {
        return Ok(Err(Fault::ambiguous(
            Place::byte(here + 22),
            format!("{} bytes of comment after the archive", record.len() - 22),
        )));
    }
    let (Some(disk), Some(start_disk), Some(here_members), Some(members), Some(len), Some(offset)) = (
        u16_at(record, 4),
        u16_at(record, 6),
        u16_at(record, 8),
        u16_at(record, 10),
        u32_at(record, 12),
        u32_at(record, 16),
    ) else {
        return bad("a zip end record that is cut short");
    };
    let mut end = End { directory: offset.into(), directory_len: len.into(), members: members.into() };
    let mut directory_end = here;
    let locator =
        at.checked_sub(20).and_then(|l| tail.get(l..at)).filter(|l| u32_at(l, 0) == Some(LOCATOR64));
    let large = members == u16::MAX || len == u32::MAX || offset == u32::MAX;
    match locator {
        Some(locator) => {
            let Some(record_at) = u64_at(locator, 8) else { return bad("a zip64 locator that is cut short") };
            if record_at.checked_add(56).is_none_or(|e| e != here - 20) {
                return bad("a zip64 locator that does not point right before itself");
            }
            let record = source.bytes(record_at, 56)?;
            let (Some(END64), Some(44), Some(members64), Some(len64), Some(offset64)) = (
                u32_at(&record, 0),
                u64_at(&record, 4),
                u64_at(&record, 32),
                u64_at(&record, 40),
                u64_at(&record, 48),
            ) else {
                return bad("a zip64 end record of another form");
            };
            if u64_at(&record, 24) != Some(members64) || u64_at(&record, 16) != Some(0) {
                return bad("a zip archive in several volumes");
            }
            let agrees = (members == u16::MAX || u64::from(members) == members64)
                && (len == u32::MAX || u64::from(len) == len64)
                && (offset == u32::MAX || u64::from(offset) == offset64);
            if !agrees {
                return Ok(Err(Fault::ambiguous(Place::byte(here), "zip and zip64 end records that differ")));
            }
            end = End { directory: offset64, directory_len: len64, members: members64 };
            directory_end = record_at;
        }
        None if large => return bad("sizes that need a zip64 record, and none is there"),
        None if disk != 0 || start_disk != 0 || here_members != members => {
            return bad("a zip archive in several volumes");
        }
        None => {}
    }
    if end.directory.checked_add(end.directory_len) != Some(directory_end) {
        return Ok(Err(Fault::ambiguous(
            Place::byte(here),
            format!(
                "a directory at byte {} of {} bytes, which should end at byte {directory_end}: \
                 bytes before or after the archive",
                end.directory, end.directory_len
            ),
        )));
    }
    if end.members > MOST as u64 {
        return Ok(Err(Fault::excessive(Place::byte(here), format!("more than {MOST} members"))));
    }
    if end.directory_len > DIRECTORY || end.members.checked_mul(46).is_none_or(|n| n > end.directory_len) {
        return bad("more members than its directory has room for");
    }
    Ok(Ok(end))
}

fn directory_entries(bytes: &[u8], end: &End) -> Result<Vec<Member>, Fault> {
    let mut members = Vec::new();
    let mut at = 0;
    for _ in 0..end.members {
        let place = || Place::byte(end.directory + at as u64);
        let short = || Fault::malformed(place(), "a zip directory that is cut short");
        let entry = bytes.get(at..).unwrap_or_default();
        let fields = Fields::central(entry).ok_or_else(short)?;
        let (name_len, extra_len, comment_len) = (
            u16_at(entry, 28).ok_or_else(short)?,
            u16_at(entry, 30).ok_or_else(short)?,
            u16_at(entry, 32).ok_or_else(short)?,
        );
        let name_end = 46 + usize::from(name_len);
        let extra_end = name_end + usize::from(extra_len);
        let name = entry.get(46..name_end).ok_or_else(short)?;
        let extra = entry.get(name_end..extra_end).ok_or_else(short)?;
        let name = std::str::from_utf8(name)
            .map_err(|_| Fault::malformed(place(), "a member name that is not UTF-8"))?
            .to_owned();
        let bad =
            |problem: String| Fault::malformed(Place::byte(end.directory + at as u64).within(&name), problem);
        if u16_at(entry, 34) != Some(0) {
            return Err(bad("a member in another volume".into()));
        }
        let mut header = u64::from(u32_at(entry, 42).ok_or_else(short)?);
        let (size, compressed) =
            zip64(extra, &fields, Some(&mut header)).ok_or_else(|| bad("a broken zip64 field".into()))?;
        if fields.flags & (1 | 1 << 6 | 1 << 13) != 0 {
            return Err(bad("an encrypted member".into()));
        }
        if fields.flags & 1 << 5 != 0 || !matches!(fields.method, 0 | 8) {
            return Err(bad(format!(
                "compression method {}, where stored and deflated are read",
                fields.method
            )));
        }
        if fields.method == 0 && size != compressed {
            return Err(bad(format!("a stored member of {size} bytes that takes {compressed}")));
        }
        if header.saturating_add(30).saturating_add(compressed) > end.directory {
            return Err(bad(format!(
                "a member of {compressed} bytes at byte {header}, beyond the archive's data"
            )));
        }
        members.push(Member {
            name,
            deflated: fields.method == 8,
            crc: fields.crc,
            compressed,
            size,
            header,
            flags: fields.flags,
            start: None,
        });
        at += extra_end + usize::from(comment_len);
    }
    if at != bytes.len() {
        return Err(Fault::ambiguous(
            Place::byte(end.directory + at as u64),
            format!("{} bytes in the zip directory after its last entry", bytes.len().saturating_sub(at)),
        ));
    }
    Ok(members)
}

/// What a local header and a directory entry both say.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u32,
    size: u32,
}

impl Fields {
    fn central(entry: &[u8]) -> Option<Fields> {
        (u32_at(entry, 0)? == CENTRAL).then(|| Fields::at(entry, 8))?
    }

    fn local(entry: &[u8]) -> Option<Fields> {
        (u32_at(entry, 0)? == LOCAL).then(|| Fields::at(entry, 6))?
    }

    fn at(entry: &[u8], at: usize) -> Option<Fields> {
        Some(Fields {
            flags: u16_at(entry, at)?,
            method: u16_at(entry, at + 2)?,
            crc: u32_at(entry, at + 8)?,
            compressed: u32_at(entry, at + 12)?,
            size: u32_at(entry, at + 16)?,
        })
    }
}

/// Size and compressed size, from the zip64 field where they do not fit; likewise the header's offset.
fn zip64(extra: &[u8], fields: &Fields, header: Option<&mut u64>) -> Option<(u64, u64)> {
    let (mut size, mut compressed) = (u64::from(fields.size), u64::from(fields.compressed));
    let mut at = 0;
    let mut field: Option<&[u8]> = None;
    while at + 4 <= extra.len() {
        let (id, len) = (u16_at(extra, at)?, usize::from(u16_at(extra, at + 2)?));
        let body = extra.get(at + 4..at + 4 + len)?;
        if id == 1 && field.replace(body).is_some() {
            return None;
        }
        at += 4 + len;
    }
    let field = field.unwrap_or_default();
    let mut next = 0;
    let mut wide = |narrow: &mut u64| -> Option<()> {
        if *narrow == u64::from(u32::MAX) {
            *narrow = u64_at(field, next)?;
            next += 8;
        }
        Some(())
    };
    wide(&mut size)?;
    wide(&mut compressed)?;
    if let Some(header) = header {
        wide(header)?;
    }
    Some((size, compressed))
}

/// No name twice, also not in another case; none that leaves the folder it is unpacked in.
fn check_names(members: &[Member]) -> Result<(), Fault> {
    let mut seen = HashMap::with_capacity(members.len());
    for member in members {
        let name = &member.name;
        let bad = |problem: &str| Err(Fault::malformed(Place::member(name), problem));
        if name.is_empty() {
            return bad("a member without a name");
        }
        if name.contains(['\\', '\0']) || name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') {
            return bad("a member name that is no relative path");
        }
        if name.split('/').any(|part| part == "..") {
            return bad("a member name that leaves its folder");
        }
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            let problem = match other == name {
                true => "two members of this name".to_owned(),
                false => format!("a name that differs from `{other}` only in case"),
            };
            return Err(Fault::ambiguous(Place::member(name), problem));
        }
    }
    Ok(())
}

/// Compares every local header with the directory, and sees that members follow one another.
fn check_locals(source: &dyn Source, members: &mut [Member], directory: u64) -> Io<()> {
    let mut expected = 0;
    let starts: Vec<u64> = members.iter().map(|m| m.header).skip(1).chain([directory]).collect();
    for (member, next) in members.iter_mut().zip(starts) {
        if member.header != expected {
            let (what, from) = match member.header < expected {
                true => ("overlap", member.header),
                false => ("leave a gap", expected),
            };
            return Ok(Err(Fault::ambiguous(
                Place::byte(from).within(&member.name),
                format!("members that {what}: this one begins at byte {}, not {expected}", member.header),
            )));
        }
        let start = sound!(local(source, member, next)?);
        member.start = Some(start);
        let end = start.saturating_add(member.compressed);
        let Some(after) = next.checked_sub(end) else {
            return Ok(Err(Fault::ambiguous(
                Place::byte(next).within(&member.name),
                format!("members that overlap: this one ends at byte {end}, the next begins at {next}"),
            )));
        };
        if after > 0 || member.flags & 8 != 0 {
            sound!(descriptor(source, member, end, after)?);
        }
        expected = next;
    }
    if expected != directory {
        return Ok(Err(Fault::ambiguous(
            Place::byte(expected),
            format!("{} bytes before the zip directory that belong to no member", directory - expected),
        )));
    }
    Ok(Ok(()))
}

/// Checks one local header; where the member's bytes begin.
fn local(source: &dyn Source, member: &Member, limit: u64) -> Io<u64> {
    let place = || Place::byte(member.header).within(&member.name);
    let room = limit.saturating_sub(member.header);
    let fixed = source.bytes(member.header, room.min(30) as usize)?;
    let Some(fields) = Fields::local(&fixed) else {
        return Ok(Err(Fault::malformed(place(), "no local header where the directory says")));
    };
    let (Some(name_len), Some(extra_len)) = (u16_at(&fixed, 26), u16_at(&fixed, 28)) else {
        return Ok(Err(Fault::malformed(place(), "a local header that is cut short")));
    };
    let variable = usize::from(name_len) + usize::from(extra_len);
    if 30 + variable as u64 > room {
        return Ok(Err(Fault::malformed(place(), "a local header that reaches into the next member")));
    }
    let rest = source.bytes(member.header + 30, variable)?;
    let name = rest.get(..usize::from(name_len)).unwrap_or_default();
    let extra = rest.get(usize::from(name_len)..).unwrap_or_default();
    let differs = |what: &str, here: String, there: String| {
        Ok(Err(Fault::ambiguous(
            place(),
            format!("its {what} is {here} in the local header and {there} in the directory"),
        )))
    };
    if name != member.name.as_bytes() {
        return differs("name", format!("`{}`", String::from_utf8_lossy(name)), format!("`{}`", member.name));
    }
    let deflated = fields.method == 8;
    if deflated != member.deflated || !matches!(fields.method, 0 | 8) {
        return differs("method", fields.method.to_string(), if member.deflated { "8" } else { "0" }.into());
    }
    // Bit 3: sizes and CRC follow the data, and may be zero here. Bits 1 and 2 are hints, bit 11 says UTF-8.
    const HINTS: u16 = 0b110 | 1 << 11;
    if fields.flags & !HINTS != member.flags & !HINTS {
        return differs("flags", format!("{:#x}", fields.flags), format!("{:#x}", member.flags));
    }
    let later = fields.flags & 8 != 0;
    let Some((size, compressed)) = zip64(extra, &fields, None) else {
        return Ok(Err(Fault::malformed(place(), "a broken zip64 field in the local header")));
    };
    for (what, here, there) in [
        ("size", size, member.size),
        ("compressed size", compressed, member.compressed),
        ("CRC-32", fields.crc.into(), member.crc.into()),
    ] {
        if here != there && !(later && here == 0) {
            return differs(what, here.to_string(), there.to_string());
        }
    }
    Ok(Ok(member.header + 30 + variable as u64))
}

/// What lies between a member's bytes and the next header must be its data descriptor.
fn descriptor(source: &dyn Source, member: &Member, at: u64, len: u64) -> Io<()> {
    let gap = || {
        Fault::ambiguous(
            Place::byte(at).within(&member.name),
            match len {
                0 => "no data descriptor after its data, which its flags announce".to_owned(),
                _ => format!("{len} bytes after its data that belong to no member"),
            },
        )
    };
    if member.flags & 8 == 0 || len > 24 {
        return Ok(Err(gap()));
    }
    let bytes = source.bytes(at, len as usize)?;
    let body = match u32_at(&bytes, 0) {
        Some(DESCRIPTOR) if matches!(len, 16 | 24) => bytes.get(4..).unwrap_or_default(),
        _ if matches!(len, 12 | 20) => &bytes,
        _ => return Ok(Err(gap())),
    };
    let (compressed, size) = match body.len() {
        12 => (u32_at(body, 4).map(u64::from), u32_at(body, 8).map(u64::from)),
        _ => (u64_at(body, 4), u64_at(body, 12)),
    };
    let agrees = u32_at(body, 0) == Some(member.crc)
        && compressed == Some(member.compressed)
        && size == Some(member.size);
    if !agrees {
        return Ok(Err(Fault::ambiguous(
            Place::byte(at).within(&member.name),
            "its data descriptor differs from the directory",
        )));
    }
    Ok(Ok(()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}
