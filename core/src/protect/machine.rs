//! The state machine of the protect loop.

use std::collections::VecDeque;
use std::time::Duration;

use crate::guest::GoneReason;
use crate::policy::{IntervalPolicy, Seen};
use crate::units::Timestamp;

/// What the loop is told to do, besides its policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Mean time between failures that the policy is told.
    pub mtbf: Duration,
    /// What a checkpoint is expected to cost the guest, until one has been measured.
    pub checkpoint_cost: Duration,
    /// What a restart is expected to take, until one has been measured.
    pub restart_cost: Duration,
    /// Replace the expected costs by the newest measured ones when asking the policy.
    pub learn_costs: bool,
    /// From the moment a failure is noticed until a host is ready for the restart (D).
    pub downtime: Duration,
    /// Checkpoint the finished guest once more, so that its result is safe.
    pub final_checkpoint: bool,
    /// How many committed checkpoints to remember as candidates for a restart, at least one.
    pub candidates_max: usize,
    /// Start from nothing when no candidate is left; otherwise give up.
    pub cold_start: bool,
    /// How long to let the guest run before a failed capture is tried again.
    pub retry_after: Duration,
    /// Give up after this many failures.
    pub failures_max: Option<u32>,
    /// After so many crashes of the guest in a row from one checkpoint, none being committed between, an older one serves if
    /// there is one: what was saved may be a guest that was about to crash. `None`: the newest is tried for ever, which
    /// is right where failures do not depend on what the guest does.
    pub crashes_max: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mtbf: Duration::from_hours(24),
            checkpoint_cost: Duration::from_mins(1),
            restart_cost: Duration::from_mins(1),
            learn_costs: false,
            downtime: Duration::ZERO,
            final_checkpoint: false,
            candidates_max: 8,
            cold_start: true,
            retry_after: Duration::from_mins(1),
            failures_max: None,
            crashes_max: None,
        }
    }
}

/// What happened, as the driver saw it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<C> {
    /// The guest runs for the first time.
    Started,
    /// The instant of [`Step::Run`] or [`Step::Wait`] has come.
    TimerExpired,
    /// The guest has done its work.
    GuestFinished,
    /// Guest or host was noticed to be gone, whatever the loop was doing.
    GuestLost {
        /// What it looks like.
        reason: GoneReason,
        /// When it happened, as far as the driver can tell: what passed until it was noticed is no time at risk.
        at: Timestamp,
    },
    /// The capture is committed and the guest goes on.
    Captured {
        /// How to find it again.
        checkpoint: C,
        /// For how long the guest did not work because of it.
        cost: Duration,
    },
    /// The capture failed; the guest goes on, nothing that was committed is lost.
    CaptureFailed,
    /// The guest runs again.
    Restored {
        /// How long the restore took.
        cost: Duration,
    },
    /// The restore failed although the host stands.
    RestoreFailed {
        /// The checkpoint itself is unusable: an older one must serve. Otherwise the same is tried again.
        damaged: bool,
    },
    /// The store failed to read the checkpoint, although the host stands: an older one must serve. If there is none, all are
    /// tried again after a while.
    CheckpointUnreadable,
}

/// What the driver has to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<C> {
    /// Let the guest run; report at `until` (`None`: no timer), or earlier when it finishes or is lost.
    Run {
        /// When to report `TimerExpired`.
        until: Option<Timestamp>,
    },
    /// The guest has finished and its last checkpoint failed: let it stand until `until`, then report `TimerExpired`.
    Linger {
        /// When to report.
        until: Timestamp,
    },
    /// Take a checkpoint.
    Capture,
    /// Wait without a guest until a host is ready.
    Wait {
        /// When to report `TimerExpired`.
        until: Timestamp,
    },
    /// Restart from this checkpoint, or from nothing.
    Restore {
        /// Newest candidate.
        from: Option<C>,
    },
    /// The guest's work is done (and, if asked for, safe).
    Finished,
    /// The guest cannot be brought to its end.
    GivenUp(GiveUp),
}

/// Why the loop ended without the guest's work being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// More failures than allowed.
    TooManyFailures,
    /// No usable checkpoint, and no cold start wanted.
    NothingToRestoreFrom,
}

/// What the loop has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Committed checkpoints.
    pub captures: u64,
    /// Captures that failed while the guest went on.
    pub captures_failed: u64,
    /// Times the guest was lost.
    pub failures: u32,
    /// Successful restarts.
    pub restores: u64,
    /// Restores that failed while the host stood.
    pub restores_failed: u64,
    /// Restarts from nothing.
    pub cold_starts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Running { finished: bool },
    Capturing { finished: bool },
    Waiting,
    Restoring,
    Over,
}

