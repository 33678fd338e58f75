//! Live guests through libxc.

mod ahead;
mod attended;
mod configuration;
mod demands;
mod domain;
mod guest_disks;
mod hvm;
mod keeper;
mod lock;
mod open;
pub mod protect;
mod pv;
mod restore;
mod sys;
mod xl;
mod yardstick;

pub use domain::{FindError, LiveDomain, SUSPEND_TIMEOUT};
pub use hvm::HvmGuest;
pub use keeper::{KeepError, KeeperProgram, keep};
pub use open::open_guest;
pub use pv::{PvGuest, SaveError, save_to_stdout};
pub use restore::{
    DiskLeft, DiskState, RestoreError, RestoreRequest, RestoredDomain, check_allowed, restore_domain,
};
pub use sys::{CpuPolicy, Domain, DomainState, XenControl, XenError};
pub use xl::XlError;
pub use yardstick::{Suspension, libxc_save};
