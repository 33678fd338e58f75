//! The table of the ladder: checkpoints as they were measured, and as they were predicted.

use std::fs;
use std::path::{Path, PathBuf};

use revenant_sim::Program;
use serde::{Deserialize, Serialize};

use super::LadderError;

/// File name of measured and predicted checkpoints.
pub const LADDER: &str = "ladder.csv";
/// Memory that is simulated byte by byte, at most.
const MEMORY_MIB_MAX: u64 = 8192;
/// Steps that are computed one by one, at most.
const STEPS_MAX: u64 = 10_000_000_000;

/// A checkpoint: of which guest, how, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Where the last three columns come from.
    pub source: Source,
    /// The guest's name.
    pub guest: String,
    /// Its memory, MiB.
    pub memory_mib: u64,
    /// Program that it runs.
    pub program: Program,
    /// Pages of the program.
    pub pages: u64,
    /// Seed of the program.
    pub seed: u64,
    /// What a step of the program takes in this guest, ns, without checkpoints.
    pub step_ns: u64,
    /// Steps done when the capture began.
    pub steps: u64,
    /// What was captured.
    pub capture: CaptureKind,
    /// From the beginning of the checkpoint that an increment builds on, s; 0 for full ones.
    pub interval_s: f64,
    /// For how long the guest was suspended, s.
    pub suspended_s: f64,
    /// From the request to the commit, s.
    pub total_s: f64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

/// Where numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A real guest.
    Measured,
    /// The simulated world.
    Predicted,
}

/// What was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureKind {
    /// All of memory.
    Full,
    /// What differs from the checkpoint before.
    Increment,
}

/// Reads a table and checks that every row can be simulated.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, LadderError> {
    let cannot = |source| LadderError::Table {
        path: path.to_owned(),
        source,
    };
    let mut reader = csv::Reader::from_path(path).map_err(cannot)?;
    let mut rows: Vec<Row> = Vec::new();
    for row in reader.deserialize() {
        let row: Row = row.map_err(cannot)?;
        let line = rows.len() + 2;
        check(&row).map_err(|(column, expected)| LadderError::Value {
            path: path.to_owned(),
            line,
            column,
            expected,
        })?;
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(LadderError::Empty(path.to_owned()));
    }
    Ok(rows)
}

fn check(row: &Row) -> Result<(), (&'static str, &'static str)> {
    let frames = row.memory_mib.saturating_mul(256);
    let seconds = |value: f64| (0.0..1e9).contains(&value);
    let increment = row.capture == CaptureKind::Increment;
    for (sound, column, expected) in [
        (
            (1..=MEMORY_MIB_MAX).contains(&row.memory_mib),
            "memory_mib",
            "1 to 8192",
        ),
        (
            (Program::PAGES_MIN..frames).contains(&row.pages),
            "pages",
            "at least 8, and less than the guest's memory",
        ),
        ((1..=1_000_000_000).contains(&row.step_ns), "step_ns", "1 to 10^9"),
        (row.steps <= STEPS_MAX, "steps", "at most 10^10"),
        (
            seconds(row.interval_s) && (row.interval_s > 0.0) == increment,
            "interval_s",
            "a time above 0 for an increment, 0 for a full checkpoint",
        ),
        (
            row.interval_s * 1e9 <= row.step_ns as f64 * row.steps as f64,
            "interval_s",
            "no more than steps times step_ns",
        ),
        (seconds(row.suspended_s), "suspended_s", "a time in seconds"),
        (seconds(row.total_s), "total_s", "a time in seconds"),
    ] {
        if !sound {
            return Err((column, expected));
        }
    }
    Ok(())
}

/// Writes a table into a folder, in one step.
pub(crate) fn write(folder: &Path, rows: &[Row]) -> Result<PathBuf, LadderError> {
    let path = folder.join(LADDER);
    let cannot = |source| LadderError::Table {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(folder).map_err(|error| cannot(error.into()))?;
    let staged = folder.join(format!(".{LADDER}.new"));
    let mut writer = csv::Writer::from_path(&staged).map_err(cannot)?;
    for row in rows {
        writer.serialize(row).map_err(cannot)?;
    }
    writer.flush().map_err(|error| cannot(error.into()))?;
    fs::rename(&staged, &path).map_err(|error| cannot(error.into()))?;
    Ok(path)
}
