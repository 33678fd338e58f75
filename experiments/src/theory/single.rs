//! One store, failures that stop the guest: expected times and waste.

use libm::{ceil, exp, expm1, floor, sqrt};
use revenant_core::policy::one_plus_w0;

/// A job and what happens to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Failure-free work of the job (W).
    pub work_s: f64,
    /// Checkpoint cost: for how long the job does not work because of one (C).
    pub checkpoint_s: f64,
    /// Restart: reading a checkpoint back and rebuilding the guest; a start from nothing costs the same (R).
    pub restart_s: f64,
    /// From the failure until a host is ready for the restart, detection included (D). No failure strikes in it.
    pub downtime_s: f64,
    /// Mean time between failures (M).
    pub mtbf_s: f64,
    /// The finished job is checkpointed once more, so that its result is safe.
    pub final_checkpoint: bool,
}

impl Scenario {
    /// What a failure costs at most: all of the work once more, after downtime and restart.
    pub(crate) fn worst_loss_s(&self) -> f64 {
        self.work_s + self.restart_s + self.downtime_s
    }

    /// Expected makespan when checkpoints are taken after every `tau_s` of work, the last chunk being what is left:
    /// the sum over the chunks of E(w). Exact for exponential failures that may strike in
    /// work, checkpoint and restart.
    pub fn expected_makespan_s(&self, tau_s: f64) -> f64 {
        self.over_chunks(tau_s, |work_s, cost_s| self.expected_chunk_s(work_s, cost_s))
    }

    /// Expected work that failures throw away when checkpoints are taken after every `tau_s` of work.
    pub fn expected_lost_s(&self, tau_s: f64) -> f64 {
        self.over_chunks(tau_s, |work_s, cost_s| self.lost_in_chunk_s(work_s, cost_s))
    }

    /// Expected work that failures throw away without checkpoints on the way.
    pub fn expected_lost_never_s(&self) -> f64 {
        self.lost_in_chunk_s(self.work_s, self.last_cost_s())
    }

    /// Sums over the chunks, each of them `(work, checkpoint cost)`; the last one is what is left.
    fn over_chunks(&self, tau_s: f64, of: impl Fn(f64, f64) -> f64) -> f64 {
        let whole = floor(self.work_s / tau_s);
        let rest = self.work_s - whole * tau_s;
        // A remainder of rounding errors is not a chunk: an interval is a whole number of nanoseconds.
        let (full, last_s) = if rest > whole * 1e-9 + self.work_s * 1e-14 {
            (whole, rest)
        } else {
            (whole - 1.0, tau_s)
        };
        if full < 1.0 {
            return of(self.work_s, self.last_cost_s());
        }
        full * of(tau_s, self.checkpoint_s) + of(last_s, self.last_cost_s())
    }

    fn last_cost_s(&self) -> f64 {
        if self.final_checkpoint {
            self.checkpoint_s
        } else {
            0.0
        }
    }

    /// Expected work lost before `work_s` is done and committed at cost `checkpoint_s`. A failure t into an attempt throws
    /// min(t, w) away, an attempt lasts w + C, and attempts are repeated until one meets no failure: summed over
    /// them, M (e^{(w+C)/M} − e^{C/M}) − w.
    fn lost_in_chunk_s(&self, work_s: f64, checkpoint_s: f64) -> f64 {
        self.mtbf_s * exp(checkpoint_s / self.mtbf_s) * expm1(work_s / self.mtbf_s) - work_s
    }

    /// Expected makespan without checkpoints on the way: after every failure all is done again.
    pub fn expected_makespan_never_s(&self) -> f64 {
        self.expected_chunk_s(self.work_s, self.last_cost_s())
    }

    /// Expected time to do `work_s` and commit it at cost `checkpoint_s`:
    /// e^{R/M} (M + D) (e^{(w+C)/M} − 1). Hérault and Robert (eds.), "Fault-Tolerance Techniques for
    /// High-Performance Computing", 2015, ch. 1; Bougeret et al., SC'11.
    fn expected_chunk_s(&self, work_s: f64, checkpoint_s: f64) -> f64 {
        exp(self.restart_s / self.mtbf_s)
            * (self.mtbf_s + self.downtime_s)
            * expm1((work_s + checkpoint_s) / self.mtbf_s)
    }

    /// Daly's complete wall-clock model, E = M e^{R/M} (e^{(τ+C)/M} − 1) W/τ (FGCS 22(3), 2006, for C ≪ W): as if the
    /// number of chunks could be a fraction and each ended in a checkpoint. With a downtime, M + D
    /// replaces the first M, as above.
    pub fn daly_makespan_s(&self, tau_s: f64) -> f64 {
        self.expected_chunk_s(tau_s, self.checkpoint_s) * self.work_s / tau_s
    }

