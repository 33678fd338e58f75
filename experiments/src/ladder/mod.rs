//! The ladder from the simulated world to the real one: what a profile that was calibrated on one guest predicts for live
//! checkpoints of others, beside what was measured.
//!
//! A row names a guest, its program and what was done to it; the simulation runs the same program for as many steps and
//! captures it with the same code. Nothing in a prediction is fitted to what it is compared with.

mod simulate;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use revenant_core::capture::CaptureError;
use revenant_core::store::StoreError;
use revenant_sim::CostProfile;

pub(crate) use table::read;
pub use table::{CaptureKind, LADDER, Row, Source};

/// The ladder could not be climbed.
#[derive(Debug, thiserror::Error)]
pub enum LadderError {
    /// A table cannot be read or written, or a line of it is not what it should be.
    #[error("{path}")]
    Table {
        /// Which.
        path: PathBuf,
        /// Why, with the line.
        source: csv::Error,
    },
    /// A value that no guest has.
    #[error("{path}, line {line}, column `{column}`: expected {expected}")]
    Value {
        /// The table.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The column.
        column: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// Nothing to compare with.
    #[error("{0} has no rows")]
    Empty(PathBuf),
    /// A simulated checkpoint failed.
    #[error("line {line}: the simulated checkpoint failed")]
    Capture {
        /// The line it was for.
        line: usize,
        /// Why.
        source: Box<CaptureError>,
    },
    /// A simulated store failed.
    #[error("line {line}: the simulated store failed")]
    Store {
        /// The line it was for.
        line: usize,
        /// Why.
        source: StoreError,
    },
}

/// Reads measured checkpoints, predicts each, and writes both, one after the other, as [`LADDER`] into a folder. Predicted
/// rows of the table that is read are passed over, so that a table can be made anew from itself.
pub fn climb(
    measured: &Path,
    profile: &CostProfile,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(PathBuf, Vec<Row>), LadderError> {
    let mut rows = read(measured)?;
    rows.retain(|row| row.source == Source::Measured);
    let mut compared = Vec::with_capacity(2 * rows.len());
    let all = rows.len();
    for (done, row) in rows.into_iter().enumerate() {
        progress(done, all);
        let predicted = simulate::predict(profile, &row, done + 2)?;
        compared.extend([row, predicted]);
    }
    progress(all, all);
    let path = table::write(out, &compared)?;
    Ok((path, compared))
}
