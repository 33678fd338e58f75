//! ③ A trial at level `model`: the protect loop of the core, driven as a discrete-event simulation with constant costs.
//!
//! The state machine that decides is the very one that protects a real guest ([`revenant_core::protect::Protect`]); what
//! this file adds is a world of three numbers. Time is in whole nanoseconds.
//!
//! What the papers leave open, and how it is here:
//! - A failure may strike while the guest works, is checkpointed or is restored, but not in detection and downtime.
//! - A start from nothing costs as much as a restart from a checkpoint, as in the closed forms.
//! - At an instant at which work ends, the work is done before a failure of the same instant strikes.
//! - A capture suspends the guest for C. The guest still works for `lead` before that, and its checkpoint is committed only
//!   `commit_latency` after it; a failure in these times throws it back to the checkpoint before. With given costs both
//!   are zero, as in the papers.

use std::time::Duration;

use revenant_core::Timestamp;
use revenant_core::guest::GoneReason;
use revenant_core::policy::IntervalPolicy;
use revenant_core::protect::{Event, GiveUp, Options, Protect, Step};

use crate::failures::{FailureKind, FailureStream};
use crate::outcome::{End, Outcome, Reason};
use crate::spec::Limits;

/// What checkpoints and restarts cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Costs {
    /// For how long the guest does not work because of a checkpoint (C).
    pub checkpoint: Duration,
    /// Reading a checkpoint back and rebuilding the guest (R).
    pub restart: Duration,
    /// From the request for a checkpoint until the guest stands still for it; it works meanwhile.
    pub lead: Duration,
    /// From the guest's going on until its checkpoint is committed.
    pub commit_latency: Duration,
}

/// A job at level `model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelJob {
    /// Work to do (W).
    pub work: Duration,
    /// Checkpoint the finished guest once more.
    pub final_checkpoint: bool,
    /// What checkpoints and restarts cost.
    pub costs: Costs,
    /// Mean time between failures, as the policy is told it.
    pub mtbf: Duration,
    /// From a failure until it is noticed.
    pub detection: Duration,
    /// From then until a host is ready.
    pub downtime: Duration,
    /// When to give up.
    pub limits: Limits,
}

impl ModelJob {
    /// Runs one trial.
    pub fn run(&self, policy: Box<dyn IntervalPolicy>, failures: FailureStream) -> Outcome {
        let options = Options {
            mtbf: self.mtbf,
            checkpoint_cost: self.costs.checkpoint,
            restart_cost: self.costs.restart,
            downtime: self.downtime,
            final_checkpoint: self.final_checkpoint,
            candidates_max: 1,
            failures_max: Some(self.limits.failures),
            ..Options::default()
        };
        let mut protect = Protect::new(policy, options);
        let mut world = World::new(self, failures);
        let mut event = Event::Started;
        let end = loop {
            let happened = match protect.on(event, world.now) {
                Step::Run { until } => world.run(until),
                Step::Linger { until } => world.linger(until),
                Step::Capture => world.capture(),
                Step::Wait { until } => world.wait(until),
                Step::Restore { from } => world.restore(from.unwrap_or_default()),
                Step::Finished => break End::Completed,
                Step::GivenUp(GiveUp::TooManyFailures) => break End::GivenUp(Reason::FailureLimit),
                Step::GivenUp(GiveUp::NothingToRestoreFrom) => {
                    break End::GivenUp(Reason::NothingToRestoreFrom);
                }
            };
            match happened {
                Ok(next) => event = next,
                Err(OutOfTime) => break End::GivenUp(Reason::TimeLimit),
            }
        };
        world.finish(end, protect.tally().captures)
    }
}

/// The trial's time is up.
struct OutOfTime;

/// How a stretch of time went.
enum Stretch {
    /// To its end.
    Whole,
    /// A failure cut it short after this long.
    Struck(Duration),
}

/// A checkpoint is the work it holds.
type Happened = Result<Event<Duration>, OutOfTime>;

