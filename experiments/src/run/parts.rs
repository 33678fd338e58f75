//! Where in `trials.csv` the rows of each cell begin, and those of each part of a large one: what threads need to read it together.

use std::ops::Range;

use super::RunError;
use super::folder::Folder;
use super::rows::TrialRows;
use crate::plan::Plan;

/// Rows of a cell that a thread reads at a time.
const ROWS: u32 = 1 << 12;

/// Rows of one cell, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub cell: usize,
    pub trials: Range<u32>,
    /// The byte at which the first of them begins.
    pub offset: u64,
}

/// All rows up to some point, in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Of a complete file, by reading it.
    pub(super) fn scan(plan: &Plan, folder: &Folder) -> Result<Parts, RunError> {
        let mut rows = TrialRows::open(folder)?;
        let mut parts = Parts::default();
        for number in 0..plan.trials() {
            parts.row_at(plan, number, rows.offset());
            rows.skip()?;
        }
        Ok(parts)
    }

    /// How many trials may be run from this one on before one that is the first of a part.
    pub(super) fn rest(trial: u32) -> u32 {
        ROWS - trial % ROWS
    }

    /// Is told where the row of a trial begins. Of the first row of a part it must be told.
    pub(super) fn row_at(&mut self, plan: &Plan, number: u64, offset: u64) {
        let item = plan.item(number);
        if item.trial.is_multiple_of(ROWS) {
            let end = item.trial.saturating_add(ROWS).min(plan.cells[item.cell].trials);
            self.0.push(Part {
                cell: item.cell,
                trials: item.trial..end,
                offset,
            });
        }
    }

    /// Those of the first cells alone.
    pub(super) fn of_cells(mut self, cells: usize) -> Parts {
        self.0.truncate(self.0.partition_point(|part| part.cell < cells));
        self
    }

    pub(super) fn all(&self) -> &[Part] {
        &self.0
    }

    /// The byte at which the rows of a cell begin.
    ///
    /// # Panics
    /// If there are none of that cell.
    pub(super) fn start(&self, cell: usize) -> u64 {
        let first = self.0.partition_point(|part| part.cell < cell);
        assert_eq!(self.0[first].cell, cell, "the rows of a cell that is not there");
        self.0[first].offset
    }
}
