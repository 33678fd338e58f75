//! The makespans of `trials.csv`, by cell.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::cells::{Level, read_level};
use super::table::Table;
use crate::plot::PlotError;

/// Makespans of the trials of one cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Makespans {
    /// Of the trials that were not given up, in nanoseconds, in the order of the trials.
    pub(crate) completed_ns: Vec<u64>,
    /// Number of all trials.
    pub(crate) trials: u64,
}

/// Makespans by point and level.
pub(crate) type ByCell = BTreeMap<(u64, Level), Makespans>;

pub(crate) fn read_makespans(path: &Path, source: impl Read) -> Result<ByCell, PlotError> {
    let table = Table::open(path, source)?;
    let (point, level) = (table.column("point")?, table.column("level")?);
    let makespan = table.column("makespan_s")?;
    let mut cells = ByCell::new();
    table.rows(|row| {
        let key = (row.count(point)?, read_level(row, level)?);
        let cell = cells.entry(key).or_default();
        cell.trials += 1;
        if row.optional(makespan)?.is_some() {
            cell.completed_ns.push(nanos(row.duration_s(makespan)?));
        }
        Ok(())
    })?;
    Ok(cells)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates, and durations are not negative"
)]
fn nanos(seconds: f64) -> u64 {
    libm::round(seconds * 1e9) as u64
}
