//! Lazy checkpointing: longer intervals the longer nothing has failed.

use std::time::Duration;

use super::{DalyFirstOrder, IntervalPolicy, Kind, Parameter, Preset, Seen, Unit, interval_of};

/// α(t) = α (t/α)^{1−k} for t ≥ α, and α before: the interval α = sqrt(2CM) − C stretched by the fall of a Weibull hazard of
/// shape k since the last failure, a time t at risk ago (Tiwari, Gupta and Vazhkudai, "Lazy checkpointing", DSN 2014, doi
/// 10.1109/DSN.2014.101). α is Daly's first-order interval without its restart. Saves checkpoints rather than time; for k = 1 it is α.
#[derive(Debug, Clone, Copy)]
pub struct Lazy {
    /// k, at most 1.
    pub shape: f64,
}

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "lazy",
    formula: "α (t/α)^{1−k}, α = sqrt(2CM) − C, t ≥ α the time at risk since the last failure",
    source: "Tiwari et al., DSN 2014",
    parameters: &[Parameter {
        name: "shape",
        about: "k, the shape of the Weibull law that failures are taken to follow",
        unit: Unit::Number,
        preset: Preset::Required,
        least: 0.1,
        most: 1.0,
    }],
    needs_work: false,
    needs_world: None,
    make: |told| {
        Box::new(Lazy {
            shape: told.number("shape"),
        })
    },
};

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
