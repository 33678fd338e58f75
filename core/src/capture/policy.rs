//! When pre-copy has done enough: a pure function of what the rounds have shown.

use std::time::Duration;

/// What is known after a round, while the guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundStats {
    /// Rounds done, this one included.
    pub rounds: u32,
    /// Pages this round copied.
    pub pages_copied: u64,
    /// How long it took.
    pub duration: Duration,
    /// Pages dirtied meanwhile: what has to be copied again.
    pub pages_dirty: u64,
    /// Pages of the guest.
    pub pages_total: u64,
    /// Pages copied in all rounds together.
    pub pages_copied_in_all: u64,
}

/// What to do after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Copy the dirty pages while the guest runs.
    Continue,
    /// Suspend the guest and copy the rest.
    StopAndCopy,
}

/// When to stop copying live. The default is libxc's rule (fewer than 50 dirty pages, or 5 rounds) and, beyond it, an
/// end to rounds that do not help: one that leaves nearly as much to do as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreCopyPolicy {
    /// Few enough dirty pages to copy with the guest suspended.
    pub pages_dirty_enough: u64,
    /// Live rounds at most, at least 1.
    pub rounds_max: u32,
    /// A round has to leave at most this share of what it copied, in percent, or it is the last.
    pub dirty_percent_max: u64,
    /// Copy at most this many times the guest's memory, in percent.
    pub copied_percent_max: u64,
}

impl Default for PreCopyPolicy {
    fn default() -> Self {
        PreCopyPolicy {
            pages_dirty_enough: 50,
            rounds_max: 5,
            dirty_percent_max: 80,
            copied_percent_max: 300,
        }
    }
}

impl PreCopyPolicy {
    /// Decides after a round.
    pub fn decide(&self, stats: &RoundStats) -> Decision {
        let enough = stats.pages_dirty < self.pages_dirty_enough;
        let patience_over = stats.rounds >= self.rounds_max;
        let diverges = stats.pages_dirty.saturating_mul(100)
            > stats.pages_copied.saturating_mul(self.dirty_percent_max)
            && stats.rounds > 1;
        let spent = stats.pages_copied_in_all.saturating_mul(100)
            >= stats.pages_total.saturating_mul(self.copied_percent_max);
        if enough || patience_over || diverges || spent {
            Decision::StopAndCopy
        } else {
            Decision::Continue
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rounds: u32, pages_copied: u64, pages_dirty: u64) -> Decision {
        let stats = RoundStats {
            rounds,
            pages_copied,
            duration: Duration::from_millis(10),
            pages_dirty,
            pages_total: 32_768,
            pages_copied_in_all: 32_768 + pages_copied,
        };
        PreCopyPolicy::default().decide(&stats)
    }

    #[test]
    fn stops_when_little_is_left_or_rounds_do_not_help() {
        assert_eq!(after(1, 32_768, 49), Decision::StopAndCopy);
        assert_eq!(after(1, 32_768, 5_000), Decision::Continue);
        assert_eq!(after(2, 5_000, 3_000), Decision::Continue);
        assert_eq!(after(3, 3_000, 2_900), Decision::StopAndCopy);
        assert_eq!(after(5, 3_000, 300), Decision::StopAndCopy);
    }
}
