//! ④ From rows of trials to a row a cell.
//!
//! Only `trials.csv` is read, so a resumed run summarises like an uninterrupted one, and a summary can be made again. Memory
//! does not grow with the number of trials.

use crate::expected::expected;
use crate::lines::Measured;
use crate::order::{Selection, order_statistics};
use crate::plan::{Cell, Plan};
use crate::record::SummaryRow;
use crate::spec::Level;
use crate::stats::{Moments, Running, met_too_few, quantile_interval_ranks, quantile_rank};
use crate::theory;

/// Quantiles of the waste that are told.
const QUANTILES: [f64; 3] = [0.05, 0.5, 0.95];

/// Gathers the rows of one cell.
#[derive(Debug)]
pub(crate) struct CellSummary {
    n: u64,
    /// Trials that met a failure.
    met: u64,
    failures: u64,
    checkpoints: u64,
    makespan_s: Running,
    waste: Running,
    lost_s: Running,
    /// Where the quantiles of the waste lie.
    places: [Place; 3],
    selection: Selection,
}

/// The rank of a quantile with the share of the way to the next, and the ranks between which its interval lies.
type Place = (Option<(u64, f64)>, (Option<u64>, Option<u64>));

/// A quantile with its 95 % confidence interval; each as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Quantile {
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

impl CellSummary {
    /// Of a cell with so many trials.
    pub(crate) fn new(trials: u64) -> CellSummary {
        let places = QUANTILES.map(|q| (quantile_rank(trials, q), quantile_interval_ranks(trials, q)));
        CellSummary {
            n: 0,
            met: 0,
            failures: 0,
            checkpoints: 0,
            makespan_s: Running::default(),
            waste: Running::default(),
            lost_s: Running::default(),
            places,
            selection: Selection::new(trials, ranks(&places, trials)),
        }
    }

    /// Takes in one trial.
    pub(crate) fn add(&mut self, row: &Measured) {
        self.n += 1;
        self.met += u64::from(row.failures > 0);
        self.failures += row.failures;
        self.checkpoints += row.checkpoints;
        if let (true, Some(makespan_s), Some(waste), Some(lost_s)) =
            (row.completed, row.makespan_s, row.waste, row.lost_s)
        {
            self.makespan_s.add(makespan_s);
            self.waste.add(waste);
            self.lost_s.add(lost_s);
            self.selection.add(Some(waste));
        } else {
            self.selection.add(None);
        }
    }

    /// How many trials met a failure, if they are [too few](met_too_few) for intervals of means.
    pub(crate) fn few_that_met_a_failure(&self, plan: &Plan, cell: &Cell) -> Option<u64> {
        (met_too_few(self.met, self.n) && plan.failures_weigh(cell)).then_some(self.met)
    }

    /// The row of the cell. `again` gives out the wastes of its completed trials once more; it is asked where they are too
    /// many to be kept, and spread in an unlikely way.
    ///
    /// Trials that were given up are the long ones. A mean over the others would flatter the policy, so it is left
    /// empty; quantiles count them as worse than all that finished. Where too few met a failure a mean has no interval.
    pub(crate) fn finish<E>(
        self,
        plan: &Plan,
        cell: &Cell,
        again: impl FnMut(&mut dyn FnMut(f64)) -> Result<(), E>,
    ) -> Result<SummaryRow, E> {
        let completed = self.waste.n();
        let few = self.few_that_met_a_failure(plan, cell).is_some();
        let [p05, median, p95] = quantiles(self.places, self.selection, completed, again)?;
        let moments = |running: &Running| {
            let moments = running.moments().filter(|_| completed == self.n)?;
            Some(Moments {
                ci95: moments.ci95.filter(|_| !few),
                ..moments
            })
        };
        let (makespan, waste, lost) = (
            moments(&self.makespan_s),
            moments(&self.waste),
            moments(&self.lost_s),
        );
        let per_trial = |count: u64| (self.n > 0).then(|| count as f64 / self.n as f64);
        let own = waste.filter(|_| cell.level == Level::Cluster);
        let scenario = plan.scenario(cell);
        let expected = expected(plan, cell);
        let waste_at = |makespan_s| theory::waste(scenario.work_s, makespan_s);
        // Of few trials the interval may reach below W or zero, where no makespan is and waste means nothing.
        let waste_at_end = |makespan_s: f64| waste_at(makespan_s.max(scenario.work_s));
        let (low, high) = (
            |m: Moments| m.ci95.map(|ci| ci.0),
            |m: Moments| m.ci95.map(|ci| ci.1),
        );
        Ok(SummaryRow {
            n: self.n,
            n_completed: completed,
            failures_mean: per_trial(self.failures),
            checkpoints_mean: per_trial(self.checkpoints),
            makespan_mean_s: makespan.map(|m| m.mean),
            makespan_sd_s: makespan.and_then(|m| m.sd),
            makespan_ci95_lo_s: makespan.and_then(low),
            makespan_ci95_hi_s: makespan.and_then(high),
            waste_mean: own.map(|m| m.mean).or(makespan.map(|m| waste_at(m.mean))),
            waste_sd: waste.and_then(|m| m.sd),
            waste_ci95_lo: own.map_or(makespan.and_then(low).map(waste_at_end), low),
            waste_ci95_hi: own.map_or(makespan.and_then(high).map(waste_at_end), high),
            waste_median: median.value,
            waste_median_ci95_lo: median.low,
            waste_median_ci95_hi: median.high,
            waste_p05: p05.value,
            waste_p95: p95.value,
            waste_p95_ci95_lo: p95.low,
            waste_p95_ci95_hi: p95.high,
            lost_mean_s: lost.map(|m| m.mean),
            lost_ci95_lo_s: lost.and_then(low),
            lost_ci95_hi_s: lost.and_then(high),
            theory_makespan_s: expected.map(|expected| expected.makespan_s),
            theory_waste: expected.map(|expected| waste_at(expected.makespan_s)),
            theory_lost_s: expected.and_then(|expected| expected.lost_s),
            rel_err: makespan
                .zip(expected)
                .map(|(m, expected)| m.mean / expected.makespan_s - 1.0),
            ..SummaryRow::of(plan, cell)
        })
    }
}

/// Ranks that are not beyond `known`, ascending, of all that tables tell.
fn ranks(places: &[Place], known: u64) -> Vec<u64> {
    let mut ranks = Vec::new();
    for &(at, (low, high)) in places {
        ranks.extend(
            at.into_iter()
                .flat_map(|(rank, _)| [rank, rank + 1])
                .chain(low)
                .chain(high),
        );
    }
    ranks.retain(|&rank| rank <= known);
    ranks.sort_unstable();
    ranks.dedup();
    ranks
}

/// The quantiles of the waste over all trials, those given up being the largest and unknown.
fn quantiles<E>(
    places: [Place; 3],
    selection: Selection,
    known: u64,
    again: impl FnMut(&mut dyn FnMut(f64)) -> Result<(), E>,
) -> Result<[Quantile; 3], E> {
    let ranks = ranks(&places, known);
    let values = match selection.find(&ranks) {
        Some(values) => values,
        None => order_statistics(&ranks, again)?,
    };
    let value = |rank: u64| ranks.binary_search(&rank).ok().map(|index| values[index]);
    Ok(places.map(|(at, (low, high))| Quantile {
        value: at.and_then(|(rank, share)| {
            let low = value(rank)?;
            if share == 0.0 {
                Some(low)
            } else {
                Some(low + share * (value(rank + 1)? - low))
            }
        }),
        low: low.and_then(value),
        high: high.and_then(value),
    }))
}
