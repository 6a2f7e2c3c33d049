//! `zoo scan`: every import of every pickle in a file, with what loading it would have done, and what could not be
//! looked into. In: a path. Out: a [`Scan`]. Also what cannot be converted can be scanned. Opening a checkpoint asks
//! the same [`survey::Survey`], so that a file has one verdict wherever it is read.

mod finding;
pub(super) mod judge;
mod part;
mod pickles;
mod script;
mod survey;

use std::io;
use std::path::Path;

use super::error::{Error, FormatError, FormatErrorKind, ReadError, Result};
pub use super::format::Format;
use super::open::{self, Options};
pub use super::pickle::ImportClass;
use super::sniff::{self, Content};
use super::source::{LocalFile, Source};
pub use finding::{Answer, Found, Unscanned};
use survey::Survey;

/// All that was found.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The format, where one was recognised.
    pub format: Option<Format>,
    /// The answer.
    pub answer: Answer,
    /// Every import, by pickle, in the order of their first use.
    pub imports: Vec<Found>,
    /// What was not looked into.
    pub unscanned: Vec<Unscanned>,
    /// What is broken or ambiguous.
    pub problems: Vec<FormatError>,
}

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
    let io = |e| ReadError::Io(e).at(name);
    let mut survey = Survey::of(source.as_ref()).map_err(io)?;
    if sniff::distributed(name).is_some() && !survey.problems.is_empty() {
        survey.problems.clear();
        let reason = "archives one after the other, which torch.distributed.checkpoint reads by the places in `.metadata`";
        survey.unscanned(&survey::Location::default(), 0, reason);
    }
    // The shards of an index are files of their own.
    let index = sniff::sniff(source.as_ref()).map_err(io)? == Content::Index;
    let options = Options { allow_opaque: true, ..Options::default() };
    let format = match open::unjudged(name, source, &options) {
        Ok(checkpoint) => {
            for shard in checkpoint.sources.iter().filter(|_| index) {
                survey.add_file(shard.as_ref()).map_err(io)?;
            }
            Some(checkpoint.format())
        }
        Err(Error::Format { fault, .. }) => {
            let broken = matches!(
                fault.kind,
                FormatErrorKind::Malformed | FormatErrorKind::Ambiguous | FormatErrorKind::Excessive
            );
            if broken && !survey.problems.contains(&fault) {
                survey.problems.push(fault);
            }
            None
        }
        Err(other @ Error::NotACheckpoint { .. }) if !survey.says_anything() => return Err(other),
        Err(Error::NotACheckpoint { .. }) => None,
        Err(other) => return Err(other),
    };
    let answer = survey.answer();
    let Survey { imports, unscanned, problems, .. } = survey;
    Ok(Scan { format: format.or(survey.format), answer, imports, unscanned, problems })
}

/// Whether a file is something that is no checkpoint, in which nothing that runs can hide: text, a picture.
pub fn is_inert(path: &Path) -> bool {
    LocalFile::open(path, true).is_ok_and(|source| is_inert_source(path, &source))
}

/// The same of what is no local file; `name` is what it is called.
pub fn is_inert_source(name: &Path, source: &dyn Source) -> bool {
    let inert = || -> io::Result<bool> {
        Ok(match sniff::sniff(source)? {
            Content::Foreign(found) => found.inert,
            Content::Index => true,
            Content::Pickle => sniff::guess(source, name)?.is_some_and(|found| found.inert),
            _ => false,
        })
    };
    inert().unwrap_or(false)
}
