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
    GuestLost(GoneReason),
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

/// The protect loop as a state machine; `C` names a committed checkpoint.
#[derive(Debug)]
pub struct Protect<C> {
    policy: Box<dyn IntervalPolicy>,
    options: Options,
    state: State,
    /// Committed checkpoints, newest last.
    candidates: VecDeque<C>,
    last_failure: Option<Timestamp>,
    started: Timestamp,
    tally: Tally,
}

impl<C: Clone> Protect<C> {
    /// A loop for a guest of which no checkpoint is known.
    pub fn new(policy: Box<dyn IntervalPolicy>, options: Options) -> Self {
        Protect {
            policy,
            options,
            state: State::Fresh,
            candidates: VecDeque::new(),
            last_failure: None,
            started: Timestamp::default(),
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
        for candidate in candidates {
            self.remember(candidate);
        }
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
                self.started = now;
                self.run(now)
            }
            (
                State::Fresh
                | State::Running { .. }
                | State::Capturing { .. }
                | State::Waiting
                | State::Restoring,
                Event::GuestLost(_),
            ) => self.lost(now),
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
            (State::Waiting, Event::TimerExpired) => self.restore(),
            (State::Restoring, Event::Restored { cost }) => {
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
                    self.candidates.pop_back();
                    self.restore()
                } else {
                    self.state = State::Waiting;
                    Step::Wait {
                        until: now + self.options.retry_after,
                    }
                }
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
            since_failure: now.since(self.last_failure.unwrap_or(self.started)),
            failures: self.tally.failures,
        };
        Step::Run {
            until: self.policy.interval(&seen).map(|work| now + work),
        }
    }

    fn lost(&mut self, now: Timestamp) -> Step<C> {
        self.tally.failures += 1;
        self.last_failure = Some(now);
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

    fn restore(&mut self) -> Step<C> {
        let from = self.candidates.back().cloned();
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
