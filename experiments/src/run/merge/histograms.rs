//! Histogram logs of shards put together: the lines of whole cells as they are, those of a cell that shards share added up.

use std::io::Write;
use std::path::Path;

use crate::hlog::{self, CellHistogram};
use crate::plan::{Cell, Plan};
use crate::run::RunError;
use crate::run::folder::Folder;
use crate::run::shard::Shard;
use crate::run::text::Lines;

/// Writes the lines of all cells of the plan from the logs `name` of all its shards, which are in the folder `whole`.
pub(super) fn join(
    plan: &Plan,
    shards: &[Shard],
    whole: &Path,
    name: &str,
    out: &mut impl Write,
) -> Result<(), RunError> {
    let mut begun = CellHistogram::new();
    for &shard in shards {
        let mut log = Log::open(&Folder::of(&shard.folder(whole)), name)?;
        for index in shard.cells(plan.cells.len()) {
            let cell = &plan.cells[index];
            let trials = shard.trials(index, plan.cells.len(), cell.trials);
            if trials.is_empty() {
                continue;
            }
            let line = if trials == (0..cell.trials) {
                log.line_of(cell)?
            } else {
                log.add_part(cell, &mut begun)?;
                if trials.end < cell.trials {
                    continue;
                }
                std::mem::replace(&mut begun, CellHistogram::new()).line(cell)
            };
            let write = out.write_all(line.as_bytes());
            write.map_err(|source| RunError::io("write", &whole.join(name), source))?;
        }
    }
    Ok(())
}

/// The log of a shard.
struct Log(Lines);

impl Log {
    fn open(folder: &Folder, name: &str) -> Result<Log, RunError> {
        if let Some(mut lines) = Lines::open(folder, name)?
            && lines.skip_header(hlog::HEADER)?
        {
            return Ok(Log(lines));
        }
        Err(RunError::StrangeShard {
            path: folder.file(name),
            expected: "the header of a histogram log".to_owned(),
        })
    }

    /// The next line, which must be of all trials of the cell.
    fn line_of(&mut self, cell: &Cell) -> Result<String, RunError> {
        match self.0.next()? {
            Some(line) if hlog::is_of(line, cell) => Ok(line.to_owned()),
            _ => Err(self.complaint(cell)),
        }
    }

    /// Takes in the next line, which must be of some trials of the cell.
    fn add_part(&mut self, cell: &Cell, histogram: &mut CellHistogram) -> Result<(), RunError> {
        let added = self.0.next()?.and_then(|line| histogram.add_part(line, cell));
        added.ok_or_else(|| self.complaint(cell))
    }

    fn complaint(&self, cell: &Cell) -> RunError {
        RunError::StrangeShard {
            path: self.0.path.clone(),
            expected: format!("the histogram of cell {}", hlog::tag(cell)),
        }
    }
}
