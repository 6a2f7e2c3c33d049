//! A run of bytes of a file, stored or deflated: what a survey looks at. In: a source and a place in it. Out: the front
//! of its bytes, as much as is asked for. Called by [`super::survey`] and [`super::pickles`].

use std::borrow::Cow;
use std::io;

use crate::checkpoint::archive::{Archive, Member};
use crate::checkpoint::error::FormatError;
use crate::checkpoint::inflate::inflated_front;
use crate::checkpoint::source::Source;

/// The most that is inflated or read of one part where it is not mapped: 32 MiB.
pub(super) const MAX_FRONT: u64 = 32 << 20;
/// What is looked at first.
pub(super) const FIRST_FRONT: u64 = 64 << 10;

/// A file, a member of an archive, or bytes inside a pickle.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    source: &'a dyn Source,
    start: u64,
    /// Bytes that it takes in the source.
    stored: u64,
    /// Bytes that it has.
    pub(super) len: u64,
    deflated: bool,
}

impl<'a> Part<'a> {
    /// All of a source.
    pub(super) fn whole(source: &'a dyn Source) -> Self {
        Part { source, start: 0, stored: source.len(), len: source.len(), deflated: false }
    }

    /// A range of a source; the caller knows that it lies inside.
    pub(super) fn range(source: &'a dyn Source, start: u64, len: u64) -> Self {
        Part { source, start, stored: len, len, deflated: false }
    }

    /// A member of an archive.
    pub(super) fn member(source: &'a dyn Source, member: &Member) -> io::Result<Result<Self, FormatError>> {
        let start = match crate::checkpoint::archive::start_of(source, member)? {
            Ok(start) => start,
            Err(fault) => return Ok(Err(fault)),
        };
        let Member { compressed: stored, size: len, deflated, .. } = *member;
        Ok(Ok(Part { source, start, stored, len, deflated }))
    }

    /// What of it lies after its first `from` bytes, where that can be had without inflating.
    pub(super) fn after(&self, from: u64) -> Option<Part<'a>> {
        let left = self.len.checked_sub(from)?;
        (!self.deflated).then(|| Part::range(self.source, self.start + from, left))
    }

    /// How much is looked at first: everything, where that costs nothing.
    pub(super) fn first_front(&self) -> u64 {
        if !self.deflated && self.source.whole().is_some() { self.len } else { FIRST_FRONT.min(self.len) }
    }

    /// How much is looked at at most.
    pub(super) fn max_front(&self) -> u64 {
        if !self.deflated && self.source.whole().is_some() { self.len } else { MAX_FRONT.min(self.len) }
    }

    /// Its first `len` bytes; fewer where it is shorter, or its deflated data are broken.
    pub(super) fn front(&self, len: u64) -> io::Result<Cow<'a, [u8]>> {
        let len = len.min(self.len);
        if self.deflated {
            return inflated_front(self.source, self.start, self.stored, len).map(Cow::Owned);
        }
        self.source.bytes(self.start, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// The part as a file of its own; `None` where it would have to be inflated and is too large for that.
    pub(super) fn file(&self) -> io::Result<Option<Box<dyn Source + 'a>>> {
        if !self.deflated {
            return Ok(Some(Box::new(Slice { source: self.source, start: self.start, len: self.len })));
        }
        if self.len > MAX_FRONT {
            return Ok(None);
        }
        Ok(Some(Box::new(self.front(self.len)?.into_owned())))
    }
}

/// A range of another source.
struct Slice<'a> {
    source: &'a dyn Source,
    start: u64,
    len: u64,
}

impl Source for Slice<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.bytes(self.start + at, len)
    }

    fn whole(&self) -> Option<&[u8]> {
        let start = usize::try_from(self.start).ok()?;
        self.source.whole()?.get(start..start.checked_add(usize::try_from(self.len).ok()?)?)
    }

    fn is_remote(&self) -> bool {
        self.source.is_remote()
    }
}

/// Bytes that something else owns.
pub(super) struct Borrowed<'a>(pub(super) &'a [u8]);

impl Source for Borrowed<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        let start = usize::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(len).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0.get(start..end).map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn whole(&self) -> Option<&[u8]> {
        Some(self.0)
    }
}

/// The members of an archive that hold bytes.
pub(super) fn members(archive: &Archive) -> impl Iterator<Item = &Member> {
    archive.members.iter().filter(|m| m.size > 0)
}
