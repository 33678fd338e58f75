//! Checkpoints that are verified before they are written, against errors that nobody notices by themselves.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen, interval_of};

/// w* = sqrt((m V + C) / (½ (1 + 1/m) λs + ½ λf)): A. Benoit, A. Cavelan, Y. Robert, H. Sun, "Optimal resilience patterns to
/// cope with fail-stop and silent errors", IPDPS 2016. For m = 1, sqrt((V + C) / (λs + λf/2)): no factor 2 beside
/// λs, since a silent error throws all the work since the last verification away, wherever it struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// What one verification costs (V).
    pub verification: Duration,
    /// Mean work between silent errors (1/λs).
    pub silent_mtbf: Duration,
    /// Verifications a checkpoint (m), at equal distances, the last just before the checkpoint; at least 1.
    pub verifications: u32,
}

/// How it is chosen. Where nothing is silent it is Young's interval.
pub(super) const KIND: Kind = Kind {
    name: "verified",
    formula: "sqrt((m V + C) / (½ (1 + 1/m) λs + ½ λf)), m verifications a checkpoint",
    source: "Benoit et al., IPDPS 2016",
    parameters: &[],
    needs_work: false,
    needs_world: Some("failures.silent_mtbf and checkpoint.verify"),
    make: |_| {
        Box::new(Verified {
            verification: Duration::ZERO,
            silent_mtbf: Duration::MAX,
            verifications: 1,
        })
    },
};

impl IntervalPolicy for Verified {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let m = f64::from(self.verifications.max(1));
        let cost_s = m * self.verification.as_secs_f64() + seen.checkpoint_cost.as_secs_f64();
        let silent = 0.5 * (1.0 + 1.0 / m) / self.silent_mtbf.as_secs_f64();
        let stop = 0.5 / seen.mtbf.as_secs_f64();
        Some(interval_of(libm::sqrt(cost_s / (silent + stop))))
    }

    fn is_constant(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval_s(verifications: u32, silent_s: u64, mtbf: Duration) -> f64 {
        let policy = Verified {
            verification: Duration::from_secs(10),
            silent_mtbf: Duration::from_secs(silent_s),
            verifications,
        };
        let seen = Seen {
            checkpoint_cost: Duration::from_secs(50),
            restart_cost: Duration::ZERO,
            mtbf,
            since_failure: Duration::ZERO,
            failures: 0,
            at_risk: Duration::ZERO,
        };
        policy.interval(&seen).unwrap().as_secs_f64()
    }

    #[test]
    fn the_interval_of_silent_errors_and_of_both_kinds() {
        // V + C = 60 s, 1/λs = 10⁵ s: sqrt(60 * 10⁵) s.
        assert!((interval_s(1, 100_000, Duration::MAX) - 2449.49).abs() < 0.01);
        // λs = λf: sqrt(60 * 10⁵ / 1.5) s.
        assert!((interval_s(1, 100_000, Duration::from_secs(100_000)) - 2000.0).abs() < 0.01);
        // Two verifications: sqrt(70 * 10⁵ / 0.75) s.
        assert!((interval_s(2, 100_000, Duration::MAX) - 3055.05).abs() < 0.01);
    }
}