/// The guest, its host and the clock.
struct World<'a> {
    job: &'a ModelJob,
    failures: FailureStream,
    now: Timestamp,
    end_of_time: Timestamp,
    /// The next failure, unless time not at risk pushes it back.
    strike: Timestamp,
    kind: FailureKind,
    /// Work in the guest's memory, and the part of it that is committed.
    done: Duration,
    committed: Duration,
    /// When the guest was lost, while it is not back.
    lost_at: Option<Timestamp>,
    outcome: Outcome,
}

impl<'a> World<'a> {
    fn new(job: &'a ModelJob, mut failures: FailureStream) -> Self {
        let first = failures.draw();
        World {
            job,
            failures,
            now: Timestamp::default(),
            end_of_time: Timestamp::default() + job.limits.time,
            strike: Timestamp::default() + first.gap,
            kind: first.kind,
            done: Duration::ZERO,
            committed: Duration::ZERO,
            lost_at: None,
            outcome: Outcome::new(),
        }
    }

    fn run(&mut self, until: Option<Timestamp>) -> Happened {
        let left = self.job.work.saturating_sub(self.done);
        let timer = until.map(|until| until.since(self.now));
        let span = timer.map_or(left, |timer| timer.min(left));
        let stretch = self.pass(span)?;
        self.done += stretch.elapsed(span);
        match stretch {
            Stretch::Struck(_) => self.lose(),
            // A guest that finishes on the stroke of the timer has finished.
            Stretch::Whole if span == left => Ok(Event::GuestFinished),
            Stretch::Whole => Ok(Event::TimerExpired),
        }
    }

    fn linger(&mut self, until: Timestamp) -> Happened {
        let span = until.since(self.now);
        match self.pass(span)? {
            Stretch::Struck(_) => self.lose(),
            Stretch::Whole => Ok(Event::TimerExpired),
        }
    }

    fn capture(&mut self) -> Happened {
        if let Stretch::Struck(_) = self.work_beside(self.job.costs.lead)? {
            return self.lose();
        }
        let cost = self.job.costs.checkpoint;
        let captured = self.done;
        let stretch = self.pass(cost)?;
        self.outcome.checkpointing += stretch.elapsed(cost);
        if let Stretch::Struck(_) = stretch {
            return self.lose();
        }
        if let Stretch::Struck(_) = self.work_beside(self.job.costs.commit_latency)? {
            return self.lose();
        }
        self.committed = captured;
        Ok(Event::Captured {
            checkpoint: captured,
            cost,
        })
    }

    /// Lets the guest work while the capture does something else. One that has finished only waits.
    fn work_beside(&mut self, span: Duration) -> Result<Stretch, OutOfTime> {
        let stretch = self.pass(span)?;
        let elapsed = stretch.elapsed(span);
        let worked = elapsed.min(self.job.work.saturating_sub(self.done));
        self.done += worked;
        self.outcome.checkpointing += elapsed.saturating_sub(worked);
        Ok(stretch)
    }

    fn wait(&mut self, until: Timestamp) -> Happened {
        let span = until.since(self.now);
        self.pass_safely(span)?;
        self.outcome.down += span;
        Ok(Event::TimerExpired)
    }

    fn restore(&mut self, from: Duration) -> Happened {
        let cost = self.job.costs.restart;
        let stretch = self.pass(cost)?;
        self.outcome.restarting += stretch.elapsed(cost);
        if let Stretch::Struck(_) = stretch {
            return self.lose();
        }
        self.done = from;
        if let Some(lost_at) = self.lost_at.take() {
            self.outcome.recoveries.push(self.now.since(lost_at));
        }
        Ok(Event::Restored { cost })
    }

    /// A failure has just struck: throws away what is not committed and lets it be noticed.
    fn lose(&mut self) -> Happened {
        self.outcome.failures += 1;
        self.outcome.lost += self.done.saturating_sub(self.committed);
        self.done = self.committed;
        self.lost_at.get_or_insert(self.now);
        let reason = match self.kind {
            FailureKind::GuestCrash => GoneReason::GuestCrashed,
            FailureKind::HostLoss => GoneReason::HostLost,
        };
        let next = self.failures.draw();
        self.strike = self.now + next.gap;
        self.kind = next.kind;
        self.pass_safely(self.job.detection)?;
        self.outcome.down += self.job.detection;
        Ok(Event::GuestLost(reason))
    }

