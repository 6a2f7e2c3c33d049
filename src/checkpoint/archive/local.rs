//! The headers before each member's bytes, and the descriptors after some: they must say what the directory says, and the
//! members must follow one another without gap or overlap. Called by [`super::Archive::open`].

use super::fields::{Fields, u16_at, u32_at, u64_at, zip64};
use super::{Io, Member, sound};
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::source::Source;

const DESCRIPTOR: u32 = 0x0807_4b50;

/// Compares every local header with the directory, and sees that members follow one another.
pub(super) fn check(source: &dyn Source, members: &mut [Member], directory: u64) -> Io<()> {
    let mut expected = 0;
    let starts: Vec<u64> = members.iter().map(|m| m.header).skip(1).chain([directory]).collect();
    for (member, next) in members.iter_mut().zip(starts) {
        if member.header != expected {
            let (what, from) = match member.header < expected {
                true => ("overlap", member.header),
                false => ("leave a gap", expected),
            };
            return Ok(Err(FormatError::ambiguous(
                FilePosition::byte(from).within(&member.name),
                format!("members that {what}: this one begins at byte {}, not {expected}", member.header),
            )));
        }
        let start = sound!(self::start(source, member, next)?);
        member.start = Some(start);
        let end = start.saturating_add(member.compressed);
        let Some(after) = next.checked_sub(end) else {
            return Ok(Err(FormatError::ambiguous(
                FilePosition::byte(next).within(&member.name),
                format!("members that overlap: this one ends at byte {end}, the next begins at {next}"),
            )));
        };
        if after > 0 || member.flags & 8 != 0 {
            sound!(descriptor(source, member, end, after)?);
        }
        expected = next;
    }
    if expected != directory {
        return Ok(Err(FormatError::ambiguous(
            FilePosition::byte(expected),
            format!("{} bytes before the zip directory that belong to no member", directory - expected),
        )));
    }
    Ok(Ok(()))
}

/// Checks one local header; where the member's bytes begin.
pub(super) fn start(source: &dyn Source, member: &Member, limit: u64) -> Io<u64> {
    let place = || FilePosition::byte(member.header).within(&member.name);
    let room = limit.saturating_sub(member.header);
    let fixed = source.bytes(member.header, room.min(30) as usize)?;
    let Some(fields) = Fields::local(&fixed) else {
        return Ok(Err(FormatError::malformed(place(), "no local header where the directory says")));
    };
    let (Some(name_len), Some(extra_len)) = (u16_at(&fixed, 26), u16_at(&fixed, 28)) else {
        return Ok(Err(FormatError::malformed(place(), "a local header that is cut short")));
    };
    let variable = usize::from(name_len) + usize::from(extra_len);
    if 30 + variable as u64 > room {
        return Ok(Err(FormatError::malformed(place(), "a local header that reaches into the next member")));
    }
    let rest = source.bytes(member.header + 30, variable)?;
    let name = rest.get(..usize::from(name_len)).unwrap_or_default();
    let extra = rest.get(usize::from(name_len)..).unwrap_or_default();
    let differs = |what: &str, here: String, there: String| {
        Ok(Err(FormatError::ambiguous(
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
        return Ok(Err(FormatError::malformed(place(), "a broken zip64 field in the local header")));
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
        FormatError::ambiguous(
            FilePosition::byte(at).within(&member.name),
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
        return Ok(Err(FormatError::ambiguous(
            FilePosition::byte(at).within(&member.name),
            "its data descriptor differs from the directory",
        )));
    }
    Ok(Ok(()))
}
