//! The guest as the engine sees it: a sparse set of page frames, opaque machine state, and the
//! [`Hypervisor`] trait that moves both.

mod batch;
mod hypervisor;
mod layout;
mod pfn_set;
mod state;

pub use batch::{BATCH_PAGES_MAX, PageBatch, PageTag};
pub use hypervisor::{Capabilities, GoneReason, Hypervisor, HypervisorError};
pub use layout::MemoryLayout;
pub use pfn_set::PfnSet;
pub use state::{MachineKind, StateRecord};
