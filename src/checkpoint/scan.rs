//! `zoo scan`: every import of every pickle in a file, with what loading it would have done. In: a path. Out:
//! a [`Scan`]. Also what cannot be converted can be scanned.

use std::io;
use std::path::Path;

use super::archive::Archive;
use super::error::{Error, Fault, Kind, Place, ReadError, Result};
pub use super::format::Format;
use super::format::{self, Outline};
use super::numpy::npy;
use super::open::{self, Options};
use super::pickle::{Import, Limits, Machine, Verdict};
use super::source::{LocalFile, Source};
use super::torch::rebuild::Storages;
use super::torch::{jit, tar, zipped};

/// What a file was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing in it is outside the known set. Never to be called safe.
    Known,
    /// It names something that zoo does not know.
    Unknown,
    /// It names something that runs code.
    Dangerous,
    /// It is broken, or could be read in two ways.
    Malformed,
}

impl Answer {
    /// As printed.
    pub const fn name(self) -> &'static str {
        match self {
            Answer::Known => "known",
            Answer::Unknown => "unknown",
            Answer::Dangerous => "dangerous",
            Answer::Malformed => "malformed",
        }
    }
}

/// An import, and where it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The archive's member whose pickle it is in.
    pub member: Option<String>,
    /// The import.
    pub import: Import,
}

/// All that was found.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The format, where one could be told.
    pub format: Option<Format>,
    /// The answer.
    pub answer: Answer,
    /// Every import, by pickle, in the order of their first use.
    pub imports: Vec<Found>,
    /// What is broken or ambiguous.
    pub problems: Vec<Fault>,
}

/// The most imports that are listed.
const LISTED: usize = 10_000;

/// Scans a file.
///
/// # Errors
/// A file that cannot be read, or is no checkpoint at all.
pub fn scan(path: &Path) -> Result<Scan> {
    let source = LocalFile::open(path, true)?;
    scan_source(path, Box::new(source))
}

/// Scans what is no local file; `name` is used in messages.
///
/// # Errors
/// As [`scan`].
pub fn scan_source(name: &Path, source: Box<dyn Source>) -> Result<Scan> {
    let mut list = List::default();
    let walked = list.walk(source.as_ref()).map_err(|e| ReadError::Io(e).at(name))?;
    let mut problems: Vec<Fault> = walked.err().into_iter().collect();
    let options = Options { allow_opaque: true, ..Options::default() };
    let format = match open::source(name, source, &options) {
        Ok(checkpoint) => Some(checkpoint.format()),
        Err(Error::Fault { fault, .. }) => {
            if !matches!(fault.kind, Kind::Unsupported | Kind::NoTensors) && !problems.contains(&fault) {
                problems.push(fault);
            }
            None
        }
        Err(other) => return Err(other),
    };
    let worst = list.imports.iter().map(|f| f.import.verdict).max();
    let answer = match (problems.is_empty(), worst) {
        (false, _) => Answer::Malformed,
        (_, Some(Verdict::Dangerous)) => Answer::Dangerous,
        (_, Some(Verdict::Unknown)) => Answer::Unknown,
        _ => Answer::Known,
    };
    Ok(Scan { format: format.or(list.format), answer, imports: list.imports, problems })
}

#[derive(Default)]
struct List {
    imports: Vec<Found>,
    format: Option<Format>,
}

impl List {
    /// Runs a machine over every pickle that can be found.
    fn walk(&mut self, source: &dyn Source) -> io::Result<std::result::Result<(), Fault>> {
        match format::outline(source)? {
            Outline::Zip => {
                let archive = match Archive::open(source)? {
                    Ok(archive) => archive,
                    Err(fault) => return Ok(Err(fault)),
                };
                self.archive(source, &archive)
            }
            Outline::Tar => {
                self.format = Some(Format::TorchTar);
                let tar = match tar::Tar::open(source)? {
                    Ok(tar) => tar,
                    Err(fault) => return Ok(Err(fault)),
                };
                let read = tar::read(source, &tar, &mut Storages::default(), &mut |machine, member, _| {
                    self.add(machine, Some(member), false);
                })?;
                if let Ok((start, len)) = tar.range("pickle") {
                    let bytes = source.bytes(start, usize::try_from(len).unwrap_or(usize::MAX))?;
                    let ran = self.pickles(&bytes, 0, Some("pickle"), false);
                    return Ok(read.and(ran));
                }
                Ok(read)
            }
            Outline::Npy => {
                self.format = Some(Format::Npy);
                let bytes = source.bytes(0, usize::try_from(source.len()).unwrap_or(usize::MAX))?;
                Ok(self.object_array(&bytes, None))
            }
            Outline::Pickle => {
                let bytes = source.bytes(0, usize::try_from(source.len()).unwrap_or(usize::MAX))?;
                Ok(self.legacy(&bytes))
            }
            Outline::Safetensors => {
                self.format = Some(Format::Safetensors);
                Ok(Ok(()))
            }
            _ => Ok(Ok(())),
        }
    }

