//! Pre-copy: memory is copied while the guest runs, then what it wrote meanwhile, again and again, and it is suspended for
//! the last set. With a constant write rate below the bandwidth the sets shrink geometrically (Clark et al., NSDI'05;
//! the hot pages that are written again and again are left out).

/// A guest and the way its pages take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreCopy {
    /// Memory of the guest, bytes (m).
    pub memory_bytes: f64,
    /// Distinct bytes that it dirties a second (w).
    pub write_bytes_per_s: f64,
    /// Bytes that can be copied a second (B).
    pub bandwidth_bytes_per_s: f64,
    /// Suspending and resuming beside the copy.
    pub stop_s: f64,
}

/// What a capture takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capture {
    /// Rounds of copying while the guest ran.
    pub rounds: u32,
    /// From its begin to its end.
    pub total_s: f64,
    /// For how long the guest was suspended.
    pub suspended_s: f64,
    /// Bytes copied in all.
    pub copied_bytes: f64,
}

impl PreCopy {
    /// A suspension for all of memory.
    pub fn stop_and_copy(&self) -> Capture {
        self.suspend(0, 0.0, 0.0, self.memory_bytes)
    }

    /// A suspension for what was dirtied in the `interval_s` since the last checkpoint.
    pub fn increment(&self, interval_s: f64) -> Capture {
        self.suspend(0, 0.0, 0.0, self.dirtied_bytes(interval_s))
    }

    /// Rounds until a set is no larger than `threshold_bytes`, or `rounds_max` of them; round i copies m (w/B)^i.
    pub fn pre_copy(&self, threshold_bytes: f64, rounds_max: u32) -> Capture {
        let (mut rounds, mut total_s, mut copied_bytes) = (0, 0.0, 0.0);
        let mut set_bytes = self.memory_bytes;
        while rounds < rounds_max && set_bytes > threshold_bytes {
            let round_s = set_bytes / self.bandwidth_bytes_per_s;
            rounds += 1;
            total_s += round_s;
            copied_bytes += set_bytes;
            set_bytes = self.dirtied_bytes(round_s);
        }
        self.suspend(rounds, total_s, copied_bytes, set_bytes)
    }

    fn dirtied_bytes(&self, span_s: f64) -> f64 {
        (self.write_bytes_per_s * span_s).min(self.memory_bytes)
    }

    fn suspend(&self, rounds: u32, before_s: f64, copied_bytes: f64, set_bytes: f64) -> Capture {
        let suspended_s = self.stop_s + set_bytes / self.bandwidth_bytes_per_s;
        Capture {
            rounds,
            total_s: before_s + suspended_s,
            suspended_s,
            copied_bytes: copied_bytes + set_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::near;
    use super::*;

    #[test]
    fn sets_shrink_geometrically_or_not_at_all() {
        let guest = PreCopy {
            memory_bytes: 1000.0,
            write_bytes_per_s: 10.0,
            bandwidth_bytes_per_s: 100.0,
            stop_s: 0.01,
        };
        near(guest.stop_and_copy().suspended_s, 10.01, 1e-12);
        near(guest.increment(3.0).suspended_s, 0.31, 1e-12);
        // 1000, 100 and 10 while it runs, 1 in the suspension.
        let live = guest.pre_copy(5.0, 30);
        assert_eq!(live.rounds, 3);
        near(live.suspended_s, 0.02, 1e-12);
        near(live.copied_bytes, 1111.0, 1e-9);
        near(live.total_s, 11.12, 1e-9);
        let busy = PreCopy {
            write_bytes_per_s: 200.0,
            ..guest
        };
        assert_eq!(busy.pre_copy(5.0, 30).rounds, 30);
        near(busy.pre_copy(5.0, 30).suspended_s, 10.01, 1e-12);
    }
}
