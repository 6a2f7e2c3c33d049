//! Opening: decides the format, runs its reader, and checks what holds for all of them. Called by
//! [`super::Checkpoint`].

use std::path::Path;

use super::archive::{self, Archive};
use super::error::{Error, FilePosition, FormatError, FormatErrorKind, ReadError, Result};
use super::format::Format;
use super::inflate::Spill;
use super::pickle::{Arena, Import, ImportClass, Known, Limits, Machine, Ref};
use super::scan::judge;
use super::sniff::{self, Content};
use super::source::{LocalFile, Source};
use super::state_dict::{self, Collected, Tree, tensors};
use super::tensor::{Storage, Tensor};
use super::torch::rebuild::Storages;
use super::torch::tar::{self, Tar};
use super::torch::{jit, legacy, zipped};
use super::{Checkpoint, Details, numpy, safe, shards, tarball};

/// How to open a checkpoint.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which part of a training checkpoint to take, dots between the levels; the usual ones are found.
    pub key: Option<String>,
    /// Keep the tensors of a file that also names unknown code, and drop what that code would build.
    pub allow_opaque: bool,
    /// Map the file into memory instead of reading it piece by piece.
    pub mmap: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { key: None, allow_opaque: false, mmap: true }
    }
}

/// What every reader comes back with.
pub(super) struct Opened {
    pub(super) format: Format,
    pub(super) tensors: Vec<Tensor>,
    pub(super) storages: Vec<Storage>,
    pub(super) details: Details,
}

impl Default for Opened {
    fn default() -> Self {
        let (tensors, storages, details) = (Vec::new(), Vec::new(), Details::default());
        Opened { format: Format::Safetensors, tensors, storages, details }
    }
}

pub(super) fn path(path: &Path, options: &Options) -> Result<Checkpoint> {
    let index;
    let path = if path.is_dir() {
        index = shards::in_folder(path)?;
        &index
    } else {
        path
    };
    source(path, Box::new(LocalFile::open(path, options.mmap)?), options)
}

pub(super) fn source(path: &Path, source: Box<dyn Source>, options: &Options) -> Result<Checkpoint> {
    let io = |e| ReadError::Io(e).at(path);
    let judged = judge::sources(std::slice::from_ref(&source), options.allow_opaque).map_err(io)?;
    let mut checkpoint = match (unjudged(path, source, options), &judged) {
        (Ok(checkpoint), _) => checkpoint,
        // What it names is said before what it does not hold.
        (Err(Error::Format { fault, .. }), Err(ReadError::Code(imports)))
            if matches!(fault.kind, FormatErrorKind::Unsupported | FormatErrorKind::NoTensors) =>
        {
            return Err(ReadError::Code(imports.clone()).at(path));
        }
        (Err(e), _) => return Err(e),
    };
    // The shards of an index are files of their own.
    let judged = match checkpoint.format {
        Format::ShardedSafetensors | Format::ShardedTorch => {
            judge::sources(&checkpoint.sources, options.allow_opaque).map_err(io)?
        }
        _ => judged,
    };
    for one in judged.map_err(|e| e.at(path))? {
        if !checkpoint.details.opaque.contains(&one) {
            checkpoint.details.opaque.push(one);
        }
    }
    Ok(checkpoint)
}

/// Opens without asking what else lies in the file beside its checkpoint: for `scan`, which asks itself.
pub(super) fn unjudged(path: &Path, source: Box<dyn Source>, options: &Options) -> Result<Checkpoint> {
    let content = sniff::sniff(source.as_ref()).map_err(|e| ReadError::Io(e).at(path))?;
    if content == Content::Index {
        let (sources, opened) = shards::open(path, source.as_ref(), options)?;
        return finish(path, sources, opened, options);
    }
    let opened = match read(source.as_ref(), &content, options) {
        // What is no pickle may be something else that has no magic of its own.
        Err(ReadError::Format(fault))
            if content == Content::Pickle && fault.kind == FormatErrorKind::Malformed =>
        {
            return Err(no_pickle(path, source.as_ref(), fault));
        }
        // One tensor has no name there, and of several archives in a row no reader of one takes the first.
        Err(ReadError::Format(_) | ReadError::Code(_)) if sniff::distributed(path).is_some() => {
            return Err(one_of_many(path));
        }
        other => other.map_err(|t| t.at(path))?,
    };
    finish(path, vec![source], opened, options)
}