    /// The share of a long job's time that is not work: 1 − τ / E(τ), exact, independent of W.
    pub fn long_run_waste(&self, tau_s: f64) -> f64 {
        1.0 - tau_s / self.expected_chunk_s(tau_s, self.checkpoint_s)
    }

    /// The number of equal chunks that makes the makespan least: the better neighbour of
    /// K₀ = W / (M (1 + W₀(−e^{−C/M−1}))) (Bougeret et al., SC'11). At least one.
    pub fn best_chunks(&self) -> f64 {
        let k0 = self.work_s / (self.mtbf_s * one_plus_w0(self.checkpoint_s / self.mtbf_s));
        let cost_s = |k: f64| k * self.expected_chunk_s(self.work_s / k, self.checkpoint_s);
        let (below, above) = (floor(k0).max(1.0), ceil(k0).max(1.0));
        if cost_s(below) <= cost_s(above) {
            below
        } else {
            above
        }
    }

    /// First-order waste of the period T = τ + C: C/T + (D + R + T/2)/M minus their product (Hérault and Robert).
    pub fn first_order_waste(&self, tau_s: f64) -> f64 {
        let period_s = tau_s + self.checkpoint_s;
        let fault_free = self.checkpoint_s / period_s;
        let failures = (self.downtime_s + self.restart_s + period_s / 2.0) / self.mtbf_s;
        fault_free + failures - fault_free * failures
    }

    /// The period T = τ + C = sqrt(2 (M − (D + R)) C) that makes the first-order waste least; `None` where
    /// D + R ≥ M and there is none.
    pub fn first_order_period_s(&self) -> Option<f64> {
        let head_room_s = self.mtbf_s - (self.downtime_s + self.restart_s);
        (head_room_s > 0.0).then(|| sqrt(2.0 * head_room_s * self.checkpoint_s))
    }

    /// How far the first-order waste may be believed for this τ.
    pub fn first_order_validity(&self, tau_s: f64) -> FirstOrder {
        let period_s = tau_s + self.checkpoint_s;
        if self.downtime_s + self.restart_s + period_s / 2.0 > self.mtbf_s {
            FirstOrder::Invalid
        } else if period_s > FIRST_ORDER_PERIODS_MAX * self.mtbf_s {
            FirstOrder::Rough
        } else {
            FirstOrder::Good
        }
    }
}

/// Above this share of the MTBF a period makes the first-order waste rough: at T/M = 0.5 it is off by 0.05.
const FIRST_ORDER_PERIODS_MAX: f64 = 0.3;

/// How far a first-order formula may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstOrder {
    /// T is well below M.
    Good,
    /// More than one failure in a period is no longer rare.
    Rough,
    /// Outside the formula's domain: D + R + T/2 > M.
    Invalid,
}

/// The share of a makespan that was not work.
pub fn waste(work_s: f64, makespan_s: f64) -> f64 {
    1.0 - work_s / makespan_s
}

#[cfg(test)]
mod tests {
    use super::super::near;
    use super::*;

    const HOUR: f64 = 3600.0;

    fn a3(mtbf_s: f64) -> Scenario {
        Scenario {
            work_s: 1e6,
            checkpoint_s: 60.0,
            restart_s: 120.0,
            downtime_s: 0.0,
            mtbf_s,
            final_checkpoint: true,
        }
    }

    /// Daly 2006, the job of figures 3 to 5: 500 h, delta = 5 min, R = 10 min.
    #[test]
    fn daly_wall_clock_at_the_published_optima() {
        for (mtbf_h, higher_min, at_higher_h, at_young_h) in [
            (24.0, 116.694, 547.9, 547.9),
            (6.0, 56.709, 610.2, 610.4),
            (0.25, 9.1372, 2504.2, 2573.5),
        ] {
            let job = Scenario {
                work_s: 500.0 * HOUR,
                checkpoint_s: 300.0,
                restart_s: 600.0,
                downtime_s: 0.0,
                mtbf_s: mtbf_h * HOUR,
                final_checkpoint: true,
            };
            near(
                job.daly_makespan_s(higher_min * 60.0) / HOUR,
                at_higher_h,
                at_higher_h * 1e-3,
            );
            near(
                job.daly_makespan_s(sqrt(2.0 * 300.0 * job.mtbf_s)) / HOUR,
                at_young_h,
                at_young_h * 1e-3,
            );
        }
    }

