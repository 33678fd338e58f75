//! The hypervisor's control interface, opened through libxenctrl. All unsafe code of the crate is here.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use xenctrl_sys as sys;

/// How many domains one request asks for.
const DOMAINS_PER_CALL: u32 = 64;
/// Xen's own limit on domain numbers (`DOMID_FIRST_RESERVED`).
const DOMID_END: u32 = 0x7ff0;

/// Why the control interface could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No Xen under this kernel, or not permitted.
    #[error("cannot open Xen's control interface")]
    Open(#[source] io::Error),
    /// A hypercall failed.
    #[error("{call} failed")]
    Call {
        /// Which.
        call: &'static str,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
}

/// A domain, as the hypervisor lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    /// Domain number.
    pub id: u32,
    /// 4 KiB pages it holds now.
    pub pages: u64,
    /// vCPUs that are online.
    pub vcpus_online: u32,
    /// Hardware-assisted (HVM or PVH), so that a dirty log can be had.
    pub hardware_assisted: bool,
}

/// An open control interface; closed when dropped.
#[derive(Debug)]
pub struct XenControl {
    handle: NonNull<sys::xc_interface>,
}

impl XenControl {
    /// Opens the interface.
    pub fn open() -> Result<Self, ControlError> {
        // A logger of its own would be needed to silence libxc's line on stderr; doctor shows the error anyway.
        // SAFETY: null loggers select the library's default; flags 0 opens a real interface.
        let handle = unsafe { sys::xc_interface_open(ptr::null_mut(), ptr::null_mut(), 0) };
        NonNull::new(handle)
            .map(|handle| XenControl { handle })
            .ok_or_else(|| ControlError::Open(io::Error::last_os_error()))
    }

    /// The running hypervisor's version, `major.minor`.
    pub fn version(&self) -> Result<String, ControlError> {
        // SAFETY: XENVER_version (command 0) takes no argument and returns the version packed in an int.
        let packed = unsafe { sys::xc_version(self.handle.as_ptr(), 0, ptr::null_mut::<c_void>()) };
        let packed = u32::try_from(packed).map_err(|_| call_error("xc_version"))?;
        Ok(format!("{}.{}", packed >> 16, packed & 0xffff))
    }

    /// All domains, ascending. `xc_domain_getinfolist` exists in every libxc from 4.17 on, unlike
    /// `xc_domain_getinfo`.
    pub fn domains(&self) -> Result<Vec<Domain>, ControlError> {
        let mut all = Vec::new();
        let mut first = 0u32;
        while first < DOMID_END {
            let mut infos = vec![sys::xc_domaininfo_t::default(); DOMAINS_PER_CALL as usize];
            // SAFETY: the array has room for as many entries as are asked for and outlives the call.
            let got = unsafe {
                sys::xc_domain_getinfolist(self.handle.as_ptr(), first, DOMAINS_PER_CALL, infos.as_mut_ptr())
            };
            let got = usize::try_from(got)
                .map_err(|_| call_error("xc_domain_getinfolist"))?
                .min(infos.len());
            let Some(last) = infos[..got].last() else {
                break;
            };
            first = u32::from(last.domain) + 1;
            all.extend(infos[..got].iter().map(|info| Domain {
                id: u32::from(info.domain),
                pages: info.tot_pages,
                vcpus_online: info.nr_online_vcpus,
                hardware_assisted: info.flags & sys::XEN_DOMINF_hvm_guest != 0,
            }));
            if got < infos.len() {
                break;
            }
        }
        Ok(all)
    }
}

impl Drop for XenControl {
    fn drop(&mut self) {
        // SAFETY: the handle came from xc_interface_open and is closed once. Nothing can be done about an error.
        unsafe { sys::xc_interface_close(self.handle.as_ptr()) };
    }
}

fn call_error(call: &'static str) -> ControlError {
    ControlError::Call {
        call,
        source: io::Error::last_os_error(),
    }
}
