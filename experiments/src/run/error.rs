//! Why a run did not come to its end.

use std::io;
use std::path::{Path, PathBuf};

use revenant_sim::Program;

use crate::sim::SimError;
use crate::trial::TrialError;

/// A run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// The verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// The folder holds something that no run wrote.
    #[error("{} is not empty and holds no run: choose another folder", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a run.
    #[error("{} already holds a run: resume it, overwrite it, or choose another folder", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing to resume.
    #[error("{} holds no run to resume", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// The manifest of the run to resume cannot be read.
    #[error("{} is no manifest of a run", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// The JSON reader's words.
        #[source]
        source: serde_json::Error,
    },
    /// The run that was begun is another one.
    #[error("cannot resume {}: it was begun with {what} {there}, this is {here}", path.display())]
    Different {
        /// The folder.
        path: PathBuf,
        /// In what they differ.
        what: &'static str,
        /// As it was begun.
        there: String,
        /// As asked for now.
        here: String,
    },
    /// A row that was computed again came out differently.
    #[error("{}: row {row} cannot be reproduced, so the run cannot be resumed", path.display())]
    NotReproducible {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header left out.
        row: u64,
    },
    /// The costs could not be measured.
    #[error("cannot measure the costs of guest program {program}")]
    Probe {
        /// What the guest runs.
        program: Program,
        /// The cause.
        #[source]
        source: SimError,
    },
    /// A trial could not be run.
    #[error("trial {trial} of point {point} at level {level}")]
    Trial {
        /// Number of the point.
        point: u32,
        /// Its level.
        level: &'static str,
        /// Number of the trial.
        trial: u32,
        /// The cause.
        #[source]
        source: TrialError,
    },
}

impl RunError {
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> RunError {
        RunError::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}
