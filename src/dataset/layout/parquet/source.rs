//! A parquet file that many readers read by position: the crate's own reader of a `File` moves a position that all
//! clones share. Made by [`super::Table`].

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::dataset::layout::archive::Archive;

/// An open file.
#[derive(Clone)]
pub(super) struct Source(pub(super) Arc<Archive>);

impl Length for Source {
    fn len(&self) -> u64 {
        self.0.bytes
    }
}

impl ChunkReader for Source {
    type T = BufReader<Position>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(Position { source: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // Lengths come from the file: none can be longer than it.
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.bytes) {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on are not in the file")));
        }
        let mut buffer = vec![0; length];
        self.0.read_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}

/// A place in a file.
pub(super) struct Position {
    source: Source,
    at: u64,
}

impl Read for Position {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.0.bytes.saturating_sub(self.at);
        let n = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(part) = buffer.get_mut(..n) else { return Ok(0) };
        self.source.0.read_at(part, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
