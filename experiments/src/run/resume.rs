//! What an earlier, ended process left of a run, and where to go on.
//!
//! Rules, for any bytes that are found:
//! 1. A line without its line feed is torn and dropped. So is everything from the first line on that is not the row that
//!    belongs there (another trial, another seed, not a row at all). Nothing is lost by that: trials are repeatable.
//! 2. A histogram line covers a whole cell, or all that the part of a run has of one, and is written after the last of these rows. Work goes
//!    on at the first cell that lacks a row or a histogram line; a cell of which there are to be no rows lacks nothing.
//! 3. Rows kept of that cell and beyond are computed again, for the histograms' sake, and compared with what is there. A
//!    difference is an error: the run is not the run that was begun.

use std::fs;

use super::RunError;
use super::folder::{CLUSTER, DOWNTIME, Folder, JOBS, RECOVERY, TRIALS};
use super::parts::Parts;
use super::text::Lines;
use crate::hlog;
use crate::lines::CellRows;
use crate::plan::Plan;
use crate::record::{self, ClusterRow, JobRow, TrialRow};
use crate::spec::Level;

/// Where to go on.
#[derive(Debug)]
pub(super) struct Remains {
    /// Rows that stand, and the bytes they take with the header.
    pub rows: u64,
    pub row_bytes: u64,
    /// Where the rows of the cells before `restart_at` begin.
    pub parts: Parts,
    /// The trial to go on with: the first that the plan has of a cell.
    pub restart_at: u64,
    /// The byte at which its row begins, or will.
    pub restart_byte: u64,
    /// Bytes of the histogram logs that stand.
    pub downtime_bytes: u64,
    pub recovery_bytes: u64,
    /// Bytes of the tables of clusters that stand.
    pub cluster_bytes: u64,
    pub jobs_bytes: u64,
    /// Rows from `restart_at` on, to be compared.
    pub kept: KeptRows,
}

impl Remains {
    /// Of a run that has just begun.
    pub(super) fn none(folder: &Folder) -> Result<Remains, RunError> {
        let kept = KeptRows::open(folder, 0, 0, 0)?;
        Ok(Remains {
            rows: 0,
            row_bytes: 0,
            parts: Parts::default(),
            restart_at: 0,
            restart_byte: record::header::<TrialRow>().len() as u64,
            downtime_bytes: 0,
            recovery_bytes: 0,
            cluster_bytes: 0,
            jobs_bytes: 0,
            kept,
        })
    }

    /// Of the run in a folder.
    pub(super) fn find(folder: &Folder, plan: &Plan) -> Result<Remains, RunError> {
        let found = whole_rows(folder, plan)?;
        // One offset more than cells all of whose rows are there: that of the cell being filled.
        let cells_by_rows = found.cell_offsets.len() - 1;
        let downtime = histogram_lines(folder, DOWNTIME, plan)?;
        let recovery = histogram_lines(folder, RECOVERY, plan)?;
        let whole_cells = cells_by_rows.min(downtime.len() - 1).min(recovery.len() - 1);
        let restart_at = plan.first_trial(whole_cells);
        Ok(Remains {
            rows: found.rows,
            row_bytes: found.bytes,
            parts: found.parts.of_cells(whole_cells),
            restart_at,
            restart_byte: found.cell_offsets[whole_cells],
            downtime_bytes: downtime[whole_cells],
            recovery_bytes: recovery[whole_cells],
            cluster_bytes: table_lines(folder, CLUSTER, &ClusterRow::header(), 1, plan, whole_cells)?,
            jobs_bytes: table_lines(folder, JOBS, &record::header::<JobRow>(), 0, plan, whole_cells)?,
            kept: KeptRows::open(folder, found.cell_offsets[whole_cells], restart_at, found.rows)?,
        })
    }
}

/// Whether a complete `trials.csv` has the row of each trial of the plan once, in order, and nothing else.
pub(super) fn check_all_rows(folder: &Folder, plan: &Plan) -> Result<(), RunError> {
    let found = whole_rows(folder, plan)?;
    let path = folder.file(TRIALS);
    let metadata = fs::metadata(&path).map_err(|source| RunError::io("read", &path, source))?;
    if (found.rows, found.bytes) == (plan.trials(), metadata.len()) {
        return Ok(());
    }
    let trials = plan.trials();
    let expected = if found.rows < trials {
        let item = plan.item(found.rows);
        let cell = &plan.cells[item.cell];
        format!(
            "trial {} of point {} at level {} in row {}",
            item.trial,
            cell.point,
            cell.level.name(),
            found.rows + 1
        )
    } else {
        format!("no row behind that of the last of its {trials} trials")
    };
    Err(RunError::StrangeRows { path, expected })
}

/// The rows that belong to the plan, from the start.
struct WholeRows {
    rows: u64,
    bytes: u64,
    /// At which byte each cell's rows begin: of the cells all of whose rows are there, and of the one after them.
    cell_offsets: Vec<u64>,
    parts: Parts,
}

