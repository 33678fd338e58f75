//! Why a run did not come to its end.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use revenant_sim::Program;

use crate::plan::{Plan, WorkItem};
use crate::sim::SimError;
use crate::spec::SpecError;
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
    /// Another process writes to the folder.
    #[error("{holders} is writing to {}: wait for it, or choose another folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Who, as far as it is known.
        holders: String,
    },
    /// The lock file was removed or replaced.
    #[error("{} was removed or replaced during the run: another process may have written here; run it again with --overwrite", path.display())]
    LockLost {
        /// The lock file.
        path: PathBuf,
    },
    /// A file of a complete run was changed.
    #[error("{} is not the file that its manifest tells of (BLAKE3): bring that back, or run all again with --overwrite", path.display())]
    NotAsWritten {
        /// The file.
        path: PathBuf,
    },
    /// There is no run.
    #[error("{} holds no run", path.display())]
    NoRun {
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
        what: String,
        /// As it was begun.
        there: String,
        /// As asked for now.
        here: String,
    },
    /// Asked to stop before it was known how many trials are needed.
    #[error("interrupted before the first row: it was not yet known how many trials the precision needs")]
    StoppedInPilot,
    /// Nothing to merge.
    #[error("{} holds no shards: expected folders such as shard-1-of-8", path.display())]
    NoShards {
        /// The folder.
        path: PathBuf,
    },
    /// Shards of two ways to split a run.
    #[error("{} holds shards of {one} and of {other} parts: remove those that do not belong", path.display())]
    MixedShards {
        /// The folder.
        path: PathBuf,
        /// One number of parts.
        one: u32,
        /// Another.
        other: u32,
    },
    /// Shards that were not run.
    #[error("{}: shards {missing} are missing", path.display())]
    MissingShards {
        /// The folder.
        path: PathBuf,
        /// Which.
        missing: String,
    },
    /// A shard that is not done.
    #[error("{} is not complete: {done} of {trials} trials; resume it first", path.display())]
    IncompleteShard {
        /// The shard's folder.
        path: PathBuf,
        /// Trials done when its process last said so.
        done: u64,
        /// Trials in all.
        trials: u64,
    },
    /// A shard of another run.
    #[error("{} is of another run: it was begun with {what} {there}, this is {here}", path.display())]
    ForeignShard {
        /// The shard's folder.
        path: PathBuf,
        /// In what they differ.
        what: String,
        /// As it was begun.
        there: String,
        /// As wanted.
        here: String,
    },
    /// A file of a shard is not what its process wrote.
    #[error("{} is damaged: its BLAKE3 is not that of the manifest", path.display())]
    DamagedShard {
        /// The file.
        path: PathBuf,
    },
    /// A file of a shard holds something else than it should, and yet its digest is that of the manifest.
    #[error("{} is not as its shard writes it: expected {expected}", path.display())]
    StrangeShard {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// Rows are not those that the run would have.
    #[error("{} is not what one process writes: expected {expected}", path.display())]
    StrangeRows {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// A row that was computed again came out differently.
    #[error("{}: row {row} cannot be reproduced, so the run cannot be resumed", path.display())]
    NotReproducible {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header left out.
        row: u64,
    },
    /// The spec of the run cannot be read again.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Nothing to replay.
    #[error("{} has no row of trial {trial} of point {point} at level {level}", path.display())]
    NoSuchTrial {
        /// The file.
        path: PathBuf,
        /// Number of the point.
        point: u32,
        /// The level; others are not recorded.
        level: &'static str,
        /// Number of the trial.
        trial: u32,
    },
    /// A trial of a cluster has no such jobs.
    #[error("{}: no jobs {}-{} in this trial", path.display(), jobs.start(), jobs.end())]
    NoSuchJobs {
        /// The table.
        path: PathBuf,
        /// What was asked for.
        jobs: RangeInclusive<u64>,
    },
    /// A trial that was replayed is not the one of the row.
    #[error("{}: row {row} comes out differently here: it is of another version, or of other logs", path.display())]
    ComesOutDifferently {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header left out.
        row: u64,
    },
    /// A log is not the one that was replayed.
    #[error("{name} is another file than the published run replayed: BLAKE3 {here}, published {there}")]
    OtherLog {
        /// What the spec calls it.
        name: String,
        /// Digest in the published manifest, in hex.
        there: String,
        /// Digest of the file that is here.
        here: String,
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
    pub(super) fn trial(plan: &Plan, item: WorkItem, source: TrialError) -> RunError {
        let cell = &plan.cells[item.cell];
        RunError::Trial {
            point: cell.point,
            level: cell.level.name(),
            trial: item.trial,
            source,
        }
    }

    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> RunError {
        RunError::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}
