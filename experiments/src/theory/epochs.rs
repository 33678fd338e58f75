//! Epochs, as in Remus (Cully et al., NSDI'08): the guest is checkpointed to a backup host many times a second, what it sends
//! is held back until the backup has the state it was sent in, and after a failure the backup goes on.

use super::Scenario;

/// The epochs of a guest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epochs {
    /// Work between two stops (e).
    pub length_s: f64,
    /// For how long each stops the guest (s).
    pub stop_s: f64,
}

impl Epochs {
    /// The stop of a guest that has dirtied `dirty_pages`: s = s0 + pages · t.
    pub fn stop_s(base_s: f64, dirty_pages: f64, page_s: f64) -> f64 {
        base_s + dirty_pages * page_s
    }

    /// Time per work while nothing fails: 1 + s/e.
    pub fn slow_down(&self) -> f64 {
        1.0 + self.stop_s / self.length_s
    }

    /// Mean delay of what the guest sends: the rest of its epoch, on the mean e/2, the stop, and until the backup has
    /// acknowledged.
    pub fn output_latency_s(&self, acknowledge_s: f64) -> f64 {
        self.length_s / 2.0 + self.stop_s + acknowledge_s
    }

    /// The job as one with a checkpoint an epoch: a failure throws back to the end of the last epoch, and no more of it is
    /// seen outside than the time from the failure until the backup runs, `detection_s` and `resume_s`.
    pub fn scenario(&self, work_s: f64, mtbf_s: f64, detection_s: f64, resume_s: f64) -> Scenario {
        Scenario {
            work_s,
            checkpoint_s: self.stop_s,
            restart_s: resume_s,
            downtime_s: detection_s,
            mtbf_s,
            final_checkpoint: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::near;
    use super::*;

    #[test]
    fn slow_down_latency_and_makespan() {
        let epochs = Epochs {
            length_s: 0.025,
            stop_s: Epochs::stop_s(0.003, 1_000.0, 2e-6),
        };
        near(epochs.stop_s, 0.005, 1e-15);
        near(epochs.slow_down(), 1.2, 1e-12);
        near(epochs.output_latency_s(0.001), 0.0185, 1e-12);
        // Failures are rare: each costs its failover, and half an epoch.
        let makespan_s = epochs
            .scenario(1e5, 1e6, 1.0, 0.5)
            .expected_makespan_s(epochs.length_s);
        near(makespan_s, 1.2e5 * (1.0 + 1.515e-6), 0.02);
    }
}
