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

mod cache;
mod catalogue;
mod chunked;
mod collect;
mod dedup;
mod diff;
mod encode;
mod error;
mod expand;
mod files;
mod frame;
mod header;
mod id;
mod info;
mod known;
mod manifest;
mod page_map;
mod pages;
mod pool;
mod reader;
mod retention;
mod segment;
mod staging;
mod sweep;
#[cfg(test)]
mod tests;
mod verify;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub use collect::{CollectOptions, Collected, Pruned};
pub use diff::{Difference, RecordChange, RecordDifference};
pub use error::{Finding, StoreError};
pub use id::{CheckpointId, ParseIdError};
pub use info::{CheckpointInfo, Listing, NewCheckpoint, StoreOptions};
pub use reader::CheckpointReader;
pub use retention::Retention;
pub use staging::{Mark, Staging};
pub use verify::{Remains, Verification};

use id::SegmentName;
use known::Known;
use manifest::Head;

use crate::clock::Clock;
use crate::medium::Medium;

/// A store of checkpoints on a medium.
#[derive(Debug)]
pub struct Store {
    medium: Rc<dyn Medium>,
    clock: Rc<dyn Clock>,
    options: StoreOptions,
    /// What is wrong with the header. Nothing else depends on it, so reading goes on; writing does not.
    header_damage: Option<Finding>,
    /// Heads read before; a head never changes.
    heads: RefCell<BTreeMap<CheckpointId, Rc<Head>>>,
    /// What the last committed staging knew of stored pages.
    known: RefCell<Option<Known>>,
}

impl Store {
    /// Initialises an empty medium as a store; an existing store is left as it is, a half-made one is completed.
    pub fn create(medium: &dyn Medium) -> Result<(), StoreError> {
        header::create(medium)
    }

    /// Opens a store. Reads the header and writes nothing: a store needs no repair after a crash. If the header is
    /// damaged, the store can be read and verified, and calls that write return the damage.
    pub fn open(
        medium: Rc<dyn Medium>,
        clock: Rc<dyn Clock>,
        options: StoreOptions,
    ) -> Result<Store, StoreError> {
        let header_damage = match header::check(&medium) {
            Ok(()) => None,
            Err(StoreError::Damaged(finding)) => Some(*finding),
            Err(StoreError::NotAStore { path }) if !medium.list(files::CHECKPOINTS)?.is_empty() => {
                Some(Finding::new(path, None, "the file is missing"))
            }
            Err(error) => return Err(error),
        };
        Ok(Store {
            medium,
            clock,
            options,
            header_damage,
            heads: RefCell::default(),
            known: RefCell::default(),
        })
    }

    /// Writing to what may not be what it seems is refused.
    fn check_writable(&self) -> Result<(), StoreError> {
        self.header_damage
            .clone()
            .map_or(Ok(()), |finding| Err(finding.into()))
    }
}
