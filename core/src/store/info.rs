//! What callers say about a checkpoint, and what the catalogue tells them.

use std::collections::BTreeMap;

use super::{CheckpointId, Finding};
use crate::guest::MachineKind;
use crate::units::Timestamp;

/// How a store works; what it writes does not depend on `workers`.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Threads that hash and compress beside the calling one; 0: everything on the calling thread.
    pub workers: usize,
    /// zstd level, for new pages and manifests.
    pub compression_level: i32,
    /// Pages whose digests are kept in memory to recognise equal ones, at most; 34 bytes each.
    pub dedup_pages_max: usize,
}

impl Default for StoreOptions {
    /// One worker, zstd level 1, 7 GiB of different pages recognised: the largest index whose hash table takes
    /// 2^21 buckets.
    fn default() -> Self {
        StoreOptions {
            workers: 1,
            compression_level: 1,
            dedup_pages_max: 1_800_000,
        }
    }
}

/// What a new checkpoint is of.
#[derive(Debug, Clone)]
pub struct NewCheckpoint {
    /// Name of the guest.
    pub guest: String,
    /// Whose machine state it will carry.
    pub machine: MachineKind,
    /// Memory starts as a copy of this one's map (incremental); `None`: empty (full).
    pub base: Option<CheckpointId>,
    /// Free facts for the catalogue ("source file", "method", "xen version"), sorted.
    pub facts: BTreeMap<String, String>,
}

/// A catalogue entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// Its name.
    pub id: CheckpointId,
    /// Name of the guest.
    pub guest: String,
    /// Whose machine state it carries.
    pub machine: MachineKind,
    /// What it was made from, for information: nothing of the base is needed to restore.
    pub base: Option<CheckpointId>,
    /// Larger than of any checkpoint in the catalogue when this one was begun: order that no clock can upset.
    pub sequence: u64,
    /// When it was begun (store clock).
    pub begun: Timestamp,
    /// When it was committed (store clock).
    pub committed: Timestamp,
    /// Facts its writer gave.
    pub facts: BTreeMap<String, String>,
    /// Populated frames.
    pub pages: u64,
    /// Of these zero.
    pub zero_pages: u64,
    /// Pages written anew: not shared with earlier checkpoints or within this one.
    pub new_pages: u64,
    /// Bytes of the files written for it.
    pub stored_bytes: u64,
}

impl CheckpointInfo {
    /// Order of the catalogue: oldest first.
    pub(super) fn age_key(&self) -> (u64, Timestamp, CheckpointId) {
        (self.sequence, self.committed, self.id)
    }
}

/// The catalogue.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Committed checkpoints, oldest first.
    pub checkpoints: Vec<CheckpointInfo>,
    /// Manifests whose head cannot be read.
    pub damaged: Vec<Finding>,
}
