//! Hugging Face's parquet: rows of an image (`bytes` and `path`) and a label, as `datasets` writes them. Paths and labels
//! are read once; an image is read when it is asked for, from its own row, a page at a time.
//!
//! | file | what it does |
//! | --- | --- |
//! | `columns` | which columns hold images and labels |
//! | `read` | a column's values |
//! | `source` | the file, for many readers |
//! | `guard` | panics of the parquet crate as errors of the file |

mod columns;
mod guard;
mod read;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;

use super::archive::Archive;
use super::features::Features;
use super::files::fingerprint;
use super::{Found, Images, Listing, MAX_IMAGE};
use crate::dataset::error::{Error, Result};
use crate::dataset::label::RawLabel;
use crate::hash::Sha256;
use columns::Columns;
use guard::guarded;
use source::Source;

/// The schema's key under which `datasets` describes the columns.
const FEATURES_KEY: &str = "huggingface";

/// Reads the files of one set, in the order of their names. `top` is the folder that was given: a dataset card may
/// lie in it.
pub(super) fn list(paths: &[PathBuf], place: String, top: &Path) -> Result<Listing> {
    let folder = paths.first().and_then(|p| p.parent()).unwrap_or(Path::new("."));
    let beside = Features::near(folder, top)?;
    let (mut tables, mut rows, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let number = tables.len();
        let read = guarded(|| {
            let table = Table::open(path, &beside)?;
            let (mut rows, mut found) = (Vec::new(), Vec::new());
            table.index(number, &mut rows, &mut found)?;
            Ok::<_, Error>((table, rows, found))
        });
        let broken = |reason| Error::BadArchive { path: path.display().to_string(), reason };
        let (table, mut of_rows, mut of_found) = read.map_err(broken)??;
        rows.append(&mut of_rows);
        found.append(&mut of_found);
        tables.push(table);
    }
    if found.is_empty() {
        return Err(Error::Empty { place, layout: "parquet" });
    }
    Ok(Listing::new("parquet", place, found, Tables { tables, rows }))
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

/// One file.
struct Table {
    source: Source,
    reader: SerializedFileReader<Source>,
    columns: Columns,
}

impl Images for Tables {
    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let row = self.rows.get(index).copied();
        let Some((row, table)) = row.and_then(|row| Some((row, self.tables.get(row.table)?))) else {
            return Ok(Vec::new());
        };
        let damaged = |reason| Error::NoImage {
            path: table.name(row),
            reason: format!("its page is damaged: {reason}"),
        };
        guarded(|| table.image(row)).map_err(damaged)?
    }

    fn fingerprint(&self) -> Result<Sha256> {
        fingerprint(self.tables.iter().map(|t| t.source.0.path.as_path()))
    }
}

impl Table {
    fn open(path: &Path, beside: &Features) -> Result<Self> {
        let source = Source(Arc::new(Archive::open(path)?));
        let reader = SerializedFileReader::new(source.clone()).map_err(|e| source.0.broken(e.to_string()))?;
        let file = reader.metadata().file_metadata();
        let texts = file.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        let own = texts.iter().find(|pair| pair.key == FEATURES_KEY).and_then(|pair| pair.value.as_deref());
        let own = own.map_or_else(|| Ok(Features::default()), |text| Features::of_schema(text, path))?;
        let columns = Columns::of(file.schema_descr(), &own, beside, path)?;
        Ok(Table { source, reader, columns })
    }

    fn broken(&self, error: impl ToString) -> Error {
        self.source.0.broken(error.to_string())
    }

    /// Reads every row's path and label.
    fn index(&self, table: usize, rows: &mut Vec<Row>, found: &mut Vec<Found>) -> Result<()> {
        for group in 0..self.reader.num_row_groups() {
            let labels = self.labels(group)?;
            let paths = match self.columns.path {
                Some(column) => self.texts(group, column)?,
                None => vec![None; labels.len()],
            };
            if paths.len() != labels.len() {
                return Err(self.broken(format!("{} paths and {} labels", paths.len(), labels.len())));
            }
            for (row, (label, path)) in labels.into_iter().zip(paths).enumerate() {
                // A set whose images have no names is numbered, file by file.
                let path = path.filter(|path| !path.trim().is_empty()).unwrap_or_else(|| {
                    let file = self.source.0.path.file_stem().unwrap_or_default().to_string_lossy();
                    format!("{file}-{group}-{row}")
                });
                rows.push(Row { table, group, row });
                found.push(Found { path, label });
            }
        }
        Ok(())
    }

