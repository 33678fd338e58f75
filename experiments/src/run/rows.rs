//! The rows of a complete `trials.csv`, from any row on.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use super::RunError;
use super::folder::{Folder, TRIALS};
use crate::lines::{self, Measured};
use crate::paired::Compared;
use crate::record::{self, TrialRow};

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 16;

/// Reads rows that must be there.
pub(super) struct TrialRows {
    reader: BufReader<File>,
    line: Vec<u8>,
    header: String,
    path: PathBuf,
    offset: u64,
    row: u64,
}

impl TrialRows {
    /// From the first row on.
    pub(super) fn open(folder: &Folder) -> Result<TrialRows, RunError> {
        TrialRows::open_at(folder, record::header::<TrialRow>().len() as u64)
    }

    /// From the row on that begins at this byte.
    pub(super) fn open_at(folder: &Folder, offset: u64) -> Result<TrialRows, RunError> {
        let path = folder.file(TRIALS);
        let mut file = File::open(&path).map_err(|source| RunError::io("read", &path, source))?;
        file.seek(SeekFrom::Start(offset))
            .map_err(|source| RunError::io("read", &path, source))?;
        Ok(TrialRows {
            reader: BufReader::with_capacity(READ_BYTES, file),
            line: Vec::new(),
            header: record::header::<TrialRow>(),
            path,
            offset,
            row: 0,
        })
    }

    /// The byte at which the next row begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Passes over a row.
    pub(super) fn skip(&mut self) -> Result<(), RunError> {
        self.advance()
    }

    /// What the next row measured.
    pub(super) fn next(&mut self) -> Result<Measured, RunError> {
        self.advance()?;
        Measured::of(&self.line).ok_or_else(|| self.complaint())
    }

    /// What is compared of the next row.
    pub(super) fn next_compared(&mut self) -> Result<Compared, RunError> {
        self.advance()?;
        lines::compared(&self.line).map_err(|_| self.complaint())
    }

    /// The next row with all its columns.
    pub(super) fn whole(&mut self) -> Result<TrialRow, RunError> {
        self.advance()?;
        let line = str::from_utf8(&self.line).ok();
        let row = line.and_then(|line| record::parse_under(&self.header, line));
        row.ok_or_else(|| self.complaint())
    }

    fn advance(&mut self) -> Result<(), RunError> {
        self.row += 1;
        self.line.clear();
        match self.reader.read_until(b'\n', &mut self.line) {
            Ok(bytes) if bytes > 0 => {
                self.offset += bytes as u64;
                Ok(())
            }
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
