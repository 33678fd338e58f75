//! Two stores: failures of rate λ₁ leave the local one, failures of rate λ₂ take it along.
//!
//! Every `n`-th checkpoint is written to the local and to the shared store at a cost of C₁ + C₂, the others only to the local
//! one. A restart from the shared store leaves a copy on the new host's local one.

use libm::{exp, expm1, sqrt};

/// The costs and rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoLevels {
    /// Rate of failures that the local store outlives, 1/s (λ₁).
    pub local_rate: f64,
    /// Rate of failures that only the shared store outlives, 1/s (λ₂).
    pub shared_rate: f64,
    /// A checkpoint to the local store (C₁).
    pub local_cost_s: f64,
    /// What the shared store takes besides (C₂).
    pub shared_cost_s: f64,
    /// A restart from the local store (R₁).
    pub local_restart_s: f64,
    /// A restart from the shared store (R₂).
    pub shared_restart_s: f64,
    /// From a failure until a host is ready (D); no failure strikes in it.
    pub downtime_s: f64,
}

impl TwoLevels {
    /// The least first-order overhead of any pattern, H* = Σ sqrt(2 λ C) over the levels (Benoit, Cavelan, Le Fèvre, Robert and
    /// Sun, IEEE TC 66(7), 2017). Restarts and downtime are not of first order and left out.
    pub fn least_overhead(&self) -> f64 {
        sqrt(2.0 * self.local_rate * self.local_cost_s) + sqrt(2.0 * self.shared_rate * self.shared_cost_s)
    }

    /// First-order overhead of patterns of `n` checkpoints, each after `interval_s` of work:
    /// (n C₁ + C₂)/W + W/2 (λ₁/n + λ₂), W = n `interval_s`.
    pub fn first_order_overhead(&self, interval_s: f64, n: u32) -> f64 {
        let n = f64::from(n);
        let pattern_s = n * interval_s;
        (n * self.local_cost_s + self.shared_cost_s) / pattern_s
            + pattern_s / 2.0 * (self.local_rate / n + self.shared_rate)
    }

    /// Expected time of a pattern of `n` checkpoints, each after `interval_s` of work, exact for exponential failures that
    /// may strike in work, checkpoints and restarts. The Markov chain of Moody et al. (SC'10): the states
    /// are the segments and the restarts of either level; solved from the last segment backwards, with the time from a
    /// shared restart to the end of the pattern as the one unknown.
    pub fn expected_pattern_s(&self, interval_s: f64, n: u32) -> f64 {
        let rate = self.local_rate + self.shared_rate;
        if rate <= 0.0 {
            return f64::from(n) * (interval_s + self.local_cost_s) + self.shared_cost_s;
        }
        let (to_local, to_shared) = (self.local_rate / rate, self.shared_rate / rate);
        // Of a stretch: chance to survive it, and expected time in it, downtime after a failure included.
        let stretch = |span_s: f64| {
            let struck = -expm1(-rate * span_s);
            (exp(-rate * span_s), struck * (1.0 / rate + self.downtime_s))
        };
        // F₂ = `again_s` + E₀: a shared restart is tried until it succeeds.
        let again_s = (1.0 / rate + self.downtime_s) * expm1(rate * self.shared_restart_s);
        // A local restart ends in its segment (share `back`) or in a shared restart, after `local_s`.
        let (ok, spent_s) = stretch(self.local_restart_s);
        let repeated = 1.0 - (1.0 - ok) * to_local;
        let (back, local_s, worse) = (
            ok / repeated,
            spent_s / repeated,
            (1.0 - ok) * to_shared / repeated,
        );
        // E_j = a + b F₂, from the last segment to the first.
        let (mut a, mut b) = (0.0, 0.0);
        for segment in (1..=n).rev() {
            let cost_s = if segment == n {
                self.local_cost_s + self.shared_cost_s
            } else {
                self.local_cost_s
            };
            let (ok, spent_s) = stretch(interval_s + cost_s);
            let (local, shared) = ((1.0 - ok) * to_local, (1.0 - ok) * to_shared);
            let own = 1.0 - local * back;
            a = (spent_s + ok * a + local * local_s) / own;
            b = (ok * b + shared + local * worse) / own;
        }
        (a + b * again_s) / (1.0 - b)
    }

    /// Overhead in the long run of patterns of `n` checkpoints after `interval_s` of work each, exact.
    pub fn expected_overhead(&self, interval_s: f64, n: u32) -> f64 {
        self.expected_pattern_s(interval_s, n) / (f64::from(n) * interval_s) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Scenario, near};
    use super::*;

    fn levels() -> TwoLevels {
        TwoLevels {
            local_rate: 1.0 / 5_000.0,
            shared_rate: 1.0 / 1e5,
            local_cost_s: 5.0,
            shared_cost_s: 100.0,
            local_restart_s: 0.0,
            shared_restart_s: 0.0,
            downtime_s: 0.0,
        }
    }

    /// N = 20, W = 4472 s: H* = 0.0894; an independent Monte-Carlo gave 0.0945 ± 0.0014.
    #[test]
    fn first_order_and_exact_overhead() {
        near(levels().least_overhead(), 0.0894, 5e-5);
        near(levels().first_order_overhead(4472.136 / 20.0, 20), 0.0894, 5e-5);
        near(levels().expected_overhead(4472.136 / 20.0, 20), 0.0945, 0.0014);
    }

    /// If all failures take the local store along, segments mean nothing; if none does, each is a chunk of its own.
    #[test]
    fn with_one_kind_of_failure_it_is_the_single_level_formula() {
        let single = |checkpoint_s, restart_s| Scenario {
            work_s: 1e6,
            checkpoint_s,
            restart_s,
            downtime_s: 30.0,
            mtbf_s: 5_000.0,
            final_checkpoint: true,
        };
        let shared = TwoLevels {
            local_rate: 0.0,
            shared_rate: 1.0 / 5_000.0,
            local_restart_s: 7.0,
            shared_restart_s: 60.0,
            downtime_s: 30.0,
            ..levels()
        };
        // Four segments of 250 s and their local checkpoints are one chunk of 1015 s of work to the shared level.
        near(
            shared.expected_pattern_s(250.0, 4),
            single(105.0, 60.0).daly_makespan_s(1015.0) * 1015.0 / 1e6,
            1e-6,
        );
        let local = TwoLevels {
            local_rate: 1.0 / 5_000.0,
            shared_rate: 0.0,
            ..shared
        };
        near(
            local.expected_pattern_s(250.0, 1),
            single(105.0, 7.0).daly_makespan_s(250.0) * 250.0 / 1e6,
            1e-6,
        );
    }
}