/// The time in which guest or host may fail: all but that between a failure and the restart.
#[derive(Debug, Clone, Copy, Default)]
struct Risk {
    /// Up to the last time that it ended.
    before: Duration,
    /// Since when it lasts, if it does.
    from: Option<Timestamp>,
    /// How much it was at the last failure.
    at_failure: Duration,
}

impl Risk {
    fn begin(&mut self, now: Timestamp) {
        self.from = Some(now);
    }

    fn end(&mut self, now: Timestamp) {
        self.before = self.in_all(now);
        self.from = None;
    }

    fn in_all(&self, now: Timestamp) -> Duration {
        self.before + self.from.map_or(Duration::ZERO, |from| now.since(from))
    }

    fn since_failure(&self, now: Timestamp) -> Duration {
        self.in_all(now).saturating_sub(self.at_failure)
    }
}

/// The checkpoint that the guest was restarted from, until another is committed.
#[derive(Debug)]
struct Origin<C> {
    checkpoint: C,
    /// How often the guest has crashed since, each time restarted from here.
    crashes: u32,
}

/// The protect loop as a state machine; `C` names a committed checkpoint.
#[derive(Debug)]
pub struct Protect<C> {
    policy: Box<dyn IntervalPolicy>,
    options: Options,
    state: State,
    /// Committed checkpoints, newest last.
    candidates: VecDeque<C>,
    origin: Option<Origin<C>>,
    /// Checkpoints from which the guest crashed too often: they serve when there is no other.
    doomed: Vec<C>,
    /// Checkpoints that could not be read since the guest was lost.
    unreadable: Vec<C>,
    risk: Risk,
    tally: Tally,
}

impl<C: Clone + PartialEq> Protect<C> {
    /// A loop for a guest of which no checkpoint is known.
    pub fn new(policy: Box<dyn IntervalPolicy>, options: Options) -> Self {
        Protect {
            policy,
            options,
            state: State::Fresh,
            candidates: VecDeque::new(),
            origin: None,
            doomed: Vec::new(),
            unreadable: Vec::new(),
            risk: Risk::default(),
            tally: Tally::default(),
        }
    }

    /// Makes committed checkpoints known, oldest first, as read from the store's catalogue: the loop itself may
    /// have died with its host.
    #[must_use]
    pub fn with_candidates(mut self, candidates: impl IntoIterator<Item = C>) -> Self {
        for candidate in candidates {
            self.remember(candidate);
        }
        self
    }

    /// Forgets what was known and takes the store's catalogue instead, oldest first.
    pub fn replace_candidates(&mut self, candidates: impl IntoIterator<Item = C>) {
        self.candidates.clear();
        self.unreadable.clear();
        for candidate in candidates {
            self.remember(candidate);
        }
        self.doomed.retain(|doomed| self.candidates.contains(doomed));
    }

    /// What has been counted so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes what happened and tells what to do next.
    ///
    /// # Panics
    /// If the event cannot happen in the present state: the driver is wrong (an event after the end, a
    /// capture that nobody asked for).
    pub fn on(&mut self, event: Event<C>, now: Timestamp) -> Step<C> {
        match (self.state, event) {
            (State::Fresh, Event::Started) => {
                self.risk.begin(now);
                self.run(now)
            }
            (
                State::Fresh
                | State::Running { .. }
                | State::Capturing { .. }
                | State::Waiting
                | State::Restoring,
                Event::GuestLost { reason, at },
            ) => self.lost(reason, at, now),
            (State::Running { finished }, Event::TimerExpired) => {
                self.state = State::Capturing { finished };
                Step::Capture
            }
            (State::Running { .. }, Event::GuestFinished) if self.options.final_checkpoint => {
                self.state = State::Capturing { finished: true };
                Step::Capture
            }
            (State::Running { .. }, Event::GuestFinished) => self.over(Step::Finished),
            (State::Capturing { finished }, Event::Captured { checkpoint, cost }) => {
                self.captured(checkpoint, cost, finished, now)
            }
            (State::Capturing { finished }, Event::CaptureFailed) => {
                self.tally.captures_failed += 1;
                self.state = State::Running { finished };
                let until = now + self.options.retry_after;
                if finished {
                    Step::Linger { until }
                } else {
                    Step::Run { until: Some(until) }
                }
            }
            (State::Waiting, Event::TimerExpired) => {
                self.risk.begin(now);
                self.restore(now)
            }
            (State::Restoring, Event::Restored { cost }) => {
                self.unreadable.clear();
                self.tally.restores += 1;
                if self.options.learn_costs {
                    self.options.restart_cost = cost;
                }
                self.run(now)
            }
            (State::Restoring, Event::RestoreFailed { damaged }) => {
                self.tally.restores_failed += 1;
                if damaged {
                    // Never the same bad checkpoint twice.
                    if let Some(bad) = self.origin.take() {
                        self.candidates.retain(|candidate| *candidate != bad.checkpoint);
                    }
                    self.restore(now)
                } else {
                    self.wait_again(now)
                }
            }
            (State::Restoring, Event::CheckpointUnreadable) => {
                self.tally.restores_failed += 1;
                let tried = self.origin.as_ref().map(|origin| origin.checkpoint.clone());
                self.unreadable.extend(tried);
                self.restore(now)
            }
            (state, event) => {
                let event = std::mem::discriminant(&event);
                panic!("the driver reported {event:?} in state {state:?}")
            }
        }
    }

