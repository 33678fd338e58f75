//! A virtual disk out of a checkpoint.

use crate::guest::{BATCH_PAGES_MAX, PageBatch, Space};
use crate::store::{CheckpointReader, StoreError};
use crate::units::Pfn;

/// A disk could not be taken out of a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum DiskRestoreError<E: std::error::Error + 'static> {
    /// The checkpoint holds no such disk.
    #[error("the checkpoint holds no disk {name:?}; its disks: {}", if held.is_empty() { "none" } else { held })]
    NoSuchDisk {
        /// What was asked for.
        name: String,
        /// Names of those it holds.
        held: String,
    },
    /// Blocks are missing in the checkpoint.
    #[error("disk {name:?} has {expected} blocks, the checkpoint lists {found} of them")]
    Incomplete {
        /// The disk.
        name: String,
        /// As its catalogue entry has it.
        expected: u64,
        /// As its map has it.
        found: u64,
    },
    /// The checkpoint could not be read.
    #[error("cannot read the checkpoint")]
    Checkpoint(#[from] StoreError),
    /// The blocks could not be written.
    #[error("cannot write disk {name:?}")]
    Target {
        /// The disk.
        name: String,
        /// Why.
        #[source]
        source: E,
    },
}

/// Hands every block of the disk `name` to `write`, in ascending order and in runs of up to 4 MiB: first block, bytes.
/// Every byte was checked. Returns the number of blocks. The reader's selection is that disk afterwards.
pub fn restore_disk<E: std::error::Error + 'static>(
    reader: &mut CheckpointReader,
    name: &str,
    mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<u64, DiskRestoreError<E>> {
    let disks = reader.info().disks();
    let Some(disk) = disks.iter().find(|disk| disk.name == name) else {
        let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
        return Err(DiskRestoreError::NoSuchDisk {
            name: name.to_owned(),
            held: names.join(", "),
        });
    };
    let space = Space::Disk(disk.number);
    reader.select(space)?;
    let frames = space.frames().start..space.frames().start + disk.blocks;
    let whole: crate::guest::MemoryLayout = std::iter::once(frames.clone()).collect();
    if reader.layout() != whole {
        return Err(DiskRestoreError::Incomplete {
            name: name.to_owned(),
            expected: disk.blocks,
            found: reader.counts().0,
        });
    }
    let mut pfns = Vec::with_capacity(BATCH_PAGES_MAX);
    let mut batch = PageBatch::new();
    let mut next = frames.start;
    while next < frames.end {
        let end = frames.end.min(next + BATCH_PAGES_MAX as u64);
        pfns.clear();
        pfns.extend((next..end).map(Pfn));
        batch.clear();
        reader.read_pages(&pfns, &mut batch)?;
        write(next - frames.start, batch.bytes()).map_err(|source| DiskRestoreError::Target {
            name: name.to_owned(),
            source,
        })?;
        next = end;
    }
    Ok(disk.blocks)
}
