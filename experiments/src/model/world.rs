//! The guest, its host, its stores and the clock.

use std::time::Duration;

use revenant_core::Timestamp;
use revenant_core::guest::GoneReason;
use revenant_core::protect::Event;

use super::pairs::Pairs;
use super::silent::SilentErrors;
use super::stores::{Checkpoint, Place, Stores};
use super::timeline::{Phase, Recorder, What};
use super::{Epochs, ModelJob};
use crate::failures::{Failure, FailureKind};
use crate::outcome::{End, Outcome, Reason};
use crate::seed::TrialSeed;

/// The trial's time is up.
pub(super) struct OutOfTime;

type Happened = Result<Event<Checkpoint>, OutOfTime>;

/// How a stretch of time went.
enum Stretch {
    /// To its end.
    Whole,
    /// A failure cut it short after this long.
    Struck(Duration),
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

pub(super) struct World<'a> {
    job: &'a ModelJob,
    failures: &'a mut dyn FnMut() -> Failure,
    recorder: Option<&'a mut Recorder>,
    now: Timestamp,
    end_of_time: Timestamp,
    /// The next failure, unless time not at risk pushes it back.
    strike: Timestamp,
    kind: FailureKind,
    /// Work in the guest's memory; while the guest is gone, what a restart is going to find.
    done: Duration,
    /// A silent error is in the guest's memory.
    corrupt: bool,
    stores: Stores,
    silent: Option<SilentErrors>,
    pairs: Option<Pairs>,
    /// Epochs that the backup has acknowledged.
    epochs: u64,
    /// When the guest was lost, while it is not back.
    lost_at: Option<Timestamp>,
    /// The host has to boot before the restart.
    reboots: bool,
    /// The host stands, and waits for nothing before the restart.
    at_hand: bool,
    outcome: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(
        job: &'a ModelJob,
        seed: TrialSeed,
        failures: &'a mut dyn FnMut() -> Failure,
        recorder: Option<&'a mut Recorder>,
    ) -> Self {
        let first = failures();
        let rules = &job.rules;
        World {
            job,
            failures,
            recorder,
            now: Timestamp::default(),
            end_of_time: Timestamp::default() + job.limits.time,
            strike: Timestamp::default() + first.gap,
            kind: first.kind,
            done: Duration::ZERO,
            corrupt: false,
            stores: Stores::default(),
            silent: rules.silent_mtbf.map(|mtbf| SilentErrors::new(seed, mtbf)),
            pairs: rules.replicas.map(|replicas| Pairs::new(seed, replicas)),
            epochs: 0,
            lost_at: None,
            reboots: false,
            at_hand: false,
            outcome: Outcome::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// What a restart may be tried from, oldest first.
    pub(super) fn candidates(&self) -> Vec<Checkpoint> {
        self.stores.candidates()
    }

    pub(super) fn run(&mut self, until: Option<Timestamp>) -> Happened {
        let timer = until.map(|until| until.since(self.now));
        let verifications = self.job.rules.verification.map_or(1, |v| v.per_checkpoint.max(1));
        let parts = timer.map_or(1, |_| verifications);
        let mut worked = Duration::ZERO;
        for part in 1..=parts {
            let left = self.job.work.saturating_sub(self.done);
            // Parts are cut from the whole, so that they add up to it.
            let span = timer.map_or(left, |timer| {
                let reach = if part == parts {
                    timer
                } else {
                    timer / parts * part
                };
                left.min(reach.saturating_sub(worked))
            });
            if let Stretch::Struck(_) = self.work(span)? {
                return self.lose();
            }
            worked += span;
            // A guest that finishes on the stroke of the timer has finished.
            let finished = span == left;
            let verified = part < parts || (finished && !self.job.final_checkpoint);
            if verified && let Some(event) = self.verify()? {
                return Ok(event);
            }
            if finished {
                return Ok(Event::GuestFinished);
            }
        }
        Ok(Event::TimerExpired)
    }

    /// Lets the guest work for so long, more than which it has not to do.
    fn work(&mut self, span: Duration) -> Result<Stretch, OutOfTime> {
        let start = self.now;
        let Some(epochs) = self.job.rules.epochs else {
            let stretch = self.pass(span)?;
            self.worked(start, stretch.elapsed(span));
            return Ok(stretch);
        };
        let whole = Progress::after(span, epochs);
        let stretch = self.pass(whole.wall)?;
        let progress = match stretch {
            Stretch::Whole => whole,
            Stretch::Struck(after) => Progress::until(after, epochs),
        };
        let begun_at = self.done;
        self.worked(start, progress.work);
        self.outcome.checkpointing += progress.wall.saturating_sub(progress.work);
        self.note_span(start + progress.work, self.now, Phase::Checkpoint);
        self.epochs += progress.epochs;
        let acknowledged = begun_at + nanos(progress.epochs * nanos_of(epochs.length));
        self.stores.follow(acknowledged, self.corrupt);
        Ok(stretch)
    }

    /// The guest has worked from `start` on for so long.
    fn worked(&mut self, start: Timestamp, work: Duration) {
        self.done += work;
        self.note_span(start, start + work, Phase::Work);
        let errors = self.silent.as_mut().map_or(0, |silent| silent.strike(work));
        if errors > 0 {
            self.corrupt = true;
            self.outcome.failures += errors;
            self.note(What::SilentError);
        }
    }

    /// Looks for silent errors: says what happened unless the guest is as it should be.
    fn verify(&mut self) -> Result<Option<Event<Checkpoint>>, OutOfTime> {
        let Some(verification) = self.job.rules.verification else {
            return Ok(None);
        };
        let stretch = self.pass_in(verification.cost, Phase::Verify)?;
        self.outcome.checkpointing += stretch.elapsed(verification.cost);
        if let Stretch::Struck(_) = stretch {
            return self.lose().map(Some);
        }
        if !self.corrupt {
            return Ok(None);
        }
        self.fall_back();
        self.at_hand = true;
        Ok(Some(Event::GuestLost {
            reason: GoneReason::GuestCrashed,
            at: self.now,
        }))
    }

    pub(super) fn linger(&mut self, until: Timestamp) -> Happened {
        let span = until.since(self.now);
        let stretch = self.pass_in(span, Phase::Checkpoint)?;
        self.outcome.checkpointing += stretch.elapsed(span);
        match stretch {
            Stretch::Struck(_) => self.lose(),
            Stretch::Whole => Ok(Event::TimerExpired),
        }
    }

    pub(super) fn capture(&mut self) -> Happened {
        if let Stretch::Struck(_) = self.work_beside(self.job.costs.lead)? {
            return self.lose();
        }
        if let Some(event) = self.verify()? {
            return Ok(event);
        }
        let begun = self.now;
        let shared = self
            .job
            .rules
            .shared
            .filter(|shared| self.stores.shared_is_due(shared.every));
        let cost = self.job.costs.checkpoint + shared.map_or(Duration::ZERO, |shared| shared.cost);
        let (captured, corrupt) = (self.done, self.corrupt);
        let stretch = self.pass_in(cost, Phase::Checkpoint)?;
        self.outcome.checkpointing += stretch.elapsed(cost);
        if let Stretch::Struck(_) = stretch {
            return self.lose();
        }
        if let Stretch::Struck(_) = self.work_beside(self.job.costs.commit_latency)? {
            return self.lose();
        }
        let failed = |place| self.stores.failed_since(begun, place);
        if failed(Place::Local) || (shared.is_some() && failed(Place::Shared)) {
            self.note(What::CheckpointFailed);
            return Ok(Event::CaptureFailed);
        }
        if shared.is_some() {
            self.stores.commit(captured, corrupt, Place::Shared);
        }
        let checkpoint = self.stores.commit(captured, corrupt, Place::Local);
        if shared.is_some() {
            self.stores.pattern_begins();
        }
        if let Some(pairs) = &mut self.pairs {
            pairs.checkpointed();
        }
        self.note(What::Checkpoint);
        Ok(Event::Captured { checkpoint, cost })
    }

    /// Lets the guest work while the capture does something else. One that has finished only waits.
    fn work_beside(&mut self, span: Duration) -> Result<Stretch, OutOfTime> {
        let start = self.now;
        let stretch = self.pass(span)?;
        let elapsed = stretch.elapsed(span);
        let worked = elapsed.min(self.job.work.saturating_sub(self.done));
        self.worked(start, worked);
        self.outcome.checkpointing += elapsed.saturating_sub(worked);
        self.note_span(start + worked, self.now, Phase::Checkpoint);
        Ok(stretch)
    }

    pub(super) fn wait(&mut self, until: Timestamp) -> Happened {
        if std::mem::take(&mut self.at_hand) {
            return Ok(Event::TimerExpired);
        }
        let mut span = until.since(self.now);
        if std::mem::take(&mut self.reboots) {
            span += self.job.rules.reboot;
        }
        self.pass_safely(span, Phase::Downtime)?;
        Ok(Event::TimerExpired)
    }

    pub(super) fn restore(&mut self, from: Option<Checkpoint>) -> Happened {
        let far = from.map_or(self.stores.image_is_away(), |from| from.place == Place::Shared);
        let cost = match self.job.rules.shared {
            Some(shared) if far => shared.restart,
            _ => self.job.costs.restart,
        };
        let stretch = self.pass_in(cost, Phase::Restore)?;
        self.outcome.restarting += stretch.elapsed(cost);
        if let Stretch::Struck(_) = stretch {
            return self.lose();
        }
        if let Some(from) = from
            && !self.stores.read(from)
        {
            self.note(What::RestoreFailed);
            return Ok(Event::RestoreFailed { damaged: true });
        }
        self.throw_away(from.map_or(Duration::ZERO, |from| from.work));
        self.corrupt = from.is_some_and(|from| from.corrupt);
        self.stores.restored(from);
        if let Some(pairs) = &mut self.pairs {
            pairs.restarted();
        }
        if let Some(lost_at) = self.lost_at.take() {
            self.outcome.recoveries.push(self.now.since(lost_at));
        }
        self.note(What::Restored);
        Ok(Event::Restored { cost })
    }

    /// A failure has just struck: throws away what is not committed and lets it be noticed.
    fn lose(&mut self) -> Happened {
        let (kind, at) = (self.kind, self.now);
        if kind == FailureKind::HostLoss && self.job.rules.shared.is_some() {
            self.stores.lose_local();
        }
        self.at_hand = false;
        self.reboots = kind == FailureKind::HostCrash;
        self.next_failure();
        self.fall_back();
        let detection = match kind {
            FailureKind::Hang => self.job.rules.hang_detection.unwrap_or(self.job.detection),
            _ => self.job.detection,
        };
        self.pass_safely(detection, Phase::Detection)?;
        let reason = match kind {
            FailureKind::HostCrash | FailureKind::HostLoss => GoneReason::HostLost,
            _ => GoneReason::GuestCrashed,
        };
        Ok(Event::GuestLost { reason, at })
    }

    /// Counts the failure that has struck and draws the one after it.
    fn next_failure(&mut self) {
        self.outcome.failures += 1;
        self.note(What::Failure(self.kind));
        let next = (self.failures)();
        self.strike = self.now + next.gap;
        self.kind = next.kind;
    }

    /// The guest is gone: what a restart is going to find is left.
    fn fall_back(&mut self) {
        self.throw_away(self.stores.newest_work());
        self.lost_at.get_or_insert(self.now);
    }

    /// Of the work done only so much is left.
    fn throw_away(&mut self, left: Duration) {
        let lost = self.done.saturating_sub(left);
        self.outcome.lost += lost;
        self.done = left;
        if let Some(recorder) = &mut self.recorder {
            recorder.lose(lost);
        }
    }

    fn pass_in(&mut self, span: Duration, phase: Phase) -> Result<Stretch, OutOfTime> {
        let start = self.now;
        let result = self.pass(span);
        self.note_span(start, self.now, phase);
        result
    }

    /// Lets time pass in which a failure may strike.
    fn pass(&mut self, span: Duration) -> Result<Stretch, OutOfTime> {
        let (from, to) = (self.now, self.now + span);
        loop {
            let reached = to.min(self.strike);
            if reached > self.end_of_time {
                self.now = self.end_of_time;
                return Err(OutOfTime);
            }
            self.now = reached;
            if reached == to {
                return Ok(Stretch::Whole);
            }
            if !self.is_absorbed() {
                return Ok(Stretch::Struck(reached.since(from)));
            }
            self.next_failure();
        }
    }

    /// Whether the guest goes on after the failure that has just struck.
    fn is_absorbed(&mut self) -> bool {
        if self.kind == FailureKind::StoreLoss {
            self.stores.damage(self.now + self.job.rules.store_repair);
            return true;
        }
        self.pairs.as_mut().is_some_and(Pairs::absorb)
    }

    /// Lets time pass in which none may, and no guest runs: the failure to come waits.
    fn pass_safely(&mut self, span: Duration, phase: Phase) -> Result<(), OutOfTime> {
        let start = self.now;
        self.strike = self.strike + span;
        self.now = self.now + span;
        if self.now > self.end_of_time {
            self.note_span(start, self.end_of_time, phase);
            return Err(OutOfTime);
        }
        self.outcome.down += span;
        self.note_span(start, self.now, phase);
        Ok(())
    }

    fn note(&mut self, what: What) {
        if let Some(recorder) = &mut self.recorder {
            recorder.happened(self.now, what);
        }
    }

    fn note_span(&mut self, start: Timestamp, end: Timestamp, phase: Phase) {
        if let Some(recorder) = &mut self.recorder {
            recorder.span(start, end, phase);
        }
    }

    pub(super) fn finish(mut self, end: End, checkpoints: u64) -> Outcome {
        let silent = self.silent.is_some();
        self.outcome.digest_ok = (silent && end == End::Completed).then_some(!self.corrupt);
        self.outcome.end = match end {
            End::Completed if self.corrupt => End::GivenUp(Reason::SilentlyWrong),
            end => end,
        };
        self.note(match self.outcome.end {
            End::Completed => What::Finished,
            End::GivenUp(_) => What::GivenUp,
        });
        self.outcome.makespan = self.now.since(Timestamp::default());
        self.outcome.useful = self.done;
        self.outcome.checkpoints = checkpoints + self.epochs;
        self.outcome
    }
}

/// How far a guest in epochs has come since one began.
struct Progress {
    /// Time that has passed.
    wall: Duration,
    /// Work done in it.
    work: Duration,
    /// Epochs that are whole, their stops included.
    epochs: u64,
}

impl Progress {
    /// When so much work is done.
    fn after(work: Duration, rules: Epochs) -> Progress {
        // What follows the work, a guest that has finished need not wait for.
        let epochs = nanos_of(work).saturating_sub(1) / nanos_of(rules.length).max(1);
        Progress {
            wall: work + nanos(epochs.saturating_mul(nanos_of(rules.stop))),
            work,
            epochs,
        }
    }

    /// When so much time has passed.
    fn until(wall: Duration, rules: Epochs) -> Progress {
        let (length, stop) = (nanos_of(rules.length).max(1), nanos_of(rules.stop));
        let epochs = nanos_of(wall) / (length + stop);
        let into = nanos_of(wall) % (length + stop);
        Progress {
            wall,
            work: nanos(epochs * length + into.min(length)),
            epochs,
        }
    }
}

fn nanos(count: u64) -> Duration {
    Duration::from_nanos(count)
}

fn nanos_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
