//! The zip `.pth` of torch since 1.6: `PREFIX/data.pkl`, storages as `PREFIX/data/KEY`, and small members
//! that say byte order and version. Called by `super::super::open`.

use std::sync::OnceLock;

use crate::checkpoint::archive::{Archive, sound, start_of};
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::source::Source;
use crate::checkpoint::tensor::At;
use crate::checkpoint::torch::rebuild::Storages;

/// The largest `data.pkl` that is read; those of real files are a few hundred KB.
pub(in crate::checkpoint) const PICKLE: u64 = 256 << 20;

/// The folder all members are in, with its slash.
pub(in crate::checkpoint) fn prefix(archive: &Archive) -> Result<&str, FormatError> {
    let first = archive.members.first().map_or("", |m| m.name.as_str());
    let Some((folder, _)) = first.split_once('/') else {
        return Err(FormatError::malformed(
            FilePosition::member(first),
            "a member outside of the archive's folder",
        ));
    };
    let prefix = first.get(..=folder.len()).unwrap_or("");
    match archive.members.iter().find(|m| !m.name.starts_with(prefix)) {
        Some(other) => Err(FormatError::ambiguous(
            FilePosition::member(&other.name),
            format!("a member outside of `{prefix}`, where the others are"),
        )),
        None => Ok(prefix),
    }
}

/// Whether storages are big-endian.
pub(in crate::checkpoint) fn big_endian(
    source: &dyn Source,
    archive: &Archive,
    prefix: &str,
) -> std::io::Result<Result<bool, FormatError>> {
    let name = format!("{prefix}byteorder");
    let Some(member) = archive.member(&name) else { return Ok(Ok(false)) };
    let order = sound!(archive.read(source, member, 16)?);
    Ok(match order.as_ref() {
        b"little" => Ok(false),
        b"big" => Ok(true),
        _ => Err(FormatError::malformed(
            FilePosition::member(name),
            "a byte order that is neither `little` nor `big`",
        )),
    })
}

/// Gives every storage its member's place.
pub(in crate::checkpoint) fn place(
    source: &dyn Source,
    archive: &Archive,
    folder: &str,
    storages: &mut Storages,
) -> std::io::Result<Result<(), FormatError>> {
    for (key, &index) in &storages.keys {
        let name = format!("{folder}{key}");
        let Some(storage) = storages.list.get_mut(index) else { continue };
        if !matches!(storage.at, At::Pending) {
            continue;
        }
        let Some(member) = archive.member(&name) else {
            if storage.len == 0 {
                storage.at = At::Memory(Vec::new().into());
                continue;
            }
            return Ok(Err(FormatError::malformed(
                FilePosition::member(name),
                "a tensor's storage that is not in the archive",
            )));
        };
        if member.size != storage.len {
            return Ok(Err(FormatError::malformed(
                FilePosition::member(name),
                format!("{} bytes, where its tensors say {}", member.size, storage.len),
            )));
        }
        // A remote archive's local headers are not read: the place is not needed to list tensors.
        let start = match source.is_remote() {
            true => 0,
            false => sound!(start_of(source, member)?),
        };
        storage.crc = (!archive.without_crcs && !member.deflated).then_some(member.crc);
        storage.at = match member.deflated {
            false => At::File { file: 0, start },
            true => At::Deflated {
                file: 0,
                start,
                compressed: member.compressed,
                crc: member.crc,
                member: name,
                inflated: OnceLock::new(),
            },
        };
    }
    Ok(Ok(()))
}
