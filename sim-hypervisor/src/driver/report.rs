//! What a run was like.

use std::time::Duration;

use revenant_core::protect::{GiveUp, Tally};

use crate::fault::Applied;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// The guest's work is done.
    Finished,
    /// The protect loop gave up.
    GivenUp(GiveUp),
    /// Virtual time ran out.
    TimeLimit,
    /// The store could not be opened any more, for this reason.
    StoreLost(String),
}

/// One committed checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// From the request until the guest stood still; it worked meanwhile.
    pub lead: Duration,
    /// The guest stood still for so long.
    pub suspended_for: Duration,
    /// From the guest's going on until the commit.
    pub commit_time: Duration,
    /// The guest stood still for so long again, for the copy in the shared store; `None`: none was made.
    pub shared_for: Option<Duration>,
    /// Bytes written for it.
    pub stored_bytes: u64,
    /// Pages copied out of the guest.
    pub pages_copied: u64,
}

/// The record of a run. All times are virtual. Of a finished run `makespan` = `useful` + `lost` + `checkpointing` +
/// `restarting` + `down` + `lingering`, to the nanosecond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub end: RunEnd,
    /// From the first boot to the end.
    pub makespan: Duration,
    /// Work that was done and is in the guest at the end.
    pub useful: Duration,
    /// Work that was done and lost, over all losses.
    pub lost: Duration,
    /// Time in which the guest did not work because of checkpoints, committed or not.
    pub checkpointing: Duration,
    /// From each loss until a restart could begin: detection, and waiting for a host.
    pub down: Duration,
    /// Time in starting the checkpointer, in restores and in cold starts, completed or not.
    pub restarting: Duration,
    /// Time in which the finished guest waited for another try at its last checkpoint, or for its turn among other guests.
    pub lingering: Duration,
    /// From each loss to the guest's running again.
    pub recoveries: Vec<Duration>,
    /// Each committed checkpoint.
    pub captures: Vec<Capture>,
    /// What the protect loop counted.
    pub tally: Tally,
    /// Faults of the plan that were carried out.
    pub applied: Vec<Applied>,
    /// Silent errors that struck.
    pub silent_errors: u64,
    /// Times that a verification found the guest wrong: each of them a loss of the guest in the tally.
    pub found: u32,
    /// Checkpoints that a restart found damaged.
    pub damaged: u32,
    /// Restarts from the shared store.
    pub fetched: u32,
    /// Losses of the store that struck.
    pub store_losses: u32,
    /// Captures that failed because the store took no writes.
    pub refused: u64,
    /// The finished guest has the digest that its oracle demands; `None` if it did not finish.
    pub digest_ok: Option<bool>,
}

impl Report {
    /// All that the time of the run went to, added up: the makespan, if it finished.
    pub fn accounted(&self) -> Duration {
        self.useful + self.lost + self.checkpointing + self.restarting + self.down + self.lingering
    }

    pub(super) fn new() -> Self {
        Report {
            end: RunEnd::TimeLimit,
            makespan: Duration::ZERO,
            useful: Duration::ZERO,
            lost: Duration::ZERO,
            checkpointing: Duration::ZERO,
            down: Duration::ZERO,
            restarting: Duration::ZERO,
            lingering: Duration::ZERO,
            recoveries: Vec::new(),
            captures: Vec::new(),
            tally: Tally::default(),
            applied: Vec::new(),
            silent_errors: 0,
            found: 0,
            damaged: 0,
            fetched: 0,
            store_losses: 0,
            refused: 0,
            digest_ok: None,
        }
    }
}
