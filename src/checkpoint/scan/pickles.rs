//! Pickles in a row, wherever they are: every one of them is run by the machine that calls nothing, and what it names is
//! noted. In: a part of a file. Out: entries of the [`Survey`]. Also what lies inside of pickles: bytes that are pickles
//! or archives themselves.
//!
//! torch and numpy take a pickle from a member of any name, so every part is tried. Most are elements of tensors; the
//! machine refuses those within a few opcodes, and a part is only spoken of when what the machine saw before it stopped
//! is what only a pickle has.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io;

use super::finding::Found;
use super::part::{Borrowed, Part};
use super::script;
use super::survey::{Location, Role, Survey};
use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{FilePosition, FormatError, FormatErrorKind};
use crate::checkpoint::format::Format;
use crate::checkpoint::numpy::pickled;
use crate::checkpoint::pickle::{Arena, Import, ImportClass, Known, Limits, Machine, Ref, Value};
use crate::checkpoint::sniff;
use crate::checkpoint::source::Source;
use crate::checkpoint::storages::{Inline, Storages};
use crate::checkpoint::torch::{jit, legacy, tar};

/// The most pickles that are looked into one after another.
const MAX_PICKLES: usize = 10_000;
/// How much more is read where a pickle goes on.
const FRONT_GROWTH: u64 = 16;
/// Random bytes run for fewer opcodes than these after a `PROTO`.
const FEW_OPCODES: u64 = 5;

/// Whether a run of pickles ended, or may go on beyond the bytes at hand.
enum Ran {
    Done,
    NeedsMore,
}

impl Survey {
    /// Looks into the pickles of a part, from a byte on.
    pub(super) fn pickles(
        &mut self,
        part: &Part<'_>,
        from: u64,
        at: &Location,
        role: Role,
    ) -> io::Result<()> {
        // Opening a file that is one pickle reads all of it too.
        let most = if role == Role::File { part.len } else { part.max_front() };
        let mut len = part.first_front().max(from.saturating_add(1024)).min(part.len);
        loop {
            let bytes = part.front(len)?;
            let whole = bytes.len() as u64 == part.len;
            // A deflated member that breaks off gives no more, however much is asked for.
            let last = whole || (bytes.len() as u64) < len || len >= most;
            let noted = self.noted();
            let start = usize::try_from(from).unwrap_or(usize::MAX);
            match self.stream(&bytes, start, part, at, role, last)? {
                Ran::NeedsMore if !last => {
                    self.take_back(noted);
                    len = len.saturating_mul(FRONT_GROWTH).min(most);
                }
                Ran::NeedsMore => {
                    if !whole {
                        let reason = format!("only its first {} bytes were looked into", bytes.len());
                        self.unscanned(at, bytes.len() as u64, reason);
                    }
                    return Ok(());
                }
                Ran::Done => return Ok(()),
            }
        }
    }

