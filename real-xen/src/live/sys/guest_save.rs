//! libxenguest's own save, for guests whose page tables it has to translate.
//!
//! It asserts and exits where it does not like what it sees, so it is called in a process of its own.

use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};

use xenctrl_sys as sys;

use super::{XenControl, XenError, call_error};

#[repr(C)]
struct PreCopyStats {
    iteration: c_uint,
    total_written: c_ulong,
    dirty_count: std::ffi::c_long,
}

type Callback = unsafe extern "C" fn(*mut c_void) -> c_int;

/// `struct save_callbacks` of Xen 4.17 to 4.21.
#[repr(C)]
struct SaveCallbacks {
    suspend: Option<Callback>,
    precopy_policy: Option<unsafe extern "C" fn(PreCopyStats, *mut c_void) -> c_int>,
    postcopy: Option<Callback>,
    checkpoint: Option<Callback>,
    wait_checkpoint: Option<Callback>,
    switch_qemu_logdirty: Option<unsafe extern "C" fn(u32, c_uint, *mut c_void) -> c_int>,
    data: *mut c_void,
}

#[link(name = "xenguest")]
unsafe extern "C" {
    fn xc_domain_save(
        xch: *mut sys::xc_interface,
        io_fd: c_int,
        dom: u32,
        flags: u32,
        callbacks: *mut SaveCallbacks,
        stream_type: c_int,
        recv_fd: c_int,
    ) -> c_int;
}

const STREAM_PLAIN: c_int = 0;
const FLAG_LIVE: u32 = 1;
const POLICY_CONTINUE: c_int = 0;
const POLICY_STOP: c_int = 1;

unsafe extern "C" fn suspend<F: FnMut() -> bool>(data: *mut c_void) -> c_int {
    // SAFETY: `data` is the closure that save_domain borrows for the whole call; the library calls from one thread.
    let suspend = unsafe { &mut *data.cast::<F>() };
    c_int::from(suspend())
}

/// libxc's built-in rule, with its reason: few enough pages, or enough rounds.
unsafe extern "C" fn policy(stats: PreCopyStats, _: *mut c_void) -> c_int {
    if (0..50).contains(&stats.dirty_count) || stats.iteration >= 5 {
        POLICY_STOP
    } else {
        POLICY_CONTINUE
    }
}

unsafe extern "C" fn no_device_model(_: u32, _: c_uint, _: *mut c_void) -> c_int {
    0
}

/// Writes the domain's libxc stream to `output`. `suspend` is called once and answers whether the guest is
/// suspended; afterwards it stays so.
pub(crate) fn save_domain<F: FnMut() -> bool>(
    control: &XenControl,
    domain: u32,
    live: bool,
    output: BorrowedFd<'_>,
    mut suspend_guest: F,
) -> Result<(), XenError> {
    let mut callbacks = SaveCallbacks {
        suspend: Some(suspend::<F>),
        precopy_policy: Some(policy),
        postcopy: None,
        checkpoint: None,
        wait_checkpoint: None,
        switch_qemu_logdirty: Some(no_device_model),
        data: (&raw mut suspend_guest).cast(),
    };
    let flags = if live { FLAG_LIVE } else { 0 };
    // SAFETY: the callbacks and the closure behind `data` outlive the call; the descriptor is open.
    let failed = unsafe {
        xc_domain_save(
            control.raw(),
            output.as_raw_fd(),
            domain,
            flags,
            &raw mut callbacks,
            STREAM_PLAIN,
            -1,
        )
    };
    if failed == 0 {
        Ok(())
    } else {
        Err(call_error("xc_domain_save", domain))
    }
}