impl WholeRows {
    /// Notes the cells that end with the last row, or have none at all after it.
    fn end_cells(&mut self, plan: &Plan) {
        while self.cell_offsets.len() <= plan.cells.len()
            && plan.first_trial(self.cell_offsets.len()) == self.rows
        {
            self.cell_offsets.push(self.bytes);
        }
    }
}

fn whole_rows(folder: &Folder, plan: &Plan) -> Result<WholeRows, RunError> {
    let header = record::header::<TrialRow>();
    let mut found = WholeRows {
        rows: 0,
        bytes: 0,
        cell_offsets: vec![header.len() as u64],
        parts: Parts::default(),
    };
    let Some(mut lines) = Lines::open(folder, TRIALS)? else {
        return Ok(found);
    };
    if !lines.skip_header(&header)? {
        return Ok(found);
    }
    found.bytes = lines.offset;
    found.end_cells(plan);
    let rows_of = |cell: usize| (cell, CellRows::new(&TrialRow::of(plan, &plan.cells[cell])));
    let mut known = rows_of(0);
    while found.rows < plan.trials() {
        let item = plan.item(found.rows);
        if item.cell != known.0 {
            known = rows_of(item.cell);
        }
        let seed = plan.seed(item.trial).0;
        let belongs = |line| known.1.has(line, item.trial, seed);
        if !lines.next()?.is_some_and(belongs) {
            break;
        }
        found.parts.row_at(plan, found.rows, found.bytes);
        found.rows += 1;
        found.bytes = lines.offset;
        found.end_cells(plan);
    }
    Ok(found)
}

/// Bytes of a table of clusters with the lines of the first cells. A cell's lines are written before its line in the histogram
/// logs, so they are whole. Column `column` is the number of the point.
fn table_lines(
    folder: &Folder,
    name: &str,
    header: &str,
    column: usize,
    plan: &Plan,
    cells: usize,
) -> Result<u64, RunError> {
    let Some(mut lines) = Lines::open(folder, name)? else {
        return Ok(0);
    };
    if !lines.skip_header(header)? {
        return Ok(0);
    }
    // Cells of other levels have no lines here.
    let mut again = plan.cells[cells..].iter();
    let first = again
        .find(|cell| cell.level == Level::Cluster)
        .map(|cell| cell.point);
    let mut bytes = lines.offset;
    while let Some(line) = lines.next()? {
        let point = line
            .split(',')
            .nth(column)
            .and_then(|point| point.parse::<u32>().ok());
        match (point, first) {
            (Some(point), Some(first)) if point >= first => break,
            (None, _) => break,
            _ => bytes = lines.offset,
        }
    }
    Ok(bytes)
}

/// Where in a histogram log the lines of the plan's cells end, from the first cell on; in front, where the header ends.
fn histogram_lines(folder: &Folder, name: &str, plan: &Plan) -> Result<Vec<u64>, RunError> {
    let Some(mut lines) = Lines::open(folder, name)? else {
        return Ok(vec![0]);
    };
    if !lines.skip_header(hlog::HEADER)? {
        return Ok(vec![0]);
    }
    let mut ends = vec![lines.offset];
    for (index, cell) in plan.cells.iter().enumerate() {
        let belongs = |line| {
            if plan.is_whole(index) {
                hlog::is_of(line, cell)
            } else {
                hlog::is_of_part(line, cell)
            }
        };
        // Of a cell without trials there is no line.
        if !plan.range(index).is_empty() && !lines.next()?.is_some_and(belongs) {
            break;
        }
        ends.push(lines.offset);
    }
    Ok(ends)
}

/// Rows that an earlier process wrote, given out again to be compared.
#[derive(Debug)]
pub(super) struct KeptRows {
    lines: Option<Lines>,
    next: u64,
    end: u64,
}

impl KeptRows {
    fn open(folder: &Folder, offset: u64, next: u64, end: u64) -> Result<KeptRows, RunError> {
        if next >= end {
            return Ok(KeptRows {
                lines: None,
                next,
                end: next,
            });
        }
        let mut lines = Lines::open(folder, TRIALS)?;
        if let Some(lines) = &mut lines {
            lines.seek(offset)?;
        }
        Ok(KeptRows { lines, next, end })
    }

    /// Is there a row of this trial? Then it must equal `line`.
    pub(super) fn check(&mut self, number: u64, line: &str) -> Result<bool, RunError> {
        if number != self.next || number >= self.end {
            return Ok(false);
        }
        self.next += 1;
        let Some(lines) = &mut self.lines else {
            return Ok(false);
        };
        if lines.next()? == Some(line) {
            return Ok(true);
        }
        Err(RunError::NotReproducible {
            path: lines.path.clone(),
            row: number + 1,
        })
    }
}
