//! ④ `summary.csv`, `paired.csv` and `theory.csv` from `trials.csv`, in memory that does not grow with it.

use std::collections::BTreeMap;

use super::RunError;
use super::folder::{Folder, PAIRED, SUMMARY, THEORY};
use super::rows::TrialRows;
use crate::curve;
use crate::hlog;
use crate::manifest::Counts;
use crate::paired::{Pairs, comparisons};
use crate::plan::Plan;
use crate::record::{self, PairedRow, SummaryRow, TheoryRow};
use crate::summary::CellSummary;
use crate::theory::FirstOrder;

/// Writes the three tables.
pub(super) fn summarise(
    plan: &Plan,
    folder: &Folder,
    mut counts: Counts,
    warnings: &mut Vec<String>,
) -> Result<Counts, RunError> {
    let mut summary = record::header::<SummaryRow>();
    let mut rows = TrialRows::open(folder)?;
    let mut offsets = Vec::with_capacity(plan.cells.len());
    for cell in &plan.cells {
        let offset = rows.offset();
        offsets.push(offset);
        let mut gathered = CellSummary::default();
        let mut reasons = BTreeMap::<String, u64>::new();
        for _ in 0..cell.trials {
            let row = rows.next()?;
            counts.failures += row.failures;
            if let Some(reason) = &row.reason {
                counts.given_up += 1;
                *reasons.entry(reason.clone()).or_default() += 1;
            }
            gathered.add(&row);
        }
        let tag = hlog::tag(cell);
        for (reason, count) in reasons {
            warnings.push(format!(
                "cell {tag}: {count} of {} trials given up ({reason})",
                cell.trials
            ));
        }
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
        summary += &record::line(&gathered.finish(plan, cell, again)?);
    }
    folder.write(SUMMARY, summary.as_bytes())?;
    folder.write(PAIRED, paired(plan, folder, &offsets)?.as_bytes())?;
    let header = record::header::<TheoryRow>();
    let theory = curve::rows(plan)
        .iter()
        .fold(header, |all, row| all + &record::line(row));
    folder.write(THEORY, theory.as_bytes())?;
    warnings.extend(first_order_warnings(plan));
    Ok(counts)
}

/// Compares cells trial by trial. `offsets` says where the rows of each cell begin.
fn paired(plan: &Plan, folder: &Folder, offsets: &[u64]) -> Result<String, RunError> {
    let mut table = record::header::<PairedRow>();
    for comparison in comparisons(plan) {
        let mut rows = TrialRows::open_at(folder, offsets[comparison.cell])?;
        let mut baseline = TrialRows::open_at(folder, offsets[comparison.baseline])?;
        let trials = plan.cells[comparison.cell].trials;
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
