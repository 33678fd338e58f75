//! How many trials a cell needs for the precision that the spec asks for.
//!
//! Two stages (Stein, Annals of Mathematical Statistics 16(3), 1945): the spread of a pilot of n₀ trials says how many are needed,
//! n = max(n₀, n₀ (h / w)²), h being the half-width of the pilot's 95 % interval and w the one that is wanted. The number is settled before
//! the run begins, so it depends on the spec and the seed alone; looking again and again until the interval is narrow enough would
//! stop too early. Where failures are so rare that [too few](met_too_few) trials met one, the spread that was seen says nothing; then the
//! pilot is doubled until enough did, or what the failures may come to is small beside the precision anyway. The summary's interval is of all trials, so it comes out near the width that is wanted, not below it for certain.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::{Progress, RunError, batch_length, ordered};
use crate::paired::Compared;
use crate::plan::{Cell, Plan, WorkItem};
use crate::spec::Precision;
use crate::stats::{Running, met_too_few};
use crate::trial::{CellTrials, TrialError};

/// The plan with as many trials a cell as its precision needs; as it is, if none is asked for. The pilot's trials are run once more
/// with the others: each costs what it costs, and no file knows of them. A cell that several parts of a run share has its pilot in each, all
/// of it: so they come to the same number.
pub(super) fn sized(
    plan: Plan,
    jobs: usize,
    progress: &mut (dyn FnMut(Progress) + Send),
    cancel: &AtomicBool,
) -> Result<Plan, RunError> {
    let Some(precision) = plan.spec.precision else {
        return Ok(plan);
    };
    let mut cells: Vec<Seen> = plan.cells.iter().map(|_| Seen::default()).collect();
    let mut next: Vec<Range<u32>> = plan.cells.iter().map(|cell| 0..cell.trials).collect();
    while next.iter().any(|trials| !trials.is_empty()) {
        let stage = plan.of_ranges(next);
        run_stage(&stage, &mut cells, jobs, progress, cancel)?;
        let more = |(cell, seen): (&Cell, &Seen)| {
            let grown = if plan.failures_weigh(cell) {
                seen.grown(plan.scenario(cell).worst_loss_s(), precision)
            } else {
                seen.n
            };
            seen.n..grown
        };
        next = plan.cells.iter().zip(&cells).map(more).collect();
    }
    let sizes: Vec<u32> = cells
        .iter()
        .map(|seen| needed(seen.n, seen.makespans.as_ref(), precision))
        .collect();
    Ok(plan.resized(&sizes))
}

/// Runs trials of a pilot, each cell's share of them.
fn run_stage(
    plan: &Plan,
    cells: &mut [Seen],
    jobs: usize,
    progress: &mut (dyn FnMut(Progress) + Send),
    cancel: &AtomicBool,
) -> Result<(), RunError> {
    let mut pilot = Pilot {
        plan,
        cells,
        progress,
    };
    let work = |numbers: Range<u64>| -> Result<Vec<Compared>, (WorkItem, TrialError)> {
        let first = plan.item(numbers.start);
        let trials = CellTrials::of(plan, first.cell);
        let run = |number: u64| {
            let item = plan.item(number);
            let outcome = trials.run(item.trial, plan.seed(item.trial), &mut |_| {});
            let outcome = outcome.map_err(|error| (item, error))?;
            Ok(Compared {
                makespan_s: outcome.completed().then_some(outcome.makespan.as_secs_f64()),
                failures: outcome.failures,
            })
        };
        numbers.map(run).collect()
    };
    let batch = |number| batch_length(plan, number, jobs);
    let end = ordered::run(jobs, 0..plan.trials(), cancel, batch, work, &mut pilot)?;
    if end < plan.trials() {
        return Err(RunError::StoppedInPilot);
    }
    Ok(())
}

/// What a pilot has seen of a cell.
struct Seen {
    n: u32,
    /// Trials that met a failure.
    met: u32,
    /// `None` once a trial was given up.
    makespans: Option<Running>,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            n: 0,
            met: 0,
            makespans: Some(Running::default()),
        }
    }
}

impl Seen {
    fn add(&mut self, trial: Compared) {
        self.n += 1;
        self.met += u32::from(trial.failures > 0);
        match (trial.makespan_s, &mut self.makespans) {
            (Some(makespan_s), Some(running)) => running.add(makespan_s),
            _ => self.makespans = None,
        }
    }

