//! The values of a row group's column, in whichever of parquet's types they are.
//!
//! In: a column's number. Out: a value a row. Called while a file is indexed.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::file::reader::FileReader;

use super::Table;
use crate::dataset::error::Result;

/// Rows that are taken at a time.
const BATCH_ROWS: usize = 1 << 12;

/// Whole numbers up to here are exact as floats.
const MAX_EXACT: f64 = 9e15;

/// A label as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
}

/// A column's values and, where rows may have none or several, which belong to which.
struct Column<T> {
    values: Vec<T>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Table {
    /// A value a row; `None` where it has none.
    pub(super) fn values(&self, group: usize, column: usize) -> Result<Vec<Option<Value>>> {
        let Column { values, definition, .. } = self.typed(group, column)?;
        Ok(self.rows(column, values, &definition))
    }

    /// The values of each row's list.
    pub(super) fn value_lists(&self, group: usize, column: usize) -> Result<Vec<Vec<Value>>> {
        let Column { values, definition, repetition } = self.typed(group, column)?;
        let full = self.descriptor(column).max_def_level();
        let mut values = values.into_iter();
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for (defined, repeated) in definition.into_iter().zip(repetition) {
            if repeated == 0 {
                rows.push(Vec::new());
            }
            let value = if defined == full { values.next() } else { None };
            if let Some(row) = rows.last_mut() {
                row.extend(value);
            }
        }
        Ok(rows)
    }

    /// A text a row.
    pub(super) fn texts(&self, group: usize, column: usize) -> Result<Vec<Option<String>>> {
        let Column { values, definition, .. } = self.all(column, &mut self.byte_column(group, column)?)?;
        let texts = values.iter().map(|v| self.utf8(v)).collect::<Result<Vec<_>>>()?;
        Ok(self.rows(column, texts, &definition))
    }

    pub(super) fn byte_column(&self, group: usize, column: usize) -> Result<ColumnReaderImpl<ByteArrayType>> {
        match self.column(group, column)? {
            ColumnReader::ByteArrayColumnReader(column) => Ok(column),
            _ => {
                let name = self.descriptor(column).path().string();
                Err(self.broken(format!("column `{name}` holds no bytes or texts")))
            }
        }
    }

    fn column(&self, group: usize, column: usize) -> Result<ColumnReader> {
        let reader = self.reader.get_row_group(group).map_err(|e| self.broken(e))?;
        reader.get_column_reader(column).map_err(|e| self.broken(e))
    }

    fn descriptor(&self, column: usize) -> parquet::schema::types::ColumnDescPtr {
        self.reader.metadata().file_metadata().schema_descr().column(column)
    }

    fn utf8(&self, value: &ByteArray) -> Result<String> {
        value.as_utf8().map(str::to_owned).map_err(|e| self.broken(e))
    }

    fn typed(&self, group: usize, column: usize) -> Result<Column<Value>> {
        // A column of whole numbers that has gaps is one of floats in pandas. What is not a number has no value.
        let whole = |v: f64| {
            let is_whole = v.fract() == 0.0 && v.abs() < MAX_EXACT;
            if is_whole { Ok(Value::Number(v as i64)) } else { Err(self.broken(format!("label {v}"))) }
        };
        match self.column(group, column)? {
            ColumnReader::Int64ColumnReader(mut c) => Ok(self.all(column, &mut c)?.map(Value::Number)),
            ColumnReader::Int32ColumnReader(mut c) => {
                Ok(self.all(column, &mut c)?.map(|v| Value::Number(v.into())))
            }
            ColumnReader::BoolColumnReader(mut c) => {
                Ok(self.all(column, &mut c)?.map(|v| Value::Number(v.into())))
            }
            ColumnReader::FloatColumnReader(mut c) => self
                .all(column, &mut c)?
                .without(|v| v.is_nan(), self.full(column))
                .try_map(|v| whole(v.into())),
            ColumnReader::DoubleColumnReader(mut c) => {
                self.all(column, &mut c)?.without(|v| v.is_nan(), self.full(column)).try_map(whole)
            }
            ColumnReader::ByteArrayColumnReader(mut c) => {
                self.all(column, &mut c)?.try_map(|v| Ok(Value::Text(self.utf8(&v)?)))
            }
            _ => {
                let name = self.descriptor(column).path().string();
                Err(self.broken(format!("column `{name}` holds neither numbers nor texts")))
            }
        }
    }

    fn full(&self, column: usize) -> i16 {
        self.descriptor(column).max_def_level()
    }

    /// A whole column.
    fn all<T: DataType>(&self, column: usize, reader: &mut ColumnReaderImpl<T>) -> Result<Column<T::T>> {
        let repeats = self.descriptor(column).max_rep_level() > 0;
        let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let repetition = repeats.then_some(&mut repetition);
            let (records, _, levels) = reader
                .read_records(BATCH_ROWS, Some(&mut definition), repetition, &mut values)
                .map_err(|e| self.broken(e))?;
            if records == 0 && levels == 0 {
                break;
            }
        }
        if definition.is_empty() {
            // Where nothing may be missing there are no levels.
            definition = vec![self.full(column); values.len()];
        }
        Ok(Column { values, definition, repetition })
    }

    fn rows<T>(&self, column: usize, values: Vec<T>, definition: &[i16]) -> Vec<Option<T>> {
        let full = self.full(column);
        let mut values = values.into_iter();
        definition.iter().map(|&level| if level == full { values.next() } else { None }).collect()
    }
}

impl<T> Column<T> {
    fn map<U>(self, of: impl FnMut(T) -> U) -> Column<U> {
        let Column { values, definition, repetition } = self;
        Column { values: values.into_iter().map(of).collect(), definition, repetition }
    }

    fn try_map<U>(self, of: impl FnMut(T) -> Result<U>) -> Result<Column<U>> {
        let Column { values, definition, repetition } = self;
        Ok(Column { values: values.into_iter().map(of).collect::<Result<_>>()?, definition, repetition })
    }

    /// Values that are as good as none; `full` is the level of those that are there.
    fn without(mut self, is_none: impl Fn(&T) -> bool, full: i16) -> Self {
        let there = self.definition.iter_mut().filter(|level| **level == full);
        for (level, value) in there.zip(&self.values) {
            if is_none(value) {
                *level = -1;
            }
        }
        self.values.retain(|value| !is_none(value));
        self
    }
}
