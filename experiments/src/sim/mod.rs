//! ③ A trial at level `sim`: the protect loop drives the real capture, store and restore in a simulated world.
//!
//! `revenant_sim::driver` runs the guest to its end; this file says what of a spec that means, and makes an outcome of its
//! report. The failures are those the model meets: they come from the same stream, and the time to the next one stands
//! still in detection and downtime. Silent errors strike at the same instants of work. What each kind does to guest, host
//! and disks is said in [`Strike`]. Of the rules, epochs and replicas are refused by the check of the spec.

mod probe;
mod witness;

use std::time::Duration;

use revenant_core::Timestamp;
use revenant_core::capture::Method;
use revenant_core::protect::{GiveUp, Options};
use revenant_sim::driver::{
    Capture, Losses, Report, Rules, RunEnd, Scenario, Shared, Strike, Verification, Witness,
};
use revenant_sim::fault::FaultPlan;
use revenant_sim::{GuestSpec, Program, driver};

use crate::failures::{FailureKind, FailureStream};
use crate::model::{Recorder, SilentGaps, What};
use crate::outcome::{End, Outcome, Reason};
use crate::plan::{Plan, WorkItem};
use crate::seed::TrialSeed;
use crate::spec::{self, Setting};

pub(crate) use probe::probe;

/// Checkpoints that each store keeps.
const KEEP_LAST: u32 = 8;
/// More than there are in two stores, which are pruned when they have twice as many.
const CANDIDATES_MAX: usize = 4 * KEEP_LAST as usize;

/// A simulated trial or probe could not be run: something failed that no failure of the trial explains.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The spec has no guest.
    #[error("no guest to simulate")]
    NoGuest,
    /// The store could not be opened any more.
    #[error("the store is lost: {0}")]
    StoreLost(String),
    /// Captures or restores failed although guest, host and store stood.
    #[error("{captures} captures and {restores} restores failed by themselves")]
    Failed {
        /// How many captures.
        captures: u64,
        /// How many restores.
        restores: u64,
    },
    /// The probe's guest did not come to its end.
    #[error("the probe did not finish")]
    ProbeUnfinished,
}

/// Runs one trial of the plan.
pub(crate) fn run(plan: &Plan, item: WorkItem) -> Result<Outcome, SimError> {
    watched(plan, item, &mut ())
}

/// Runs one trial and tells the recorder what happens. The recorder changes nothing.
pub(crate) fn observe(plan: &Plan, item: WorkItem, recorder: &mut Recorder) -> Result<Outcome, SimError> {
    let outcome = watched(plan, item, recorder)?;
    recorder.moments.sort_by_key(|moment| moment.at);
    let end = match outcome.end {
        End::Completed => What::Finished,
        End::GivenUp(_) => What::GivenUp,
    };
    recorder.happened(Timestamp::default() + outcome.makespan, end);
    Ok(outcome)
}

fn watched(plan: &Plan, item: WorkItem, witness: &mut dyn Witness) -> Result<Outcome, SimError> {
    let cell = &plan.cells[item.cell];
    let (setting, seed) = (plan.setting(cell), plan.seed(item.trial));
    let mut scenario = scenario(setting, cell.program.ok_or(SimError::NoGuest)?, seed)?;
    scenario.protect = Options {
        mtbf: cell.mtbf,
        checkpoint_cost: cell.costs.checkpoint,
        restart_cost: cell.costs.restart,
        ..scenario.protect
    };
    // As in the closed forms, a start from nothing takes a restart.
    scenario.boot = cell.costs.restart;
    scenario.rules.shared = plan.rules(cell).shared.map(|shared| Shared {
        every: shared.every,
        boot: shared.restart,
    });
    if scenario.rules.shared.is_some() {
        scenario.protect.candidates_max = CANDIDATES_MAX;
    }
    let mut strikes = Strikes {
        failures: plan.failures(item),
        silent: setting.rules.silent_mtbf.map(|mtbf| SilentGaps::new(seed, mtbf)),
    };
    outcome(driver::watch(
        &scenario,
        plan.interval_policy(cell),
        &mut strikes,
        witness,
    ))
}

/// What strikes in a trial: what strikes the model's, too.
struct Strikes {
    failures: FailureStream,
    silent: Option<SilentGaps>,
}

impl Losses for Strikes {
    fn next_loss(&mut self) -> Option<(Duration, Strike)> {
        let failure = self.failures.draw();
        Some((failure.gap, strike(failure.kind)))
    }