    /// The labels of a row group: numbers or texts, one a row or a list of them.
    fn labels(&self, group: usize) -> Result<Vec<RawLabel>> {
        let column = &self.columns.label;
        let names = column.names.as_ref();
        let of = |value: read::Value| match value {
            read::Value::Number(number) => RawLabel::of_number(number, names).map_err(|e| self.broken(e)),
            read::Value::Text(text) => RawLabel::of_text_among(&text, names).map_err(|e| self.broken(e)),
        };
        if column.is_list {
            let any = |values: Vec<read::Value>| {
                if values.is_empty() {
                    return Ok(RawLabel::Missing("its list of labels is empty".into()));
                }
                values.into_iter().map(of).collect::<Result<_>>().map(RawLabel::Any)
            };
            return self.value_lists(group, column.leaf)?.into_iter().map(any).collect();
        }
        let one = |value: Option<read::Value>| {
            value.map_or_else(|| Ok(RawLabel::Missing("its label is null".into())), of)
        };
        self.values(group, column.leaf)?.into_iter().map(one).collect()
    }

    /// One row's image: its bytes, else the file that its path names.
    fn image(&self, row: Row) -> Result<Vec<u8>> {
        if let Some(column) = self.columns.bytes
            && let Some(bytes) = self.bytes_of(row, column)?.filter(|bytes| !bytes.is_empty())
        {
            if bytes.len() as u64 > MAX_IMAGE {
                let reason = format!("it has {} bytes; at most {MAX_IMAGE} are read", bytes.len());
                return Err(Error::NoImage { path: self.name(row), reason });
            }
            return Ok(bytes.data().to_vec());
        }
        let path = self.columns.path.map(|column| self.bytes_of(row, column)).transpose()?.flatten();
        let path = path.and_then(|p| p.as_utf8().map(str::to_owned).ok()).filter(|p| !p.trim().is_empty());
        let Some(path) = path else {
            return Err(Error::NoImage {
                path: self.name(row),
                reason: "the row has neither bytes nor a path".into(),
            });
        };
        let folder = self.source.0.path.parent().unwrap_or(Path::new("."));
        let file = folder.ancestors().take(3).map(|f| f.join(&path)).find(|p| p.is_file());
        let Some(file) = file else {
            let reason = format!("the row has no bytes, and there is no file `{path}` beside the table");
            return Err(Error::NoImage { path: self.name(row), reason });
        };
        Ok(crate::fs::read(&file, MAX_IMAGE)?)
    }

    /// For messages.
    fn name(&self, Row { group, row, .. }: Row) -> String {
        format!("{}, row {row} of group {group}", self.source.0.path.display())
    }

    fn bytes_of(&self, row: Row, column: usize) -> Result<Option<ByteArray>> {
        let mut reader = self.byte_column(row.group, column)?;
        let skipped = reader.skip_records(row.row).map_err(|e| self.damaged(row, &e))?;
        let (mut levels, mut values): (Vec<i16>, Vec<ByteArray>) = (Vec::new(), Vec::new());
        reader.read_records(1, Some(&mut levels), None, &mut values).map_err(|e| self.damaged(row, &e))?;
        if skipped != row.row {
            let reason = format!("its column ends after {skipped} rows");
            return Err(Error::NoImage { path: self.name(row), reason });
        }
        Ok(values.into_iter().next())
    }

    /// A page that cannot be unpacked costs the images in it and behind it, and not those of other pages; a disk that
    /// cannot be read is another matter.
    fn damaged(&self, row: Row, error: &ParquetError) -> Error {
        let of_disk = match error {
            ParquetError::External(inner) => {
                inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error)
            }
            _ => None,
        };
        match of_disk {
            Some(code) => {
                crate::fs::at("read", &self.source.0.path)(std::io::Error::from_raw_os_error(code)).into()
            }
            None => Error::NoImage { path: self.name(row), reason: format!("its page is damaged: {error}") },
        }
    }
}

#[cfg(test)]
mod tests;
