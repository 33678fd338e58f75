//! ④ From rows of trials to a row a cell.
//!
//! Only `trials.csv` is read, so a resumed run summarises like an uninterrupted one, and a summary can be made again. Memory
//! does not grow with the number of trials.

use crate::expected::expected;
use crate::plan::{Cell, Plan};
use crate::record::SummaryRow;
use crate::spec::Level;
use crate::stats::{Moments, Running, order_statistics, quantile_interval_ranks, quantile_rank};
use crate::theory;

/// Wastes of one cell that are kept to be sorted. Beyond, the rows are read again.
const KEPT_MAX: usize = 1 << 17;
/// Quantiles of the waste that are told.
const QUANTILES: [f64; 3] = [0.05, 0.5, 0.95];

/// What a row of `trials.csv` says of its trial alone, as far as tables are made of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub completed: bool,
    pub reason: Option<String>,
    pub makespan_s: Option<f64>,
    pub waste: Option<f64>,
    pub lost_s: Option<f64>,
    pub failures: u64,
    pub checkpoints: u64,
}

/// In which columns that is.
#[derive(Debug)]
pub(crate) struct Places([usize; 7]);

impl Places {
    pub(crate) fn of(header: &str) -> Places {
        let columns: Vec<&str> = header.trim_end().split(',').collect();
        let names = [
            "completed",
            "reason",
            "makespan_s",
            "waste",
            "lost_s",
            "failures",
            "checkpoints",
        ];
        // A column that is not there would make every row a bad one.
        Places(names.map(|name| {
            columns
                .iter()
                .position(|column| *column == name)
                .unwrap_or(usize::MAX)
        }))
    }
}

impl Measured {
    /// `None` where a field is missing or none of its kind.
    pub(crate) fn of(record: &csv::ByteRecord, places: &Places) -> Option<Measured> {
        let field = |index: usize| std::str::from_utf8(record.get(places.0[index])?).ok();
        // The outer level: whether it can be read; the inner: whether there is a number.
        let number = |index: usize| -> Option<Option<f64>> {
            match field(index)? {
                "" => Some(None),
                text => text.parse().ok().map(Some),
            }
        };
        let reason = field(1)?;
        Some(Measured {
            completed: field(0)?.parse().ok()?,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            makespan_s: number(2)?,
            waste: number(3)?,
            lost_s: number(4)?,
            failures: field(5)?.parse().ok()?,
            checkpoints: field(6)?.parse().ok()?,
        })
    }
}

/// Gathers the rows of one cell.
#[derive(Debug, Default)]
pub struct CellSummary {
    n: u64,
    failures: u64,
    checkpoints: u64,
    makespan_s: Running,
    waste: Running,
    lost_s: Running,
    /// The wastes, while they are few.
    kept: Vec<f64>,
}

/// A quantile with its 95 % confidence interval; each as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Quantile {
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

impl CellSummary {
    /// Takes in one trial.
    pub(crate) fn add(&mut self, row: &Measured) {
        self.n += 1;
        self.failures += row.failures;
        self.checkpoints += row.checkpoints;
        if let (true, Some(makespan_s), Some(waste), Some(lost_s)) =
            (row.completed, row.makespan_s, row.waste, row.lost_s)
        {
            self.makespan_s.add(makespan_s);
            self.waste.add(waste);
            self.lost_s.add(lost_s);
            if self.kept.len() < KEPT_MAX {
                self.kept.push(waste);
            }
        }
    }

    /// The row of the cell. `again` gives out the wastes of its completed trials once more; it is asked where they are too
    /// many to be kept.
    ///
    /// Trials that were given up are the long ones. A mean over the others would flatter the policy, so it is left
    /// empty; quantiles count them as worse than all that finished.
    pub fn finish<E>(
        mut self,
        plan: &Plan,
        cell: &Cell,
        again: impl FnMut(&mut dyn FnMut(f64)) -> Result<(), E>,
    ) -> Result<SummaryRow, E> {
        let completed = self.waste.n();
        let [p05, median, p95] = self.quantiles(again)?;
        let moments = |running: &Running| {
            if completed == self.n {
                running.moments()
            } else {
                None
            }
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

    /// The quantiles of the waste over all trials, those given up being the largest and unknown.
    fn quantiles<E>(
        &mut self,
        again: impl FnMut(&mut dyn FnMut(f64)) -> Result<(), E>,
    ) -> Result<[Quantile; 3], E> {
        let (n, known) = (self.n, self.waste.n());
        let places = QUANTILES.map(|q| (quantile_rank(n, q), quantile_interval_ranks(n, q)));
        let mut ranks = Vec::new();
        for (at, (low, high)) in places {
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
        let values = if self.kept.len() as u64 == known {
            self.kept.sort_by(f64::total_cmp);
            let index = |rank: u64| usize::try_from(rank - 1).unwrap_or(usize::MAX);
            ranks.iter().map(|&rank| self.kept[index(rank)]).collect()
        } else {
            order_statistics(&ranks, again)?
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
}
