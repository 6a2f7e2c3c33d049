//! The bytes a pickle is read from, and how its opcodes take their arguments. Nothing is allocated by a length that the
//! input claims: what is taken is a span of it. Called by [`super::vm`].

use super::arena::Span;
use crate::checkpoint::error::{FilePosition, FormatError};

/// A place in the input.
pub(super) struct Input<'a> {
    data: &'a [u8],
    at: usize,
    /// Where the opcode at hand begins: faults name it.
    opcode_at: usize,
    needs_more: bool,
}

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Input { data, at, opcode_at: at, needs_more: false }
    }

    /// The byte after the last one read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Where the opcode at hand begins.
    pub(super) fn opcode_at(&self) -> usize {
        self.opcode_at
    }

    /// Whether the input ended where more was wanted.
    pub(super) fn needs_more(&self) -> bool {
        self.needs_more
    }

    /// A fault of the opcode at hand.
    pub(super) fn bad(&self, problem: impl Into<String>) -> FormatError {
        FormatError::malformed(self.place(), problem)
    }

    /// The place of the opcode at hand.
    pub(super) fn place(&self) -> FilePosition {
        FilePosition::byte(self.opcode_at as u64)
    }

    /// The next opcode.
    pub(super) fn opcode(&mut self) -> Result<u8, FormatError> {
        self.opcode_at = self.at;
        self.byte()
    }

    pub(super) fn byte(&mut self) -> Result<u8, FormatError> {
        let [byte] = self.array::<1>()?;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let found = self.data.get(self.at..self.at.saturating_add(N)).and_then(|s| s.try_into().ok());
        match found {
            Some(bytes) => {
                self.at += N;
                Ok(bytes)
            }
            None => {
                self.needs_more = true;
                Err(FormatError::malformed(
                    FilePosition::byte(self.data.len() as u64),
                    "the file ends inside a pickle",
                ))
            }
        }
    }

    /// Where `len` more bytes end; `None` beyond the end.
    pub(super) fn end_of(&mut self, len: u64) -> Option<usize> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let inside = end.filter(|&end| end <= self.data.len());
        self.needs_more = inside.is_none() && end.is_some();
        inside
    }

    pub(super) fn take(&mut self, len: u64) -> Result<Span, FormatError> {
        match self.end_of(len) {
            Some(end) => {
                let span = Span { start: self.at as u64, len };
                self.at = end;
                Ok(span)
            }
            None => {
                let left = self.data.len().saturating_sub(self.at);
                Err(self.bad(format!("claims {len} bytes, with {left} left in the file")))
            }
        }
    }

    /// A line without its end.
    pub(super) fn line(&mut self) -> Result<&'a [u8], FormatError> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        match rest.iter().position(|&b| b == b'\n') {
            Some(len) => {
                self.at += len + 1;
                Ok(rest.get(..len).unwrap_or_default())
            }
            None => {
                self.needs_more = true;
                Err(self.bad("a line without an end"))
            }
        }
    }
}
