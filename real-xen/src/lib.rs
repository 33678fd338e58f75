//! The real world: live Xen guests behind the core's door.
//!
//! The crate compiles everywhere. [`probe`] looks at a Linux host without any Xen library and says what is
//! there, what is missing and how to get it. With the feature `libxc` (headers from `libxen-dev`, GPL-3.0
//! bindings from `xenctrl-sys`) it drives live guests: `HvmGuest` through log-dirty and
//! foreign mappings, `PvGuest` through libxenguest's stream.
#![deny(unsafe_code)]

pub mod disk;
#[cfg(feature = "libxc")]
mod live;
mod probe;
mod release;

#[cfg(feature = "libxc")]
pub use live::*;
pub use probe::{Check, Status, probe, probe_root};
pub use release::resume_is_broken;
