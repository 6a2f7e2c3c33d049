//! The legacy `.pth` of torch before 1.6: pickles of a magic number, a protocol version, facts about the
//! system, the object, and the storage keys; then each storage as an int64 count and its raw bytes. Also
//! plain pickles, which begin like one. Called by `super::super::open`.

use std::borrow::Cow;

use crate::checkpoint::archive::sound;
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::pickle::{Arena, Chain, Limits, Machine, Ref, Value};
use crate::checkpoint::source::Source;
use crate::checkpoint::tensor::At;
pub(in crate::checkpoint) use crate::checkpoint::torch::loaded::is_magic;
use crate::checkpoint::torch::rebuild::{self, Storages};

/// The first read of a file that is not mapped; doubled while a pickle goes on.
const FIRST_READ: u64 = 256 << 10;

/// The front of a file, as far as it has been read.
pub(in crate::checkpoint) struct Front<'a> {
    pub(in crate::checkpoint) bytes: Cow<'a, [u8]>,
    total: u64,
}

impl<'a> Front<'a> {
    /// Everything, where it is mapped; else the first part.
    pub(in crate::checkpoint) fn read(source: &'a dyn Source, len: u64) -> std::io::Result<Self> {
        let total = source.len();
        let bytes = match source.whole() {
            Some(all) => Cow::Borrowed(all),
            None => source.bytes(0, usize::try_from(len.min(total)).unwrap_or(usize::MAX))?,
        };
        Ok(Front { bytes, total })
    }

    /// Whether this is the whole file.
    pub(in crate::checkpoint) fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.total
    }
}

/// Calls `attempt` with ever more of the file's front, until it no longer asks for more.
pub(in crate::checkpoint) fn with_front<T>(
    source: &dyn Source,
    mut attempt: impl FnMut(&Front<'_>) -> Result<T, Attempt>,
) -> std::io::Result<Result<T, FormatError>> {
    let mut len = FIRST_READ;
    loop {
        let front = Front::read(source, len)?;
        match attempt(&front) {
            Ok(done) => return Ok(Ok(done)),
            Err(Attempt { fault, needs_more_input }) if !needs_more_input || front.is_whole() => {
                return Ok(Err(fault));
            }
            Err(_) => len = len.saturating_mul(2),
        }
    }
}

/// An attempt that failed, and whether more bytes could help.
pub(in crate::checkpoint) struct Attempt {
    pub(in crate::checkpoint) fault: FormatError,
    pub(in crate::checkpoint) needs_more_input: bool,
}

impl From<FormatError> for Attempt {
    fn from(fault: FormatError) -> Self {
        Attempt { fault, needs_more_input: false }
    }
}

/// Runs one pickle at `at`: its arena, its value, and where it ends. What is scanned is handed to `seen`,
/// also after a failure.
pub(in crate::checkpoint) fn pickle<'a>(
    front: &'a Front<'_>,
    at: usize,
    limits: Limits,
    seen: &mut dyn FnMut(&Machine<'_>),
) -> Result<(Arena<'a>, Ref, usize), Attempt> {
    let mut machine = Machine::new(&front.bytes, at, limits);
    let result = machine.run();
    let needs_more_input = machine.needs_more_input();
    if result.is_ok() || !needs_more_input || front.is_whole() {
        seen(&machine);
    }
    let end = machine.position();
    match result {
        Ok(root) => Ok((machine.into_arena(), root, end)),
        Err(fault) => Err(Attempt { fault, needs_more_input }),
    }
}

/// The parts of a legacy file.
pub(in crate::checkpoint) struct Legacy<'a> {
    pub(in crate::checkpoint) arena: Arena<'a>,
    pub(in crate::checkpoint) root: Ref,
    /// The list of the storages' keys, in the order of their bytes, and its values.
    keys: Chain,
    key_arena: Arena<'a>,
    /// Where the first storage begins.
    pub(in crate::checkpoint) data: u64,
}