    fn run(&mut self, now: Timestamp) -> Step<C> {
        self.state = State::Running { finished: false };
        let seen = Seen {
            checkpoint_cost: self.options.checkpoint_cost,
            restart_cost: self.options.restart_cost,
            mtbf: self.options.mtbf,
            since_failure: self.risk.since_failure(now),
            failures: self.tally.failures,
            at_risk: self.risk.in_all(now),
        };
        Step::Run {
            until: self.policy.interval(&seen).map(|work| now + work),
        }
    }

    fn lost(&mut self, reason: GoneReason, at: Timestamp, now: Timestamp) -> Step<C> {
        self.tally.failures += 1;
        if reason == GoneReason::GuestCrashed && self.state != State::Restoring {
            self.blame_origin();
        }
        self.risk.end(at);
        self.risk.at_failure = self.risk.before;
        if self
            .options
            .failures_max
            .is_some_and(|max| self.tally.failures > max)
        {
            return self.over(Step::GivenUp(GiveUp::TooManyFailures));
        }
        self.state = State::Waiting;
        Step::Wait {
            until: now + self.options.downtime,
        }
    }

    fn blame_origin(&mut self) {
        let Some(origin) = &mut self.origin else { return };
        origin.crashes += 1;
        if self.options.crashes_max.is_some_and(|max| origin.crashes >= max)
            && !self.doomed.contains(&origin.checkpoint)
        {
            self.doomed.push(origin.checkpoint.clone());
        }
    }

    fn wait_again(&mut self, now: Timestamp) -> Step<C> {
        self.risk.end(now);
        self.state = State::Waiting;
        Step::Wait {
            until: now + self.options.retry_after,
        }
    }

    fn restore(&mut self, now: Timestamp) -> Step<C> {
        let newest_first = self.candidates.iter().rev();
        let mut readable = newest_first.filter(|candidate| !self.unreadable.contains(candidate));
        let from = readable
            .clone()
            .find(|candidate| !self.doomed.contains(candidate))
            .or(readable.next())
            .cloned();
        if from.is_none() && !self.unreadable.is_empty() {
            // What does not read now is not lost: nobody starts from nothing, or gives up, because of it.
            self.unreadable.clear();
            return self.wait_again(now);
        }
        if self.origin.as_ref().map(|origin| &origin.checkpoint) != from.as_ref() {
            self.origin = from.clone().map(|checkpoint| Origin {
                checkpoint,
                crashes: 0,
            });
        }
        if from.is_none() {
            if !self.options.cold_start {
                return self.over(Step::GivenUp(GiveUp::NothingToRestoreFrom));
            }
            self.tally.cold_starts += 1;
        }
        self.state = State::Restoring;
        Step::Restore { from }
    }

    fn captured(&mut self, checkpoint: C, cost: Duration, finished: bool, now: Timestamp) -> Step<C> {
        self.tally.captures += 1;
        self.origin = None;
        self.remember(checkpoint);
        if self.options.learn_costs {
            self.options.checkpoint_cost = cost;
        }
        if finished {
            self.over(Step::Finished)
        } else {
            self.run(now)
        }
    }

    fn remember(&mut self, checkpoint: C) {
        self.candidates.push_back(checkpoint);
        while self.candidates.len() > self.options.candidates_max.max(1) {
            self.candidates.pop_front();
        }
    }

    fn over(&mut self, last: Step<C>) -> Step<C> {
        self.state = State::Over;
        last
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Fixed, Never};

    /// What a driver may meet, as a stream of choices.
    #[derive(Debug, Clone, Copy)]
    enum Fate {
        Well,
        Lost,
        Failed,
        Damaged,
        Unreadable,
    }

