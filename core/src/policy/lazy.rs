//! Lazy checkpointing: longer intervals the longer nothing has failed.

use std::time::Duration;

use super::{DalyFirstOrder, IntervalPolicy, Seen, interval_of};

/// α(t) = α (t/α)^{1−k} for t ≥ α, and α before: the interval α = sqrt(2CM) − C stretched by the fall of a Weibull hazard of
/// shape k since the last failure, a time t at risk ago (Tiwari, Gupta and Vazhkudai, "Lazy checkpointing", DSN 2014, doi
/// 10.1109/DSN.2014.101). α is Daly's first-order interval without its restart. Saves checkpoints rather than time; for k = 1 it is α.
#[derive(Debug, Clone, Copy)]
pub struct Lazy {
    /// k, at most 1.
    pub shape: f64,
}

impl IntervalPolicy for Lazy {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let restarts_free = Seen {
            restart_cost: Duration::ZERO,
            ..*seen
        };
        let base_s = DalyFirstOrder.interval(&restarts_free)?.as_secs_f64();
        let stretch = libm::pow(
            (seen.since_failure.as_secs_f64() / base_s).max(1.0),
            1.0 - self.shape,
        );
        Some(interval_of(base_s * stretch))
    }
}