/// A file that begins with a pickle.
pub(in crate::checkpoint) enum Pickled<'a> {
    /// torch's legacy format.
    Legacy(Legacy<'a>),
    /// One pickle and nothing else.
    Plain(Arena<'a>, Ref),
}

/// Reads the pickles in front.
pub(in crate::checkpoint) fn parse<'a>(
    front: &'a Front<'_>,
    limits: Limits,
    seen: &mut dyn FnMut(&Machine<'_>),
) -> Result<Pickled<'a>, Attempt> {
    let (arena, root, at) = pickle(front, 0, limits, seen)?;
    if !is_magic(&arena, root) {
        if !front.is_whole() {
            return Err(Attempt { fault: trailing(at), needs_more_input: true });
        }
        if at != front.bytes.len() {
            return Err(trailing(at).into());
        }
        return Ok(Pickled::Plain(arena, root));
    }
    let (arena, root, next) = pickle(front, at, limits, seen)?;
    if arena.int(root) != Some(1001) {
        let found = arena.show(root, 40);
        return Err(FormatError::malformed(
            FilePosition::byte(at as u64),
            format!("legacy protocol {found}, where 1001 exists"),
        )
        .into());
    }
    let (arena, root, at) = pickle(front, next, limits, seen)?;
    if !matches!(arena.get(root), Value::Dict(_)) {
        return Err(FormatError::malformed(FilePosition::byte(next as u64), "no system information").into());
    }
    let (arena, root, keys_at) = pickle(front, at, limits, seen)?;
    let (key_arena, key_root, data) = pickle(front, keys_at, limits, seen)?;
    let bad =
        || FormatError::malformed(FilePosition::byte(keys_at as u64), "the storage keys are not a list");
    let Value::List(keys) = key_arena.get(key_root) else { return Err(bad().into()) };
    Ok(Pickled::Legacy(Legacy { arena, root, keys, key_arena, data: data as u64 }))
}

/// Finds each storage's place. Every byte of the file must belong to one.
pub(in crate::checkpoint) fn place(
    source: &dyn Source,
    legacy: &Legacy<'_>,
    storages: &mut Storages,
) -> std::io::Result<Result<(), FormatError>> {
    sound!(rebuild::register(&legacy.arena, storages));
    let total = source.len();
    let mut at = legacy.data;
    let bad = |at: u64, problem: String| Ok(Err(FormatError::malformed(FilePosition::byte(at), problem)));
    for key in legacy.key_arena.items(legacy.keys) {
        let arena = &legacy.key_arena;
        let Some(key) = arena.word(key).map(str::to_owned).or_else(|| arena.int(key).map(|n| n.to_string()))
        else {
            return bad(at, format!("a storage key {}, which is not a short string", arena.show(key, 40)));
        };
        let key = &key;
        let Some(storage) = storages.keys.get(key).and_then(|&i| storages.list.get_mut(i)) else {
            return bad(at, format!("storage `{key}` is listed, but no tensor uses it"));
        };
        if !matches!(storage.at, At::Pending) {
            return bad(at, format!("storage `{key}` is listed twice"));
        }
        if total - at < 8 {
            return bad(at, format!("the file ends before storage `{key}`"));
        }
        let start = at + 8;
        let end = start.checked_add(storage.len).filter(|&end| end <= total);
        let Some(end) = end else {
            let (want, left) = (storage.len, total - start);
            return bad(at, format!("storage `{key}` takes {want} bytes, with {left} left in the file"));
        };
        storage.at = At::File { file: 0, start };
        if !source.is_remote() {
            let count = source.bytes(at, 8)?;
            let count = u64::from_le_bytes(count.as_ref().try_into().unwrap_or_default());
            // The count is of elements, whose size the pickle knows; either the bytes are a multiple, or
            // the two disagree.
            let unit = storages.units.get(key).copied().unwrap_or(1);
            if count.checked_mul(unit) != Some(end - start) {
                let want = (end - start) / unit;
                return bad(
                    at,
                    format!("storage `{key}` has {count} elements, where its tensors say {want}"),
                );
            }
        }
        at = end;
    }
    if let Some((key, _)) = storages
        .keys
        .iter()
        .find(|&(_, &i)| storages.list.get(i).is_some_and(|s| matches!(s.at, At::Pending)))
    {
        return bad(at, format!("storage `{key}` is used, but not in the file"));
    }
    if at != total {
        return Ok(Err(FormatError::ambiguous(
            FilePosition::byte(at),
            format!(
                "{} bytes after the last storage, which another reader may take for something else",
                total - at
            ),
        )));
    }
    Ok(Ok(()))
}

fn trailing(at: usize) -> FormatError {
    FormatError::ambiguous(
        FilePosition::byte(at as u64),
        "bytes after the pickle, which another reader may take for something else",
    )
}
