//! ④ Checkpoint → guest.
//!
//! The target is made blank with the checkpoint's layout, gets every page that is not zero and then its machine state. It
//! is left suspended: whoever asked for it wires it up and lets it run. Every byte was checked by the store before
//! it came here; what is checked here is that all of them came.

mod disk;

use std::time::Duration;

use crate::clock::Clock;
use crate::guest::{
    BATCH_PAGES_MAX, GoneReason, Hypervisor, HypervisorError, MachineKind, PageBatch, PfnSet, Space,
};
use crate::store::{CheckpointReader, StoreError};
use crate::units::{Pfn, ZERO_PAGE};

pub use disk::{DiskRestoreError, restore_disk};

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Pages written into the guest.
    pub pages_written: u64,
    /// Populated frames that stayed zero.
    pub pages_zero: u64,
    /// From the request to a complete, suspended guest.
    pub took: Duration,
}

/// A restore failed. The target is to be destroyed; the checkpoint is untouched.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The checkpoint could not be read.
    #[error("cannot read the checkpoint")]
    Checkpoint(#[from] StoreError),
    /// The target failed.
    #[error("cannot {action}")]
    Guest {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: HypervisorError,
    },
    /// The checkpoint is of another kind of machine.
    #[error("the checkpoint is of a machine of kind {found}, {backend} restores {wanted}")]
    WrongMachine {
        /// What the checkpoint is of.
        found: MachineKind,
        /// What the target takes.
        wanted: MachineKind,
        /// The target.
        backend: &'static str,
    },
    /// Pages are missing, or came twice.
    #[error("the checkpoint lists {expected} pages with content, {found} came")]
    Incomplete {
        /// As the catalogue has it.
        expected: u64,
        /// Different frames that were written.
        found: u64,
    },
}

impl RestoreError {
    /// This checkpoint will never restore: an older one has to serve. Otherwise the same may be tried again.
    pub fn damaged(&self) -> bool {
        match self {
            RestoreError::Checkpoint(error) => error.is_damage(),
            RestoreError::Incomplete { .. } | RestoreError::WrongMachine { .. } => true,
            RestoreError::Guest { source, .. } => matches!(source, HypervisorError::BadState { .. }),
        }
    }

    /// The store could not read this checkpoint, and may be able to later: an older one has to serve meanwhile.
    pub fn unreadable(&self) -> bool {
        matches!(self, RestoreError::Checkpoint(error) if error.finding().is_some() && !error.is_damage())
    }

    /// Why the target is no more, if that is what the failure means.
    pub fn guest_gone(&self) -> Option<GoneReason> {
        match self {
            RestoreError::Guest {
                source: HypervisorError::Gone(reason),
                ..
            } => Some(*reason),
            _ => None,
        }
    }
}

fn failed(action: &'static str) -> impl Fn(HypervisorError) -> RestoreError {
    move |source| RestoreError::Guest { action, source }
}

/// Gives `guest` the memory and machine state of the checkpoint and leaves it suspended. Whatever it was before is
/// discarded. Its disks are the business of [`restore_disk`].
pub fn restore(
    reader: &mut CheckpointReader,
    guest: &mut dyn Hypervisor,
    clock: &dyn Clock,
) -> Result<Restored, RestoreError> {
    let begun = clock.now();
    let can = guest.capabilities();
    let info = reader.info();
    if info.machine != can.machine {
        let found = info.machine.clone();
        return Err(RestoreError::WrongMachine {
            found,
            wanted: can.machine,
            backend: can.backend,
        });
    }
    reader.select(Space::Memory)?;
    let (pages, pages_zero) = reader.counts();
    guest
        .populate(&reader.layout())
        .map_err(failed("populate the guest"))?;
    let pages_written = write_content(reader, guest, pages - pages_zero)?;
    write_zero_tags(reader, guest)?;
    guest
        .load_state(reader.records())
        .map_err(failed("load the machine state"))?;
    Ok(Restored {
        pages_written,
        pages_zero,
        took: clock.now().since(begun),
    })
}

fn write_content(
    reader: &mut CheckpointReader,
    guest: &mut dyn Hypervisor,
    expected: u64,
) -> Result<u64, RestoreError> {
    let (mut batch, mut seen) = (PageBatch::new(), PfnSet::new());
    let mut written = 0;
    while reader.next_batch(&mut batch)? {
        guest.write_pages(&batch).map_err(failed("write pages"))?;
        written += batch.len() as u64;
        for &pfn in batch.pfns() {
            seen.insert(pfn);
        }
    }
    // Each exactly once: as many writes as frames, and as many frames as the catalogue says.
    if seen.len() != expected || written != expected {
        return Err(RestoreError::Incomplete {
            expected,
            found: seen.len(),
        });
    }
    Ok(written)
}

/// Zero frames need no bytes, but a tag that is not zero has to be written.
fn write_zero_tags(reader: &CheckpointReader, guest: &mut dyn Hypervisor) -> Result<(), RestoreError> {
    let mut batch = PageBatch::new();
    for (frames, tag) in reader.zero_tagged() {
        for pfn in frames {
            batch.push(Pfn(pfn), tag, &ZERO_PAGE);
            if batch.len() == BATCH_PAGES_MAX {
                guest.write_pages(&batch).map_err(failed("write page tags"))?;
                batch.clear();
            }
        }
    }
    if batch.is_empty() {
        return Ok(());
    }
    guest.write_pages(&batch).map_err(failed("write page tags"))
}
