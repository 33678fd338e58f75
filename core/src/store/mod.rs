//! Checkpoint data over time: takes pages and records from a capture or an import, makes checkpoints of them that no crash
//! loses, and gives them back to restore and export, every byte checked.
//!
//! ```text
//! begin ─▶ Staging: put_pages, put_zero, put_record … ─▶ commit ─▶ list, newest ─▶ read ─▶ CheckpointReader: next_batch …
//! ```
//!
//! The bytes, the steps of a commit and what is made of any remains are specified in `docs/checkpoint-format.md`.
//! Zero pages are not stored, equal pages once, whichever checkpoint they came with; each checkpoint is nevertheless
//! complete by itself, because its manifest names every page it needs.

mod bad;
mod blame;
mod cache;
mod catalogue;
mod catalogue_log;
mod chunked;
mod collect;
mod copy;
mod dedup;
mod diff;
mod encode;
mod entries;
mod error;
mod expand;
mod fences;
mod files;
mod frame;
mod guest_name;
mod header;
mod id;
mod info;
mod known;
mod live;
mod locks;
mod manifest;
mod names;
mod page_map;
mod pages;
mod pool;
mod probe;
mod reader;
mod repair;
mod retention;
mod scrub;
mod segment;
mod slots;
mod staging;
mod stats;
mod survey;
mod sweep;
#[cfg(test)]
mod tests;
mod verify;
mod whole;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

pub use bad::BadCounts;
pub use catalogue_log::{CatalogueLog, CatalogueRoot, LogTrouble, ParseRootError};
pub use collect::{CollectOptions, Collected, Pruned, Undone};
pub use copy::{CopyError, Standing};
pub use diff::{Difference, RecordChange, RecordDifference};
pub use entries::Stranger;
pub use error::{Finding, FindingKind, StoreError};
pub use guest_name::{GUEST_NAME_BYTES_MAX, GuestNameFault, check_guest_name};
pub use id::{CheckpointId, ParseIdError};
pub use info::{CheckpointInfo, DiskInfo, Listing, NewCheckpoint, StoreOptions};
pub use locks::Hold;
pub use manifest::RecordSummary;
pub use probe::{Probe, ProbedLock};
pub use reader::CheckpointReader;
pub use repair::Repaired;
pub use retention::{Retention, Scope};
pub use scrub::{ScrubCursor, Scrubbed};
pub use staging::{Mark, Staging};
pub use stats::{CheckpointUse, GuestUse, Stats};
pub use survey::Survey;
pub use verify::{Remains, Verification};

use id::SegmentName;
use known::Known;
use locks::StoreLock;
use manifest::Head;
use repair::Sought;

use crate::clock::Clock;
use crate::lease::Fence;
use crate::medium::Medium;

/// A store of checkpoints on a medium.
#[derive(Debug)]
pub struct Store {
    medium: Rc<dyn Medium>,
    clock: Rc<dyn Clock>,
    options: StoreOptions,
    /// The header was read and is right. Reading goes on without it; writing does not.
    header_ok: Cell<bool>,
    /// Heads read before; a head never changes.
    heads: RefCell<BTreeMap<CheckpointId, Rc<Head>>>,
    /// What the last committed staging knew of stored pages.
    known: RefCell<Option<Known>>,
    /// The lock that readers and stagings of this store share.
    shared: RefCell<Weak<StoreLock>>,
    /// No shared lock was refused so far.
    guarded: Cell<bool>,
    /// What the last attempt to heal looked through.
    sought: RefCell<Option<Sought>>,
    /// The end of the catalogue log as it was last written here.
    log: RefCell<Option<catalogue_log::Tail>>,
    /// It is known to be marked as begun.
    log_marked: Cell<bool>,
    /// What was wrong with it last.
    log_trouble: RefCell<Option<LogTrouble>>,
    /// By guest: the leases under which this handle writes.
    fences: RefCell<BTreeMap<String, Fence>>,
}

impl Store {
    /// The file that every store has.
    pub const HEADER: &str = files::HEADER;

    /// Initialises an empty medium as a store; an existing store is left as it is, a half-made one is completed.
    pub fn create(medium: &dyn Medium) -> Result<(), StoreError> {
        header::create(medium)
    }

    /// Bytes that still fit on the medium, where it knows.
    pub fn free_bytes(&self) -> Option<u64> {
        self.medium.free_bytes().ok().flatten()
    }

    /// Opens a store. Reads the header and writes nothing: a store needs no repair after a crash. If the header is
    /// damaged, the store can be read and verified, and calls that write return the damage.
    pub fn open(
        medium: Rc<dyn Medium>,
        clock: Rc<dyn Clock>,
        options: StoreOptions,
    ) -> Result<Store, StoreError> {
        let header_ok = match header::check(&medium) {
            Ok(()) => true,
            Err(StoreError::Damaged(_)) => false,
            Err(StoreError::NotAStore { .. }) if !medium.list(files::CHECKPOINTS)?.is_empty() => false,
            Err(error) => return Err(error),
        };
        Ok(Store {
            medium,
            clock,
            options,
            header_ok: Cell::new(header_ok),
            heads: RefCell::default(),
            known: RefCell::default(),
            shared: RefCell::default(),
            guarded: Cell::new(true),
            sought: RefCell::default(),
            log: RefCell::default(),
            log_marked: Cell::default(),
            log_trouble: RefCell::default(),
            fences: RefCell::default(),
        })
    }

    /// Writing to what may not be what it seems is refused. A header that could not be read is looked at again: the fault
    /// may have been the reader's.
    fn check_writable(&self) -> Result<(), StoreError> {
        if !self.header_ok.get() {
            header::check(&self.medium)?;
            self.header_ok.set(true);
        }
        Ok(())
    }
}
