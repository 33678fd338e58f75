//! The guest as the engine sees it: a sparse set of page frames, opaque machine state, and the
//! [`Hypervisor`] trait that moves both. Its disks, if any, come as [`FrozenDisk`]s.

mod batch;
mod disk;
mod hypervisor;
mod layout;
mod pfn_set;
mod space;
mod state;

pub use batch::{BATCH_PAGES_MAX, PageBatch, PageTag};
pub use disk::{Changed, FrozenDisk};
pub use hypervisor::{Capabilities, GoneReason, Hypervisor, HypervisorError};
pub use layout::MemoryLayout;
pub use pfn_set::PfnSet;
pub use space::{DISKS_MAX, SPACE_FRAMES, Space, disk_frame, split};
pub use state::{MachineKind, StateRecord};
