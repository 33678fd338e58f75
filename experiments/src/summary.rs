//! ④ From rows of trials to a row a cell.
//!
//! Only `trials.csv` is read, so a resumed run summarises like an uninterrupted one, and a summary can be made again.

use crate::plan::{Cell, Plan};
use crate::record::{SummaryRow, TrialRow};
use crate::stats::{Moments, quantile};
use crate::theory;

/// Gathers the rows of one cell. Memory: three numbers a trial of that cell.
#[derive(Debug, Default)]
pub struct CellSummary {
    n: u64,
    failures: u64,
    checkpoints: u64,
    makespan_s: Vec<f64>,
    waste: Vec<f64>,
    lost_s: Vec<f64>,
}

impl CellSummary {
    /// Takes in one trial.
    pub fn add(&mut self, row: &TrialRow) {
        self.n += 1;
        self.failures += row.failures;
        self.checkpoints += row.checkpoints;
        if let (true, Some(makespan_s), Some(waste), Some(lost_s)) =
            (row.completed, row.makespan_s, row.waste, row.lost_s)
        {
            self.makespan_s.push(makespan_s);
            self.waste.push(waste);
            self.lost_s.push(lost_s);
        }
    }

    /// The row of the cell.
    ///
    /// Trials that were given up are the long ones. A mean over the others would flatter the policy, so it is left
    /// empty; quantiles count them as worse than all that finished.
    pub fn finish(mut self, plan: &Plan, cell: &Cell) -> SummaryRow {
        let completed = self.waste.len();
        let censored = usize::try_from(self.n).unwrap_or(usize::MAX) - completed;
        let moments = |sample: &[f64]| if censored == 0 { Moments::of(sample) } else { None };
        let (makespan, waste, lost) = (
            moments(&self.makespan_s),
            moments(&self.waste),
            moments(&self.lost_s),
        );
        self.waste.sort_by(f64::total_cmp);
        let quantile_of_waste = |q| quantile(&self.waste, censored, q);
        let per_trial = |count: u64| (self.n > 0).then(|| count as f64 / self.n as f64);
        let scenario = plan.scenario(cell);
        let (theory_makespan_s, theory_lost_s) = match cell.interval.map(|tau| tau.as_secs_f64()) {
            Some(tau_s) => (
                scenario.expected_makespan_s(tau_s),
                scenario.expected_lost_s(tau_s),
            ),
            None => (
                scenario.expected_makespan_never_s(),
                scenario.expected_lost_never_s(),
            ),
        };
        let theory_makespan_s = theory_makespan_s.is_finite().then_some(theory_makespan_s);
        let waste_at = |makespan_s| theory::waste(scenario.work_s, makespan_s);
        // Of few trials the interval may reach below W or zero, where no makespan is and waste means nothing.
        let waste_at_end = |makespan_s: f64| waste_at(makespan_s.max(scenario.work_s));
        let (low, high) = (
            |m: Moments| m.ci95.map(|ci| ci.0),
            |m: Moments| m.ci95.map(|ci| ci.1),
        );
        SummaryRow {
            n: self.n,
            n_completed: completed as u64,
            failures_mean: per_trial(self.failures),
            checkpoints_mean: per_trial(self.checkpoints),
            makespan_mean_s: makespan.map(|m| m.mean),
            makespan_sd_s: makespan.and_then(|m| m.sd),
            makespan_ci95_lo_s: makespan.and_then(low),
            makespan_ci95_hi_s: makespan.and_then(high),
            waste_mean: makespan.map(|m| waste_at(m.mean)),
            waste_sd: waste.and_then(|m| m.sd),
            waste_ci95_lo: makespan.and_then(low).map(waste_at_end),
            waste_ci95_hi: makespan.and_then(high).map(waste_at_end),
            waste_median: quantile_of_waste(0.5),
            waste_p05: quantile_of_waste(0.05),
            waste_p95: quantile_of_waste(0.95),
            lost_mean_s: lost.map(|m| m.mean),
            lost_ci95_lo_s: lost.and_then(low),
            lost_ci95_hi_s: lost.and_then(high),
            theory_makespan_s,
            theory_waste: theory_makespan_s.map(waste_at),
            theory_lost_s: theory_lost_s.is_finite().then_some(theory_lost_s),
            rel_err: makespan
                .zip(theory_makespan_s)
                .map(|(m, theory_s)| m.mean / theory_s - 1.0),
            ..SummaryRow::of(plan, cell)
        }
    }
}
