//! The guest's disks, copied from their frozen state while the guest runs again.

use std::ops::Range;

use super::CaptureError;
use crate::guest::{
    BATCH_PAGES_MAX, Changed, DISKS_MAX, FrozenDisk, Hypervisor, MemoryLayout, PageTag, SPACE_FRAMES,
    disk_frame,
};
use crate::store::{CheckpointId, CheckpointInfo, DiskInfo, Staging, Store, StoreError};
use crate::units::{PAGE_SIZE, Pfn};

/// What was done about one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedDisk {
    /// Number, name and size.
    pub disk: DiskInfo,
    /// Blocks of 4 KiB that were read.
    pub blocks_read: u64,
    /// Why all of them were read, if they were.
    pub all_because: Option<String>,
    /// What went wrong when the checkpoint was to become what the next one's changes count from. The checkpoint is whole;
    /// the next one reads all blocks.
    pub not_remembered: Option<String>,
}

/// Disks whose frozen state is in a staging. They are abandoned unless they are told that it was committed.
#[derive(Debug)]
pub(super) struct Disks {
    frozen: Vec<(Box<dyn FrozenDisk>, CopiedDisk)>,
}

impl Disks {
    /// Copies whatever disks the guest's last suspension froze. Call it when the memory layout was given to the staging.
    pub(super) fn copy(
        guest: &mut dyn Hypervisor,
        store: &Store,
        staging: &mut Staging<'_>,
    ) -> Result<Self, CaptureError> {
        let mut disks = Disks::take(guest)?;
        if disks.frozen.is_empty() {
            return Ok(disks);
        }
        let base = match staging.base() {
            Some(id) => store.info(id)?,
            None => None,
        };
        for (frozen, copied) in &mut disks.frozen {
            copy_disk(&mut **frozen, copied, base.as_ref(), staging)?;
        }
        Ok(disks)
    }

    /// Gives up the disks that were frozen for a capture that failed.
    pub(super) fn forsake(guest: &mut dyn Hypervisor) {
        // The capture's own error tells more, and what cannot be given up now is so at the next freeze.
        drop(Disks::take(guest));
    }

    fn take(guest: &mut dyn Hypervisor) -> Result<Self, CaptureError> {
        let frozen = guest
            .frozen_disks()
            .map_err(CaptureError::guest("take over the frozen disks"))?;
        let mut disks = Disks { frozen: Vec::new() };
        let mut refused = None;
        for (number, frozen) in (1usize..).zip(frozen) {
            let (name, blocks) = (frozen.name().to_owned(), frozen.blocks());
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            let sound = number <= DISKS_MAX && blocks < SPACE_FRAMES && DiskInfo::is_name(&name);
            if !sound {
                refused.get_or_insert_with(|| name.clone());
            }
            let copied = CopiedDisk {
                disk: DiskInfo { number, name, blocks },
                blocks_read: 0,
                all_because: None,
                not_remembered: None,
            };
            disks.frozen.push((frozen, copied));
        }
        match refused {
            None => Ok(disks),
            Some(name) => Err(CaptureError::Disk { name }),
        }
    }

    /// The checkpoint exists.
    pub(super) fn committed(mut self, id: CheckpointId) -> Vec<CopiedDisk> {
        let each = std::mem::take(&mut self.frozen).into_iter();
        each.map(|(mut frozen, mut copied)| {
            copied.not_remembered = frozen.committed(id).err().map(|error| error.to_string());
            copied
        })
        .collect()
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for (frozen, _) in &mut self.frozen {
            // The failure that led here is being reported; a backend abandons what is left over at its next freeze.
            drop(frozen.abandon());
        }
    }
}

fn copy_disk(
    frozen: &mut dyn FrozenDisk,
    copied: &mut CopiedDisk,
    base: Option<&CheckpointInfo>,
    staging: &mut Staging<'_>,
) -> Result<(), CaptureError> {
    let disk = &copied.disk;
    let changed = match base {
        None => Err("the checkpoint is full".to_owned()),
        // Blocks that are not read come from the base, so there they must be the same disk's.
        Some(base) if !base.disks().contains(disk) => {
            Err("the base has no such disk of this size in its place".to_owned())
        }
        Some(base) => match frozen.changed_since(base.id) {
            Ok(Changed::Blocks(ranges)) => Ok(ranges),
            Ok(Changed::Unknown { why }) => Err(why),
            Err(source) => {
                return Err(CaptureError::Guest {
                    action: "find the changed blocks of a disk",
                    source,
                });
            }
        },
    };
    let ranges = changed.unwrap_or_else(|why| {
        copied.all_because = Some(why);
        std::iter::once(0..disk.blocks).collect()
    });
    for range in ranges {
        copied.blocks_read += copy_blocks(frozen, disk, range, staging)?;
    }
    staging.retain_disk(disk)?;
    Ok(())
}

fn copy_blocks(
    frozen: &mut dyn FrozenDisk,
    disk: &DiskInfo,
    range: Range<u64>,
    staging: &mut Staging<'_>,
) -> Result<u64, CaptureError> {
    let range = range.start..range.end.min(disk.blocks);
    let mut pfns: Vec<Pfn> = Vec::with_capacity(BATCH_PAGES_MAX);
    let mut first = range.start;
    while first < range.end {
        let end = range.end.min(first + BATCH_PAGES_MAX as u64);
        pfns.clear();
        pfns.extend((first..end).filter_map(|block| disk_frame(disk.number, block)));
        let mut batch = staging.take_batch();
        let buffer = batch.extend_zeroed(&pfns, PageTag(0));
        debug_assert_eq!(buffer.len() as u64, (end - first) * PAGE_SIZE as u64);
        frozen
            .read(first, buffer)
            .map_err(CaptureError::guest("read a frozen disk"))?;
        staging.put_pages(batch)?;
        first = end;
    }
    Ok(range.end.saturating_sub(range.start))
}

/// Frame numbers above memory's are those of disks. The last number below them stays free, as the last of each disk does:
/// so no run of frames is of two spaces.
pub(super) fn check_memory(layout: &MemoryLayout) -> Result<(), StoreError> {
    let end = layout.ranges().last().map_or(0, |range| range.end);
    if end < SPACE_FRAMES {
        return Ok(());
    }
    Err(StoreError::Limit {
        what: "as a frame number of memory",
        found: end - 1,
        limit: SPACE_FRAMES - 2,
    })
}
