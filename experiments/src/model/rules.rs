//! What may differ from the papers' plain case.

use std::time::Duration;

/// What is not as in the plain case: one store that outlives everything, failures that are noticed at once, one guest.
///
/// The default is the plain case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Time until a host that crashed is up again, added to the downtime.
    pub reboot: Duration,
    /// From a hang until the detector's timeout has passed, in place of the detection of other failures; `None`: as those.
    pub hang_detection: Option<Duration>,
    /// For how long writes to a store fail that has lost something.
    pub store_repair: Duration,
    /// A second store, which outlives the host. Without it there is one store, which does.
    pub shared: Option<Shared>,
    /// Mean work between silent errors, which follow each other without memory; `None`: there are none.
    pub silent_mtbf: Option<Duration>,
    /// How silent errors are found; `None`: never.
    pub verification: Option<Verification>,
    /// The guest runs in epochs that a backup host follows, and needs no other checkpoints.
    pub epochs: Option<Epochs>,
    /// The job runs on pairs of processes. Failures then are those of single processes, each hitting any of them.
    pub replicas: Option<Replicas>,
}

/// The store that outlives the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// What it costs to bring a checkpoint there, besides the local one.
    pub cost: Duration,
    /// A restart from there; it leaves a copy in the local store.
    pub restart: Duration,
    /// Every checkpoint of this number goes there; at least 1.
    pub every: u32,
}

/// Checks of the guest's state that find every silent error before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// What one costs (V).
    pub cost: Duration,
    /// How many a checkpoint (m), at equal distances, the last just before the capture; at least 1. A guest that finishes
    /// without a last checkpoint is verified once more.
    pub per_checkpoint: u32,
}

/// Epochs as in Remus: the backup has the state of the end of the last whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// Work in one; more than zero.
    pub length: Duration,
    /// For how long the guest stops after it.
    pub stop: Duration,
}

/// Pairs of processes that do the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// How many pairs; at least 1.
    pub pairs: u32,
    /// A checkpoint brings back the processes that failed since the last one; otherwise only a restart does.
    pub restart_at_checkpoints: bool,
}