    fn stream(
        &mut self,
        bytes: &[u8],
        from: usize,
        part: &Part<'_>,
        at: &Location,
        role: Role,
        last: bool,
    ) -> io::Result<Ran> {
        let mut start = from;
        for count in 0..MAX_PICKLES {
            let mut machine = Machine::new(bytes, start, Limits::default());
            let result = machine.run();
            let more = machine.needs_more_input() && result.is_err();
            if more && !last {
                return Ok(Ran::NeedsMore);
            }
            if !self.spend((machine.position() - start) as u64, at) {
                return Ok(Ran::Done);
            }
            let root = match result {
                Ok(root) => root,
                Err(fault) => {
                    let certain = count == 0 && matches!(role, Role::File | Role::Pickle);
                    let head =
                        bytes.get(start..bytes.len().min(start.saturating_add(1024))).unwrap_or_default();
                    let pickle = certain || looks_like_one(&machine, head, &fault);
                    if pickle {
                        self.ran(machine.arena(), at)?;
                    }
                    // Where the input was cut short here, the pickle is not to blame.
                    if more && (bytes.len() as u64) < part.len {
                        return Ok(Ran::NeedsMore);
                    }
                    if certain {
                        self.fault(fault, at, role);
                    } else if pickle {
                        let reason = format!("a pickle that cannot be read to its end: {}", fault.problem);
                        self.unscanned(at, fault.place.offset.unwrap_or(start as u64), reason);
                    }
                    return Ok(Ran::Done);
                }
            };
            let certain = matches!(role, Role::File | Role::Pickle);
            if !certain && is_extension_by_chance(machine.arena(), bytes.get(start)) {
                return Ok(Ran::Done);
            }
            self.pickles += 1;
            self.ran(machine.arena(), at)?;
            let end = machine.position();
            if count == 0 && legacy::is_magic(machine.arena(), root) {
                if role == Role::File {
                    self.format = Some(Format::TorchLegacy);
                }
                return self.legacy(bytes, end, part, at, role, last);
            }
            if count == 0 && role == Role::File {
                self.format = Some(Format::Pickle);
                if (end as u64) < part.len {
                    let problem = "bytes after the pickle, which another reader may take for something else";
                    self.problems.push(FormatError::ambiguous(FilePosition::byte(end as u64), problem));
                }
            }
            if end >= bytes.len() {
                return Ok(if (end as u64) < part.len { Ran::NeedsMore } else { Ran::Done });
            }
            start = end;
        }
        self.unscanned(at, start as u64, format!("more than {MAX_PICKLES} pickles, one after another"));
        Ok(Ran::Done)
    }

    /// A legacy file after its magic: four pickles more, storages, and whatever follows them.
    fn legacy(
        &mut self,
        bytes: &[u8],
        from: usize,
        part: &Part<'_>,
        at: &Location,
        role: Role,
        last: bool,
    ) -> io::Result<Ran> {
        let mut start = from;
        let mut arenas = Vec::new();
        for _ in 0..4 {
            let mut machine = Machine::new(bytes, start, Limits::default());
            let result = machine.run();
            let more = machine.needs_more_input() && result.is_err();
            if more && (!last || (bytes.len() as u64) < part.len) {
                if last {
                    self.ran(machine.arena(), at)?;
                }
                return Ok(Ran::NeedsMore);
            }
            self.ran(machine.arena(), at)?;
            match result {
                Ok(root) => {
                    start = machine.position();
                    arenas.push((machine.into_arena(), root));
                }
                Err(fault) => {
                    self.fault(fault, at, role);
                    return Ok(Ran::Done);
                }
            }
        }
        let [_, _, (object, _), (keys, list)] = arenas.as_slice() else { return Ok(Ran::Done) };
        let end = match storages_end(object, keys, *list, start as u64) {
            Ok(end) => end,
            Err(fault) => {
                let reason = format!("where its storages end could not be found: {}", fault.problem);
                self.unscanned(at, start as u64, reason);
                return Ok(Ran::Done);
            }
        };
        match part.after(end) {
            Some(tail) if tail.len > 0 => {
                if role == Role::File {
                    let problem =
                        "bytes after the last storage, which another reader may take for something else";
                    self.problems.push(FormatError::ambiguous(FilePosition::byte(end), problem));
                }
                let inside = Location { depth: at.depth + 1, ..at.clone() };
                self.part(&tail, &inside, Role::Other)?;
            }
            None if end < part.len => self.unscanned(at, end, "what follows the storages of a deflated file"),
            _ => {}
        }
        Ok(Ran::Done)
    }

