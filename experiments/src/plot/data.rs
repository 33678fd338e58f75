//! What the files of a run say, as far as figures need it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::error::PlotError;
use crate::run::{DOWNTIME, RECOVERY, SUMMARY, THEORY};

/// A line of `summary.csv`.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) point: String,
    pub(super) level: String,
    pub(super) policy: String,
    pub(super) program: String,
    pub(super) mtbf_s: f64,
    pub(super) interval_s: Option<f64>,
    pub(super) work_s: f64,
    pub(super) n: f64,
    pub(super) waste: Option<Estimate>,
    pub(super) lost_s: Option<Estimate>,
}

/// A mean with its 95 % confidence interval, if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) mean: f64,
    pub(super) interval: Option<(f64, f64)>,
}

/// A line of `theory.csv`.
#[derive(Debug, Clone)]
pub(super) struct TheoryPoint {
    pub(super) curve: String,
    pub(super) mtbf_s: f64,
    pub(super) interval_s: Option<f64>,
    pub(super) waste: Option<f64>,
}

/// Durations of one cell in nanoseconds, tagged `point.level`.
#[derive(Debug, Clone)]
pub(super) struct Durations {
    pub(super) tag: String,
    pub(super) histogram: Histogram<u64>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct RunData {
    pub(super) experiment: String,
    pub(super) cells: Vec<Cell>,
    pub(super) theory: Vec<TheoryPoint>,
    pub(super) downtime: Vec<Durations>,
    pub(super) recovery: Vec<Durations>,
}

impl RunData {
    /// Reads the files; `theory.csv` and the histogram logs may be missing.
    pub(super) fn read(dir: &Path) -> Result<Self, PlotError> {
        let summary = Table::read(dir.join(SUMMARY))?.ok_or_else(|| PlotError::Io {
            operation: "open",
            path: dir.join(SUMMARY),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let theory = Table::read(dir.join(THEORY))?;
        let experiment = summary.column("experiment")?;
        let experiment = summary
            .rows
            .first()
            .map(|row| row.text(experiment))
            .unwrap_or_default();
        Ok(RunData {
            experiment,
            cells: summary.cells()?,
            theory: theory.map_or(Ok(Vec::new()), |theory| theory.theory())?,
            downtime: histograms(&dir.join(DOWNTIME))?,
            recovery: histograms(&dir.join(RECOVERY))?,
        })
    }

    /// The different MTBFs, ascending: each is a series.
    pub(super) fn mtbfs(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.cells.iter().map(|cell| cell.mtbf_s).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    }
}

/// A CSV file in memory: summaries are small.
struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    line: u64,
    cells: csv::StringRecord,
}

impl Row {
    fn text(&self, column: usize) -> String {
        self.cells.get(column).unwrap_or_default().to_owned()
    }
}

impl Table {
    fn read(path: PathBuf) -> Result<Option<Self>, PlotError> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(PlotError::Io {
                    operation: "open",
                    path,
                    source,
                });
            }
        };
        let mut reader = csv::ReaderBuilder::new().from_reader(file);
        let malformed = |path: &Path, error: &csv::Error| PlotError::Row {
            path: path.to_owned(),
            line: error.position().map_or(1, csv::Position::line),
            reason: error.to_string(),
        };
        let header = reader.headers().map_err(|error| malformed(&path, &error))?;
        let header = header.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let cells = record.map_err(|error| malformed(&path, &error))?;
            let line = cells.position().map_or(0, csv::Position::line);
            rows.push(Row { line, cells });
        }
        Ok(Some(Table { path, header, rows }))
    }

    fn column(&self, column: &'static str) -> Result<usize, PlotError> {
        let found = self.header.iter().position(|name| name == column);
        found.ok_or_else(|| PlotError::NoColumn {
            path: self.path.clone(),
            column,
        })
    }

    /// The number in a cell; `None` if the cell is empty.
    fn number(&self, row: &Row, column: &'static str) -> Result<Option<f64>, PlotError> {
        let text = row.cells.get(self.column(column)?).unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.map(Some).ok_or_else(|| self.no_number(row, column, text))
    }

    /// The number in a cell that must have one.
    fn needed(&self, row: &Row, column: &'static str) -> Result<f64, PlotError> {
        self.number(row, column)?
            .ok_or_else(|| self.no_number(row, column, ""))
    }

    fn no_number(&self, row: &Row, column: &'static str, found: &str) -> PlotError {
        PlotError::Cell {
            path: self.path.clone(),
            line: row.line,
            column,
            found: found.to_owned(),
        }
    }

    fn estimate(
        &self,
        row: &Row,
        [mean, low, high]: [&'static str; 3],
    ) -> Result<Option<Estimate>, PlotError> {
        let interval = self.number(row, low)?.zip(self.number(row, high)?);
        Ok(self.number(row, mean)?.map(|mean| Estimate { mean, interval }))
    }

    fn cells(&self) -> Result<Vec<Cell>, PlotError> {
        let [point, level, policy, program] =
            ["point", "level", "policy", "program"].map(|name| self.column(name));
        let (point, level, policy, program) = (point?, level?, policy?, program?);
        let cell = |row: &Row| {
            Ok(Cell {
                point: row.text(point),
                level: row.text(level),
                policy: row.text(policy),
                program: row.text(program),
                mtbf_s: self.needed(row, "mtbf_s")?,
                interval_s: self.number(row, "interval_s")?,
                work_s: self.needed(row, "work_s")?,
                n: self.needed(row, "n")?,
                waste: self.estimate(row, ["waste_mean", "waste_ci95_lo", "waste_ci95_hi"])?,
                lost_s: self.estimate(row, ["lost_mean_s", "lost_ci95_lo_s", "lost_ci95_hi_s"])?,
            })
        };
        self.rows.iter().map(cell).collect()
    }

    fn theory(&self) -> Result<Vec<TheoryPoint>, PlotError> {
        let curve = self.column("curve")?;
        let point = |row: &Row| {
            Ok(TheoryPoint {
                curve: row.text(curve),
                mtbf_s: self.needed(row, "mtbf_s")?,
                interval_s: self.number(row, "interval_s")?,
                waste: self.number(row, "waste")?,
            })
        };
        self.rows.iter().map(point).collect()
    }
}

/// The histograms of a log; none if there is no such file.
fn histograms(path: &Path) -> Result<Vec<Durations>, PlotError> {
    let mut text = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(PlotError::Io {
                operation: "read",
                path: path.to_owned(),
                source,
            });
        }
    }
    let mut all = Vec::new();
    let mut deserializer = Deserializer::new();
    for (index, entry) in IntervalLogIterator::new(&text).enumerate() {
        let malformed = |reason: String| PlotError::Histogram {
            path: path.to_owned(),
            line: index + 1,
            reason,
        };
        let entry = entry.map_err(|error| malformed(format!("{error:?}")))?;
        let LogEntry::Interval(interval) = entry else {
            continue;
        };
        let bytes = BASE64_STANDARD
            .decode(interval.encoded_histogram())
            .map_err(|error| malformed(error.to_string()))?;
        let histogram = deserializer
            .deserialize(&mut bytes.as_slice())
            .map_err(|e| malformed(e.to_string()))?;
        let tag = interval
            .tag()
            .map(|tag| tag.as_str().to_owned())
            .unwrap_or_default();
        all.push(Durations { tag, histogram });
    }
    Ok(all)
}
