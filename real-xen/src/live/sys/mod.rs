//! The C libraries of Xen behind safe handles. All unsafe code of the crate is in this folder.
//!
//! `xenctrl-sys` binds `xenctrl.h`; libxenguest, libxenforeignmemory, libxenstore and one function that libxenctrl
//! exports without declaring it are declared here, as far as they are used. No C type leaves this folder, so that the
//! changes between Xen 4.17 and later ones (domain info, restore's signature) stay in it too.
#![allow(unsafe_code)]

mod control;
mod foreign;
mod guest_save;
mod xenstore;

use std::io;

pub use control::{CpuPolicy, Domain, DomainState, XenControl};
pub(crate) use control::{HVM_PARAMS_SAVED, TYPES_WITHOUT_DATA};
pub(crate) use foreign::{CopyError, ForeignMemory};
pub(crate) use guest_save::save_domain;
pub(crate) use xenstore::Xenstore;

/// A call into one of Xen's libraries failed.
#[derive(Debug, thiserror::Error)]
pub enum XenError {
    /// No Xen under this kernel, or not permitted.
    #[error("cannot open {interface}: is this the control domain of a Xen host, and are you root?")]
    Open {
        /// Which of Xen's interfaces.
        interface: &'static str,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// A call failed.
    #[error("{call} failed{}", match domain { Some(id) => format!(" for domain {id}"), None => String::new() })]
    Call {
        /// Which.
        call: &'static str,
        /// Of which domain.
        domain: Option<u32>,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// There is no such domain (any more).
    #[error("there is no domain {0}")]
    NoDomain(u32),
}

fn open_error(interface: &'static str) -> XenError {
    XenError::Open {
        interface,
        source: io::Error::last_os_error(),
    }
}

fn call_error(call: &'static str, domain: impl Into<Option<u32>>) -> XenError {
    XenError::Call {
        call,
        domain: domain.into(),
        source: io::Error::last_os_error(),
    }
}
