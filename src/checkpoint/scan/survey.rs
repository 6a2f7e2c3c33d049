//! Walks through a file and everything inside it: archives in archives, arrays of objects, pickles under any name,
//! TorchScript's source. In: a source. Out: a [`Survey`]: what is imported, what is broken, and what was not looked into.
//! Whatever stops the walk, a limit too, is named; silence means that a part was seen and holds nothing that runs.

use std::io;

use super::finding::{Answer, Found, Unscanned};
use super::part::{self, Part};
use super::script;
use crate::checkpoint::archive::{self, Archive, Member};
use crate::checkpoint::error::{FilePosition, FormatError, FormatErrorKind};
use crate::checkpoint::format::Format;
use crate::checkpoint::numpy::npy;
use crate::checkpoint::pickle::ImportClass;
use crate::checkpoint::sniff::{self, Content};
use crate::checkpoint::source::Source;
use crate::checkpoint::tarball;

/// The most imports and unscanned parts that are listed.
const MAX_LISTED: usize = 10_000;
/// Archives inside of archives, pickles inside of pickles: so deep and no deeper.
const MAX_DEPTH: usize = 8;
/// How many times its size a file's parts may make the walk read and inflate, and what is always allowed.
const MAX_WORK_RATIO: u64 = 16;
const FREE_WORK: u64 = 256 << 20;

/// What was found in a file.
#[derive(Debug, Default)]
pub(in crate::checkpoint) struct Survey {
    pub(in crate::checkpoint) format: Option<Format>,
    pub(in crate::checkpoint) imports: Vec<Found>,
    pub(in crate::checkpoint) unscanned: Vec<Unscanned>,
    pub(in crate::checkpoint) problems: Vec<FormatError>,
    /// Pickles that were looked into.
    pub(super) pickles: usize,
    /// The worst of all imports, listed or not.
    worst: Option<ImportClass>,
    /// Bytes that may still be read and inflated.
    work_left: u64,
    /// It is an archive that another tool reads; what it is was reported already.
    foreign: bool,
}

/// How much had been noted, so that what came later can be taken back.
pub(super) struct Noted {
    imports: usize,
    unscanned: usize,
    problems: usize,
    pickles: usize,
    worst: Option<ImportClass>,
}

/// Where in a file the walk is.
#[derive(Clone, Debug, Default)]
pub(super) struct Location {
    pub(super) member: Option<String>,
    pub(super) depth: usize,
    /// Inside a TorchScript archive, whose own classes its source defines.
    pub(super) script: bool,
}

impl Location {
    pub(super) fn inside(&self, name: &str) -> Location {
        let member = match &self.member {
            Some(outer) => format!("{outer}!{name}"),
            None => name.to_owned(),
        };
        Location { member: Some(member), depth: self.depth + 1, script: self.script }
    }
}

/// What a part is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The file itself.
    File,
    /// A member that its name or place says is a pickle.
    Pickle,
    /// The elements of a tensor.
    Storage,
    /// Anything.
    Other,
}

impl Survey {
    /// Looks into a file.
    pub(in crate::checkpoint) fn of(source: &dyn Source) -> io::Result<Survey> {
        let mut survey = Survey::default();
        survey.add_file(source)?;
        Ok(survey)
    }

    /// Looks into one more file.
    pub(in crate::checkpoint) fn add_file(&mut self, source: &dyn Source) -> io::Result<()> {
        self.work_left = source.len().saturating_mul(MAX_WORK_RATIO).saturating_add(FREE_WORK);
        let content = sniff::sniff(source)?;
        // Of a torch file opening it says so; a plain tar may well end in a member that is a zip archive.
        if matches!(content, Content::Npy | Content::Safetensors) && archive::has_end_record(source)? {
            let place = FilePosition::byte(source.len().saturating_sub(22));
            let problem = "ends in a zip end record: zip readers would take it for an archive";
            self.problems.push(FormatError::ambiguous(place, problem));
        }
        self.content(content, &Part::whole(source), &Location::default(), Role::File)
    }

    /// What is noted so far.
    pub(super) fn noted(&self) -> Noted {
        Noted {
            imports: self.imports.len(),
            unscanned: self.unscanned.len(),
            problems: self.problems.len(),
            pickles: self.pickles,
            worst: self.worst,
        }
    }

    /// Takes back what was noted since.
    pub(super) fn take_back(&mut self, noted: Noted) {
        self.imports.truncate(noted.imports);
        self.unscanned.truncate(noted.unscanned);
        self.problems.truncate(noted.problems);
        self.pickles = noted.pickles;
        self.worst = noted.worst;
    }