/// A file that is a part of something.
fn one_of_many(path: &Path) -> Error {
    let found = sniff::distributed(path);
    let (what, hint) = found.map_or(("it is a part of a folder", None), |f| (f.what, f.hint));
    ReadError::NotACheckpoint(what.to_owned(), hint.map(str::to_owned)).at(path)
}

/// A file that begins with no pickle: what it is instead, if that can be recognised.
fn no_pickle(path: &Path, source: &dyn Source, fault: FormatError) -> Error {
    let named = match sniff::guess(source, path) {
        Ok(Some(named)) if !judge::names_anything(source) => named,
        Err(e) => return ReadError::Io(e).at(path),
        _ => return ReadError::Format(fault).at(path),
    };
    ReadError::NotACheckpoint(named.what.to_owned(), named.hint.map(str::to_owned)).at(path)
}

/// The checks that every format has in common.
fn finish(
    path: &Path,
    sources: Vec<Box<dyn Source>>,
    opened: Opened,
    options: &Options,
) -> Result<Checkpoint> {
    let Opened { format, mut tensors, storages, mut details } = opened;
    if options.allow_opaque {
        // What cannot be written is dropped, as `--allow-opaque` says.
        for tensor in tensors.extract_if(.., |t| t.dtype.safetensors().is_none()) {
            details.refused.push((tensor.name, tensor.dtype.to_string()));
        }
    }
    let held: u64 = sources.iter().map(|s| s.len()).sum();
    let checkpoint = Checkpoint {
        path: path.to_owned(),
        format,
        sources,
        tensors,
        storages,
        details,
        spill: Spill::default(),
    };
    if let (Some((name, kind)), false) = (checkpoint.details.refused.first(), options.allow_opaque) {
        let fault = FormatError::unsupported(
            FilePosition::tensor(name),
            format!("{kind} cannot be written as safetensors"),
        );
        return Err(checkpoint.fault(fault));
    }
    let mut names = std::collections::HashSet::with_capacity(checkpoint.tensors.len());
    if let Some(twice) = checkpoint.tensors.iter().find(|t| !names.insert(t.name.as_str())) {
        let fault = FormatError::ambiguous(FilePosition::tensor(&twice.name), "two tensors of this name");
        return Err(checkpoint.fault(fault));
    }
    drop(names);
    // A view may repeat its storage, and a storage may be tied: within reason.
    let asked = checkpoint.tensors.iter().fold(0u64, |sum, t| sum.saturating_add(t.nbytes() as u64));
    if asked > held.saturating_mul(MAX_EXPANSION).saturating_add(FREE_BYTES) {
        let problem =
            format!("tensors of {asked} bytes in a file of {held}: views that repeat their storage");
        return Err(checkpoint.fault(FormatError::excessive(FilePosition::whole(), problem)));
    }
    if let Some(tensor) = checkpoint.tensors.iter().find(|t| t.neg && t.dtype.word() < 2) {
        let fault = FormatError::unsupported(
            FilePosition::tensor(&tensor.name),
            format!("a lazily negated {}", tensor.dtype),
        );
        return Err(checkpoint.fault(fault));
    }
    Ok(checkpoint)
}

/// How many times the file's size its tensors may take together, and what is always allowed.
const MAX_EXPANSION: u64 = 16;
const FREE_BYTES: u64 = 64 << 20;

pub(super) fn read(
    source: &dyn Source,
    content: &Content,
    options: &Options,
) -> std::result::Result<Opened, ReadError> {
    match content {
        Content::Zip => zip(source, options),
        Content::Safetensors => safetensors(source),
        Content::Foreign(found) => {
            Err(ReadError::NotACheckpoint(found.what.to_owned(), found.hint.map(str::to_owned)))
        }
        Content::Pickle => pickled(source, options),
        Content::Npy => numpy::files::npy(source).map(|(tensors, storages)| Opened {
            format: Format::Npy,
            tensors,
            storages,
            details: Details::default(),
        }),
        Content::Tar => tar(source, options),
        Content::Index => Err(ReadError::NotACheckpoint("it is JSON".to_owned(), None)),
    }
}

