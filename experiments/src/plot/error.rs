//! What can keep figures from being drawn.

use std::io;
use std::path::{Path, PathBuf};

use crate::ladder::LadderError;

/// The figures of a folder could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A figure could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The table of the ladder.
    #[error(transparent)]
    Ladder(#[from] LadderError),
    /// The header of a table lacks a column that figures need.
    #[error("{path}, line 1: no column `{column}` in the header")]
    MissingColumn {
        /// The table.
        path: PathBuf,
        /// Name of the column.
        column: &'static str,
    },
    /// The header of a table names a column twice.
    #[error("{path}, line 1: column `{column}` is there twice")]
    RepeatedColumn {
        /// The table.
        path: PathBuf,
        /// Name of the column.
        column: &'static str,
    },
    /// A line of a table is not CSV, or has more or fewer fields than the header.
    #[error("{path}, line {line}: {what}")]
    Line {
        /// The table or log.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// A field does not hold what its column needs.
    #[error("{path}, line {line}, column `{column}`: found {found:?}, expected {expected}")]
    Field {
        /// The table.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// The field, shortened.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A timeline or manifest is not what it should be.
    #[error("cannot understand {path}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A timeline contradicts itself.
    #[error("{path}: {what}")]
    Timeline {
        /// The timeline.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// A table has no row at all.
    #[error("{path} has no row to draw")]
    Nothing {
        /// The table.
        path: PathBuf,
    },
    /// A figure became too large to be painted.
    #[error("{path} would be too large: {width_px} x {height_px} pixels")]
    TooLarge {
        /// The figure.
        path: PathBuf,
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
    },
    /// The drawing library failed.
    #[error("cannot paint {path}: {reason}")]
    Paint {
        /// The figure.
        path: PathBuf,
        /// The library's words.
        reason: String,
    },
    /// The PNG encoder failed.
    #[error("cannot encode {path}")]
    Encode {
        /// The figure.
        path: PathBuf,
        /// Why.
        source: png::EncodingError,
    },
}

impl PlotError {
    pub(super) fn write(path: &Path, source: io::Error) -> PlotError {
        PlotError::Write {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn line(path: &Path, line: u64, what: impl Into<String>) -> PlotError {
        PlotError::Line {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}
