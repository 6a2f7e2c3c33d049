//! The end of a zip archive: its end records, plain and zip64, and the directory before them. In: a source. Out: the
//! members as the directory describes them. Called by [`super::Archive::open`].

use std::io;

use super::fields::{Fields, u16_at, u32_at, u64_at, zip64};
use super::{Io, Member};
use crate::checkpoint::error::{FilePosition, FormatError, FormatErrorKind};
use crate::checkpoint::source::Source;
use crate::checkpoint::tensor::MAX_TENSORS;

const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

/// The largest directory: 2¹⁸ members with names of 200 bytes.
const MAX_DIRECTORY: u64 = 64 << 20;

/// Where the directory lies, and how many members it lists.
pub(super) struct End {
    pub(super) directory: u64,
    pub(super) directory_len: u64,
    pub(super) members: u64,
}

/// Whether a file ends in a zip end record, so that zip readers would take it for an archive. Python's
/// `zipfile` takes one also where its comment does not reach the file's end; the four bytes alone may be
/// chance, so the record must point at a directory before it.
pub(in crate::checkpoint) fn has_end_record(source: &dyn Source) -> io::Result<bool> {
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

pub(super) fn end(source: &dyn Source) -> Io<End> {
    let (tail, base) = tail(source)?;
    let Some(at) = find_end(&tail) else {
        return Ok(Err(FormatError::malformed(
            FilePosition::byte(source.len()),
            "no zip end record at the end: the archive is cut short, or has bytes after it",
        )));
    };
    let here = base + at as u64;
    let bad = |problem: &str| Ok(Err(FormatError::malformed(FilePosition::byte(here), problem)));
    let record = tail.get(at..).unwrap_or_default();
    if record.len() > 22 {
        return Ok(Err(FormatError::ambiguous(
            FilePosition::byte(here + 22),
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
                return Ok(Err(FormatError::ambiguous(
                    FilePosition::byte(here),
                    "zip and zip64 end records that differ",
                )));
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
        return Ok(Err(FormatError::ambiguous(
            FilePosition::byte(here),
            format!(
                "a directory at byte {} of {} bytes, which should end at byte {directory_end}: \
                 bytes before or after the archive",
                end.directory, end.directory_len
            ),
        )));
    }
    if end.members > MAX_TENSORS as u64 {
        return Ok(Err(FormatError::excessive(
            FilePosition::byte(here),
            format!("more than {MAX_TENSORS} members"),
        )));
    }
    if end.directory_len > MAX_DIRECTORY || end.members.checked_mul(46).is_none_or(|n| n > end.directory_len)
    {
        return bad("more members than its directory has room for");
    }
    Ok(Ok(end))
}

/// Of a member's external attributes: MS-DOS's bit for a folder. torch's reader does not read such a member, and leaves the memory
/// for it as it was.
const DIRECTORY_ATTRIBUTE: u32 = 0x10;

/// The members that a directory lists.
pub(super) fn entries(bytes: &[u8], end: &End) -> Result<Vec<Member>, FormatError> {
    let mut members = Vec::new();
    let mut at = 0;
    for _ in 0..end.members {
        let place = || FilePosition::byte(end.directory + at as u64);
        let short = || FormatError::malformed(place(), "a zip directory that is cut short");
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
            .map_err(|_| FormatError::malformed(place(), "a member name that is not UTF-8"))?
            .to_owned();
        let bad = |problem: String| {
            FormatError::malformed(FilePosition::byte(end.directory + at as u64).within(&name), problem)
        };
        let unread = |problem: String| FormatError { kind: FormatErrorKind::Unsupported, ..bad(problem) };
        if u16_at(entry, 34) != Some(0) {
            return Err(bad("a member in another volume".into()));
        }
        let mut header = u64::from(u32_at(entry, 42).ok_or_else(short)?);
        let (size, compressed) =
            zip64(extra, &fields, Some(&mut header)).ok_or_else(|| bad("a broken zip64 field".into()))?;
        if fields.flags & (1 | 1 << 6 | 1 << 13) != 0 {
            return Err(unread("an encrypted member".into()));
        }
        if fields.flags & 1 << 5 != 0 || !matches!(fields.method, 0 | 8) {
            return Err(unread(format!(
                "compression method {}, where stored and deflated are read",
                fields.method
            )));
        }
        if fields.method == 0 && size != compressed {
            return Err(bad(format!("a stored member of {size} bytes that takes {compressed}")));
        }
        let attributes = u32_at(entry, 38).ok_or_else(short)?;
        if attributes & DIRECTORY_ATTRIBUTE != 0 && size > 0 {
            return Err(FormatError::ambiguous(
                FilePosition::byte(end.directory + at as u64).within(&name),
                format!("a member of {size} bytes that is marked as a folder, of which torch reads nothing"),
            ));
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
        return Err(FormatError::ambiguous(
            FilePosition::byte(end.directory + at as u64),
            format!("{} bytes in the zip directory after its last entry", bytes.len().saturating_sub(at)),
        ));
    }
    Ok(members)
}
