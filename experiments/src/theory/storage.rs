//! The expectation of Di et al. (SC'13) for tasks whose number of failures is known rather than their law, and what follows
//! from it: where to keep checkpoints.

use libm::sqrt;

/// A task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Task {
    /// Its productive length (Te).
    pub work_s: f64,
    /// Expected number of failures while it runs (E(Y), "MNOF").
    pub failures: f64,
}

/// A store: local or shared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoreCosts {
    /// A checkpoint to it (C).
    pub checkpoint_s: f64,
    /// A restart from it (R).
    pub restart_s: f64,
}

impl Task {
    /// The best number of intervals, a real number: x* = sqrt(Te E(Y) / 2C). There are x − 1 checkpoints.
    pub fn best_intervals(&self, store: StoreCosts) -> f64 {
        sqrt(self.work_s * self.failures / (2.0 * store.checkpoint_s))
    }

    /// Expected time besides the work with `intervals` of them: C (x − 1) + R E(Y) + Te E(Y) / 2x.
    pub fn expected_overhead_s(&self, store: StoreCosts, intervals: f64) -> f64 {
        store.checkpoint_s * (intervals - 1.0)
            + store.restart_s * self.failures
            + self.work_s * self.failures / (2.0 * intervals)
    }

    /// Whether the local store costs less than the shared one, each with its own best number of intervals (corollary
    /// of Di et al.). Failures that take the local store along are not in this comparison.
    pub fn prefers_local(&self, local: StoreCosts, shared: StoreCosts) -> bool {
        let least_s = |store| self.expected_overhead_s(store, self.best_intervals(store));
        least_s(local) < least_s(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::super::near;
    use super::*;

    /// The worked examples of section 4: Te = 200 s, two failures; a local memory disk with restarts from elsewhere, NFS.
    #[test]
    fn the_published_choice() {
        let intervals = |work_s, failures, checkpoint_s| {
            let store = StoreCosts {
                checkpoint_s,
                restart_s: 0.0,
            };
            Task { work_s, failures }.best_intervals(store)
        };
        near(intervals(18.0, 2.0, 2.0), 3.0, 1e-12);
        near(intervals(441.0, 2.0, 1.0), 21.0, 1e-12);
        let task = Task {
            work_s: 200.0,
            failures: 2.0,
        };
        let local = StoreCosts {
            checkpoint_s: 0.632,
            restart_s: 3.22,
        };
        let shared = StoreCosts {
            checkpoint_s: 1.67,
            restart_s: 1.45,
        };
        near(task.best_intervals(local), 17.79, 0.005);
        near(task.best_intervals(shared), 10.94, 0.005);
        near(task.expected_overhead_s(local, 17.79), 28.29, 0.01);
        near(task.expected_overhead_s(shared, 10.94), 37.78, 0.01);
        assert!(task.prefers_local(local, shared));
        assert!(!task.prefers_local(shared, local));
    }
}
