//! The rows of a complete `trials.csv`, from any cell on.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use csv::StringRecord;

use super::RunError;
use super::folder::{Folder, TRIALS};
use crate::record::{self, TrialRow};

/// Reads rows that must be there.
pub(super) struct TrialRows {
    reader: csv::Reader<BufReader<File>>,
    columns: StringRecord,
    record: StringRecord,
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
            columns: record::header::<TrialRow>().trim_end().split(',').collect(),
            record: StringRecord::new(),
            path,
            start,
            row: 0,
        })
    }

    /// The byte at which the next row begins.
    pub(super) fn offset(&self) -> u64 {
        self.start + self.reader.position().byte()
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<TrialRow, RunError> {
        self.row += 1;
        let read = self.reader.read_record(&mut self.record);
        let row = match read {
            Ok(true) => self.record.deserialize(Some(&self.columns)).ok(),
            _ => None,
        };
        row.ok_or_else(|| RunError::NotReproducible {
            path: self.path.clone(),
            row: self.row,
        })
    }
}
