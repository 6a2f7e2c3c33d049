//! Hugging Face's parquet: rows of `image` (`bytes` and `path`) and `label`, as `ILSVRC/imagenet-1k` has them.
//! Paths and labels are read once; an image is read when it is asked for, from its own row.

use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length};
use parquet::file::serialized_reader::SerializedFileReader;

use super::archive::{Archive, fingerprint};
use super::{Found, Images, Listing, MAX_IMAGE, RawLabel};
use crate::dataset::error::{Error, Result};
use crate::hash::Sha256;

/// Rows that are taken at a time while labels are read.
const BATCH: usize = 1 << 12;

/// Reads the files of one set, in the order of their names.
pub(super) fn list(paths: &[PathBuf], place: String) -> Result<Listing> {
    let (mut tables, mut rows, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let table = Table::open(path)?;
        table.index(tables.len(), &mut rows, &mut found)?;
        tables.push(table);
    }
    if found.is_empty() {
        return Err(Error::Empty { place, layout: "parquet" });
    }
    Ok(Listing { layout: "parquet", place, found, images: Box::new(Tables { tables, rows }) })
}

/// An image's place.
#[derive(Clone, Copy)]
struct Row {
    table: usize,
    group: usize,
    row: usize,
}

struct Tables {
    tables: Vec<Table>,
    rows: Vec<Row>,
}

struct Table {
    source: Source,
    reader: SerializedFileReader<Source>,
    /// Leaf columns.
    bytes: usize,
    path: Option<usize>,
    label: usize,
}

impl Images for Tables {
    fn bytes(&self, index: usize) -> crate::Result<Vec<u8>> {
        let row = self.rows.get(index).copied();
        let Some((row, table)) = row.and_then(|row| Some((row, self.tables.get(row.table)?))) else {
            return Ok(Vec::new());
        };
        Ok(table.image(row)?)
    }

    fn fingerprint(&self) -> crate::Result<Sha256> {
        let files =
            self.tables.iter().map(|t| Archive::open(&t.source.0.path)).collect::<Result<Vec<_>>>()?;
        fingerprint(&files)
    }
}

impl Table {
    fn open(path: &std::path::Path) -> Result<Self> {
        let source = Source(Arc::new(Archive::open(path)?));
        let broken = |reason: String| source.0.broken(reason);
        let reader = SerializedFileReader::new(source.clone()).map_err(|e| broken(e.to_string()))?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let column = |name: &str| {
            schema.columns().iter().position(|c| c.path().string() == name && c.max_rep_level() == 0)
        };
        let wanted = |name: &str| {
            column(name).ok_or_else(|| {
                let names: Vec<_> = schema.columns().iter().map(|c| c.path().string()).collect();
                broken(format!("there is no column `{name}`, only {}", names.join(", ")))
            })
        };
        Ok(Table {
            bytes: wanted("image.bytes")?,
            path: column("image.path"),
            label: wanted("label")?,
            source: source.clone(),
            reader,
        })
    }

    fn broken(&self, error: impl ToString) -> Error {
        self.source.0.broken(error.to_string())
    }

    /// Reads every row's path and label.
    fn index(&self, table: usize, rows: &mut Vec<Row>, found: &mut Vec<Found>) -> Result<()> {
        for group in 0..self.reader.num_row_groups() {
            let labels = self.labels(group)?;
            let paths = match self.path {
                Some(column) => self.texts(group, column)?,
                None => vec![None; labels.len()],
            };
            if paths.len() != labels.len() {
                return Err(self.broken(format!("{} paths and {} labels", paths.len(), labels.len())));
            }
            for (row, (label, path)) in labels.into_iter().zip(paths).enumerate() {
                // A set whose images have no names is numbered, file by file.
                let path = path.unwrap_or_else(|| {
                    let file = self.source.0.path.file_stem().unwrap_or_default().to_string_lossy();
                    format!("{file}-{group}-{row}")
                });
                rows.push(Row { table, group, row });
                found.push(Found { path, label });
            }
        }
        Ok(())
    }

