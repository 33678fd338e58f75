//! What can go wrong with disks.

use std::io;
use std::path::PathBuf;

use super::tools::ToolError;

/// A disk could not be protected, frozen, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The device is not of the device mapper.
    #[error(
        "{device} is no device-mapper device; put a linear mapping over it and give that one to the guest: \
         dmsetup create NAME --table \"0 $(blockdev --getsz {device}) linear {device} 0\""
    )]
    NotMapped {
        /// The device.
        device: PathBuf,
    },
    /// The device-mapper name cannot be used in the names of snapshots.
    #[error("device-mapper name {name:?}: expected 1 to 80 of A-Z a-z 0-9 . _ + -, not beginning with -")]
    Name {
        /// The name.
        name: String,
    },
    /// The device's table has targets that must not be active twice.
    #[error(
        "{name} has a target of type {target}, only linear and striped ones can be moved below a snapshot origin; \
         put a linear mapping over it and give that one to the guest"
    )]
    Target {
        /// The device-mapper name.
        name: String,
        /// The first such target.
        target: String,
    },
    /// A tool printed something else than expected.
    #[error("{what} of {name} is {found:?}, expected {expected}")]
    Unexpected {
        /// What was asked for.
        what: &'static str,
        /// The device-mapper name.
        name: String,
        /// What came.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The disk is not attached.
    #[error("{name} is not attached: its table is no single snapshot-origin over {name}-rvreal")]
    NotAttached {
        /// The device-mapper name.
        name: String,
    },
    /// Snapshots of it exist.
    #[error("{name} cannot be detached while snapshots of it exist: {snapshots}")]
    HasSnapshots {
        /// The device-mapper name.
        name: String,
        /// Names of the snapshots.
        snapshots: String,
    },
    /// The disk's size is no whole number of blocks.
    #[error("{device} has {bytes} bytes, expected a multiple of 4096 that is not 0")]
    Size {
        /// The device.
        device: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The target of a restore has another size than the disk in the checkpoint.
    #[error("{device} has {found} bytes, the disk in the checkpoint {expected}")]
    OtherSize {
        /// The device.
        device: PathBuf,
        /// Its size.
        found: u64,
        /// Size of the disk in the checkpoint.
        expected: u64,
    },
    /// Blocks outside of the disk.
    #[error("blocks {first} to {last} were asked for, {device} has {blocks}")]
    OutOfRange {
        /// First block.
        first: u64,
        /// Last block.
        last: u64,
        /// The device.
        device: PathBuf,
        /// Its size in blocks.
        blocks: u64,
    },
    /// The snapshot is lost.
    #[error(
        "snapshot {name} is lost ({status}): its copy-on-write store of {cow_bytes} bytes ran full, or the file system \
         it is on"
    )]
    Lost {
        /// The snapshot's name.
        name: String,
        /// As the kernel has it.
        status: String,
        /// Size of its store.
        cow_bytes: u64,
    },
    /// Nothing was prepared.
    #[error("no snapshot of {name} is prepared")]
    NotPrepared {
        /// The device-mapper name.
        name: String,
    },
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file or device could not be used.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
}

impl DiskError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> DiskError {
        let path = path.into();
        move |source| DiskError::Io { action, path, source }
    }
}
