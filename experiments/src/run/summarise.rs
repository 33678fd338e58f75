//! ④ `summary.csv`, `paired.csv` and `theory.csv` from `trials.csv`, in memory that does not grow with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::RunError;
use super::folder::{Folder, PAIRED, SUMMARY, THEORY};
use super::ordered;
use super::parts::{Part, Parts};
use super::rows::TrialRows;
use crate::curve;
use crate::hlog;
use crate::lines::Measured;
use crate::manifest::Counts;
use crate::paired::{Comparison, Pairs, comparisons};
use crate::plan::Plan;
use crate::record::{self, PairedRow, SummaryRow, TheoryRow};
use crate::spec::Precision;
use crate::summary::CellSummary;
use crate::theory::FirstOrder;

/// Writes the three tables; `jobs` threads read the rows, whose parts begin where `parts` says.
pub(super) fn summarise(
    plan: &Plan,
    folder: &Folder,
    parts: &Parts,
    jobs: usize,
    mut counts: Counts,
    warnings: &mut Vec<String>,
) -> Result<Counts, RunError> {
    let trials = Trials { plan, folder, parts };
    let mut cells = Cells {
        trials,
        begun: None,
        table: record::header::<SummaryRow>(),
        few: Vec::new(),
        counts: &mut counts,
        warnings,
    };
    let read = |numbers: Range<u64>| trials.read(numbers.start);
    let end = parts.all().len() as u64;
    ordered::run(jobs, 0..end, &AtomicBool::new(false), |_| 1, read, &mut cells)?;
    folder.write(SUMMARY, cells.table.as_bytes())?;
    cells.warnings.extend(few_failures(&cells.few));
    folder.write(PAIRED, paired(trials, jobs)?.as_bytes())?;
    let header = record::header::<TheoryRow>();
    let theory = curve::rows(plan)
        .iter()
        .fold(header, |all, row| all + &record::line(row));
    folder.write(THEORY, theory.as_bytes())?;
    warnings.extend(first_order_warnings(plan));
    Ok(counts)
}

/// The rows of a complete run.
#[derive(Clone, Copy)]
struct Trials<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
    parts: &'a Parts,
}

/// What a thread makes of a part: all there is to say of its cell if it is all of it, or else its rows, for numbers are
/// added up in the order of the rows.
enum Read {
    Cell(Summarised),
    Rows(Vec<Measured>),
}

impl Trials<'_> {
    fn rows_of(&self, cell: usize) -> Result<TrialRows, RunError> {
        TrialRows::open_at(self.folder, self.parts.start(cell))
    }

    fn part(&self, number: u64) -> &Part {
        &self.parts.all()[usize::try_from(number).unwrap_or(usize::MAX)]
    }

    fn read(&self, number: u64) -> Result<Read, RunError> {
        let part = self.part(number);
        let cell = &self.plan.cells[part.cell];
        let mut rows = TrialRows::open_at(self.folder, part.offset)?;
        if part.trials.len() < cell.trials as usize {
            let measured = part.trials.clone().map(|_| rows.next());
            return Ok(Read::Rows(measured.collect::<Result<_, _>>()?));
        }
        let mut gathered = Gathered::new(cell.trials);
        for _ in part.trials.clone() {
            gathered.add(rows.next()?);
        }
        Ok(Read::Cell(self.finish(gathered, part.cell)?))
    }

    fn finish(&self, gathered: Gathered, index: usize) -> Result<Summarised, RunError> {
        let cell = &self.plan.cells[index];
        let tag = hlog::tag(cell);
        let given_up = |(reason, count)| {
            format!(
                "cell {tag}: {count} of {} trials given up ({reason})",
                cell.trials
            )
        };
        let mut warnings: Vec<String> = gathered.reasons.into_iter().map(given_up).collect();
        let again = |each: &mut dyn FnMut(f64)| -> Result<(), RunError> {
            let mut rows = self.rows_of(index)?;
            for _ in 0..cell.trials {
                let row = rows.next()?;
                row.waste
                    .filter(|_| row.completed)
                    .into_iter()
                    .for_each(&mut *each);
            }
            Ok(())
        };
        let few = gathered.summary.few_that_met_a_failure(self.plan, cell);
        let row = gathered.summary.finish(self.plan, cell, again)?;
        let wanted = self.plan.spec.precision.as_ref();
        warnings.extend(
            wanted
                .filter(|_| few.is_none())
                .and_then(|wanted| short_of(wanted, &row))
                .map(|how| format!("cell {tag}: {how}")),
        );
        Ok(Summarised {
            few: few.map(|met| format!("{tag} ({met} of {})", cell.trials)),
            line: record::line(&row),
            failures: gathered.failures,
            given_up: gathered.given_up,
            warnings,
        })
    }
}

/// What the rows of a cell come to, while they are read.
struct Gathered {
    summary: CellSummary,
    failures: u64,
    given_up: u64,
    reasons: BTreeMap<String, u64>,
}

impl Gathered {
    /// Of a cell with so many trials.
    fn new(trials: u32) -> Gathered {
        Gathered {
            summary: CellSummary::new(trials.into()),
            failures: 0,
            given_up: 0,
            reasons: BTreeMap::new(),
        }
    }

