//! The rows of a complete `trials.csv`, from any cell on.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use csv::ByteRecord;

use super::RunError;
use super::folder::{Folder, TRIALS};
use crate::record::{self, TrialRow};
use crate::summary::{Measured, Places};

/// Reads rows that must be there.
pub(super) struct TrialRows {
    reader: csv::Reader<BufReader<File>>,
    places: Places,
    record: ByteRecord,
    path: PathBuf,
    start: u64,
    row: u64,
}

impl TrialRows {
    /// From the first row on.
    pub(super) fn open(folder: &Folder) -> Result<TrialRows, RunError> {
        TrialRows::open_at(folder, record::header::<TrialRow>().len() as u64)
    }

    /// From the row on that begins at this byte.
    pub(super) fn open_at(folder: &Folder, start: u64) -> Result<TrialRows, RunError> {
        let path = folder.file(TRIALS);
        let mut file = File::open(&path).map_err(|source| RunError::io("read", &path, source))?;
        file.seek(SeekFrom::Start(start))
            .map_err(|source| RunError::io("read", &path, source))?;
        let mut builder = csv::ReaderBuilder::new();
        Ok(TrialRows {
            reader: builder.has_headers(false).from_reader(BufReader::new(file)),
            places: Places::of(&record::header::<TrialRow>()),
            record: ByteRecord::new(),
            path,
            start,
            row: 0,
        })
    }

    /// The byte at which the next row begins.
    pub(super) fn offset(&self) -> u64 {
        self.start + self.reader.position().byte()
    }

    /// Passes over so many rows.
    pub(super) fn skip(&mut self, rows: u32) -> Result<(), RunError> {
        for _ in 0..rows {
            self.advance()?;
        }
        Ok(())
    }

    /// What the next row measured.
    pub(super) fn next(&mut self) -> Result<Measured, RunError> {
        self.advance()?;
        Measured::of(&self.record, &self.places).ok_or_else(|| self.complaint())
    }

    /// The next row with all its columns.
    pub(super) fn whole(&mut self) -> Result<TrialRow, RunError> {
        self.advance()?;
        let header: ByteRecord = record::header::<TrialRow>().trim_end().split(',').collect();
        self.record
            .deserialize(Some(&header))
            .map_err(|_| self.complaint())
    }

    fn advance(&mut self) -> Result<(), RunError> {
        self.row += 1;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Ok(()),
            _ => Err(self.complaint()),
        }
    }

    fn complaint(&self) -> RunError {
        RunError::NotReproducible {
            path: self.path.clone(),
            row: self.row,
        }
    }
}