    /// The verdict.
    pub(super) fn answer(&self) -> Answer {
        match (self.problems.is_empty(), self.worst, self.unscanned.is_empty()) {
            (false, ..) => Answer::Malformed,
            (_, Some(ImportClass::Dangerous), _) => Answer::Dangerous,
            (_, Some(ImportClass::Unknown), _) | (.., false) => Answer::Unknown,
            _ => Answer::Known,
        }
    }

    /// Everything outside of the known set.
    pub(super) fn strange(&self) -> impl Iterator<Item = &Found> {
        self.imports.iter().filter(|f| f.verdict != ImportClass::Known)
    }

    /// Whether there is anything to say of a file that is no checkpoint: of an archive that another tool reads only what
    /// it names, since that tool has parts of its own.
    pub(super) fn says_anything(&self) -> bool {
        let strange = self.worst.is_some_and(|w| w != ImportClass::Known);
        let two_things = self.problems.iter().any(|p| p.kind == FormatErrorKind::Ambiguous);
        strange || two_things || (!self.foreign && (self.pickles > 0 || !self.unscanned.is_empty()))
    }

    /// Notes an import.
    pub(super) fn found(&mut self, found: Found) {
        self.worst = self.worst.max(Some(found.verdict));
        if self.imports.len() < MAX_LISTED {
            self.imports.push(found);
        } else if self.imports.len() == MAX_LISTED {
            let reason = format!("more than {MAX_LISTED} imports: the rest is not listed");
            self.unscanned(&Location { member: found.member, ..Location::default() }, found.offset, reason);
        }
    }

    /// Notes a part that was not looked into.
    pub(super) fn unscanned(&mut self, at: &Location, offset: u64, reason: impl Into<String>) {
        if self.unscanned.len() < MAX_LISTED {
            self.unscanned.push(Unscanned { member: at.member.clone(), offset, reason: reason.into() });
        }
    }

    /// Notes a fault: a problem of the file, or where zoo cannot go on, a part that was not looked into.
    pub(super) fn fault(&mut self, fault: FormatError, at: &Location, role: Role) {
        let own = role == Role::File || (role == Role::Pickle && at.depth <= 1);
        if own && fault.kind != FormatErrorKind::Unsupported {
            let fault = match &at.member {
                Some(member) => fault.within(member),
                None => fault,
            };
            if !self.problems.contains(&fault) {
                self.problems.push(fault);
            }
            return;
        }
        let inner = fault.place.member.map(|m| format!(" (in `{m}`)")).unwrap_or_default();
        self.unscanned(at, fault.place.offset.unwrap_or(0), format!("{}{inner}", fault.problem));
    }

    /// Takes from the work that is left; whether there was enough.
    pub(super) fn spend(&mut self, bytes: u64, at: &Location) -> bool {
        match self.work_left.checked_sub(bytes) {
            Some(left) => {
                self.work_left = left;
                true
            }
            None => {
                self.unscanned(at, 0, "the file asks for more work than its size justifies");
                false
            }
        }
    }

    /// Looks into a part of a file.
    pub(super) fn part(&mut self, part: &Part<'_>, at: &Location, role: Role) -> io::Result<()> {
        if at.depth > MAX_DEPTH {
            self.unscanned(at, 0, format!("nested more than {MAX_DEPTH} deep"));
            return Ok(());
        }
        let head = part.front(part::FIRST_FRONT.min(4096))?;
        if !self.spend(head.len() as u64, at) {
            return Ok(());
        }
        let content = sniff::by_head(&head, part.len).unwrap_or(Content::Pickle);
        self.content(content, part, at, role)
    }

    fn content(&mut self, content: Content, part: &Part<'_>, at: &Location, role: Role) -> io::Result<()> {
        let root = role == Role::File;
        let format = |this: &mut Survey, format| {
            if root {
                this.format = Some(format);
            }
        };
        match content {
            Content::Zip => self.inside_file(part, at, role, Survey::zip),
            Content::Tar => {
                format(self, Format::Tar);
                self.inside_file(part, at, role, Survey::tar)
            }
            Content::Npy => {
                format(self, Format::Npy);
                self.npy(part, at, role)
            }
            // Neither has pickles in it; what follows its header could still be taken for one.
            Content::Safetensors => {
                format(self, Format::Safetensors);
                self.pickles(part, 0, at, Role::Storage)
            }
            Content::Index => Ok(()),
            Content::Foreign(found) => {
                if !root && !found.inert {
                    self.unscanned(at, 0, found.what.strip_prefix("it is ").unwrap_or(found.what));
                }
                Ok(())
            }
            Content::Pickle => self.pickles(part, 0, at, role),
        }
    }

