//! What lies in a tar archive of any kind, for [`super::scan`] and [`super::open`]; torch's own four members are read by
//! [`super::torch::tar`]. In: a source. Out: names and places. Nothing is unpacked.

use std::io;

use super::source::Source;

const BLOCK_SIZE: u64 = 512;
/// The most members that are listed.
const MAX_MEMBERS: usize = 100_000;

/// The members of a tar archive, as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) members: Vec<TarMember>,
    /// Why the listing ends before the archive does, and at which byte.
    pub(super) stopped: Option<(u64, &'static str)>,
}

/// A member with bytes.
#[derive(Debug)]
pub(super) struct TarMember {
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) len: u64,
}

impl Listing {
    /// Whether it has the members of torch's tar format of 2016.
    pub(super) fn is_torch(&self) -> bool {
        ["storages", "tensors", "pickle"].iter().any(|name| self.members.iter().any(|m| m.name == *name))
    }
}

/// Lists the members.
pub(super) fn list(source: &dyn Source) -> io::Result<Listing> {
    let total = source.len();
    let (mut at, mut listing, mut long_name) = (0u64, Listing::default(), None);
    while total - at >= BLOCK_SIZE {
        let block = source.bytes(at, BLOCK_SIZE as usize)?;
        if block.iter().all(|&b| b == 0) {
            return Ok(listing);
        }
        let (Some(name), Some(len)) = (text(&block, 0, 100), size(&block)) else {
            listing.stopped = Some((at, "a tar header that cannot be read"));
            return Ok(listing);
        };
        let start = at + BLOCK_SIZE;
        let kind = block.get(156).copied().unwrap_or(0);
        // Links, folders and devices have no bytes, whatever size they claim.
        let held = if matches!(kind, b'1'..=b'6') { 0 } else { len };
        let Some(end) = start.checked_add(held).filter(|&end| end <= total) else {
            listing.stopped = Some((at, "a tar member that is longer than the file"));
            return Ok(listing);
        };
        match kind {
            0 | b'0' | b'7' => {
                let prefix = text(&block, 345, 155).filter(|p| !p.is_empty() && is_posix(&block));
                let name = match (long_name.take(), prefix) {
                    (Some(long), _) => long,
                    (None, Some(prefix)) => format!("{prefix}/{name}"),
                    (None, None) => name,
                };
                listing.members.push(TarMember { name, start, len });
            }
            b'1'..=b'6' => long_name = None,
            // GNU's long names, and POSIX's extended headers, of which only the path is needed.
            b'L' | b'x' | b'g' | b'X' => {
                const MAX_HEADER: u64 = 1 << 20;
                let body = source.bytes(start, usize::try_from(len.min(MAX_HEADER)).unwrap_or(0))?;
                let body = String::from_utf8_lossy(&body);
                if kind == b'L' {
                    long_name = Some(body.trim_end_matches('\0').to_owned());
                } else if body.contains("GNU.sparse") || body.contains(" size=") || len > MAX_HEADER {
                    listing.stopped = Some((at, "a tar header that gives another size to what follows"));
                    return Ok(listing);
                } else if let Some(path) = pax_path(&body) {
                    long_name = Some(path);
                }
            }
            b'K' => {}
            _ => {
                listing.stopped = Some((at, "a tar member of a kind that is not read"));
                return Ok(listing);
            }
        }
        if listing.members.len() >= MAX_MEMBERS {
            listing.stopped = Some((at, "more members than are listed"));
            return Ok(listing);
        }
        at = match end.checked_next_multiple_of(BLOCK_SIZE) {
            Some(next) if next <= total => next,
            _ => return Ok(listing),
        };
    }
    Ok(listing)
}

fn is_posix(block: &[u8]) -> bool {
    block.get(257..263) == Some(b"ustar\0")
}

fn text(block: &[u8], at: usize, len: usize) -> Option<String> {
    let field = block.get(at..at + len)?;
    let end = field.iter().position(|&b| b == 0).unwrap_or(len);
    Some(String::from_utf8_lossy(field.get(..end)?).into_owned())
}

/// Octal text, or GNU's binary form for sizes from 8 GiB on.
fn size(block: &[u8]) -> Option<u64> {
    let field = block.get(124..136)?;
    if field.first() == Some(&0x80) {
        return field.get(4..).map(|low| low.iter().fold(0, |n, &b| n << 8 | u64::from(b)));
    }
    let text = String::from_utf8_lossy(field);
    let digits = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn pax_path(body: &str) -> Option<String> {
    body.lines().find_map(|line| line.split_once(' ')?.1.strip_prefix("path=").map(str::to_owned))
}
