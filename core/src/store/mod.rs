//! Checkpoint data over time. (API skeleton: bodies to come.)
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::all,
    clippy::pedantic,
    clippy::todo,
    unused_variables,
    dead_code
)]

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;
use crate::guest::{MachineKind, MemoryLayout, PageBatch, StateRecord};
use crate::medium::{Medium, MediumError};
use crate::units::{Pfn, Timestamp};

/// 32-byte digest of the manifest; Display = first 12 hex digits, `to_hex()` = all 64, FromStr takes 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub [u8; 32]);

#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Threads that hash and compress beside the calling one; 0 = everything on the calling thread.
    pub workers: usize,
    pub compression_level: i32,
    /// Unique pages of earlier checkpoints kept in memory for deduplication, at most.
    pub dedup_pages_max: usize,
}
impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            workers: 1,
            compression_level: 1,
            dedup_pages_max: 2_000_000,
        }
    }
}

/// What a new checkpoint is of.
#[derive(Debug, Clone)]
pub struct NewCheckpoint {
    pub guest: String,
    pub machine: MachineKind,
    /// Memory starts as a copy of this one's map (incremental); None: empty (full).
    pub base: Option<CheckpointId>,
    /// Free key = value facts for the catalogue ("source file", "method", "xen version"), sorted.
    pub facts: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Store {
    medium: Rc<dyn Medium>,
    clock: Rc<dyn Clock>,
}

/// A catalogue entry.
#[derive(Debug, Clone)]
pub struct CheckpointInfo {
    pub id: CheckpointId,
    pub guest: String,
    pub machine: MachineKind,
    pub base: Option<CheckpointId>,
    /// When the checkpoint was begun / committed (store clock).
    pub begun: Timestamp,
    pub committed: Timestamp,
    pub facts: BTreeMap<String, String>,
    /// Populated frames; of these zero.
    pub pages: u64,
    pub zero_pages: u64,
    /// Pages this checkpoint wrote anew (not shared with earlier ones or within itself), and the bytes its own files take.
    pub new_pages: u64,
    pub stored_bytes: u64,
}

#[derive(Debug)]
pub struct Listing {
    pub checkpoints: Vec<CheckpointInfo>,
    pub damaged: Vec<Finding>,
}

/// Damage found: a value, not an error.
#[derive(Debug, Clone)]
pub struct Finding {
    pub path: String,
    pub offset: Option<u64>,
    pub checkpoint: Option<CheckpointId>,
    pub what: String,
}

/// A checkpoint being written. Dropping it abandons it; nothing of it is ever listed.
#[derive(Debug)]
pub struct Staging<'s> {
    store: &'s Store,
}

/// A place in a staging's history of page writes.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

/// An open, committed checkpoint. Holds a shared lock: prune refuses while it lives; writers are not blocked.
#[derive(Debug)]
pub struct CheckpointReader {
    info: CheckpointInfo,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("medium")]
    Medium(#[from] MediumError),
    #[error("x")]
    X,
}

impl Store {
    /// Initialises an empty medium as a store; an existing store is left as it is.
    pub fn create(medium: &dyn Medium) -> Result<(), StoreError> {
        todo!()
    }
    pub fn open(
        medium: Rc<dyn Medium>,
        clock: Rc<dyn Clock>,
        options: StoreOptions,
    ) -> Result<Store, StoreError> {
        todo!()
    }
    /// Committed checkpoints, oldest first; unreadable manifests become findings.
    pub fn list(&self) -> Result<Listing, StoreError> {
        todo!()
    }
    /// By (a unique prefix of) the hex id.
    pub fn find(&self, prefix: &str) -> Result<CheckpointId, StoreError> {
        todo!()
    }
    /// Newest committed checkpoint of a guest.
    pub fn newest(&self, guest: &str) -> Result<Option<CheckpointId>, StoreError> {
        todo!()
    }
    pub fn begin(&self, new: NewCheckpoint) -> Result<Staging<'_>, StoreError> {
        todo!()
    }
    pub fn read(&self, id: CheckpointId) -> Result<CheckpointReader, StoreError> {
        todo!()
    }
}

impl Staging<'_> {
    /// An empty batch with reused buffers.
    pub fn take_batch(&mut self) -> PageBatch {
        todo!()
    }
    /// Takes pages in; a later put of a frame replaces an earlier one. Hashing and compressing may go on behind.
    pub fn put_pages(&mut self, batch: PageBatch) -> Result<(), StoreError> {
        todo!()
    }
    /// These frames hold zeroes (no bytes travel).
    pub fn put_zero(
        &mut self,
        frames: std::ops::Range<u64>,
        tag: crate::guest::PageTag,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// The checkpoint has exactly the frames of this layout: others (of the base) are dropped.
    pub fn retain(&mut self, layout: &MemoryLayout) -> Result<(), StoreError> {
        todo!()
    }
    /// Adds a machine-state record; order is kept. Large ones (MiB) are fine.
    pub fn put_record(&mut self, record: StateRecord) -> Result<(), StoreError> {
        todo!()
    }
    /// Drops all records put so far (a later epoch of the same stream replaces them).
    pub fn clear_records(&mut self) {
        todo!()
    }
    pub fn set_fact(&mut self, key: &str, value: &str) {
        todo!()
    }
    /// Remembers the present state of the page map.
    pub fn mark(&mut self) -> Mark {
        todo!()
    }
    /// Forgets every page put since the mark.
    pub fn rollback(&mut self, mark: Mark) {
        todo!()
    }
    /// Makes the checkpoint exist: after this returned Ok, no crash loses it.
    pub fn commit(self) -> Result<CheckpointInfo, StoreError> {
        todo!()
    }
}

impl CheckpointReader {
    pub fn info(&self) -> &CheckpointInfo {
        todo!()
    }
    pub fn layout(&self) -> MemoryLayout {
        todo!()
    }
    pub fn records(&self) -> &[StateRecord] {
        todo!()
    }
    /// Any frames in any order, every byte checked; `into` gets one entry per pfn, in order.
    pub fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), StoreError> {
        todo!()
    }
    /// All non-zero pages, each exactly once, in the order that reads the store sequentially (not PFN order), with
    /// read-ahead and parallel decompression; None at the end. Zero pages are given by `zero_tagged`.
    pub fn next_batch(&mut self, into: &mut PageBatch) -> Result<bool, StoreError> {
        todo!()
    }
    /// Zero frames whose tag is not 0 (they still need their tag written), as ranges.
    pub fn zero_tagged(&self) -> Vec<(std::ops::Range<u64>, crate::guest::PageTag)> {
        todo!()
    }
}
