//! The door to a guest's virtual disks.

use std::fmt;
use std::ops::Range;

use super::HypervisorError;
use crate::store::CheckpointId;

/// Which blocks of a disk differ from those in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Nobody knows: every block must be read.
    Unknown {
        /// Why, for people.
        why: String,
    },
    /// At most these: sorted, disjoint, half-open ranges of 4 KiB blocks, none empty, none beyond the disk. A block that
    /// is listed may be unchanged; one that is not listed is unchanged.
    Blocks(Vec<Range<u64>>),
}

/// A virtual disk as it was at one instant while its guest was suspended. The guest goes on writing to the disk itself.
///
/// # Contract
/// - Whatever is read, whenever, is the content at that instant.
/// - Just one of `committed` and `abandon` ends it, and nothing else is called afterwards. One that is dropped without
///   either is abandoned by its backend at the next freeze at the latest.
/// - After `committed(id)` the next frozen disk of the same name can tell what changed since `id`; this outlives the
///   process. If that call fails, the disk may answer [`Changed::Unknown`] from then on, never a list that is too short.
/// - `abandon` leaves what is known of earlier checkpoints as it was.
pub trait FrozenDisk: fmt::Debug {
    /// What the guest's configuration calls it (`xvda`): unique in the guest, without white space, the same each time.
    fn name(&self) -> &str;
    /// Its size in 4 KiB blocks.
    fn blocks(&self) -> u64;
    /// What may differ from its state in this checkpoint.
    fn changed_since(&mut self, checkpoint: CheckpointId) -> Result<Changed, HypervisorError>;
    /// Fills `buffer`, a whole number of blocks, with the content from block `first` on.
    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), HypervisorError>;
    /// This state is durable in the checkpoint `id`.
    fn committed(&mut self, id: CheckpointId) -> Result<(), HypervisorError>;
    /// There will be no checkpoint of this state.
    fn abandon(&mut self) -> Result<(), HypervisorError>;
}