    fn archive(
        &mut self,
        source: &dyn Source,
        archive: &Archive,
    ) -> io::Result<std::result::Result<(), Fault>> {
        let jit = archive.members.iter().any(|m| m.name.ends_with("/constants.pkl"));
        self.format = Some(if jit { Format::TorchScript } else { Format::TorchZip });
        let mut result = Ok(());
        for member in &archive.members {
            let pickle = member.name.ends_with(".pkl") || member.name.ends_with(".pickle");
            if !pickle && !member.name.ends_with(".npy") {
                continue;
            }
            let bytes = match archive.read(source, member, zipped::PICKLE)? {
                Ok(bytes) => bytes,
                Err(_) if !pickle => continue,
                Err(fault) => {
                    result = result.and(Err(fault));
                    continue;
                }
            };
            let ran = match pickle {
                true => self.pickles(&bytes, 0, Some(&member.name), jit),
                false => self.object_array(&bytes, Some(&member.name)),
            };
            result = result.and(ran);
        }
        Ok(result)
    }

    /// A legacy file: as many pickles as torch would load. A plain one: all there are, one after another.
    fn legacy(&mut self, bytes: &[u8]) -> std::result::Result<(), Fault> {
        let mut at = 0;
        let mut count = 0;
        loop {
            let mut machine = Machine::new(bytes, at, Limits::default());
            let result = machine.run();
            self.add(&machine, None, false);
            let root = result?;
            count += 1;
            at = machine.position();
            if count == 1 {
                let legacy = super::torch::legacy::is_magic(machine.arena(), root);
                self.format = Some(if legacy { Format::TorchLegacy } else { Format::Pickle });
            }
            let last = match self.format {
                Some(Format::TorchLegacy) => 5,
                _ => 1,
            };
            if count == last {
                break;
            }
        }
        match self.format {
            Some(Format::Pickle) if at < bytes.len() => {
                // What follows may be another pickle; whatever it names is listed too.
                let _ = self.pickles(bytes, at, None, false);
                Err(Fault::ambiguous(Place::byte(at as u64), "bytes after the pickle"))
            }
            _ => Ok(()),
        }
    }

    /// One pickle after another until the end.
    fn pickles(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        member: Option<&str>,
        jit: bool,
    ) -> std::result::Result<(), Fault> {
        const MOST: usize = 100;
        let within = |fault: Fault| match member {
            Some(member) => fault.within(member),
            None => fault,
        };
        for _ in 0..MOST {
            let mut machine = Machine::new(bytes, at, Limits::default());
            let result = machine.run();
            self.add(&machine, member, jit);
            result.map_err(within)?;
            at = machine.position();
            if at >= bytes.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// An array of Python objects is a pickle after the header.
    fn object_array(&mut self, bytes: &[u8], member: Option<&str>) -> std::result::Result<(), Fault> {
        let Some(start) = npy::elements_at(bytes) else { return Ok(()) };
        let header = bytes.get(..start).unwrap_or_default();
        if header.windows(2).any(|w| w == b"|O") || header.windows(3).any(|w| w == b"'O'") {
            return self.pickles(bytes, start, member, false);
        }
        Ok(())
    }

    fn add(&mut self, machine: &Machine<'_>, member: Option<&str>, jit: bool) {
        for import in machine.arena().imports() {
            if self.imports.len() >= LISTED {
                return;
            }
            let mut import = import.clone();
            if jit && jit::is_own_class(&import.module) {
                import.verdict = Verdict::Known;
            }
            self.imports.push(Found { member: member.map(str::to_owned), import });
        }
    }
}
