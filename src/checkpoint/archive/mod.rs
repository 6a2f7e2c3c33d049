//! Zip archives, read strictly. In: a source. Out: members with where their bytes lie. Called by the readers
//! of zip `.pth`, torch.jit archives and `.npz`.
//!
//! Zip has two descriptions of every member, one before its bytes and one in the directory at the end, and
//! readers differ in which they believe. Here they must agree, and members must follow one another without
//! gap or overlap from the first byte to the directory, so that there is only one way to read the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::inflate::Deflated;
use crate::checkpoint::source::Source;

mod directory;
mod fields;
mod local;

pub(super) use directory::has_end_record;

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

/// The largest deflated pickle.
const MAX_INFLATED: u64 = 32 << 20;
/// How much larger than the file its members may be together, and what is always allowed.
const MAX_RATIO: u64 = 16;
const FREE_BYTES: u64 = 64 << 20;

type Io<T> = io::Result<Result<T, FormatError>>;

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
        let end = sound!(directory::end(source)?);
        let directory =
            source.bytes(end.directory, usize::try_from(end.directory_len).unwrap_or(usize::MAX))?;
        let mut members = sound!(directory::entries(&directory, &end));
        drop(directory);
        sound!(check_names(&members));
        members.sort_by_key(|m| m.header);
        if !source.is_remote() {
            sound!(local::check(source, &mut members, end.directory)?);
        }
        let mut held = 0u64;
        for member in &members {
            held = held.saturating_add(member.size);
        }
        if held > source.len().saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES) {
            return Ok(Err(FormatError::excessive(
                FilePosition::byte(end.directory),
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
        let limit = if member.deflated { limit.min(MAX_INFLATED) } else { limit };
        if member.size > limit {
            return Ok(Err(FormatError::excessive(
                FilePosition::member(name),
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
            return Ok(Err(FormatError::malformed(FilePosition::member(name), problem)));
        }
        Ok(Ok(bytes))
    }
}

/// Where a member's bytes begin: known from opening, or for a remote archive from its local header now.
pub(super) fn start_of(source: &dyn Source, member: &Member) -> Io<u64> {
    match member.start {
        Some(start) => Ok(Ok(start)),
        None => local::start(source, member, source.len()),
    }
}

/// No name twice, nor, but for arrays, in another case; none that leaves the folder it is unpacked in.
fn check_names(members: &[Member]) -> Result<(), FormatError> {
    // Arrays are read where they lie, by their exact names.
    let arrays = members.iter().all(|m| m.name.ends_with(".npy"));
    let mut seen = HashMap::with_capacity(members.len());
    for member in members {
        let name = &member.name;
        let bad = |problem: &str| Err(FormatError::malformed(FilePosition::member(name), problem));
        if name.is_empty() {
            return bad("a member without a name");
        }
        if name.contains(['\\', '\0']) || name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') {
            return bad("a member name that is not a relative path");
        }
        if name.split('/').any(|part| part == "..") {
            return bad("a member name that leaves its folder");
        }
        if let Some(other) = seen.insert(if arrays { name.clone() } else { name.to_lowercase() }, name) {
            let problem = if other == name {
                "two members of this name".to_owned()
            } else {
                format!("a name that differs from `{other}` only in case")
            };
            return Err(FormatError::ambiguous(FilePosition::member(name), problem));
        }
    }
    Ok(())
}
