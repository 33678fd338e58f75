//! Copying sets of frames out of a guest into a staging.

use super::CaptureError;
use crate::guest::{BATCH_PAGES_MAX, Hypervisor, HypervisorError, MemoryLayout, PageBatch, PfnSet};
use crate::store::Staging;
use crate::units::Pfn;

/// Batches that are kept in memory rather than handed on while a guest is suspended (256 MiB): the store may make the
/// giver wait for compression or for the disk, and the guest would wait with it.
const HELD_BATCHES_MAX: usize = 64;

/// How often a batch is read again because a running guest gave frames back meanwhile.
const LAYOUT_CHANGES_MAX: u32 = 8;

/// Reads frames in batches and hands them to the staging.
#[derive(Debug)]
pub(super) struct Copier<'a, 's> {
    staging: &'a mut Staging<'s>,
    /// Full batches that wait for the guest to run again.
    held: Vec<PageBatch>,
    pfns: Vec<Pfn>,
}

impl<'a, 's> Copier<'a, 's> {
    pub(super) fn new(staging: &'a mut Staging<'s>) -> Self {
        Copier {
            staging,
            held: Vec::new(),
            pfns: Vec::with_capacity(BATCH_PAGES_MAX),
        }
    }

    /// Copies from a running guest. Frames that it gives back meanwhile are left out: if they come again the dirty log
    /// says so. Returns the number of pages copied.
    pub(super) fn copy_live(
        &mut self,
        guest: &mut dyn Hypervisor,
        frames: impl Iterator<Item = Pfn>,
    ) -> Result<u64, CaptureError> {
        let read = |pfns: &mut Vec<Pfn>, batch: &mut PageBatch| read_restless(guest, pfns, batch);
        let copied = self.copy(frames, read, |copier, batch| {
            Ok(copier.staging.put_pages(batch)?)
        })?;
        // What follows is to be short, and the workers may be as many as there are processors.
        self.staging.drain()?;
        Ok(copied)
    }

    /// As [`copy_live`](Self::copy_live), but holds batches back as long as memory for that lasts. A later round is short
    /// if it waits for nobody, and the shorter it is the less there is left to copy after it.
    pub(super) fn copy_live_held(
        &mut self,
        guest: &mut dyn Hypervisor,
        frames: impl Iterator<Item = Pfn>,
    ) -> Result<u64, CaptureError> {
        let read = |pfns: &mut Vec<Pfn>, batch: &mut PageBatch| read_restless(guest, pfns, batch);
        self.copy(frames, read, Copier::hold)
    }

    /// Copies from a suspended guest, holding batches back as long as memory for that lasts.
    pub(super) fn copy_suspended(
        &mut self,
        guest: &mut dyn Hypervisor,
        frames: impl Iterator<Item = Pfn>,
    ) -> Result<u64, CaptureError> {
        let read = |pfns: &mut Vec<Pfn>, batch: &mut PageBatch| {
            guest
                .read_pages(pfns, batch)
                .map_err(CaptureError::guest("read pages"))
        };
        self.copy(frames, read, Copier::hold)
    }

    fn hold(&mut self, batch: PageBatch) -> Result<(), CaptureError> {
        self.held.push(batch);
        if self.held.len() > HELD_BATCHES_MAX {
            self.hand_over()
        } else {
            Ok(())
        }
    }

    /// Batch by batch: reads frames and gives the pages on.
    fn copy(
        &mut self,
        frames: impl Iterator<Item = Pfn>,
        mut read: impl FnMut(&mut Vec<Pfn>, &mut PageBatch) -> Result<(), CaptureError>,
        mut give: impl FnMut(&mut Self, PageBatch) -> Result<(), CaptureError>,
    ) -> Result<u64, CaptureError> {
        let mut frames = frames.peekable();
        let mut copied = 0;
        while frames.peek().is_some() {
            self.pfns.clear();
            self.pfns.extend(frames.by_ref().take(BATCH_PAGES_MAX));
            let mut batch = self.staging.take_batch();
            read(&mut self.pfns, &mut batch)?;
            if batch.pfns() != self.pfns {
                return Err(CaptureError::WrongFrames {
                    first: self.pfns.first().copied().unwrap_or_default(),
                    asked: self.pfns.len(),
                    given: batch.len(),
                });
            }
            copied += batch.len() as u64;
            give(self, batch)?;
        }
        Ok(copied)
    }

    /// Gives the held batches to the staging.
    pub(super) fn hand_over(&mut self) -> Result<(), CaptureError> {
        for batch in self.held.drain(..) {
            self.staging.put_pages(batch)?;
        }
        Ok(())
    }
}

/// Reads frames of a running guest; those that are no longer populated drop out of `pfns`.
fn read_restless(
    guest: &mut dyn Hypervisor,
    pfns: &mut Vec<Pfn>,
    batch: &mut PageBatch,
) -> Result<(), CaptureError> {
    let mut changes = 0;
    loop {
        match guest.read_pages(pfns, batch) {
            Ok(()) => return Ok(()),
            Err(HypervisorError::NoSuchFrame(_)) if changes < LAYOUT_CHANGES_MAX => {
                changes += 1;
                batch.clear();
                let layout = guest
                    .layout()
                    .map_err(CaptureError::guest("read the memory layout"))?;
                pfns.retain(|&pfn| layout.contains(pfn));
            }
            Err(HypervisorError::NoSuchFrame(_)) => return Err(CaptureError::RestlessLayout { changes }),
            Err(source) => {
                return Err(CaptureError::Guest {
                    action: "read pages",
                    source,
                });
            }
        }
    }
}

/// The populated frames among `set`, ascending.
pub(super) fn populated<'a>(set: &'a PfnSet, layout: &'a MemoryLayout) -> impl Iterator<Item = Pfn> + 'a {
    set.iter().filter(|&pfn| layout.contains(pfn))
}