    /// Lets time pass in which a failure may strike.
    fn pass(&mut self, span: Duration) -> Result<Stretch, OutOfTime> {
        let (from, to) = (self.now, self.now + span);
        let reached = to.min(self.strike);
        if reached > self.end_of_time {
            self.now = self.end_of_time;
            return Err(OutOfTime);
        }
        self.now = reached;
        Ok(if reached < to {
            Stretch::Struck(reached.since(from))
        } else {
            Stretch::Whole
        })
    }

    /// Lets time pass in which none may: the failure to come waits.
    fn pass_safely(&mut self, span: Duration) -> Result<(), OutOfTime> {
        self.strike = self.strike + span;
        self.now = self.now + span;
        if self.now > self.end_of_time {
            Err(OutOfTime)
        } else {
            Ok(())
        }
    }

    fn finish(mut self, end: End, checkpoints: u64) -> Outcome {
        self.outcome.end = end;
        self.outcome.makespan = self.now.since(Timestamp::default());
        self.outcome.useful = self.done;
        self.outcome.checkpoints = checkpoints;
        self.outcome
    }
}

impl Stretch {
    /// How much of `span` has passed.
    fn elapsed(&self, span: Duration) -> Duration {
        match self {
            Stretch::Whole => span,
            Stretch::Struck(after) => *after,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use revenant_core::policy::{Fixed, Never};

    use super::*;
    use crate::seed::TrialSeed;
    use crate::spec::Distribution;
    use crate::theory::Scenario;

    fn job(mtbf_s: u64) -> ModelJob {
        ModelJob {
            work: Duration::from_secs(1_000_000),
            final_checkpoint: true,
            costs: Costs {
                checkpoint: Duration::from_secs(60),
                restart: Duration::from_secs(120),
                ..Costs::default()
            },
            mtbf: Duration::from_secs(mtbf_s),
            detection: Duration::ZERO,
            downtime: Duration::ZERO,
            limits: Limits {
                failures: 100_000,
                time: Duration::from_secs(100_000_000),
            },
        }
    }

    fn theory(job: &ModelJob) -> Scenario {
        Scenario {
            work_s: job.work.as_secs_f64(),
            checkpoint_s: job.costs.checkpoint.as_secs_f64(),
            restart_s: job.costs.restart.as_secs_f64(),
            downtime_s: (job.detection + job.downtime).as_secs_f64(),
            mtbf_s: job.mtbf.as_secs_f64(),
            final_checkpoint: job.final_checkpoint,
        }
    }

    fn run(job: &ModelJob, tau_s: Option<u64>, trial: u32) -> Outcome {
        let policy: Box<dyn IntervalPolicy> = match tau_s {
            Some(tau_s) => Box::new(Fixed(Duration::from_secs(tau_s))),
            None => Box::new(Never),
        };
        let seed = TrialSeed::derive(1, trial);
        job.run(
            policy,
            FailureStream::new(seed, Distribution::Exponential, job.mtbf, 0.5),
        )
    }

    /// Mean and standard error of the makespan, and mean failures, over `trials` trials, all of which must finish.
    fn makespan(job: &ModelJob, tau_s: Option<u64>, trials: NonZeroU32) -> (f64, f64, f64) {
        let n = f64::from(trials.get());
        let outcomes: Vec<_> = (0..trials.get()).map(|trial| run(job, tau_s, trial)).collect();
        assert!(outcomes.iter().all(|outcome| outcome.end == End::Completed));
        let spans: Vec<f64> = outcomes
            .iter()
            .map(|outcome| outcome.makespan.as_secs_f64())
            .collect();
        let mean = spans.iter().sum::<f64>() / n;
        let variance = spans
            .iter()
            .map(|span| (span - mean) * (span - mean))
            .sum::<f64>()
            / (n - 1.0);
        let failures = outcomes
            .iter()
            .map(|outcome| outcome.failures as f64)
            .sum::<f64>()
            / n;
        (mean, (variance / n).sqrt(), failures)
    }

    /// Asserts that the mean is within 1.96 standard errors of the closed form. Seeds are fixed, so this either holds
    /// or does not, for ever.
    fn agrees(job: &ModelJob, tau_s: Option<u64>, trials: u32) -> f64 {
        let (mean, error, failures) = makespan(job, tau_s, NonZeroU32::new(trials).unwrap());
        let wanted = match tau_s {
            Some(tau_s) => theory(job).expected_makespan_s(tau_s as f64),
            None => theory(job).expected_makespan_never_s(),
        };
        assert!(
            (mean - wanted).abs() < 1.96 * error,
            "{mean} ± {error}, wanted {wanted}"
        );
        failures
    }

    #[test]
    fn the_reference_makespans_come_out() {
        let failures = agrees(&job(20_000), Some(1600), 3_000);
        assert!(
            failures > 50.0 && failures < 58.0,
            "54.4 failures a run expected, {failures} seen"
        );
        let failures = agrees(&job(86_400), Some(3125), 3_000);
        assert!(
            failures > 11.5 && failures < 12.5,
            "12.03 failures a run expected, {failures} seen"
        );
    }

    #[test]
    fn downtime_detection_remainder_and_missing_checkpoints_agree_with_theory() {
        let mut job = job(20_000);
        job.detection = Duration::from_secs(40);
        job.downtime = Duration::from_secs(500);
        agrees(&job, Some(7_777), 2_000);
        job.final_checkpoint = false;
        agrees(&job, Some(7_777), 2_000);
        job.work = Duration::from_secs(30_000);
        let failures = agrees(&job, None, 2_000);
        assert!(failures > 1.0, "never struck");
    }

    #[test]
    fn every_nanosecond_is_accounted_for() {
        let mut job = job(20_000);
        job.costs.lead = Duration::from_millis(1_234);
        job.costs.commit_latency = Duration::from_millis(345_678);
        job.detection = Duration::from_secs(40);
        job.downtime = Duration::from_secs(500);
        for trial in 0..20 {
            let outcome = run(&job, Some(2_000), trial);
            assert_eq!(outcome.useful, job.work);
            let parts =
                outcome.useful + outcome.checkpointing + outcome.lost + outcome.restarting + outcome.down;
            assert_eq!(outcome.makespan, parts);
            assert!(outcome.failures > 0 && outcome.recoveries.len() as u64 <= outcome.failures);
            assert!(
                outcome
                    .recoveries
                    .iter()
                    .all(|&recovery| recovery >= Duration::from_secs(660))
            );
            assert_eq!(
                outcome.down,
                Duration::from_secs(540) * u32::try_from(outcome.failures).unwrap()
            );
        }
    }

    #[test]
    fn a_trial_that_would_not_end_is_given_up() {
        let mut job = job(1_000);
        job.limits.failures = 10;
        let outcome = run(&job, None, 0);
        assert_eq!(outcome.end, End::GivenUp(Reason::FailureLimit));
        assert_eq!(outcome.failures, 11);
        job.limits = Limits {
            failures: u32::MAX,
            time: Duration::from_secs(2_000_000),
        };
        let outcome = run(&job, None, 0);
        assert_eq!(outcome.end, End::GivenUp(Reason::TimeLimit));
        assert_eq!(outcome.makespan, job.limits.time);
    }

    #[test]
    fn a_commit_that_comes_late_loses_more() {
        let late = ModelJob {
            costs: Costs {
                commit_latency: Duration::from_secs(300),
                ..job(20_000).costs
            },
            ..job(20_000)
        };
        let lost = |job: &ModelJob| {
            (0..50)
                .map(|trial| run(job, Some(1600), trial).lost)
                .sum::<Duration>()
        };
        assert!(lost(&late) > lost(&job(20_000)));
    }
}