    /// `storages` and `tensors` of a torch tar: as many pickles as torch would load.
    pub(super) fn torch_tar_member(
        &mut self,
        source: &dyn Source,
        name: &str,
        at: &Location,
    ) -> io::Result<()> {
        let tar = match tar::Tar::open(source)? {
            Ok(tar) => tar,
            Err(fault) => {
                self.fault(fault, at, Role::Pickle);
                return Ok(());
            }
        };
        let mut seen = Vec::new();
        let result = tar::read(source, &tar, &mut Storages::default(), &mut |machine, member, _| {
            if member == name {
                seen.extend(machine.arena().imports().iter().cloned());
            }
        })?;
        self.pickles += 1;
        for import in &seen {
            self.import(import, at, false);
        }
        if let Err(fault) = result {
            self.fault(fault, &Location { member: None, ..at.clone() }, Role::Pickle);
        }
        Ok(())
    }

    /// Notes what a pickle names, and what the bytes inside of it hold.
    fn ran(&mut self, arena: &Arena<'_>, at: &Location) -> io::Result<()> {
        let before = self.imports.len();
        let files = self.nested(arena, at)?;
        let inner = self.imports.split_off(before.min(self.imports.len()));
        let loads = loads_only_what_was_seen(arena, &files);
        for import in arena.imports() {
            self.import(import, at, loads);
        }
        self.imports.extend(inner);
        Ok(())
    }

    fn import(&mut self, import: &Import, at: &Location, loads_only_what_was_seen: bool) {
        let (verdict, effect) = if at.script && jit::is_own_class(&import.module) {
            script::own_class(&import.path())
        } else if (import.module.as_str(), import.name.as_str()) == LOAD_FROM_BYTES {
            if loads_only_what_was_seen {
                (ImportClass::Known, "loads a file inside the pickle, which was looked into".to_owned())
            } else {
                (ImportClass::Dangerous, "would load another pickle".to_owned())
            }
        } else {
            (import.verdict, import.effect())
        };
        self.found(Found {
            member: at.member.clone(),
            module: import.module.clone(),
            name: import.name.clone(),
            offset: import.offset,
            verdict,
            effect,
        });
    }

    /// Bytes inside a pickle that are a pickle or an archive themselves: what `torch.storage._load_from_bytes`,
    /// `pickle.loads` and objects that unpack their own state are given. Those that are files and were looked into to
    /// their end come back.
    fn nested(&mut self, arena: &Arena<'_>, at: &Location) -> io::Result<HashSet<Ref>> {
        let mut files = HashSet::new();
        // Text that is decoded to bytes is looked at as those bytes.
        let decoded = |value| match arena.call(value)? {
            (Known::Encode, object) => arena.arguments(object.args)?.first().copied(),
            _ => None,
        };
        let decoded: HashSet<Ref> = arena.refs().filter_map(decoded).collect();
        for value in arena.refs().filter(|&value| may_hold_a_file(arena, value) && !decoded.contains(&value))
        {
            let (bytes, name) = match pickled::buffer(arena, value) {
                Ok(Inline::Input(range, bytes)) => {
                    (Cow::Borrowed(bytes), format!("bytes at {}", range.start))
                }
                Ok(Inline::Decoded(bytes)) => (Cow::Owned(bytes), "encoded bytes".to_owned()),
                Err(_) => continue,
            };
            if bytes.len() < 2 {
                continue;
            }
            let mut inside = at.inside(&name);
            inside.script = false;
            let before = (self.unscanned.len(), self.pickles);
            let source = Borrowed(&bytes);
            self.part(&Part::whole(&source), &inside, Role::Other)?;
            if self.unscanned.len() == before.0 && self.pickles > before.1 {
                files.insert(value);
            }
        }
        Ok(files)
    }
}

const LOAD_FROM_BYTES: (&str, &str) = ("torch.storage", "_load_from_bytes");

/// `torch.storage._load_from_bytes` is torch.load of the bytes it is given. Where every use of it is a call with bytes
/// that were looked into, what is in them is all there is to say.
fn loads_only_what_was_seen(arena: &Arena<'_>, files: &HashSet<Ref>) -> bool {
    arena.is_only_called(LOAD_FROM_BYTES, |argument| files.contains(&argument))
}

