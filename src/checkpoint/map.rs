//! The memory map of a checkpoint file: the one place here that needs `unsafe`. Used by [`super::source`].
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// File systems on which another machine can cut a file short under a map: reading the missing pages then
/// kills the process, so such files are read by `pread`.
const REMOTE: &[u64] = &[
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00c3_6400, // Ceph
    0x0bd0_0bd0, // Lustre
    0x5346_414f, // AFS
];

/// Maps a regular file of exactly `len` bytes; `None` where a map would not be sound to read.
pub(super) fn map(file: &File, len: u64) -> io::Result<Option<Mmap>> {
    if len == 0 || usize::try_from(len).is_err() || on_a_network(file) {
        return Ok(None);
    }
    // SAFETY: read-only and private to this process; the bytes are only ever treated as plain `u8`. The size
    // comes from the same open descriptor. A process that cuts the file short meanwhile ends this one by
    // SIGBUS, as it does for every reader that maps; it cannot corrupt it.
    let map = unsafe { memmap2::MmapOptions::new().len(len as usize).map(file)? };
    Ok(Some(map))
}

/// Takes a map's pages out of this process; reading them again maps them anew. Without it they would count as
/// this process's memory, beside whatever the tensors were copied into.
#[cfg(target_os = "linux")]
pub(super) fn forget(map: &Mmap) {
    // SAFETY: the map is read-only and of a file, so dropped pages come back with the file's bytes. A refusal
    // changes nothing.
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forget(_: &Mmap) {}

#[cfg(target_os = "linux")]
fn on_a_network(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn on_a_network(_: &File) -> bool {
    false
}
