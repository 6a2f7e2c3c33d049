//! Storages inside a pickle: `pickle.dump(state_dict)` writes each as `torch.storage._load_from_bytes(bytes)`, and the
//! bytes are a legacy file of one storage. In: such bytes. Out: where in them the elements lie. Called by
//! [`super::rebuild`], and for what zoo thinks of the call.

use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::pickle::{Arena, ImportClass, Known, Limits, Machine, Ref, Value};

/// `0x1950a86a20f9469cfc6c`, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same in decimal, as protocol 0 writes it.
const MAGIC_DIGITS: &[u8] = b"119547037146038801333356";

/// What the file says of its storage.
pub(in crate::checkpoint) struct Loaded {
    /// First byte of the elements.
    pub(in crate::checkpoint) start: usize,
    pub(in crate::checkpoint) dtype: Dtype,
    /// An untyped storage counts bytes.
    pub(in crate::checkpoint) is_typed: bool,
    pub(in crate::checkpoint) units: usize,
}

/// Whether a value is the number every legacy file begins with.
pub(in crate::checkpoint) fn is_magic(arena: &Arena<'_>, at: Ref) -> bool {
    match arena.get(at) {
        Value::Long(span) => arena.bytes(span) == MAGIC,
        Value::Digits(span) => arena.bytes(span) == MAGIC_DIGITS,
        _ => false,
    }
}

/// Reads a legacy file of one storage, which may name nothing but storages.
///
/// # Errors
/// Bytes that are anything else.
pub(in crate::checkpoint) fn read(bytes: &[u8]) -> Result<Loaded, FormatError> {
    let mut at = 0;
    let mut pickles = Vec::with_capacity(5);
    for _ in 0..5 {
        let mut machine = Machine::new(bytes, at, Limits::default());
        let root = machine.run()?;
        at = machine.position();
        if machine.arena().imports().iter().any(|i| i.verdict != ImportClass::Known) {
            return Err(malformed("a storage loaded from a file that names code"));
        }
        pickles.push((machine.into_arena(), root));
    }
    let [(magic, number), _, _, (object, root), (keys, list)] = pickles.as_slice() else {
        return Err(malformed("a storage file without its pickles"));
    };
    if !is_magic(magic, *number) {
        return Err(malformed("a storage loaded from bytes that are not a legacy torch file"));
    }
    let (dtype, is_typed, units) = persistent(object, *root)
        .ok_or_else(|| malformed(format!("a storage loaded from a file of a {}", object.kind(*root))))?;
    if keys.arguments(*list).is_none_or(|keys| keys.len() != 1) {
        return Err(malformed("a storage file of several storages"));
    }
    let count = bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let start = at + 8;
    let len = units.checked_mul(dtype.unit());
    if count != Some(units as u64) || len.is_none() || len != bytes.len().checked_sub(start) {
        return Err(malformed(format!("a storage of {units} {dtype} in a file of {} bytes", bytes.len())));
    }
    Ok(Loaded { start, dtype, is_typed, units })
}

/// `('storage', class, key, location, count)`, of the whole storage.
fn persistent(arena: &Arena<'_>, at: Ref) -> Option<(Dtype, bool, usize)> {
    let Value::Persistent(id) = arena.get(at) else { return None };
    let parts = arena.arguments(id)?;
    let [tag, class, _key, _location, count, rest @ ..] = parts.as_slice() else { return None };
    if arena.word(*tag) != Some("storage") || rest.iter().any(|&view| view != Arena::NONE) {
        return None;
    }
    let Some(Known::Storage(Some(dtype))) = arena.known(*class) else { return None };
    let is_typed = arena.import(*class).is_none_or(|i| !i.name.ends_with("UntypedStorage"));
    Some((dtype, is_typed, arena.size(*count)?))
}

fn malformed(problem: impl Into<String>) -> FormatError {
    FormatError::malformed(FilePosition::whole(), problem)
}