    /// Opens a part as a file of its own.
    fn inside_file(
        &mut self,
        part: &Part<'_>,
        at: &Location,
        role: Role,
        walk: impl FnOnce(&mut Survey, &dyn Source, &Location, Role) -> io::Result<()>,
    ) -> io::Result<()> {
        match part.file()? {
            Some(file) => {
                if self.spend(if role == Role::File { 0 } else { file.len() }, at) {
                    walk(self, file.as_ref(), at, role)?;
                }
            }
            None => self.unscanned(at, 0, format!("a deflated archive of {} bytes", part.len)),
        }
        Ok(())
    }

    fn zip(&mut self, source: &dyn Source, at: &Location, role: Role) -> io::Result<()> {
        let archive = match Archive::open(source)? {
            Ok(archive) => archive,
            Err(fault) => {
                self.fault(fault, at, role);
                return Ok(());
            }
        };
        let first = archive.members.first().map_or("", |m| m.name.as_str());
        let prefix = first.split_once('/').map_or("", |(folder, _)| first.get(..=folder.len()).unwrap_or(""));
        let has = |name: &str| archive.member(&format!("{prefix}{name}")).is_some();
        let script = has("constants.pkl") || has("model.json");
        let torch = has("data.pkl");
        if role == Role::File {
            let arrays =
                !archive.members.is_empty() && archive.members.iter().all(|m| m.name.ends_with(".npy"));
            self.format = Some(match (arrays, torch, script) {
                (true, ..) => Format::Npz,
                (_, true, true) => Format::TorchScript,
                (_, true, false) => Format::TorchZip,
                _ => Format::Zip,
            });
            self.foreign = sniff::archive(archive.members.iter().map(|m| m.name.as_str())).is_some();
        }
        for member in part::members(&archive) {
            let mut inside = at.inside(&member.name);
            inside.script = script;
            self.member(source, member, member.name.strip_prefix(prefix).unwrap_or(&member.name), &inside)?;
        }
        Ok(())
    }

    fn member(&mut self, source: &dyn Source, member: &Member, name: &str, at: &Location) -> io::Result<()> {
        let part = match Part::member(source, member)? {
            Ok(part) => part,
            Err(fault) => {
                self.fault(fault, at, Role::Other);
                return Ok(());
            }
        };
        if name.starts_with("code/") && name.ends_with(".py") {
            return script::source(self, &part, at);
        }
        if let Some(what) = code_by_name(name) {
            self.unscanned(at, 0, what);
            return Ok(());
        }
        let role = if name == "data.pkl" || name == "constants.pkl" || name == "attributes.pkl" {
            Role::Pickle
        } else if ["data/", "constants/", "tensors/"].iter().any(|folder| name.starts_with(folder)) {
            Role::Storage
        } else {
            Role::Other
        };
        self.part(&part, at, role)
    }

    fn tar(&mut self, source: &dyn Source, at: &Location, role: Role) -> io::Result<()> {
        let listing = tarball::list(source)?;
        if role == Role::File && listing.is_torch() {
            self.format = Some(Format::TorchTar);
        }
        let torch = listing.is_torch();
        for entry in &listing.members {
            let inside = at.inside(&entry.name);
            if let Some(what) = code_by_name(&entry.name) {
                self.unscanned(&inside, 0, what);
                continue;
            }
            let part = Part::range(source, entry.start, entry.len);
            // torch's `storages` and `tensors` are pickles with numbers and elements between them.
            if torch && matches!(entry.name.as_str(), "storages" | "tensors") {
                self.torch_tar_member(source, &entry.name, &inside)?;
            } else {
                self.part(&part, &inside, Role::Other)?;
            }
        }
        if let Some((offset, reason)) = listing.stopped {
            self.unscanned(at, offset, reason);
        }
        Ok(())
    }

    /// An array of Python objects is a pickle after the header. Whatever its header says of its type, in whichever of
    /// numpy's spellings, what follows is looked at.
    fn npy(&mut self, part: &Part<'_>, at: &Location, role: Role) -> io::Result<()> {
        let head = part.front(npy::MAX_HEADER as u64 + 12)?;
        let Some(start) = npy::elements_at(&head) else {
            if role != Role::File {
                self.unscanned(at, 0, "an array whose header cannot be read");
            }
            return Ok(());
        };
        let objects = npy::may_hold_objects(&head);
        self.pickles(part, start as u64, at, if objects { Role::Pickle } else { Role::Storage })
    }
}

/// What a member's name says that runs: source and machine code, which no pickle is.
fn code_by_name(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let (_, extension) = name.rsplit_once('.')?;
    match extension {
        "py" | "pyw" => Some("Python source"),
        "pyc" | "pyo" => Some("compiled Python"),
        "so" | "dll" | "dylib" | "pyd" | "exe" => Some("machine code"),
        "sh" | "bat" | "cmd" | "ps1" => Some("a shell script"),
        "jar" | "class" | "whl" | "egg" => Some("a package of code"),
        _ => None,
    }
}
