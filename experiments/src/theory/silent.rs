//! Silent errors, found only by a verification.
//!
//! A silent error strikes in work and is noticed by the next verification (cost V, just before the checkpoint), which then
//! costs a restart from the last checkpoint. Failures that stop the guest strike in work, verification, checkpoint
//! and restart.

use libm::{exp, expm1, sqrt};

/// The costs and rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silent {
    /// Rate of silent errors in work, 1/s (λs).
    pub silent_rate: f64,
    /// Rate of failures that stop the guest, 1/s (λf).
    pub stop_rate: f64,
    /// One verification (V).
    pub verification_s: f64,
    /// One checkpoint (C).
    pub checkpoint_s: f64,
    /// One restart (R).
    pub restart_s: f64,
    /// From a failure that stops the guest until a host is ready (D); no failure strikes in it.
    pub downtime_s: f64,
}

impl Silent {
    /// Expected time to do `work_s`, verify it and commit it. Exact. Without failures that stop the guest it
    /// is e^{λs w}(w + V) + (e^{λs w} − 1) R + C (Benoit, Cavelan, Robert and Sun, IPDPS 2016).
    pub fn expected_segment_s(&self, work_s: f64) -> f64 {
        let (verified_s, silent) = (work_s + self.verification_s, -expm1(-self.silent_rate * work_s));
        let (restart_s, ok_work, spent_work_s, ok_commit, spent_commit_s);
        if self.stop_rate > 0.0 {
            let stretch = |span_s: f64| {
                let struck = -expm1(-self.stop_rate * span_s);
                (1.0 - struck, struck * (1.0 / self.stop_rate + self.downtime_s))
            };
            // Tried until it succeeds.
            restart_s = (1.0 / self.stop_rate + self.downtime_s) * expm1(self.stop_rate * self.restart_s);
            (ok_work, spent_work_s) = stretch(verified_s);
            (ok_commit, spent_commit_s) = stretch(self.checkpoint_s);
        } else {
            restart_s = self.restart_s;
            (ok_work, spent_work_s) = (1.0, verified_s);
            (ok_commit, spent_commit_s) = (1.0, self.checkpoint_s);
        }
        // An attempt succeeds if it meets neither kind; every attempt that does not is followed by a restart.
        let clean = ok_work * (1.0 - silent);
        let success = clean * ok_commit;
        (spent_work_s + clean * spent_commit_s + (1.0 - success) * restart_s) / success
    }

    /// Overhead in the long run, exact.
    pub fn expected_overhead(&self, work_s: f64) -> f64 {
        self.expected_segment_s(work_s) / work_s - 1.0
    }

    /// The work between checkpoints of least first-order overhead, sqrt((V + C) / (λs + λf/2)).
    pub fn best_work_s(&self) -> f64 {
        sqrt((self.verification_s + self.checkpoint_s) / (self.silent_rate + self.stop_rate / 2.0))
    }

    /// That overhead, 2 sqrt((λs + λf/2)(V + C)).
    pub fn least_overhead(&self) -> f64 {
        2.0 * sqrt((self.silent_rate + self.stop_rate / 2.0) * (self.verification_s + self.checkpoint_s))
    }

    /// First-order overhead of `m` verifications a checkpoint, at equal distances: (m V + C)/w + w (½ (1 + 1/m) λs + ½ λf).
    pub fn first_order_overhead(&self, work_s: f64, m: u32) -> f64 {
        let m = f64::from(m);
        (m * self.verification_s + self.checkpoint_s) / work_s
            + work_s * 0.5 * ((1.0 + 1.0 / m) * self.silent_rate + self.stop_rate)
    }

    /// The best number of verifications a checkpoint, a real number: m* = sqrt(λs/(λs + λf) · C/V), at least 1.
    pub fn best_verifications(&self) -> f64 {
        let share = self.silent_rate / (self.silent_rate + self.stop_rate);
        sqrt(share * self.checkpoint_s / self.verification_s).max(1.0)
    }

    /// The chance that a job of `work_s` that nobody verifies ends with a wrong result, no failure of the other kind
    /// striking: 1 − e^{−λs W}.
    pub fn silently_wrong(&self, work_s: f64) -> f64 {
        1.0 - exp(-self.silent_rate * work_s)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Scenario, near};
    use super::*;

    fn silent() -> Silent {
        Silent {
            silent_rate: 1e-5,
            stop_rate: 0.0,
            verification_s: 20.0,
            checkpoint_s: 40.0,
            restart_s: 60.0,
            downtime_s: 0.0,
        }
    }

    #[test]
    fn exact_and_first_order_of_silent_errors_alone() {
        let w = silent().best_work_s();
        near(w, 2449.49, 0.01);
        let growth = exp(1e-5 * w);
        near(
            silent().expected_segment_s(w),
            growth * (w + 20.0) + (growth - 1.0) * 60.0 + 40.0,
            1e-9,
        );
        near(silent().least_overhead(), 2.0 * sqrt(60.0 * 1e-5), 1e-12);
        near(
            silent().first_order_overhead(w, 1),
            silent().least_overhead(),
            1e-12,
        );
    }

    #[test]
    fn without_silent_errors_a_verification_is_part_of_the_checkpoint() {
        let stop = Silent {
            silent_rate: 0.0,
            stop_rate: 1e-4,
            downtime_s: 30.0,
            ..silent()
        };
        let single = Scenario {
            work_s: 1e6,
            checkpoint_s: 60.0,
            restart_s: 60.0,
            downtime_s: 30.0,
            mtbf_s: 1e4,
            final_checkpoint: true,
        };
        near(
            stop.expected_segment_s(1_000.0),
            single.daly_makespan_s(1_000.0) / 1_000.0,
            1e-6,
        );
    }

    #[test]
    fn more_verifications_pay_where_they_are_cheap() {
        let cheap = Silent {
            verification_s: 1.0,
            checkpoint_s: 100.0,
            ..silent()
        };
        near(cheap.best_verifications(), 10.0, 1e-9);
        let best = |m: u32| {
            let m_f = f64::from(m);
            let w = sqrt((m_f + 100.0) / (0.5 * (1.0 + 1.0 / m_f) * 1e-5));
            cheap.first_order_overhead(w, m)
        };
        assert!(best(10) < best(9) && best(10) < best(11) && best(10) < best(1));
    }
}