    /// How many trials the pilot is to have: as many as it has, unless too few met a failure, and failures that cost `loss_s` each
    /// may be of weight. With 95 % confidence trials that meet one are no more than 3 of n when none was seen (the rule of three), and 17
    /// when nine were.
    fn grown(&self, loss_s: f64, precision: Precision) -> u32 {
        let moments = self.makespans.as_ref().and_then(Running::moments);
        let Some(mean_s) = moments.map(|moments| moments.mean) else {
            return self.n;
        };
        let (n, met) = (f64::from(self.n), f64::from(self.met));
        let most_met = met + 3.0 + 2.0 * libm::sqrt(met);
        let is_light = most_met / n * loss_s < precision.makespan / 2.0 * mean_s;
        if !met_too_few(self.met.into(), self.n.into()) || is_light {
            return self.n;
        }
        self.n.saturating_mul(2).min(precision.trials_max).max(self.n)
    }
}

/// Of a cell with trials that were given up there is no mean, and the pilot must do.
fn needed(pilot: u32, makespans: Option<&Running>, precision: Precision) -> u32 {
    let moments = makespans.and_then(Running::moments);
    let Some((mean, (low, high))) = moments.and_then(|moments| Some((moments.mean, moments.ci95?))) else {
        return pilot;
    };
    let ratio = (high - low) / 2.0 / (precision.makespan * mean);
    let wanted = libm::ceil(f64::from(pilot) * ratio * ratio);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "casts from floats saturate, and it is not negative"
    )]
    let wanted = wanted as u32;
    wanted.clamp(pilot, precision.trials_max.max(pilot))
}

struct Pilot<'a> {
    plan: &'a Plan,
    cells: &'a mut [Seen],
    /// Is told of the pilot's own trials; those of the run begin at none again.
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl ordered::Sink<Result<Vec<Compared>, (WorkItem, TrialError)>> for Pilot<'_> {
    type Error = RunError;

    fn take(
        &mut self,
        numbers: Range<u64>,
        trials: Result<Vec<Compared>, (WorkItem, TrialError)>,
    ) -> Result<(), RunError> {
        let trials = trials.map_err(|(item, source)| RunError::trial(self.plan, item, source))?;
        let cell = &mut self.cells[self.plan.item(numbers.start).cell];
        for trial in trials {
            cell.add(trial);
        }
        (self.progress)(Progress {
            trials_done: numbers.end,
            trials: self.plan.trials(),
            failures: 0,
        });
        Ok(())
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_spread_asks_for() {
        let precision = Precision {
            makespan: 0.01,
            trials_max: 5_000,
        };
        let mut even = Running::default();
        let mut spread = Running::default();
        for trial in 0..20 {
            even.add(100.0 + f64::from(trial % 2) * 0.1);
            spread.add(if trial % 2 == 0 { 90.0 } else { 110.0 });
        }
        assert_eq!(needed(20, Some(&even), precision), 20);
        // s = 10.26, t = 2.093: h = 4.8017, wanted 1: 20 · 4.8017² = 461.1, rounded up.
        assert_eq!(needed(20, Some(&spread), precision), 462);
        let few = Precision {
            trials_max: 300,
            ..precision
        };
        assert_eq!(needed(20, Some(&spread), few), 300);
        assert_eq!(needed(20, None, precision), 20);
        assert_eq!(needed(1, Some(&Running::default()), precision), 1);
    }

    #[test]
    fn where_few_fail_it_grows_until_enough_did_or_none_can_matter() {
        let precision = Precision {
            makespan: 0.001,
            trials_max: 100_000,
        };
        let grown = |n: u32, met: u32, loss_s: f64| {
            let mut seen = Seen::default();
            for trial in 0..n {
                let failures = u64::from(trial < met);
                seen.add(Compared {
                    makespan_s: Some(100.0),
                    failures,
                });
            }
            seen.grown(loss_s, precision)
        };
        assert_eq!(grown(20, 0, 100.0), 40);
        assert_eq!(grown(20, 9, 100.0), 40);
        assert_eq!(grown(20, 10, 100.0), 20);
        // Half of few is not rare.
        assert_eq!(grown(4, 2, 100.0), 4);
        // At most 3 of 6000 cost 100 s each: 0.05 s of 100 s, half of the precision.
        assert_eq!(grown(6_000, 0, 100.0), 12_000);
        assert_eq!(grown(6_001, 0, 100.0), 6_001);
        assert_eq!(grown(80_000, 1, 1e9), 100_000);
        assert_eq!(grown(100_000, 1, 1e9), 100_000);
    }
}
