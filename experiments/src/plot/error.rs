//! Why no figure was drawn.

use std::io;
use std::path::PathBuf;

/// Figures could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// A file could not be read or written.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// A CSV file lacks a column.
    #[error("{}: no column {column:?}", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// A CSV file is malformed.
    #[error("{}:{line}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A cell of a CSV file is no number.
    #[error("{}:{line}: column {column:?}: expected a finite number, found {found:?}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
    /// A histogram log is malformed.
    #[error("{}:{line}: {reason}", path.display())]
    Histogram {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The files hold nothing that a figure could show.
    #[error("{}: nothing to draw: no trial of any cell was completed", dir.display())]
    NothingToDraw {
        /// The run.
        dir: PathBuf,
    },
    /// The drawing library failed.
    #[error("drawing {}: {reason}", path.display())]
    Draw {
        /// The figure.
        path: PathBuf,
        /// The library's words.
        reason: String,
    },
}
