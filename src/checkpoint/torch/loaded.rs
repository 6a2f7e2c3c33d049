//! Storages inside a pickle: `pickle.dump(state_dict)` writes each as `torch.storage._load_from_bytes(bytes)`, and the
//! bytes are a legacy file of one storage. In: such a call. Out: where in the bytes the elements lie. Called by
//! [`super::rebuild`]; what the inner pickles name is for `scan` to judge.

use super::rebuild::{Inline, Storages};
use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{Fault, Place};
use crate::checkpoint::numpy::pickled::buffer;
use crate::checkpoint::pickle::{Arena, Known, Limits, Machine, Object, Ref, Value};
use crate::checkpoint::tensor::{At, Storage};

/// A storage that was found.
pub(super) struct Loaded {
    pub(super) storage: usize,
    /// `None` for an untyped one, which counts bytes.
    pub(super) dtype: Option<Dtype>,
    pub(super) units: usize,
}

/// What the bytes of one file say.
struct Inner {
    /// First byte of the elements.
    start: usize,
    dtype: Dtype,
    is_typed: bool,
    units: usize,
}

/// The storage that a call would load.
///
/// # Errors
/// Bytes that are no legacy file of one storage.
pub(super) fn storage(arena: &Arena<'_>, object: &Object, storages: &mut Storages) -> Result<Loaded, Fault> {
    let arguments = arena.arguments(object.args).unwrap_or_default();
    let [argument] = arguments.as_slice() else {
        return Err(malformed("a storage loaded from something else than bytes"));
    };
    let bytes = buffer(arena, *argument)?;
    let inner = read(match &bytes {
        Inline::Input(_, bytes) => bytes,
        Inline::Decoded(bytes) => bytes,
    })?;
    let storage = match storages.inline.get(argument) {
        Some(&storage) => storage,
        None => {
            let len = (inner.units * inner.dtype.unit()) as u64;
            let at = match (bytes, storages.pickle_at) {
                (Inline::Input(range, _), Some((file, base))) => {
                    At::File { file, start: base + range.start + inner.start as u64 }
                }
                (Inline::Input(_, bytes), None) => {
                    At::Memory(bytes.get(inner.start..).unwrap_or_default().into())
                }
                (Inline::Decoded(bytes), _) => {
                    At::Memory(bytes.get(inner.start..).unwrap_or_default().into())
                }
            };
            let storage = storages.add(Storage { len, swap: None, crc: None, at })?;
            storages.inline.insert(*argument, storage);
            storage
        }
    };
    Ok(Loaded { storage, dtype: inner.is_typed.then_some(inner.dtype), units: inner.units })
}

/// Reads a legacy file of one storage.
fn read(bytes: &[u8]) -> Result<Inner, Fault> {
    let mut at = 0;
    let mut pickles = Vec::with_capacity(5);
    for _ in 0..5 {
        let mut machine = Machine::new(bytes, at, Limits::default());
        let root = machine.run()?;
        at = machine.position();
        pickles.push((machine.into_arena(), root));
    }
    let [(magic, number), _, _, (object, root), (keys, list)] = pickles.as_slice() else {
        return Err(malformed("a storage file without its pickles"));
    };
    if !super::legacy::is_magic(magic, *number) {
        return Err(malformed("a storage loaded from bytes that are no legacy file of torch's"));
    }
    let (dtype, is_typed, units) = persistent(object, *root)
        .ok_or_else(|| malformed(format!("a storage loaded from a file of a {}", object.kind(*root))))?;
    if keys.arguments(*list).is_none_or(|keys| keys.len() != 1) {
        return Err(malformed("a storage file of several storages"));
    }
    let count = bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let start = at + 8;
    let len = units.checked_mul(dtype.unit());
    if count != Some(units as u64) || len != bytes.len().checked_sub(start) {
        return Err(malformed(format!("a storage of {units} {dtype} in a file of {} bytes", bytes.len())));
    }
    Ok(Inner { start, dtype, is_typed, units })
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

fn malformed(problem: impl Into<String>) -> Fault {
    Fault::malformed(Place::whole(), problem)
}