/// Values that are bytes: as they are, or as older protocols write them.
fn may_hold_a_file(arena: &Arena<'_>, value: Ref) -> bool {
    match arena.get(value) {
        Value::Bytes(_) => true,
        // A string of Python 2. Words are not looked into.
        Value::Text(span) => {
            let bytes = arena.bytes(span);
            let head = bytes.get(..bytes.len().min(256)).unwrap_or_default();
            head.iter().any(|b| b.is_ascii_control() || *b >= 0x80)
        }
        Value::Object(_) => matches!(arena.call(value), Some((Known::Encode | Known::ByteArray, _))),
        _ => false,
    }
}

/// Where the storages of a legacy file end: a count of eight bytes before each.
fn storages_end(object: &Arena<'_>, keys: &Arena<'_>, list: Ref, from: u64) -> Result<u64, FormatError> {
    let bad = |problem: String| FormatError::malformed(FilePosition::whole(), problem);
    let word = |arena: &Arena<'_>, at| {
        arena.word(at).map(str::to_owned).or_else(|| Some(arena.int(at)?.to_string()))
    };
    let mut lengths = HashMap::new();
    for at in object.persistents() {
        let Value::Persistent(id) = object.get(at) else { continue };
        let parts = object.arguments(id).unwrap_or_default();
        let [_, class, key, _, count, ..] = parts.as_slice() else { continue };
        let unit = object.import(*class).and_then(|import| element_size(&import.name));
        let len = object.size(*count).zip(unit).and_then(|(count, unit)| (count as u64).checked_mul(unit));
        if let (Some(key), Some(len)) = (word(object, *key), len) {
            lengths.insert(key, len);
        }
    }
    let Value::List(chain) = keys.get(list) else {
        return Err(bad("the storage keys are not a list".into()));
    };
    keys.items(chain).try_fold(from, |end, key| {
        let name = word(keys, key).unwrap_or_default();
        let len = lengths.get(&name).ok_or_else(|| bad(format!("storage `{name}` has no known length")))?;
        end.checked_add(8)
            .and_then(|end| end.checked_add(*len))
            .ok_or_else(|| bad("storages that overflow".into()))
    })
}

/// Bytes of one element of a storage class, those of quantised tensors too.
fn element_size(class: &str) -> Option<u64> {
    match class {
        "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => Some(1),
        "QInt32Storage" => Some(4),
        "UntypedStorage" | "_UntypedStorage" => Some(1),
        class => Dtype::from_storage_class(class).map(|dtype| dtype.unit() as u64),
    }
}

/// Whether a run was of an extension's number and nothing else, six bytes that elements of tensors have now and then: no
/// program reads it that has not registered that number, and nothing is called.
fn is_extension_by_chance(arena: &Arena<'_>, first: Option<&u8>) -> bool {
    let extension = |import: &Import| import.module == "copyreg" && import.name.starts_with("extension ");
    let imports = arena.imports();
    let only = !imports.is_empty() && imports.iter().all(extension);
    only && !arena.calls_anything() && first != Some(&0x80)
}

/// Whether what a machine saw before it stopped is what only a pickle has.
fn looks_like_one(machine: &Machine<'_>, head: &[u8], fault: &FormatError) -> bool {
    let protocol = head.first() == Some(&0x80);
    let opcodes = machine.work().opcodes;
    // Only what runs for long reaches a limit.
    if fault.kind == FormatErrorKind::Excessive {
        return true;
    }
    let arena = machine.arena();
    let named = arena.imports().iter().any(|import| {
        let identifier = |text: &str| text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
        identifier(&import.module) && identifier(&import.name)
    });
    // `cat`, `dog` in a list of labels reads as the import of `dog` from `at`.
    let by_chance = !protocol && sniff::is_text(head) && !arena.calls_anything();
    let dangerous = arena.imports().iter().any(|i| i.verdict == ImportClass::Dangerous);
    (named && (!by_chance || dangerous)) || (protocol && opcodes >= FEW_OPCODES)
}
