//! Two stores, a fast one that dies with its host and a slow one that does not: which interval, and which checkpoint
//! of how many goes to the slow one.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen, interval_of};

/// The pattern of least first-order overhead: every `shared_every`-th checkpoint also goes to the shared store.
///
/// A. Benoit, A. Cavelan, V. Le Fèvre, Y. Robert, H. Sun, "Towards optimal multi-level checkpointing", IEEE TC 66(7),
/// 2017. With rates λ₁, λ₂ of the failures that the local and only the shared store outlives, and costs C₁, C₂: N* =
/// sqrt((λ₁/C₁)(C₂/λ₂)) local checkpoints a pattern, W = sqrt((N C₁ + C₂) / (½ (λ₁/N + λ₂))) of work in it. The checkpoint
/// that goes to the shared store costs C₁ + C₂.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoLevel {
    /// What it costs, besides the local checkpoint, to bring one to the shared store (C₂).
    pub shared_cost: Duration,
    /// Share of the failures that take the local store along (λ₂ / (λ₁ + λ₂)).
    pub host_loss_share: f64,
    /// The number of local checkpoints a pattern, if it is not to be the best one; at least 1.
    pub shared_every: Option<u32>,
}

/// How it is chosen. Without a shared store it is Young's interval.
pub(super) const KIND: Kind = Kind {
    name: "two-level",
    formula: "sqrt((C₁ + C₂/N) / (½ (λ₁/N + λ₂)) / N), every N-th checkpoint to the shared store",
    source: "Benoit et al., IEEE TC 2017",
    parameters: &[],
    needs_work: false,
    needs_world: Some("checkpoint.shared"),
    make: |_| {
        Box::new(TwoLevel {
            shared_cost: Duration::ZERO,
            host_loss_share: 0.0,
            shared_every: Some(1),
        })
    },
};

/// A pattern of checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Work between two checkpoints.
    pub interval: Duration,
    /// Every checkpoint of this number goes to the shared store, too; at least 1.
    pub shared_every: u32,
}

/// More local checkpoints than this between two shared ones are none that anybody waits for.
const SHARED_EVERY_MAX: u32 = 1_000_000;

impl TwoLevel {
    /// The pattern for what has been seen; C₁ is its checkpoint cost.
    pub fn pattern(&self, seen: &Seen) -> Pattern {
        let rate = 1.0 / seen.mtbf.as_secs_f64();
        let lost = rate * self.host_loss_share.clamp(0.0, 1.0);
        let kept = rate - lost;
        let (local_s, shared_s) = (seen.checkpoint_cost.as_secs_f64(), self.shared_cost.as_secs_f64());
        let every = |count: u32| {
            let n = f64::from(count);
            let cost_s = n * local_s + shared_s;
            let loss = 0.5 * (kept / n + lost);
            // W, and with it the overhead (N C₁ + C₂)/W + W/2 (λ₁/N + λ₂) = 2 sqrt(cost * loss).
            (libm::sqrt(cost_s / loss), cost_s * loss)
        };
        let count = self.shared_every.map_or_else(
            || {
                let best = libm::sqrt(kept / local_s * shared_s / lost);
                if best.is_nan() || best <= 1.0 {
                    return 1;
                }
                // The better neighbour of the real optimum.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "casts from floats saturate, and this one is above 1"
                )]
                let below = (best as u32).min(SHARED_EVERY_MAX);
                let above = (below + 1).min(SHARED_EVERY_MAX);
                if every(below).1 <= every(above).1 {
                    below
                } else {
                    above
                }
            },
            |given| given.max(1),
        );
        Pattern {
            interval: interval_of(every(count).0 / f64::from(count)),
            shared_every: count,
        }
    }
}

impl IntervalPolicy for TwoLevel {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        Some(self.pattern(seen).interval)
    }

    fn is_constant(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(mtbf_s: f64) -> Seen {
        Seen {
            checkpoint_cost: Duration::from_secs(5),
            restart_cost: Duration::ZERO,
            mtbf: Duration::from_secs_f64(mtbf_s),
            since_failure: Duration::ZERO,
            failures: 0,
            at_risk: Duration::ZERO,
        }
    }

    /// λ₁ = 1/5000, λ₂ = 1/10⁵, C₁ = 5, C₂ = 100: N = 20, W = 4472 s; each level by itself follows Young.
    #[test]
    fn the_pattern_of_two_levels() {
        let (kept, lost) = (1.0 / 5_000.0, 1.0 / 1e5);
        let policy = TwoLevel {
            shared_cost: Duration::from_secs(100),
            host_loss_share: lost / (kept + lost),
            shared_every: None,
        };
        let pattern = policy.pattern(&seen(1.0 / (kept + lost)));
        assert_eq!(pattern.shared_every, 20);
        assert!((pattern.interval.as_secs_f64() - 223.607).abs() < 1e-3);
    }

    #[test]
    fn without_one_kind_of_failure_one_level_is_left() {
        let at = |share| TwoLevel {
            shared_cost: Duration::from_secs(100),
            host_loss_share: share,
            shared_every: None,
        };
        // All failures take the local store along: only shared checkpoints count.
        let all = at(1.0).pattern(&seen(5_000.0));
        assert_eq!(all.shared_every, 1);
        assert!((all.interval.as_secs_f64() - libm::sqrt(2.0 * 105.0 * 5_000.0)).abs() < 1e-6);
        // None does: Young's interval of the local store, as if the shared one were not there.
        let none = at(0.0).pattern(&seen(5_000.0));
        assert_eq!(none.shared_every, SHARED_EVERY_MAX);
        assert!((none.interval.as_secs_f64() - libm::sqrt(2.0 * 5.0 * 5_000.0)).abs() < 0.01);
    }
}