fn safetensors(source: &dyn Source) -> std::result::Result<Opened, ReadError> {
    let contents = safe::read(source, 0)??;
    no_archive_at_the_end(source)?;
    // torch decides by the file's ending whether to read it as safetensors: it must not be a pickle as well.
    let most = if source.is_remote() { MAX_PICKLE_TRIED_REMOTELY } else { MAX_PICKLE_TRIED };
    let front = source.bytes(0, source.len().min(most) as usize)?;
    if Machine::new(&front, 0, Limits { opcodes: 1 << 16, ..Limits::default() }).run().is_ok() {
        return Err(FormatError::ambiguous(
            FilePosition::byte(0),
            "is also a pickle, which other readers would run",
        )
        .into());
    }
    Ok(Opened {
        format: Format::Safetensors,
        tensors: contents.tensors,
        storages: contents.storages,
        details: Details { metadata: contents.metadata, ..Details::default() },
    })
}

/// How much of a safetensors file is tried as a pickle.
const MAX_PICKLE_TRIED: u64 = 16 << 20;
/// And of one that is read by Range requests: what the first of them has brought anyway.
const MAX_PICKLE_TRIED_REMOTELY: u64 = 64 << 10;

fn tar(source: &dyn Source, options: &Options) -> std::result::Result<Opened, ReadError> {
    if !tarball::list(source)?.is_torch() {
        let what = "it is a tar archive without torch's `storages`, `tensors` and `pickle`";
        let hint = "unpack it, and look for a checkpoint inside; `zoo scan` looks into its members";
        return Err(ReadError::NotACheckpoint(what.into(), Some(hint.into())));
    }
    let tar = Tar::open(source)??;
    let (start, len) = tar.range("pickle")?;
    let mut storages = Storages { pickle_at: Some((0, start)), ..Storages::default() };
    // The other members are pickles too, and may name what the last one does not.
    let mut strange = Vec::new();
    tar::read(source, &tar, &mut storages, &mut |machine, _, _| {
        let unknown = machine.arena().imports().iter().filter(|i| i.verdict != ImportClass::Known);
        strange.extend(unknown.take(MAX_STRANGE_IMPORTS.saturating_sub(strange.len())).cloned());
    })??;
    let mut elsewhere = refuse_imports(strange.iter().collect(), options)?;
    let bytes = source.bytes(start, usize::try_from(len).unwrap_or(usize::MAX))?;
    let (arena, root) = one_pickle(&bytes, "pickle")?;
    let (mut opaque, collected) = decide(source, &arena, root, options, &mut storages)?;
    opaque.append(&mut elsewhere);
    opaque.sort();
    opaque.dedup();
    no_archive_at_the_end(source)?;
    Ok(opened(Format::TorchTar, collected, storages, opaque))
}

/// The most imports outside the known set that are kept of the members of a tar archive.
const MAX_STRANGE_IMPORTS: usize = 100;

/// A member that is one pickle and nothing else.
fn one_pickle<'a>(bytes: &'a [u8], member: &str) -> std::result::Result<(Arena<'a>, Ref), FormatError> {
    let mut machine = Machine::new(bytes, 0, Limits::default());
    let root = machine.run().map_err(|f| f.within(member))?;
    if machine.position() != bytes.len() {
        let place = FilePosition::byte(machine.position() as u64).within(member);
        return Err(FormatError::ambiguous(
            place,
            "bytes after the pickle, which another reader may take for something else",
        ));
    }
    Ok((machine.into_arena(), root))
}