    fn host_lost(at: Timestamp) -> Event<u32> {
        Event::GuestLost {
            reason: GoneReason::HostLost,
            at,
        }
    }

    fn fates() -> impl Strategy<Value = Vec<Fate>> {
        let fate = prop_oneof![
            4 => Just(Fate::Well), 2 => Just(Fate::Lost), 1 => Just(Fate::Failed), 1 => Just(Fate::Damaged),
            1 => Just(Fate::Unreadable)
        ];
        prop::collection::vec(fate, 0..200)
    }

    /// A driver that does what it is told and meets `fates`, then only good fortune. Checkpoints are numbers, rising.
    #[expect(clippy::too_many_lines, reason = "one arm a step, read beside the machine")]
    fn drive(options: Options, finish_after: u32, fates: Vec<Fate>) -> Result<(Tally, bool), TestCaseError> {
        let mut protect = Protect::new(Box::new(Fixed(Duration::from_secs(10))), options);
        let mut fates = fates.into_iter();
        let (mut now, mut event) = (Timestamp::default(), Event::Started);
        // As many of the committed ones as are remembered.
        let (mut known, mut next) = (Vec::<u32>::new(), 0);
        // From where the guest was restarted, and its crashes since; what it crashed from too often.
        let (mut origin, mut doomed) = (None, Vec::new());
        // What did not read since the guest was lost.
        let mut unreadable = Vec::<u32>::new();
        let (mut lost, mut failed, mut runs) = (0, 0, 0);
        loop {
            let fate = fates.next().unwrap_or(Fate::Well);
            let step = protect.on(event, now);
            now = now + Duration::from_secs(1);
            let lost_at = now;
            let was_lost = |reason| Event::GuestLost { reason, at: lost_at };
            event = match (step, fate) {
                (Step::Finished, _) => {
                    prop_assert!(runs >= finish_after);
                    let tally = protect.tally();
                    prop_assert_eq!((tally.captures, tally.captures_failed), (u64::from(next), failed));
                    prop_assert_eq!(tally.failures, lost);
                    return Ok((tally, true));
                }
                (Step::GivenUp(why), _) => {
                    match why {
                        GiveUp::TooManyFailures => prop_assert!(Some(lost) > options.failures_max),
                        GiveUp::NothingToRestoreFrom => prop_assert!(!options.cold_start),
                    }
                    return Ok((protect.tally(), false));
                }
                (Step::Restore { from }, Fate::Lost) => {
                    lost += 1;
                    if origin.is_none_or(|(id, _)| Some(id) != from) {
                        origin = from.map(|id| (id, 0));
                    }
                    was_lost(GoneReason::HostLost)
                }
                (Step::Run { .. } | Step::Capture | Step::Linger { .. }, Fate::Lost) => {
                    lost += 1;
                    if let Some((id, crashes)) = &mut origin {
                        *crashes += 1;
                        if options.crashes_max.is_some_and(|max| *crashes >= max) {
                            doomed.push(*id);
                        }
                    }
                    was_lost(GoneReason::GuestCrashed)
                }
                (Step::Run { until }, _) => {
                    runs += 1;
                    now = until.map_or(now, |until| until.max(now));
                    if runs >= finish_after {
                        Event::GuestFinished
                    } else {
                        Event::TimerExpired
                    }
                }
                (Step::Linger { until } | Step::Wait { until }, _) => {
                    now = until.max(now);
                    Event::TimerExpired
                }
                (Step::Capture, Fate::Failed | Fate::Damaged) => {
                    failed += 1;
                    Event::CaptureFailed
                }
                (Step::Capture, _) => {
                    known.push(next);
                    known.drain(..known.len().saturating_sub(options.candidates_max.max(1)));
                    origin = None;
                    next += 1;
                    Event::Captured {
                        checkpoint: next - 1,
                        cost: Duration::from_secs(1),
                    }
                }
                (Step::Restore { from }, fate) => {
                    if known.iter().all(|id| unreadable.contains(id)) {
                        unreadable.clear();
                    }
                    let readable = || known.iter().filter(|id| !unreadable.contains(*id));
                    let well = readable().filter(|id| !doomed.contains(*id)).max();
                    prop_assert_eq!(
                        from.as_ref(),
                        well.or(readable().max()),
                        "not the newest that is not known to be bad"
                    );
                    if origin.is_none_or(|(id, _)| Some(id) != from) {
                        origin = from.map(|id| (id, 0));
                    }
                    match (fate, from) {
                        (Fate::Damaged, Some(id)) => {
                            known.retain(|known| *known != id);
                            Event::RestoreFailed { damaged: true }
                        }
                        (Fate::Unreadable, Some(id)) => {
                            unreadable.push(id);
                            Event::CheckpointUnreadable
                        }
                        (Fate::Failed, _) => Event::RestoreFailed { damaged: false },
                        _ => {
                            unreadable.clear();
                            Event::Restored {
                                cost: Duration::from_secs(1),
                            }
                        }
                    }
                }
            };
        }
    }