    /// The makespan is work, checkpoints, restarts, downtime and loss. Without costs of restart and downtime what remains
    /// beside work and loss is time in checkpoints; with C = 0 too there is only loss.
    #[test]
    fn lost_work_is_what_the_makespan_leaves() {
        let free = Scenario {
            checkpoint_s: 0.0,
            restart_s: 0.0,
            ..a3(20_000.0)
        };
        for tau_s in [100.0, 1600.0, 30_000.0, 999_999.0] {
            let left_s = free.expected_makespan_s(tau_s) - free.work_s;
            near(free.expected_lost_s(tau_s), left_s, 1e-9 * left_s + 1e-6);
        }
        near(
            free.expected_lost_never_s(),
            free.expected_makespan_never_s() - 1e6,
            1e-6 * free.expected_makespan_never_s(),
        );
        // A short chunk loses half of itself at each of its rare failures.
        let rare = a3(1e7);
        let failures = (1e6 / 1600.0) * 1660.0 / rare.mtbf_s;
        let half_s = failures * (1600.0 * 800.0 + 60.0 * 1600.0) / 1660.0;
        near(rare.expected_lost_s(1600.0), half_s, 1e-3 * half_s);
    }

    #[test]
    fn whole_chunks_give_the_reference_makespans() {
        near(a3(20_000.0).expected_makespan_s(1600.0), 1_088_282.8, 0.05);
        near(a3(20_000.0).daly_makespan_s(1600.0), 1_088_282.8, 0.05);
        near(a3(86_400.0).expected_makespan_s(3125.0), 1_039_661.6, 0.05);
    }

    #[test]
    fn a_remainder_makes_a_shorter_last_chunk() {
        let job = a3(20_000.0);
        // 62 chunks of 16,000 s and one of 8,000 s.
        let e = |w: f64| exp(0.006) * 20_000.0 * (exp((w + 60.0) / 20_000.0) - 1.0);
        near(
            job.expected_makespan_s(16_000.0),
            62.0 * e(16_000.0) + e(8_000.0),
            1e-3,
        );
        let unsafe_end = Scenario {
            final_checkpoint: false,
            ..job
        };
        let last = exp(0.006) * 20_000.0 * (exp(8_000.0 / 20_000.0) - 1.0);
        near(
            unsafe_end.expected_makespan_s(16_000.0),
            62.0 * e(16_000.0) + last,
            1e-3,
        );
        // An interval longer than the job is no checkpoint on the way.
        near(job.expected_makespan_s(2e6), job.expected_makespan_never_s(), 0.0);
    }

    /// Experiment set: C = R = 600 s, D = 60 s.
    #[test]
    fn first_order_and_exact_waste_across_four_mtbfs() {
        for (mtbf_s, first_period_s, exact_period_s, exact_waste) in [
            (HOUR, 1878.3, 2299.2, 0.5604),
            (4.0 * HOUR, 4060.5, 4366.9, 0.2947),
            (24.0 * HOUR, 10_143.4, 10_386.3, 0.1200),
            (168.0 * HOUR, 26_925.2, 27_141.4, 0.0449),
        ] {
            let job = Scenario {
                work_s: 1e7,
                checkpoint_s: 600.0,
                restart_s: 600.0,
                downtime_s: 60.0,
                mtbf_s,
                final_checkpoint: true,
            };
            near(job.first_order_period_s().unwrap(), first_period_s, 0.1);
            let tau_s = mtbf_s * one_plus_w0(600.0 / mtbf_s);
            near(tau_s + 600.0, exact_period_s, 0.1);
            near(job.long_run_waste(tau_s), exact_waste, 1e-3);
            let best = job.work_s / job.best_chunks();
            assert!(
                (best / tau_s - 1.0).abs() < 0.01,
                "chunks of {best} s beside τ* = {tau_s} s"
            );
        }
        let hour = Scenario {
            downtime_s: 60.0,
            checkpoint_s: 600.0,
            restart_s: 600.0,
            ..a3(HOUR)
        };
        near(hour.first_order_waste(1278.3), 0.622, 1e-3);
        assert_eq!(hour.first_order_validity(1278.3), FirstOrder::Rough);
        assert_eq!(hour.first_order_validity(6000.0), FirstOrder::Invalid);
        assert_eq!(a3(86_400.0).first_order_validity(3125.0), FirstOrder::Good);
        assert_eq!(
            Scenario {
                mtbf_s: 500.0,
                ..hour
            }
            .first_order_period_s(),
            None
        );
    }
}
