//! The real world: what this machine offers for checkpointing Xen guests.
//!
//! The crate compiles everywhere. [`probe`] looks at a Linux host without any Xen library and says what is
//! there, what is missing and how to get it. With the feature `libxc` (headers from `libxen-dev`, GPL-3.0
//! bindings from `xenctrl-sys`) the probe also opens the hypervisor's control interface and lists domains.
#![deny(unsafe_code)]

mod probe;

#[cfg(feature = "libxc")]
mod control;

#[cfg(feature = "libxc")]
pub use control::{ControlError, Domain, XenControl};
pub use probe::{Check, Status, probe, probe_root};
