//! Equal intervals from the mean number of failures.

use std::time::Duration;

use super::{INTERVAL_MIN, IntervalPolicy, Kind, Parameter, Preset, Seen, Unit};

/// Te cut into x equal intervals with a checkpoint between each two, x being the whole number next to x* = sqrt(Te E(Y) / (2C)) that makes
/// E(Tw) = Te + C (x − 1) + R E(Y) + Te E(Y) / (2x) least (Di et al., "Optimization of cloud task processing with checkpoint-restart mechanism",
/// SC 2013, formula 3, doi 10.1145/2503210.2503217). Asks for no law of the failures, only for how many there are.
#[derive(Debug, Clone, Copy)]
pub struct Di {
    /// Productive length of the task (Te).
    pub work: Duration,
    /// Mean number of failures (MNOF, E(Y)); `None`: as many as the MTBF makes in Te.
    pub failures: Option<f64>,
}

impl Di {
    /// The best real number of intervals.
    pub fn best(work_s: f64, failures: f64, cost_s: f64) -> f64 {
        libm::sqrt(work_s * failures / (2.0 * cost_s))
    }

    /// Expected wall-clock time with `x` intervals, in seconds, without the restarts.
    pub fn expected_s(work_s: f64, failures: f64, cost_s: f64, x: f64) -> f64 {
        work_s + cost_s * (x - 1.0) + work_s * failures / (2.0 * x)
    }
}

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "di",
    formula: "W / x, x the whole number next to sqrt(W E(Y) / (2C)) that costs least",
    source: "Di et al., SC 2013",
    parameters: &[Parameter {
        name: "failures",
        about: "mean number of failures in the job, E(Y)",
        unit: Unit::Number,
        preset: Preset::Derived("W/M"),
        least: 1e-9,
        most: 1e9,
    }],
    needs_work: true,
    needs_world: None,
    make: |told| {
        Box::new(Di {
            work: told.work,
            failures: told.get("failures"),
        })
    },
};

/// A part of `parts` equal ones, the last being at most so many nanoseconds shorter. Were it cut to whole nanoseconds, a few would be
/// left over behind the last part, and a checkpoint would be paid for them.
fn part(work: Duration, parts: f64) -> Duration {
    // As many as fit: a part is no shorter than the shortest interval.
    let most = work.as_nanos() / INTERVAL_MIN.as_nanos();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of at least one; what is too large saturates"
    )]
    let parts = (parts as u128).min(most).max(1);
    let nanos = work.as_nanos().div_ceil(parts);
    u64::try_from(nanos)
        .map_or(Duration::MAX, Duration::from_nanos)
        .max(INTERVAL_MIN)
}

impl IntervalPolicy for Di {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let (work_s, cost_s) = (self.work.as_secs_f64(), seen.checkpoint_cost.as_secs_f64());
        let failures = self.failures.unwrap_or(work_s / seen.mtbf.as_secs_f64());
        let best = Di::best(work_s, failures, cost_s);
        let below = libm::floor(best).max(1.0);
        let above = libm::ceil(best).max(1.0);
        let cost = |x| Di::expected_s(work_s, failures, cost_s, x);
        let x = if cost(below) <= cost(above) { below } else { above };
        Some(part(self.work, x))
    }

    fn is_constant(&self) -> bool {
        true
    }
}