    fn silent_errors(&mut self) -> Option<Box<dyn FnMut() -> Duration>> {
        let mut gaps = self.silent.take()?;
        Some(Box::new(move || gaps.draw()))
    }
}

fn strike(kind: FailureKind) -> Strike {
    match kind {
        FailureKind::HostCrash => Strike::HostCrash,
        FailureKind::HostLoss => Strike::HostLoss,
        FailureKind::Hang => Strike::Hang,
        FailureKind::StoreLoss => Strike::StoreLoss,
        FailureKind::GuestCrash => Strike::GuestCrash,
    }
}

/// What a setting says of every trial with this program, but for the shared store, whose costs are yet to be measured. The
/// guest's data differ from trial to trial.
fn scenario(setting: &Setting, program: Program, seed: TrialSeed) -> Result<Scenario, SimError> {
    let guest = setting.guest.as_ref().ok_or(SimError::NoGuest)?;
    let steps = setting.job.work.as_nanos() / guest.step.as_nanos();
    Ok(Scenario {
        guest: GuestSpec {
            program,
            pages: guest.pages,
            seed: seed.0,
            steps: u64::try_from(steps).unwrap_or(u64::MAX),
            step: guest.step,
        },
        profile: guest.world.clone(),
        protect: Options {
            downtime: setting.failures.downtime,
            final_checkpoint: setting.job.final_checkpoint,
            failures_max: Some(setting.limits.failures),
            ..Options::default()
        },
        method: match setting.checkpoint.method {
            spec::Method::StopAndCopy => Method::StopAndCopy,
            spec::Method::PreCopy => Method::PreCopy,
        },
        incremental: setting.checkpoint.incremental,
        dirty_log: true,
        detection: setting.failures.detection,
        boot: Duration::ZERO,
        keep_last: KEEP_LAST,
        compression_level: 1,
        faults: FaultPlan::default(),
        seed: seed.0,
        time_limit: setting.limits.time,
        rules: Rules {
            reboot: setting.rules.reboot,
            hang_detection: setting.rules.hang_detection,
            store_repair: setting.rules.store_repair,
            verification: setting.rules.verification.map(|rules| Verification {
                cost: rules.cost,
                per_checkpoint: rules.per_checkpoint,
            }),
            shared: None,
        },
    })
}

fn outcome(report: Report) -> Result<Outcome, SimError> {
    let tally = report.tally;
    // What the loss of a store explains is part of the trial.
    let found = if report.store_losses > 0 {
        report.damaged
    } else {
        0
    };
    let captures = tally.captures_failed.saturating_sub(report.refused);
    let restores = tally.restores_failed.saturating_sub(u64::from(found));
    if captures > 0 || restores > 0 {
        return Err(SimError::Failed { captures, restores });
    }
    let end = match report.end {
        // Without a silent error a wrong result is a defect, and to be seen as one.
        RunEnd::Finished if report.silent_errors > 0 && report.digest_ok == Some(false) => {
            End::GivenUp(Reason::SilentlyWrong)
        }
        RunEnd::Finished => End::Completed,
        RunEnd::TimeLimit => End::GivenUp(Reason::TimeLimit),
        RunEnd::GivenUp(GiveUp::TooManyFailures) => End::GivenUp(Reason::FailureLimit),
        RunEnd::GivenUp(GiveUp::NothingToRestoreFrom) => End::GivenUp(Reason::NothingToRestoreFrom),
        RunEnd::StoreLost(why) => return Err(SimError::StoreLost(why)),
    };
    Ok(Outcome {
        end,
        makespan: report.makespan,
        useful: report.useful,
        checkpointing: report.checkpointing + report.lingering,
        lost: report.lost,
        restarting: report.restarting,
        down: report.down,
        // A guest that is found wrong is lost to the loop; what struck it is the error.
        failures: u64::from(tally.failures - report.found)
            + u64::from(report.store_losses)
            + report.silent_errors,
        checkpoints: tally.captures,
        digest_ok: report.digest_ok,
        suspensions: report.captures.iter().map(stood_still).collect(),
        recoveries: report.recoveries.into_iter().collect(),
        cluster: None,
    })
}

/// For how long a guest stood still because of a checkpoint.
fn stood_still(capture: &Capture) -> Duration {
    capture.suspended_for + capture.shared_for.unwrap_or_default()
}

#[cfg(test)]
mod tests;
