//! Replication: b pairs of processes, each of MTBF μ. A failure of one of a pair is absorbed until it hits the other.
//!
//! A. Benoit, T. Hérault, V. Le Fèvre, Y. Robert, "Replication is more efficient than you think", SC'19.

use libm::{cbrt, exp, lgamma, log, sqrt};

/// Pairs of processes and what a checkpoint of them costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairs {
    /// How many (b), at least 1.
    pub pairs: u32,
    /// MTBF of one process (μ).
    pub process_mtbf_s: f64,
    /// A checkpoint (C); to bring the processes that failed back at it costs nothing more.
    pub checkpoint_s: f64,
}

impl Pairs {
    /// Expected number of failures until both of a pair are hit, those of processes that are already gone included:
    /// n_fail(2b) = 1 + 4^b / C(2b, b).
    pub fn failures_to_interruption(&self) -> f64 {
        let b = f64::from(self.pairs);
        1.0 + exp(b * log(4.0) - (lgamma(2.0 * b + 1.0) - 2.0 * lgamma(b + 1.0)))
    }

    /// Mean time to interruption, if nobody brings back what failed: MTTI = n_fail μ / 2b.
    pub fn mtti_s(&self) -> f64 {
        self.failures_to_interruption() * self.process_mtbf_s / (2.0 * f64::from(self.pairs))
    }

    /// Best period without bringing processes back before an interruption: T = sqrt(2 MTTI C).
    pub fn no_restart_period_s(&self) -> f64 {
        sqrt(2.0 * self.mtti_s() * self.checkpoint_s)
    }

    /// Best period if every checkpoint brings back what failed: T = (¾ C μ² / b)^{1/3}.
    pub fn restart_period_s(&self) -> f64 {
        let (b, mu_s) = (f64::from(self.pairs), self.process_mtbf_s);
        cbrt(0.75 * self.checkpoint_s * mu_s * mu_s / b)
    }

    /// Overhead of a period T if every checkpoint brings back what failed, first order: C/T + ⅔ b T² / μ².
    pub fn restart_overhead(&self, period_s: f64) -> f64 {
        let (b, mu_s) = (f64::from(self.pairs), self.process_mtbf_s);
        self.checkpoint_s / period_s + 2.0 / 3.0 * b * period_s * period_s / (mu_s * mu_s)
    }
}

#[cfg(test)]
mod tests {
    use super::super::near;
    use super::*;

    #[test]
    fn failures_and_time_to_interruption() {
        let of = |pairs| Pairs {
            pairs,
            process_mtbf_s: 1.0,
            checkpoint_s: 0.0,
        };
        near(of(1).failures_to_interruption(), 3.0, 1e-12);
        near(of(2).failures_to_interruption(), 1.0 + 16.0 / 6.0, 1e-12);
        near(of(1).mtti_s(), 1.5, 1e-12);
        near(of(1_000).mtti_s(), 0.02853, 5e-6);
    }

    #[test]
    fn the_period_of_a_thousand_pairs() {
        let pairs = Pairs {
            pairs: 1_000,
            process_mtbf_s: 5.0 * 365.0 * 86_400.0,
            checkpoint_s: 600.0,
        };
        let period_s = pairs.restart_period_s();
        near(period_s, 223_660.0, 30.0);
        near(pairs.restart_overhead(period_s), 0.00402, 1e-5);
    }
}