fn zip(source: &dyn Source, options: &Options) -> std::result::Result<Opened, ReadError> {
    let archive = Archive::open(source)??;
    if archive.members.iter().all(|m| m.name.ends_with(".npy")) && !archive.members.is_empty() {
        let numpy::files::Contents { tensors, storages, refused, left_out } =
            numpy::files::npz(source, &archive)?;
        let details = Details { refused, left_out, ..Details::default() };
        return Ok(Opened { format: Format::Npz, tensors, storages, details });
    }
    if let Some(found) = sniff::archive(archive.members.iter().map(|m| m.name.as_str())) {
        return Err(ReadError::NotACheckpoint(found.what.to_owned(), found.hint.map(str::to_owned)));
    }
    let no_data = || {
        let what = "it is a zip archive without a `data.pkl`, as torch writes it";
        let hint = "unpack it, and look for a checkpoint inside; `zoo scan` looks into its members";
        ReadError::NotACheckpoint(what.into(), Some(hint.into()))
    };
    if !archive.members.iter().any(|m| m.name == "data.pkl" || m.name.ends_with("/data.pkl")) {
        return Err(no_data());
    }
    let prefix = zipped::prefix(&archive)?.to_owned();
    let name = format!("{prefix}data.pkl");
    let Some(member) = archive.member(&name) else { return Err(no_data()) };
    let pickle = archive.read(source, member, zipped::PICKLE)??;
    let mut storages =
        Storages { big_endian: zipped::big_endian(source, &archive, &prefix)??, ..Storages::default() };
    if !member.deflated && !source.is_remote() {
        // Arrays inside the pickle are read where they lie.
        storages.pickle_at = Some((0, archive::start_of(source, member)??));
    }
    let (arena, root) = one_pickle(&pickle, &name)?;
    let constants = format!("{prefix}constants.pkl");
    let mut folder = "data";
    let (format, collected, opaque) = match archive.member(&constants) {
        Some(member) => {
            let bytes = archive.read(source, member, zipped::PICKLE)??;
            let (constants, values) = one_pickle(&bytes, &constants)?;
            let mut opaque = check_imports(source, &arena, options, true)?;
            opaque.extend(check_imports(source, &constants, options, true)?);
            let collected = if options.key.as_deref() == Some(jit::CONSTANTS) {
                folder = jit::CONSTANTS;
                storages.pickle_at = None;
                jit::constants(&constants, values, &mut storages)?
            } else {
                let classes = jit::Classes::read(source, &archive, &prefix)??;
                let others = Tree::new(&constants, &storages).count(values);
                scripted(&arena, root, &classes, others, options, &mut storages)?
            };
            (Format::TorchScript, collected, opaque)
        }
        None => {
            let opaque = check_imports(source, &arena, options, false)?;
            let collected = state_dict::collect(&arena, root, options.key.as_deref(), &mut storages)?;
            (Format::TorchZip, collected, opaque)
        }
    };
    zipped::place(source, &archive, &format!("{prefix}{folder}/"), &mut storages)??;
    Ok(opened(format, collected, storages, opaque))
}

/// The modules of a torch.jit archive, from `--key` down; its code has `constants` tensors beside them.
fn scripted(
    arena: &Arena<'_>,
    root: Ref,
    classes: &jit::Classes,
    constants: u32,
    options: &Options,
    storages: &mut Storages,
) -> std::result::Result<Collected, ReadError> {
    let mut tree = Tree::new(arena, storages);
    let (at, path) = match options.key.as_deref() {
        Some(key) => {
            let chosen = state_dict::follow(&mut tree, root, key)?;
            (chosen.at, chosen.path)
        }
        None => (root, Vec::new()),
    };
    let mut collected = jit::collect(&mut tree, at, classes, storages)?;
    collected.path = path;
    if constants > 0 {
        if collected.tensors.is_empty() && collected.refused.is_empty() {
            return Err(FormatError::no_tensors(format!(
                "is frozen: its {} are constants of its code, without names; save it as it was before \
                 `torch.jit.freeze`, or take them with `--key {}`, named c0, c1, … as in its code",
                tensors(constants),
                jit::CONSTANTS
            ))
            .into());
        }
        collected.leave_tensors(jit::CONSTANTS, constants.into());
    }
    collected.close();
    Ok(collected)
}

