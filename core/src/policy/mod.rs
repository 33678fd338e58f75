//! When to checkpoint: pure functions of what has been seen so far.
//!
//! Convention: an *interval* here is τ, the work between two checkpoints with the checkpoint's own cost left
//! out, as Young and Daly print it (Hérault and Robert print T = τ + C).

use std::fmt;
use std::time::Duration;

/// What a policy may know when it is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// For how long one checkpoint keeps the guest from working (C).
    pub checkpoint_cost: Duration,
    /// Reading a checkpoint back and rebuilding the guest (R).
    pub restart_cost: Duration,
    /// Mean time between failures of guest and host together (M).
    pub mtbf: Duration,
    /// Time since the last failure, or since the start if there was none.
    pub since_failure: Duration,
    /// Failures so far.
    pub failures: u32,
}

/// Decides how much work the guest does before its next checkpoint.
///
/// # Contract
/// A pure function: the same answer for the same input, no clock, no randomness, no memory.
pub trait IntervalPolicy: fmt::Debug + Send + Sync {
    /// Work until the next checkpoint, never zero; `None`: no checkpoint.
    fn interval(&self, seen: &Seen) -> Option<Duration>;
}

/// The same interval every time.
#[derive(Debug, Clone, Copy)]
pub struct Fixed(pub Duration);

impl IntervalPolicy for Fixed {
    fn interval(&self, _: &Seen) -> Option<Duration> {
        Some(self.0)
    }
}

/// No checkpoints at all: the baseline.
#[derive(Debug, Clone, Copy)]
pub struct Never;

impl IntervalPolicy for Never {
    fn interval(&self, _: &Seen) -> Option<Duration> {
        None
    }
}
