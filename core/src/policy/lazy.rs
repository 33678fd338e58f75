//! Lazy checkpointing: longer intervals the longer nothing has failed.

use std::time::Duration;

use super::{IntervalPolicy, Seen, Young, interval_of};

/// α(t) = α (t/α)^{1−k} for t ≥ α, and α before: Young's interval α stretched by the fall of a Weibull hazard of shape k since the
/// last failure, t ago (Tiwari, Gupta and Vazhkudai, "Lazy checkpointing", DSN 2014, doi 10.1109/DSN.2014.101). Saves checkpoints
/// rather than time; for k = 1 it is Young's.
#[derive(Debug, Clone, Copy)]
pub struct Lazy {
    /// k, at most 1.
    pub shape: f64,
}

impl IntervalPolicy for Lazy {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let base_s = Young.interval(seen)?.as_secs_f64();
        let stretch = libm::pow(
            (seen.since_failure.as_secs_f64() / base_s).max(1.0),
            1.0 - self.shape,
        );
        Some(interval_of(base_s * stretch))
    }
}
