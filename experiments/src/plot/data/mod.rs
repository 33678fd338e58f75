//! What figures are drawn from: the tables and logs of a run's folder, and nothing else.

mod cells;
mod latency;
mod makespans;
mod qq;
mod table;
mod timeline;

use std::fs::{self, File};
use std::io;
use std::path::Path;

pub(crate) use cells::{Cell, Estimate, Level, Setting, TheoryPoint};
pub(crate) use latency::CellLatency;
pub(crate) use makespans::Makespans;
pub(crate) use qq::QqPoint;
pub(crate) use timeline::{read_timeline, replays};

use super::{PlotError, QQ};
use crate::run::{DOWNTIME, PAIRED, RECOVERY, SUMMARY, THEORY, TRIALS};

/// All that is known of a run.
#[derive(Debug, Default)]
pub(crate) struct RunData {
    pub(crate) cells: Vec<Cell>,
    pub(crate) theory: Vec<TheoryPoint>,
    pub(crate) downtime: Vec<CellLatency>,
    pub(crate) recovery: Vec<CellLatency>,
    pub(crate) makespans: makespans::ByCell,
}

impl RunData {
    /// Reads a folder. The summary must be there; without theory or logs the figures show what is there.
    pub(crate) fn read(dir: &Path) -> Result<RunData, PlotError> {
        let path = dir.join(SUMMARY);
        let bytes = fs::read(&path).map_err(|source| PlotError::Read {
            path: path.clone(),
            source,
        })?;
        let mut cells = cells::read_cells(&path, &bytes[..])?;
        if cells.is_empty() {
            return Err(PlotError::Nothing { path });
        }
        let path = dir.join(PAIRED);
        if let Some(bytes) = read_if_there(&path)? {
            cells::read_paired(&path, &bytes[..], &mut cells)?;
        }
        let path = dir.join(THEORY);
        let theory = match read_if_there(&path)? {
            Some(bytes) => cells::read_theory(&path, &bytes[..])?,
            None => Vec::new(),
        };
        let downtime = read_latency(&dir.join(DOWNTIME), &cells)?;
        let recovery = read_latency(&dir.join(RECOVERY), &cells)?;
        let path = dir.join(TRIALS);
        let makespans = match File::open(&path) {
            Ok(file) => makespans::read_makespans(&path, file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => makespans::ByCell::new(),
            Err(source) => return Err(PlotError::Read { path, source }),
        };
        Ok(RunData {
            cells,
            theory,
            downtime,
            recovery,
            makespans,
        })
    }

    /// The makespans of a cell, if its trials are there.
    pub(crate) fn makespans_of(&self, cell: &Cell) -> Option<&Makespans> {
        self.makespans.get(&(cell.point, cell.level))
    }

    /// The cell of a histogram.
    pub(crate) fn cell_of(&self, latency: &CellLatency) -> Option<&Cell> {
        find(&self.cells, latency)
    }
}

fn read_latency(path: &Path, cells: &[Cell]) -> Result<Vec<CellLatency>, PlotError> {
    let Some(text) = read_if_there(path)? else {
        return Ok(Vec::new());
    };
    let logged = latency::read_log(path, &text)?;
    for latency in &logged {
        if find(cells, latency).is_none() {
            let what = format!("the tag names a cell that is not in {SUMMARY}");
            return Err(PlotError::line(path, latency.line, what));
        }
    }
    Ok(logged)
}

fn find<'a>(cells: &'a [Cell], latency: &CellLatency) -> Option<&'a Cell> {
    cells
        .iter()
        .find(|cell| (cell.point, cell.level) == (latency.point, latency.level))
}

/// The quantiles of a fitted log, if they are there.
pub(crate) fn read_quantiles(dir: &Path) -> Result<Vec<QqPoint>, PlotError> {
    let path = dir.join(QQ);
    match read_if_there(&path)? {
        Some(bytes) => qq::read_qq(&path, &bytes[..]),
        None => Ok(Vec::new()),
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, PlotError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PlotError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
