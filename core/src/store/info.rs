//! What callers say about a checkpoint, and what the catalogue tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{CheckpointId, Finding};
use crate::guest::{DISKS_MAX, MachineKind, SPACE_FRAMES};
use crate::lease::EPOCH_FACT;
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
    /// How long to wait for others that have the store locked.
    pub lock_wait: Duration,
}

impl Default for StoreOptions {
    /// One worker, zstd level 1, 7 GiB of different pages recognised: the largest index whose hash table takes
    /// 2^21 buckets. Waits for nobody.
    fn default() -> Self {
        StoreOptions {
            workers: 1,
            compression_level: 1,
            dedup_pages_max: 1_800_000,
            lock_wait: Duration::ZERO,
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
    /// Populated frames of memory, and blocks of disks.
    pub pages: u64,
    /// Of these zero.
    pub zero_pages: u64,
    /// Pages written anew: not shared with earlier checkpoints or within this one.
    pub new_pages: u64,
    /// Bytes of the files written for it.
    pub stored_bytes: u64,
}

/// A virtual disk in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskInfo {
    /// 1 to 15: which frame numbers are its blocks ([`Space::Disk`](crate::guest::Space::Disk)).
    pub number: u8,
    /// What the guest's configuration calls it.
    pub name: String,
    /// Its size in 4 KiB blocks.
    pub blocks: u64,
}

impl DiskInfo {
    /// Can a disk be called this? Not empty, no white space.
    pub fn is_name(name: &str) -> bool {
        !name.is_empty() && !name.contains(char::is_whitespace)
    }

    /// Is this the key of a fact that stands for a disk?
    pub fn is_fact(key: &str) -> bool {
        key.starts_with(DISK_FACT)
    }

    /// The fact that stands for it in the catalogue: `disk/1`, `xvda 262144`.
    pub(super) fn fact(&self) -> (String, String) {
        (
            format!("{DISK_FACT}{}", self.number),
            format!("{} {}", self.name, self.blocks),
        )
    }

    fn of_fact(key: &str, value: &str) -> Option<Self> {
        let number: u8 = key.strip_prefix(DISK_FACT)?.parse().ok()?;
        let (name, blocks) = value.split_once(' ')?;
        let disk = DiskInfo {
            number,
            name: name.to_owned(),
            blocks: blocks.parse().ok()?,
        };
        let sound = (1..=DISKS_MAX).contains(&number) && disk.blocks < SPACE_FRAMES && Self::is_name(name);
        sound.then_some(disk)
    }
}

/// Begins the keys of facts that name disks.
const DISK_FACT: &str = "disk/";

impl Listing {
    /// Ids of all manifests that are there, readable or not.
    pub(super) fn ids(&self) -> BTreeSet<CheckpointId> {
        let damaged = self.damaged.iter().flat_map(|finding| &finding.checkpoints);
        let listed = self.checkpoints.iter().map(|info| &info.id);
        listed.chain(damaged).copied().collect()
    }
}

impl CheckpointInfo {
    /// The disks in the checkpoint, by number.
    pub fn disks(&self) -> Vec<DiskInfo> {
        let facts = self.facts.iter();
        let mut disks: Vec<DiskInfo> = facts
            .filter_map(|(key, value)| DiskInfo::of_fact(key, value))
            .collect();
        disks.sort_by_key(|disk| disk.number);
        disks
    }

    /// The epoch of the guest's lease under which it was committed, if it was under one.
    pub fn epoch(&self) -> Option<u64> {
        self.facts.get(EPOCH_FACT)?.parse().ok()
    }

    /// Populated frames of memory: all but the disks' blocks.
    pub fn memory_pages(&self) -> u64 {
        let disks = self.disks().iter().map(|disk| disk.blocks).sum();
        self.pages.saturating_sub(disks)
    }

    /// Order of the catalogue: oldest first.
    pub(super) fn age_key(&self) -> (u64, Timestamp, CheckpointId) {
        (self.sound_sequence(), self.committed, self.id)
    }

    fn sound_sequence(&self) -> u64 {
        if self.sequence > SEQUENCE_MAX {
            0
        } else {
            self.sequence
        }
    }
}

/// No store commits as often: a larger sequence was made up, and orders nothing.
const SEQUENCE_MAX: u64 = 1 << 48;

/// The sequence of a checkpoint that is begun when the catalogue has these.
pub(super) fn sequence_after<'a>(all: impl Iterator<Item = &'a CheckpointInfo>) -> u64 {
    let last = all.map(CheckpointInfo::sound_sequence).max();
    last.map_or(0, |last| (last + 1).min(SEQUENCE_MAX))
}

/// The catalogue.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Committed checkpoints, oldest first.
    pub checkpoints: Vec<CheckpointInfo>,
    /// Manifests whose head cannot be read.
    pub damaged: Vec<Finding>,
}
