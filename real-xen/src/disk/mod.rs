//! The virtual disks of a guest, frozen together with its memory.
//!
//! A disk that is a device-mapper device becomes a snapshot origin ([`attach`]), as LVM does it. Then a [`DiskSet`] takes a
//! snapshot of each disk while the guest is suspended; the guest goes on at once and the capture engine reads the
//! snapshots. The snapshot of the last committed checkpoint is kept: its exception store lists every block that was
//! written since, so the next checkpoint reads only those.
//!
//! ```text
//! guest ─▶ NAME (snapshot-origin) ─▶ NAME-rvreal (the table that NAME had)
//!              ├─ rv-NAME-<checkpoint>   base: its store lists what changed
//!              └─ rv-NAME-next           being copied; renamed when its checkpoint is committed
//! ```
//!
//! All state is in the kernel, under these names, and in the directory with the copy-on-write files: a process that was
//! killed is succeeded by one that finds the base again. After a restart of the host there is no base, and the next
//! checkpoint reads every block.

mod allowed;
mod configured;
mod error;
mod exceptions;
mod frozen;
mod mapped;
mod snapshot;
mod tools;
mod write;

pub use allowed::{AllowedDisks, AllowedError, DISKS_ALLOWED};
pub use configured::configured;
pub use error::DiskError;
pub use exceptions::{Exceptions, ExceptionsError, ReadAt, read_exceptions};
pub use frozen::{DiskConfig, DiskSet, FrozenSnapshot};
pub use mapped::{attach, detach};
pub use tools::{ToolError, Tools};
pub use write::{DiskTarget, WrittenBack, write_back};
