//! What a checkpoint and a restart cost in the simulated world, found by doing them.

use std::time::Duration;

use revenant_core::policy::Fixed;
use revenant_core::protect::Options;
use revenant_sim::driver::{Report, Rules, RunEnd, Scenario};
use revenant_sim::fault::Loss;
use revenant_sim::{Program, driver};

use super::{SimError, scenario};
use crate::model::Costs;
use crate::seed::TrialSeed;
use crate::spec::Setting;

/// A probe runs three of so many parts of the job, with a checkpoint after each of the first two.
const PARTS: u64 = 8;

/// Measures the costs for a guest program. A guest does three eighths of the job and is captured after the first and the
/// second; the second capture counts, an increment then having its base. The same is done again with a crash of the guest
/// in the last eighth, and once more with the loss of its host; the restart cost is the mean of the two recoveries
/// by the share of host losses, detection and downtime left out.
pub(crate) fn probe(setting: &Setting, program: Program, seed: u64) -> Result<Costs, SimError> {
    // No trial has this seed: those of trials are derived.
    let mut scenario = scenario(setting, program, TrialSeed(seed))?;
    let part = (scenario.guest.steps / PARTS).max(1);
    scenario.guest.steps = 3 * part;
    scenario.detection = Duration::ZERO;
    scenario.time_limit = Duration::MAX;
    scenario.protect = Options {
        final_checkpoint: false,
        failures_max: Some(1),
        ..Options::default()
    };
    scenario.protect.downtime = Duration::ZERO;
    scenario.rules = Rules::default();
    let interval = scenario.guest.step * u32::try_from(part).unwrap_or(u32::MAX);
    let undisturbed = run(&scenario, interval, None)?;
    let capture = *undisturbed.captures.last().ok_or(SimError::ProbeUnfinished)?;
    let late = undisturbed.makespan.saturating_sub(interval / 2);
    let recovery = |loss| -> Result<f64, SimError> {
        let report = run(&scenario, interval, Some((late, loss)))?;
        report
            .recoveries
            .first()
            .map(Duration::as_secs_f64)
            .ok_or(SimError::ProbeUnfinished)
    };
    let share = setting.failures.kinds.host_loss;
    let restart_s = recovery(Loss::Guest)? * (1.0 - share) + recovery(Loss::Host)? * share;
    Ok(Costs {
        checkpoint: capture.suspended_for,
        restart: Duration::from_secs_f64(restart_s),
        lead: capture.lead,
        commit_latency: capture.commit_time,
    })
}

fn run(scenario: &Scenario, interval: Duration, loss: Option<(Duration, Loss)>) -> Result<Report, SimError> {
    let mut losses = loss.into_iter();
    let report = driver::run(scenario, Box::new(Fixed(interval)), &mut || losses.next());
    match &report.end {
        RunEnd::Finished => Ok(report),
        RunEnd::StoreLost(why) => Err(SimError::StoreLost(why.clone())),
        RunEnd::TimeLimit | RunEnd::GivenUp(_) => Err(SimError::ProbeUnfinished),
    }
}
