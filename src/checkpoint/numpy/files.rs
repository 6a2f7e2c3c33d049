//! `.npy` files (one array, named after what it is: `arr_0`, as `numpy.savez` would) and `.npz` archives (a
//! member a tensor). Called by [`crate::checkpoint`]'s `open`.

use std::sync::OnceLock;

use super::npy;
use crate::checkpoint::archive::{Archive, start_of};
use crate::checkpoint::error::{FilePosition, FormatError, FormatErrorKind, ReadError};
use crate::checkpoint::inflate::inflated_front;
use crate::checkpoint::source::Source;
use crate::checkpoint::tensor::{At, Storage, Tensor};

type Arrays = (Vec<Tensor>, Vec<Storage>);

/// One array.
pub(in crate::checkpoint) fn npy(source: &dyn Source) -> Result<Arrays, ReadError> {
    let total = source.len();
    let head = source.bytes(0, total.min(npy::MAX_HEADER as u64 + 12) as usize)?;
    let header = npy::header(&head, total)?;
    if crate::checkpoint::archive::has_end_record(source)? {
        let place = FilePosition::byte(total.saturating_sub(22));
        return Err(FormatError::ambiguous(
            place,
            "ends in a zip end record: zip readers would take it for an archive",
        )
        .into());
    }
    let at = At::File { file: 0, start: header.len as u64 };
    let storage = Storage { len: total - header.len as u64, swap: header.swap, crc: None, at };
    Ok((vec![tensor("arr_0", &header, 0, 0)], vec![storage]))
}

/// What is in an archive.
#[derive(Default)]
pub(in crate::checkpoint) struct Contents {
    pub(in crate::checkpoint) tensors: Vec<Tensor>,
    pub(in crate::checkpoint) storages: Vec<Storage>,
    /// Arrays of types that no tensor has: name and type.
    pub(in crate::checkpoint) refused: Vec<(String, String)>,
    /// Arrays of text, likewise.
    pub(in crate::checkpoint) left_out: Vec<(String, String)>,
}

/// An archive of arrays.
pub(in crate::checkpoint) fn npz(source: &dyn Source, archive: &Archive) -> Result<Contents, ReadError> {
    let mut contents = Contents::default();
    for member in &archive.members {
        let name = member.name.strip_suffix(".npy").unwrap_or(&member.name);
        let start = start_of(source, member)??;
        let longest = npy::MAX_HEADER as u64 + 12;
        let head = match member.deflated {
            false => source.bytes(start, member.size.min(longest) as usize)?.into_owned(),
            true => inflated_front(source, start, member.compressed, longest)?,
        };
        if let Some(kind) = npy::text_type(&head) {
            contents.left_out.push((name.to_owned(), format!("text of numpy type `{kind}`")));
            continue;
        }
        let header = match npy::header(&head, member.size) {
            Ok(header) => header,
            Err(fault) if fault.kind == FormatErrorKind::Unsupported => {
                contents.refused.push((name.to_owned(), fault.problem));
                continue;
            }
            Err(fault) => return Err(fault.within(&member.name).into()),
        };
        let (at, len, offset, crc) = match member.deflated {
            // The checksum is of the whole member, header included, so the storage is the whole member
            // where the elements are aligned in it, as numpy makes them; else what follows the header.
            false if header.len % header.dtype.unit() == 0 => {
                let crc = (!archive.without_crcs).then_some(member.crc);
                (At::File { file: 0, start }, member.size, header.len / header.dtype.unit(), crc)
            }
            false => (
                At::File { file: 0, start: start + header.len as u64 },
                member.size - header.len as u64,
                0,
                None,
            ),
            true => {
                if header.len % header.dtype.unit() != 0 {
                    let place = FilePosition::member(&member.name);
                    return Err(
                        FormatError::unsupported(place, "deflated elements that are not aligned").into()
                    );
                }
                let at = At::Deflated {
                    file: 0,
                    start,
                    compressed: member.compressed,
                    crc: member.crc,
                    member: member.name.clone(),
                    inflated: OnceLock::new(),
                };
                (at, member.size, header.len / header.dtype.unit(), None)
            }
        };
        contents.tensors.push(tensor(name, &header, contents.storages.len(), offset));
        contents.storages.push(Storage { len, swap: header.swap, crc, at });
    }
    Ok(contents)
}

fn tensor(name: &str, header: &npy::Header, storage: usize, offset: usize) -> Tensor {
    Tensor {
        name: name.to_owned(),
        dtype: header.dtype,
        shape: header.shape.clone(),
        strides: header.strides.clone(),
        offset,
        storage,
        conj: false,
        neg: false,
    }
}
