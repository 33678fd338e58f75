//! ④ `summary.csv`, `paired.csv` and `theory.csv` from `trials.csv`, in memory that does not grow with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::RunError;
use super::folder::{Folder, PAIRED, SUMMARY, THEORY};
use super::ordered;
use super::rows::TrialRows;
use crate::curve;
use crate::hlog;
use crate::manifest::Counts;
use crate::paired::{Pairs, comparisons};
use crate::plan::Plan;
use crate::record::{self, PairedRow, SummaryRow, TheoryRow};
use crate::summary::CellSummary;
use crate::theory::FirstOrder;

/// Writes the three tables; cells are summarised by `jobs` threads.
pub(super) fn summarise(
    plan: &Plan,
    folder: &Folder,
    jobs: usize,
    mut counts: Counts,
    warnings: &mut Vec<String>,
) -> Result<Counts, RunError> {
    let offsets = offsets(plan, folder)?;
    let mut cells = Cells {
        table: record::header::<SummaryRow>(),
        counts: &mut counts,
        warnings,
    };
    ordered::run(
        jobs,
        0..plan.cells.len() as u64,
        &AtomicBool::new(false),
        |_| 1,
        |numbers| {
            summarised(
                plan,
                folder,
                &offsets,
                usize::try_from(numbers.start).unwrap_or(usize::MAX),
            )
        },
        &mut cells,
    )?;
    folder.write(SUMMARY, cells.table.as_bytes())?;
    folder.write(PAIRED, paired(plan, folder, &offsets)?.as_bytes())?;
    let header = record::header::<TheoryRow>();
    let theory = curve::rows(plan)
        .iter()
        .fold(header, |all, row| all + &record::line(row));
    folder.write(THEORY, theory.as_bytes())?;
    warnings.extend(first_order_warnings(plan));
    Ok(counts)
}

/// At which byte the rows of each cell begin.
fn offsets(plan: &Plan, folder: &Folder) -> Result<Vec<u64>, RunError> {
    let mut rows = TrialRows::open(folder)?;
    let mut offsets = Vec::with_capacity(plan.cells.len());
    for cell in &plan.cells {
        offsets.push(rows.offset());
        rows.skip(cell.trials)?;
    }
    Ok(offsets)
}

/// One cell of the summary.
struct Summarised {
    line: String,
    failures: u64,
    given_up: u64,
    warnings: Vec<String>,
}

fn summarised(plan: &Plan, folder: &Folder, offsets: &[u64], index: usize) -> Result<Summarised, RunError> {
    let (cell, offset) = (&plan.cells[index], offsets[index]);
    let mut rows = TrialRows::open_at(folder, offset)?;
    let mut gathered = CellSummary::default();
    let (mut failures, mut given_up) = (0, 0);
    let mut reasons = BTreeMap::<String, u64>::new();
    for _ in 0..cell.trials {
        let row = rows.next()?;
        failures += row.failures;
        gathered.add(&row);
        if let Some(reason) = row.reason {
            given_up += 1;
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let tag = hlog::tag(cell);
    let warnings = reasons
        .into_iter()
        .map(|(reason, count)| {
            format!(
                "cell {tag}: {count} of {} trials given up ({reason})",
                cell.trials
            )
        })
        .collect();
    let again = |each: &mut dyn FnMut(f64)| -> Result<(), RunError> {
        let mut rows = TrialRows::open_at(folder, offset)?;
        for _ in 0..cell.trials {
            let row = rows.next()?;
            row.waste
                .filter(|_| row.completed)
                .into_iter()
                .for_each(&mut *each);
        }
        Ok(())
    };
    Ok(Summarised {
        line: record::line(&gathered.finish(plan, cell, again)?),
        failures,
        given_up,
        warnings,
    })
}

/// Puts the cells together, in order.
struct Cells<'a> {
    table: String,
    counts: &'a mut Counts,
    warnings: &'a mut Vec<String>,
}

impl ordered::Sink<Result<Summarised, RunError>> for Cells<'_> {
    type Error = RunError;

    fn take(&mut self, _: Range<u64>, cell: Result<Summarised, RunError>) -> Result<(), RunError> {
        let cell = cell?;
        self.table += &cell.line;
        self.counts.failures += cell.failures;
        self.counts.given_up += cell.given_up;
        self.warnings.extend(cell.warnings);
        Ok(())
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// Compares cells trial by trial. `offsets` says where the rows of each cell begin.
fn paired(plan: &Plan, folder: &Folder, offsets: &[u64]) -> Result<String, RunError> {
    let mut table = record::header::<PairedRow>();
    for comparison in comparisons(plan) {
        let mut rows = TrialRows::open_at(folder, offsets[comparison.cell])?;
        let mut baseline = TrialRows::open_at(folder, offsets[comparison.baseline])?;
        // The precision that is asked for may take more trials of one than of the other.
        let trials = plan.cells[comparison.cell]
            .trials
            .min(plan.cells[comparison.baseline].trials);
        let mut pairs = Pairs::new(trials);
        for _ in 0..trials {
            pairs.add(rows.next()?.makespan_s, baseline.next()?.makespan_s);
        }
        table += &record::line(&pairs.finish(plan, comparison));
    }
    Ok(table)
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