    fn add(&mut self, row: Measured) {
        self.failures += row.failures;
        self.summary.add(&row);
        if let Some(reason) = row.reason {
            self.given_up += 1;
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// One cell of the summary.
struct Summarised {
    line: String,
    /// Which it is, if too few trials met a failure, and how many did.
    few: Option<String>,
    failures: u64,
    given_up: u64,
    warnings: Vec<String>,
}

/// Puts the cells together, in order.
struct Cells<'a> {
    trials: Trials<'a>,
    /// The cell whose parts are being read.
    begun: Option<Gathered>,
    table: String,
    /// Cells of which too few trials met a failure.
    few: Vec<String>,
    counts: &'a mut Counts,
    warnings: &'a mut Vec<String>,
}

impl Cells<'_> {
    /// Takes in a part of a cell; the cell, if it was its last.
    fn add(&mut self, part: &Part, rows: Vec<Measured>) -> Result<Option<Summarised>, RunError> {
        let trials = self.trials.plan.cells[part.cell].trials;
        let mut cell = self.begun.take().unwrap_or_else(|| Gathered::new(trials));
        for row in rows {
            cell.add(row);
        }
        if part.trials.end < trials {
            self.begun = Some(cell);
            return Ok(None);
        }
        self.trials.finish(cell, part.cell).map(Some)
    }
}

impl ordered::Sink<Result<Read, RunError>> for Cells<'_> {
    type Error = RunError;

    fn take(&mut self, numbers: Range<u64>, read: Result<Read, RunError>) -> Result<(), RunError> {
        let trials = self.trials;
        let cell = match read? {
            Read::Cell(cell) => Some(cell),
            Read::Rows(rows) => self.add(trials.part(numbers.start), rows)?,
        };
        if let Some(cell) = cell {
            self.table += &cell.line;
            self.counts.failures += cell.failures;
            self.counts.given_up += cell.given_up;
            self.warnings.extend(cell.warnings);
            self.few.extend(cell.few);
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// Compares cells trial by trial.
fn paired(trials: Trials<'_>, jobs: usize) -> Result<String, RunError> {
    let comparisons = comparisons(trials.plan);
    let compare = |numbers: Range<u64>| {
        let number = usize::try_from(numbers.start).unwrap_or(usize::MAX);
        compared(trials, comparisons[number])
    };
    let mut table = Table(record::header::<PairedRow>());
    let end = comparisons.len() as u64;
    ordered::run(jobs, 0..end, &AtomicBool::new(false), |_| 1, compare, &mut table)?;
    Ok(table.0)
}

/// The line of a comparison.
fn compared(trials: Trials<'_>, comparison: Comparison) -> Result<String, RunError> {
    let mut rows = trials.rows_of(comparison.cell)?;
    let mut baseline = trials.rows_of(comparison.baseline)?;
    // The precision that is asked for may take more trials of one than of the other.
    let cells = &trials.plan.cells;
    let common = cells[comparison.cell]
        .trials
        .min(cells[comparison.baseline].trials);
    let mut pairs = Pairs::default();
    for _ in 0..common {
        pairs.add(rows.next_compared()?, baseline.next_compared()?);
    }
    Ok(record::line(&pairs.finish(trials.plan, comparison)))
}

/// Lines, in order.
struct Table(String);

impl ordered::Sink<Result<String, RunError>> for Table {
    type Error = RunError;

    fn take(&mut self, _: Range<u64>, line: Result<String, RunError>) -> Result<(), RunError> {
        self.0 += &line?;
        Ok(())
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// Half-widths come out above the one that is wanted as often as below: after a pilot of 100 trials one in a thousand by more than this.
const PRECISION_SLACK: f64 = 1.25;

/// How a cell is short of the precision that was asked for.
fn short_of(wanted: &Precision, row: &SummaryRow) -> Option<String> {
    let percent = |share: f64| format!("{:.3} %", 100.0 * share);
    let goal = percent(wanted.makespan);
    let bounds = row
        .makespan_mean_s
        .zip(row.makespan_ci95_lo_s.zip(row.makespan_ci95_hi_s));
    let Some((mean, (low, high))) = bounds else {
        return Some(format!("no mean makespan, short of the precision of {goal}"));
    };
    let reached = (high - low) / 2.0 / mean;
    let cut_short = row.n >= wanted.trials_max.into();
    let slack = if cut_short { 1.0 } else { PRECISION_SLACK };
    (reached > slack * wanted.makespan).then(|| {
        format!(
            "mean makespan known to {} after {} trials, short of the precision of {goal}",
            percent(reached),
            row.n
        )
    })
}

/// Cells that are named in one warning.
const NAMED_MAX: usize = 5;

/// Of which cells nobody knows how sure their means are.
fn few_failures(cells: &[String]) -> Option<String> {
    let (named, others) = cells.split_at(cells.len().min(NAMED_MAX));
    let more = match others.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| {
        format!(
            "too few trials met a failure to tell how far the mean is from the truth, it has no interval: {}{more}",
            named.join(", ")
        )
    })
}

/// Where the formulas that Young's and Daly's intervals rest on are rough: a line for each degree, with the points it is said of.
fn first_order_warnings(plan: &Plan) -> Vec<String> {
    let (mut rough, mut invalid) = (Vec::new(), Vec::new());
    for cell in &plan.cells {
        let Some(tau) = cell.interval else { continue };
        match plan.scenario(cell).first_order_validity(tau.as_secs_f64()) {
            FirstOrder::Good => {}
            FirstOrder::Rough => rough.push(cell.point),
            FirstOrder::Invalid => invalid.push(cell.point),
        }
    }
    let words = [
        (
            rough,
            "the period is long beside the MTBF: first-order waste is rough",
        ),
        (
            invalid,
            "first-order waste does not hold: D + R + T/2 exceeds the MTBF",
        ),
    ];
    let said = words.into_iter().filter(|(points, _)| !points.is_empty());
    said.map(|(points, words)| format!("points {}: {words}", runs(points)))
        .collect()
}

/// Ascending numbers, repeated or not, with neighbours drawn together: `1-3, 7`.
fn runs(numbers: Vec<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if number <= *last + 1 => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown = runs.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}
