//! The real world: live Xen guests behind the core's door.
//!
//! The crate compiles everywhere. [`probe`] looks at a Linux host without any Xen library and says what is
//! there, what is missing and how to get it. With the feature `libxc` (headers from `libxen-dev`, GPL-3.0
//! bindings from `xenctrl-sys`) it drives live guests: `HvmGuest` through log-dirty and
//! foreign mappings, `PvGuest` through libxenguest's stream.
#![deny(unsafe_code)]

pub mod disk;
mod probe;

#[cfg(feature = "libxc")]
mod domain;
#[cfg(feature = "libxc")]
mod guest_disks;
#[cfg(feature = "libxc")]
mod hvm;
#[cfg(feature = "libxc")]
mod keeper;
#[cfg(feature = "libxc")]
mod lock;
#[cfg(feature = "libxc")]
mod open;
#[cfg(feature = "libxc")]
pub mod protect;
#[cfg(feature = "libxc")]
mod pv;
#[cfg(feature = "libxc")]
mod restore;
#[cfg(feature = "libxc")]
mod sys;
#[cfg(feature = "libxc")]
mod xl;
#[cfg(feature = "libxc")]
mod yardstick;

#[cfg(feature = "libxc")]
pub use domain::{FindError, LiveDomain, SUSPEND_TIMEOUT};
#[cfg(feature = "libxc")]
pub use hvm::HvmGuest;
#[cfg(feature = "libxc")]
pub use keeper::{KeepError, KeeperProgram, keep};
#[cfg(feature = "libxc")]
pub use open::open_guest;
pub use probe::{Check, Status, probe, probe_root};
#[cfg(feature = "libxc")]
pub use pv::{PvGuest, SaveError, save_to_stdout};
#[cfg(feature = "libxc")]
pub use restore::{RestoreError, RestoreRequest, RestoredDomain, restore_domain};
#[cfg(feature = "libxc")]
pub use sys::{CpuPolicy, Domain, DomainState, XenControl, XenError};
#[cfg(feature = "libxc")]
pub use xl::XlError;
#[cfg(feature = "libxc")]
pub use yardstick::{Suspension, libxc_save};
