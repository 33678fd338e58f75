//! A CSV file, field by field: every complaint names file, line and column.

use std::io::Read;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, StringRecord};

use crate::plot::PlotError;

/// Larger numbers (in seconds or without a unit) are not plausible, and would not be drawn faithfully.
const LIMIT: f64 = 1e18;
/// Characters of a wrong field that an error repeats.
const SHOWN: usize = 40;

/// A table whose header has been read.
pub(crate) struct Table<R> {
    path: PathBuf,
    reader: csv::Reader<R>,
    header: StringRecord,
}

/// A column that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    index: usize,
    name: &'static str,
}

/// One line of a table.
pub(crate) struct Row<'a> {
    path: &'a Path,
    line: u64,
    record: &'a StringRecord,
}

impl<R: Read> Table<R> {
    pub(crate) fn open(path: &Path, source: R) -> Result<Table<R>, PlotError> {
        let mut reader = csv::Reader::from_reader(source);
        let header = reader.headers().map_err(|error| csv_error(path, error))?.clone();
        Ok(Table {
            path: path.to_owned(),
            reader,
            header,
        })
    }

    /// Finds a column; other columns may be there, in any order.
    pub(crate) fn column(&self, name: &'static str) -> Result<Column, PlotError> {
        self.optional_column(name)?
            .ok_or_else(|| PlotError::MissingColumn {
                path: self.path.clone(),
                column: name,
            })
    }

    pub(crate) fn optional_column(&self, name: &'static str) -> Result<Option<Column>, PlotError> {
        let mut found = self.header.iter().enumerate().filter(|(_, field)| *field == name);
        let Some((index, _)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(PlotError::RepeatedColumn {
                path: self.path.clone(),
                column: name,
            });
        }
        Ok(Some(Column { index, name }))
    }

    /// Turns every line into a `T`.
    pub(crate) fn rows<T>(
        mut self,
        mut read: impl FnMut(&Row) -> Result<T, PlotError>,
    ) -> Result<Vec<T>, PlotError> {
        let mut rows = Vec::new();
        let mut record = StringRecord::new();
        while self
            .reader
            .read_record(&mut record)
            .map_err(|error| csv_error(&self.path, error))?
        {
            let line = record.position().map_or(0, csv::Position::line);
            rows.push(read(&Row {
                path: &self.path,
                line,
                record: &record,
            })?);
        }
        Ok(rows)
    }
}

impl Row<'_> {
    pub(crate) fn text(&self, column: Column) -> &str {
        // The reader has checked that every record is as long as the header.
        self.record.get(column.index).unwrap_or_default()
    }

    /// A text that is there.
    pub(crate) fn name(&self, column: Column) -> Result<String, PlotError> {
        match self.text(column) {
            "" => Err(self.unexpected(column, "a name")),
            name => Ok(name.to_owned()),
        }
    }

    pub(crate) fn count(&self, column: Column) -> Result<u64, PlotError> {
        let expected = "a whole number that is not negative";
        self.text(column)
            .parse()
            .map_err(|_| self.unexpected(column, expected))
    }

    /// A number, or `None` for an empty field.
    pub(crate) fn optional(&self, column: Column) -> Result<Option<f64>, PlotError> {
        if self.text(column).is_empty() {
            return Ok(None);
        }
        let expected = "a number of at most 1e18 in size, or nothing";
        let number = self.text(column).parse::<f64>();
        match number {
            Ok(number) if number.abs() <= LIMIT => Ok(Some(number)),
            _ => Err(self.unexpected(column, expected)),
        }
    }

    /// What a closed form comes to, or `None` for an empty field: any number, for where no trial ends it grows beyond all bounds. What
    /// is larger than any axis is as large as an axis can be.
    pub(crate) fn expected(&self, column: Column) -> Result<Option<f64>, PlotError> {
        match self.text(column).parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number.clamp(-LIMIT, LIMIT))),
            _ => self.optional(column),
        }
    }

    /// A duration in seconds, zero allowed.
    pub(crate) fn duration_s(&self, column: Column) -> Result<f64, PlotError> {
        match self.optional(column)? {
            Some(seconds) if seconds >= 0.0 => Ok(seconds),
            _ => Err(self.unexpected(column, "a duration in seconds that is not negative")),
        }
    }

    /// A duration in seconds, above zero: logarithmic axes show it.
    pub(crate) fn positive_s(&self, column: Column) -> Result<f64, PlotError> {
        self.optional_positive_s(column)?
            .ok_or_else(|| self.unexpected(column, POSITIVE))
    }

    /// The same, or `None` for an empty field.
    pub(crate) fn optional_positive_s(&self, column: Column) -> Result<Option<f64>, PlotError> {
        match self.optional(column)? {
            Some(seconds) if seconds < 1e-9 => Err(self.unexpected(column, POSITIVE)),
            other => Ok(other),
        }
    }

    pub(crate) fn unexpected(&self, column: Column, expected: &'static str) -> PlotError {
        PlotError::Field {
            path: self.path.to_owned(),
            line: self.line,
            column: column.name,
            found: self.text(column).chars().take(SHOWN).collect(),
            expected,
        }
    }
}

const POSITIVE: &str = "a duration of at least 1e-9 seconds";

fn csv_error(path: &Path, error: csv::Error) -> PlotError {
    let line = error.position().map_or(1, csv::Position::line);
    match error.into_kind() {
        ErrorKind::Io(source) => PlotError::Read {
            path: path.to_owned(),
            source,
        },
        ErrorKind::Utf8 { .. } => PlotError::line(path, line, "not UTF-8"),
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => PlotError::line(path, line, format!("{len} fields, expected {expected_len}")),
        _ => PlotError::line(path, line, "not CSV"),
    }
}
