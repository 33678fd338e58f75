//! How many trials a cell needs for the precision that the spec asks for.
//!
//! Two stages (Stein, Annals of Mathematical Statistics 16(3), 1945): the spread of a pilot of n₀ trials says how many are needed,
//! n = max(n₀, n₀ (h / w)²), h being the half-width of the pilot's 95 % interval and w the one that is wanted. The number is settled before
//! the run begins, so it depends on the spec and the seed alone; looking again and again until the interval is narrow enough would
//! stop too early. The summary's interval is of all trials, so it comes out near the width that is wanted, not below it for certain.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::{Progress, RunError, batch_length, ordered};
use crate::plan::{Plan, WorkItem};
use crate::spec::Precision;
use crate::stats::Running;
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
    let plan = plan.of_whole_cells();
    let mut pilot = Pilot {
        plan: &plan,
        makespans: vec![Some(Running::default()); plan.cells.len()],
        progress,
    };
    let work = |numbers: Range<u64>| -> Result<Vec<Option<f64>>, (WorkItem, TrialError)> {
        let first = plan.item(numbers.start);
        let trials = CellTrials::of(&plan, first.cell);
        let makespan = |number: u64| {
            let item = plan.item(number);
            let outcome = trials.run(item.trial, plan.seed(item.trial), &mut |_| {});
            let outcome = outcome.map_err(|error| (item, error))?;
            Ok(outcome.completed().then_some(outcome.makespan.as_secs_f64()))
        };
        numbers.map(makespan).collect()
    };
    let batch = |number| batch_length(&plan, number, jobs);
    let end = ordered::run(jobs, 0..plan.trials(), cancel, batch, work, &mut pilot)?;
    if end < plan.trials() {
        return Err(RunError::StoppedInPilot);
    }
    let sizes: Vec<u32> = plan
        .cells
        .iter()
        .zip(&pilot.makespans)
        .map(|(cell, makespans)| needed(cell.trials, makespans.as_ref(), precision))
        .collect();
    Ok(plan.resized(&sizes))
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
    /// Of each cell; `None` once a trial was given up.
    makespans: Vec<Option<Running>>,
    /// Is told of the pilot's own trials; those of the run begin at none again.
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl ordered::Sink<Result<Vec<Option<f64>>, (WorkItem, TrialError)>> for Pilot<'_> {
    type Error = RunError;

    fn take(
        &mut self,
        numbers: Range<u64>,
        makespans: Result<Vec<Option<f64>>, (WorkItem, TrialError)>,
    ) -> Result<(), RunError> {
        let makespans = makespans.map_err(|(item, source)| RunError::trial(self.plan, item, source))?;
        let cell = &mut self.makespans[self.plan.item(numbers.start).cell];
        for makespan in makespans {
            match (makespan, &mut *cell) {
                (Some(makespan_s), Some(running)) => running.add(makespan_s),
                _ => *cell = None,
            }
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
}
