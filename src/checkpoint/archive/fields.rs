//! What the headers of a zip archive have in common: fixed fields, the zip64 field, little-endian numbers. Called by
//! [`super::directory`] and [`super::local`].

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;

/// What a local header and a directory entry both say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) compressed: u32,
    pub(super) size: u32,
}

impl Fields {
    pub(super) fn central(entry: &[u8]) -> Option<Fields> {
        (u32_at(entry, 0)? == CENTRAL).then(|| Fields::at(entry, 8))?
    }

    pub(super) fn local(entry: &[u8]) -> Option<Fields> {
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
pub(super) fn zip64(extra: &[u8], fields: &Fields, header: Option<&mut u64>) -> Option<(u64, u64)> {
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

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}