    /// The `label` column: integers, or names.
    fn labels(&self, group: usize) -> Result<Vec<RawLabel>> {
        let broken = |e: ParquetError| self.broken(e);
        let reader = self.reader.get_row_group(group).map_err(broken)?;
        let index = |value: Option<i64>| match value {
            // Hugging Face's mark of a test image.
            None | Some(-1) => Ok(RawLabel::Unlabelled),
            Some(v) => usize::try_from(v).map(RawLabel::Index).map_err(|_| self.broken(format!("label {v}"))),
        };
        match reader.get_column_reader(self.label).map_err(broken)? {
            ColumnReader::Int64ColumnReader(mut column) => {
                self.all(self.label, &mut column)?.into_iter().map(index).collect()
            }
            ColumnReader::Int32ColumnReader(mut column) => {
                self.all(self.label, &mut column)?.into_iter().map(|v| index(v.map(i64::from))).collect()
            }
            _ => {
                let texts = self.texts(group, self.label)?;
                Ok(texts.into_iter().map(|t| RawLabel::of_text(&t.unwrap_or_default())).collect())
            }
        }
    }

    fn texts(&self, group: usize, column: usize) -> Result<Vec<Option<String>>> {
        let mut reader = self.byte_column(group, column)?;
        let values = self.all(column, &mut reader)?;
        values
            .into_iter()
            .map(|value| {
                value.map(|v| v.as_utf8().map(str::to_owned).map_err(|e| self.broken(e))).transpose()
            })
            .collect()
    }

    fn byte_column(&self, group: usize, column: usize) -> Result<ColumnReaderImpl<ByteArrayType>> {
        let reader = self.reader.get_row_group(group).map_err(|e| self.broken(e))?;
        match reader.get_column_reader(column).map_err(|e| self.broken(e))? {
            ColumnReader::ByteArrayColumnReader(column) => Ok(column),
            _ => Err(self.broken(format!("column {column} holds no bytes"))),
        }
    }

    /// A whole column, `None` where a row has no value.
    fn all<T>(&self, column: usize, reader: &mut ColumnReaderImpl<T>) -> Result<Vec<Option<T::T>>>
    where
        T: parquet::data_type::DataType,
    {
        let descriptor = self.reader.metadata().file_metadata().schema_descr().column(column);
        let full = descriptor.max_def_level();
        let mut out = Vec::new();
        loop {
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let (records, _, _) = reader
                .read_records(BATCH, Some(&mut levels), None, &mut values)
                .map_err(|e| self.broken(e))?;
            if records == 0 {
                return Ok(out);
            }
            let mut values = values.into_iter();
            if full == 0 {
                out.extend(values.map(Some));
            } else {
                out.extend(levels.into_iter().map(|level| (level == full).then(|| values.next()).flatten()));
            }
        }
    }

    /// One row's image.
    fn image(&self, row: Row) -> Result<Vec<u8>> {
        let mut column = self.byte_column(row.group, self.bytes)?;
        let skipped = column.skip_records(row.row).map_err(|e| self.broken(e))?;
        let (mut levels, mut values): (Vec<i16>, Vec<ByteArray>) = (Vec::new(), Vec::new());
        column.read_records(1, Some(&mut levels), None, &mut values).map_err(|e| self.broken(e))?;
        match values.first() {
            Some(value) if skipped == row.row && value.len() as u64 <= MAX_IMAGE => Ok(value.data().to_vec()),
            Some(value) => Err(self.broken(format!("an image of {} bytes", value.len()))),
            None => Err(self.broken(format!("row {} of group {} has no image bytes", row.row, row.group))),
        }
    }
}

/// A file that many readers read by position: the crate's own reader of a `File` moves a position that all
/// clones share.
#[derive(Clone)]
struct Source(Arc<Archive>);

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

struct Position {
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