    proptest! {
        /// Whatever a driver may meet: no panic, always an end, the newest undamaged checkpoint, and counts that add up.
        #[test]
        fn any_fate_ends_well_or_is_given_up(
            fates in fates(), finish_after in 1..20u32, final_checkpoint in any::<bool>(), cold_start in any::<bool>(),
            candidates_max in 0..300usize, failures_max in prop::option::of(0..20u32), crashes_max in prop::option::of(1..4u32),
        ) {
            let options = Options {
                final_checkpoint, candidates_max, cold_start, failures_max, crashes_max, ..Options::default()
            };
            let (tally, finished) = drive(options, finish_after, fates)?;
            prop_assert!(finished || failures_max.is_some() || !cold_start);
            prop_assert!(!final_checkpoint || !finished || tally.captures > 0);
        }
    }

    #[test]
    fn without_checkpoints_a_lost_guest_starts_from_nothing() {
        let mut protect: Protect<u32> = Protect::new(Box::new(Never), Options::default());
        let now = Timestamp::default();
        assert_eq!(protect.on(Event::Started, now), Step::Run { until: None });
        assert_eq!(protect.on(host_lost(now), now), Step::Wait { until: now });
        assert_eq!(protect.on(Event::TimerExpired, now), Step::Restore { from: None });
        assert_eq!(protect.tally().cold_starts, 1);
    }

    #[test]
    fn a_checkpoint_of_a_guest_about_to_crash_is_passed_over() {
        let options = Options {
            crashes_max: Some(2),
            ..Options::default()
        };
        let mut protect = Protect::new(Box::new(Never), options).with_candidates([1, 2]);
        let now = Timestamp::default();
        let mut restored_from = Vec::new();
        protect.on(Event::Started, now);
        for reason in [GoneReason::GuestCrashed, GoneReason::HostLost].repeat(3) {
            protect.on(Event::GuestLost { reason, at: now }, now);
            let Step::Restore { from } = protect.on(Event::TimerExpired, now) else {
                panic!("a restart was due")
            };
            restored_from.extend(from);
            let cost = Duration::ZERO;
            protect.on(Event::Restored { cost }, now);
        }
        // The first crash was of the guest as it was found, of the others the first two come after a restart from 2.
        assert_eq!(restored_from, [2, 2, 2, 2, 1, 1]);
    }

    #[test]
    fn downtime_is_no_time_at_risk() {
        #[derive(Debug)]
        struct Told(fn(&Seen) -> Duration);
        impl IntervalPolicy for Told {
            fn interval(&self, seen: &Seen) -> Option<Duration> {
                Some((self.0)(seen))
            }
        }
        for (told, expected_s) in [
            (Told(|seen| seen.at_risk), 100 + 7),
            (Told(|seen| seen.since_failure), 7),
        ] {
            let options = Options {
                downtime: Duration::from_secs(1000),
                ..Options::default()
            };
            let mut protect: Protect<u32> = Protect::new(Box::new(told), options);
            let at = |s| Timestamp::default() + Duration::from_secs(s);
            protect.on(Event::Started, at(10));
            // Noticed half a minute later, which is no time at risk either.
            protect.on(host_lost(at(110)), at(140));
            protect.on(Event::TimerExpired, at(1110));
            let cost = Duration::from_secs(7);
            let step = protect.on(Event::Restored { cost }, at(1117));
            let until = Some(at(1117 + expected_s));
            assert_eq!(step, Step::Run { until });
        }
    }

    #[test]
    fn the_catalogue_replaces_what_was_known() {
        let mut protect = Protect::new(Box::new(Never), Options::default()).with_candidates([1, 2, 3]);
        let now = Timestamp::default();
        protect.on(Event::Started, now);
        protect.on(host_lost(now), now);
        protect.replace_candidates([7, 9]);
        assert_eq!(
            protect.on(Event::TimerExpired, now),
            Step::Restore { from: Some(9) }
        );
        assert_eq!(
            protect.on(Event::RestoreFailed { damaged: true }, now),
            Step::Restore { from: Some(7) }
        );
    }
}