fn pickled(source: &dyn Source, options: &Options) -> std::result::Result<Opened, ReadError> {
    let mut trouble = None;
    let opened = legacy::with_front(source, |front| {
        let mut storages = Storages { pickle_at: Some((0, 0)), ..Storages::default() };
        let parsed = legacy::parse(front, Limits::default(), &mut |_| {})?;
        let (format, arena, root) = match &parsed {
            legacy::Pickled::Legacy(legacy) => (Format::TorchLegacy, &legacy.arena, legacy.root),
            legacy::Pickled::Plain(arena, root) => (Format::Pickle, arena, *root),
        };
        let mut later = |t: ReadError| trouble = Some(t);
        let (opaque, collected) = match decide(source, arena, root, options, &mut storages) {
            Ok(done) => done,
            Err(t) => {
                later(t);
                return Ok(None);
            }
        };
        if let legacy::Pickled::Legacy(legacy) = &parsed {
            match legacy::place(source, legacy, &mut storages) {
                Ok(placed) => placed?,
                Err(e) => {
                    later(e.into());
                    return Ok(None);
                }
            }
        }
        Ok(Some(opened(format, collected, storages, opaque)))
    })??;
    match (opened, trouble) {
        (Some(opened), _) => {
            no_archive_at_the_end(source)?;
            Ok(opened)
        }
        (None, Some(trouble)) => Err(trouble),
        (None, None) => Err(FormatError::malformed(FilePosition::whole(), "no pickle").into()),
    }
}

fn decide(
    source: &dyn Source,
    arena: &Arena<'_>,
    root: Ref,
    options: &Options,
    storages: &mut Storages,
) -> std::result::Result<(Vec<String>, Collected), ReadError> {
    let opaque = check_imports(source, arena, options, false)?;
    let collected = state_dict::collect(arena, root, options.key.as_deref(), storages)?;
    Ok((opaque, collected))
}

fn opened(format: Format, collected: Collected, storages: Storages, opaque: Vec<String>) -> Opened {
    Opened {
        format,
        tensors: collected.tensors,
        storages: storages.list,
        details: Details {
            metadata: Default::default(),
            unwrapped: collected.path,
            averaged_before: collected.averaged_before,
            stripped: collected.stripped,
            left_out_tensors: collected.left_out_tensors,
            refused: collected.refused,
            left_out: collected.left_out,
            opaque,
        },
    }
}

/// Refuses a pickle that names anything outside the known set (which has the archive's own classes in it for
/// torch.jit); with `allow_opaque`, lists it.
fn check_imports(
    source: &dyn Source,
    arena: &Arena<'_>,
    options: &Options,
    jit: bool,
) -> std::result::Result<Vec<String>, ReadError> {
    let strange = arena
        .imports()
        .iter()
        // What is loaded from bytes inside of the pickle is for the survey to judge, which looks into them.
        .filter(|i| source.is_remote() || i.known != Some(Known::LoadFromBytes))
        .filter(|i| i.verdict != ImportClass::Known && !(jit && jit::is_own_class(&i.module)))
        .collect();
    refuse_imports(strange, options)
}

/// Refuses imports outside the known set, if there are any; with `allow_opaque`, lists them.
fn refuse_imports(
    mut strange: Vec<&Import>,
    options: &Options,
) -> std::result::Result<Vec<String>, ReadError> {
    if strange.is_empty() {
        return Ok(Vec::new());
    }
    if options.allow_opaque {
        return Ok(strange.iter().map(|i| i.path()).collect());
    }
    strange.sort_by_key(|i| (std::cmp::Reverse(i.verdict), i.offset));
    const MAX_SHOWN: usize = 3;
    let mut text = strange
        .iter()
        .take(MAX_SHOWN)
        .map(|i| format!("`{}` ({}) at byte {}: {}", i.path(), i.verdict.name(), i.offset, i.effect()))
        .collect::<Vec<_>>()
        .join("; ");
    if strange.len() > MAX_SHOWN {
        text.push_str(&format!("; and {} more", strange.len() - MAX_SHOWN));
    }
    Err(ReadError::Code(text))
}

/// Only an archive may end in a zip end record.
fn no_archive_at_the_end(source: &dyn Source) -> std::result::Result<(), ReadError> {
    if source.is_remote() || !archive::has_end_record(source)? {
        return Ok(());
    }
    let place = FilePosition::byte(source.len().saturating_sub(22));
    Err(FormatError::ambiguous(place, "ends in a zip end record: zip readers would take it for an archive")
        .into())
}
