//! ③ A trial at level `sim`: the protect loop drives the real capture, store and restore in a simulated world.
//!
//! The site is one host with its own disk, on which the store lives. A guest crash leaves the host standing. A host loss
//! takes the guest's memory and what the disk had not made durable; after the downtime the host comes back with
//! what the crash left, and the store is opened anew. The failures are those the model meets: they come from the same
//! stream, and the time to the next one stands still in detection and downtime.
//!
//! All times of the outcome partition the makespan to the nanosecond: a guest works, is kept from work by a capture, is
//! being restored, or is down.

mod probe;
mod site;

use std::time::Duration;

use revenant_core::capture::CaptureError;
use revenant_core::protect::{Event, GiveUp, Options, Protect, Step};
use revenant_core::restore::RestoreError;
use revenant_core::store::{CheckpointId, Finding, StoreError};
use revenant_core::{HypervisorError, Timestamp};
use revenant_sim::{GuestSpec, Happening, Oracle, Program};

use crate::failures::{Failure, FailureStream};
use crate::outcome::{End, Outcome, Reason};
use crate::plan::{Plan, WorkItem};
use crate::seed::{Purpose, TrialSeed};
use crate::spec::Spec;
use site::{Site, Trouble};

pub(crate) use probe::probe;

/// A simulated trial or probe could not be run: something failed that no failure of the trial explains.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A capture failed although guest and host stand.
    #[error("capture")]
    Capture(#[source] CaptureError),
    /// A restore failed although the host stands.
    #[error("restore")]
    Restore(#[source] RestoreError),
    /// The restored guest could not be resumed.
    #[error("resume")]
    Resume(#[source] HypervisorError),
    /// The store failed although the host stands.
    #[error("store")]
    Store(#[source] StoreError),
    /// A committed checkpoint was damaged, though no failure of a trial damages any.
    #[error("damage found: {}: {}", .0.path, .0.what)]
    Damaged(Box<Finding>),
    /// A committed checkpoint was not there after a crash.
    #[error("committed checkpoint {0} is gone")]
    CheckpointLost(CheckpointId),
    /// The store was used before it was opened.
    #[error("no store is open")]
    NoStore,
    /// The guest stands still for ever.
    #[error("the guest stands still")]
    StandsStill,
    /// The spec has no guest.
    #[error("no guest to simulate")]
    NoGuest,
}

/// Runs one trial of the plan.
pub(crate) fn run(plan: &Plan, item: WorkItem) -> Result<Outcome, SimError> {
    let cell = &plan.cells[item.cell];
    let (spec, seed) = (&plan.spec, plan.seed(item.trial));
    let program = cell.program.ok_or(SimError::NoGuest)?;
    let boot = boot_spec(spec, program, seed)?;
    let options = Options {
        mtbf: cell.mtbf,
        checkpoint_cost: cell.costs.checkpoint,
        restart_cost: cell.costs.restart,
        downtime: spec.failures.downtime,
        final_checkpoint: spec.job.final_checkpoint,
        failures_max: Some(spec.limits.failures),
        ..Options::default()
    };
    let mut protect = Protect::new(cell.interval_policy(), options);
    let mut trial = Trial::new(spec, seed, boot, plan.failures(item), cell.costs.restart)?;
    let mut event = Event::Started;
    let end = loop {
        if trial.site.now() >= trial.end_of_time {
            break End::GivenUp(Reason::TimeLimit);
        }
        event = match protect.on(event, trial.site.now()) {
            Step::Run { until } => trial.run(until)?,
            // Only after a failed capture, and a trial in which one fails by itself has ended.
            Step::Linger { .. } => return Err(SimError::StandsStill),
            Step::Capture => trial.capture()?,
            Step::Wait { until } => trial.wait(until, &mut protect)?,
            Step::Restore { from } => trial.restore(from)?,
            Step::Finished => break End::Completed,
            Step::GivenUp(GiveUp::TooManyFailures) => break End::GivenUp(Reason::FailureLimit),
            Step::GivenUp(GiveUp::NothingToRestoreFrom) => {
                break End::GivenUp(Reason::NothingToRestoreFrom);
            }
        };
    };
    Ok(trial.finish(end, spec.job.work))
}

/// The guest of a trial. Its data differ from trial to trial.
fn boot_spec(spec: &Spec, program: Program, seed: TrialSeed) -> Result<GuestSpec, SimError> {
    let guest = spec.guest.as_ref().ok_or(SimError::NoGuest)?;
    let steps = spec.job.work.as_nanos() / guest.step.as_nanos();
    Ok(GuestSpec {
        program,
        pages: guest.pages,
        seed: seed.0,
        steps: u64::try_from(steps).unwrap_or(u64::MAX),
        step: guest.step,
    })
}

/// One trial under way.
struct Trial {
    site: Site,
    boot: GuestSpec,
    failures: FailureStream,
    /// The next failure, drawn when the one before struck, not yet at risk of striking.
    next: Option<Failure>,
    detection: Duration,
    cold_start: Duration,
    began: Timestamp,
    end_of_time: Timestamp,
    /// Since when the guest is lost, while it is not back.
    lost_at: Option<Timestamp>,
    /// Since when nothing is done about it.
    down_since: Option<Timestamp>,
    /// Since when a restart is under way.
    restarting_since: Timestamp,
    /// What guests of earlier lives have executed.
    worked_before: Duration,
    /// The newest checkpoint whose commit was reported.
    newest: Option<CheckpointId>,
    outcome: Outcome,
}

type Happened = Result<Event<CheckpointId>, SimError>;

impl Trial {
    fn new(
        spec: &Spec,
        seed: TrialSeed,
        boot: GuestSpec,
        mut failures: FailureStream,
        cold_start: Duration,
    ) -> Result<Trial, SimError> {
        let guest = spec.guest.as_ref().ok_or(SimError::NoGuest)?;
        let mut site = Site::new(&guest.world, &spec.checkpoint, boot, seed.stream(Purpose::World))?;
        site.boot();
        site.expect(failures.draw());
        let began = site.now();
        Ok(Trial {
            site,
            boot,
            failures,
            next: None,
            detection: spec.failures.detection,
            cold_start,
            began,
            end_of_time: began + spec.limits.time,
            lost_at: None,
            down_since: None,
            restarting_since: began,
            worked_before: Duration::ZERO,
            newest: None,
            outcome: Outcome::new(),
        })
    }

    fn run(&mut self, until: Option<Timestamp>) -> Happened {
        let until = until.unwrap_or(self.end_of_time).min(self.end_of_time);
        match self.site.run(until) {
            Happening::TimerExpired => Ok(Event::TimerExpired),
            Happening::GuestFinished(_) => Ok(Event::GuestFinished),
            Happening::GuestLost(reason, at) => Ok(self.lose(reason, at)),
            Happening::Nothing => Err(SimError::StandsStill),
        }
    }

    fn capture(&mut self) -> Happened {
        let (begun, worked) = (self.site.now(), self.site.worked());
        let captured = self.site.capture();
        // The store may well finish a checkpoint after the guest crashed.
        let until = self.site.lost().map_or(self.site.now(), |(_, at)| at);
        let worked = self.site.worked().saturating_sub(worked);
        self.outcome.checkpointing += until.since(begun).saturating_sub(worked);
        match captured {
            Ok(captured) => {
                self.newest = Some(captured.checkpoint.id);
                self.outcome.suspensions.push(captured.timeline.suspended_for);
                let cost = captured.timeline.suspended_for;
                // A loss in the middle of it is met when the guest is to go on.
                if let Err(Trouble::Defect(error)) = self.site.prune() {
                    return Err(error);
                }
                Ok(Event::Captured {
                    checkpoint: captured.checkpoint.id,
                    cost,
                })
            }
            Err(Trouble::Lost(reason, at)) => Ok(self.lose(reason, at)),
            Err(Trouble::Defect(error)) => Err(error),
        }
    }

    /// Waits for a host and makes it ready; whatever the loop knew, the store's catalogue is what counts from here.
    fn wait(&mut self, until: Timestamp, protect: &mut Protect<CheckpointId>) -> Happened {
        self.site.wait(until.min(self.end_of_time));
        if let Some(since) = self.down_since.take() {
            self.outcome.down += self.site.now().since(since);
        }
        self.site.prepare(self.next.take());
        self.restarting_since = self.site.now();
        match self.site.catalogue() {
            Ok(catalogue) => {
                if let Some(newest) = self.newest.filter(|newest| !catalogue.contains(newest)) {
                    return Err(SimError::CheckpointLost(newest));
                }
                protect.replace_candidates(catalogue);
                Ok(Event::TimerExpired)
            }
            Err(trouble) => self.restart_failed(trouble),
        }
    }

    fn restore(&mut self, from: Option<CheckpointId>) -> Happened {
        let restored = match from {
            Some(id) => self.site.restore(id),
            None => self.site.cold_start(self.cold_start),
        };
        if let Err(trouble) = restored {
            return self.restart_failed(trouble);
        }
        let now = self.site.now();
        let cost = now.since(self.restarting_since);
        self.outcome.restarting += cost;
        if let Some(lost_at) = self.lost_at.take() {
            self.outcome.recoveries.push(now.since(lost_at));
        }
        Ok(Event::Restored { cost })
    }

    fn restart_failed(&mut self, trouble: Trouble) -> Happened {
        match trouble {
            Trouble::Lost(reason, at) => {
                self.outcome.restarting += at.since(self.restarting_since);
                Ok(self.lose(reason, at))
            }
            Trouble::Defect(error) => Err(error),
        }
    }

    /// The guest was lost at `at`; a call that was under way may have noticed only later.
    fn lose(&mut self, reason: revenant_core::guest::GoneReason, at: Timestamp) -> Event<CheckpointId> {
        self.outcome.failures += 1;
        self.worked_before += self.site.worked();
        self.lost_at.get_or_insert(at);
        self.down_since = Some(at);
        self.next = Some(self.failures.draw());
        self.site.wait((at + self.detection).max(self.site.now()));
        Event::GuestLost(reason)
    }

    fn finish(mut self, end: End, work: Duration) -> Outcome {
        let worked = self.worked_before + self.site.worked();
        self.outcome.makespan = self.site.now().since(self.began);
        self.outcome.checkpoints = self.outcome.suspensions.len() as u64;
        self.outcome.useful = work.min(worked);
        self.outcome.lost = worked.saturating_sub(work);
        if end == End::Completed {
            let GuestSpec {
                program,
                pages,
                seed,
                steps,
                ..
            } = self.boot;
            let wanted = Oracle::new(program, pages, seed, steps).digest_at(steps);
            self.outcome.digest_ok = Some(self.site.digest() == wanted);
        }
        self.outcome.end = end;
        self.outcome
    }
}

#[cfg(test)]
mod tests;
