//! Text files that a process may have died over, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use super::RunError;
use super::folder::Folder;

/// Whole lines of a text file. A line longer than any this crate writes counts as torn.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<File>,
    line: String,
    /// Where the next line begins.
    pub offset: u64,
    pub path: PathBuf,
}

/// A histogram of 64-bit values at three digits takes at most some 200 kB before compression.
const LINE_BYTES_MAX: u64 = 1 << 20;

impl Lines {
    /// Of a file, from its start; `None` if it is not there.
    pub(super) fn open(folder: &Folder, name: &str) -> Result<Option<Lines>, RunError> {
        let path = folder.file(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(Lines {
                reader: BufReader::new(file),
                line: String::new(),
                offset: 0,
                path,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RunError::io("read", &path, source)),
        }
    }

    /// The next whole line with its line feed; `None` at the end, or where the rest is torn or no text.
    pub(super) fn next(&mut self) -> Result<Option<&str>, RunError> {
        self.line.clear();
        let mut bytes = std::mem::take(&mut self.line).into_bytes();
        let mut limited = io::Read::take(&mut self.reader, LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut bytes);
        read.map_err(|source| RunError::io("read", &self.path, source))?;
        match String::from_utf8(bytes) {
            Ok(line) if line.ends_with('\n') => {
                self.offset += line.len() as u64;
                self.line = line;
                Ok(Some(&self.line))
            }
            _ => Ok(None),
        }
    }

    /// Goes on at the line that begins at this byte.
    pub(super) fn seek(&mut self, offset: u64) -> Result<(), RunError> {
        self.offset = offset;
        let seek = self.reader.seek(SeekFrom::Start(offset));
        seek.map(drop)
            .map_err(|source| RunError::io("read", &self.path, source))
    }

    /// Passes over these lines; false where others are found.
    pub(super) fn skip_header(&mut self, header: &str) -> Result<bool, RunError> {
        for line in header.split_inclusive('\n') {
            if self.next()? != Some(line) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
