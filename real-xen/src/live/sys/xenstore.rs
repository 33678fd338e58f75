//! libxenstore: the control domain's directory of domains and devices.

use std::ffi::{CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::io;
use std::ptr::NonNull;

use super::{XenError, call_error, open_error};

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("xs_handle")
    }
}

#[link(name = "xenstore")]
unsafe extern "C" {
    fn xs_open(flags: c_ulong) -> *mut Handle;
    fn xs_close(handle: *mut Handle);
    fn xs_read(handle: *mut Handle, transaction: u32, path: *const c_char, len: *mut c_uint) -> *mut c_void;
    fn xs_write(
        handle: *mut Handle,
        transaction: u32,
        path: *const c_char,
        data: *const c_void,
        len: c_uint,
    ) -> bool;
    fn xs_directory(
        handle: *mut Handle,
        transaction: u32,
        path: *const c_char,
        count: *mut c_uint,
    ) -> *mut *mut c_char;
    fn xs_transaction_start(handle: *mut Handle) -> u32;
    fn xs_transaction_end(handle: *mut Handle, transaction: u32, abort: bool) -> bool;
    fn xs_resume_domain(handle: *mut Handle, domid: c_uint) -> bool;
}

unsafe extern "C" {
    fn free(pointer: *mut c_void);
    fn strlen(text: *const c_char) -> usize;
}

/// No transaction.
const NONE: u32 = 0;
const EAGAIN: c_int = 11;

/// A connection to xenstored; closed when dropped.
#[derive(Debug)]
pub(crate) struct Xenstore {
    handle: NonNull<Handle>,
}

impl Xenstore {
    pub(crate) fn open() -> Result<Self, XenError> {
        // SAFETY: takes only flags.
        NonNull::new(unsafe { xs_open(0) })
            .map(|handle| Xenstore { handle })
            .ok_or_else(|| open_error("xenstore"))
    }

    /// A node's value; `None` if there is no such node.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        self.read_in(NONE, path)
    }

    fn read_in(&self, transaction: u32, path: &str) -> Option<String> {
        let path = CString::new(path).ok()?;
        let mut len = 0;
        // SAFETY: the path is a C string; the answer is allocated by the library and freed here.
        unsafe {
            let data = NonNull::new(xs_read(
                self.handle.as_ptr(),
                transaction,
                path.as_ptr(),
                &raw mut len,
            ))?;
            let bytes = std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), len as usize);
            let text = String::from_utf8_lossy(bytes).into_owned();
            free(data.as_ptr());
            Some(text)
        }
    }

    /// Sets a node's value.
    pub(crate) fn write(&self, path: &str, value: &str) -> Result<(), XenError> {
        if self.write_in(NONE, path, value) {
            Ok(())
        } else {
            Err(call_error("xs_write", None))
        }
    }

    fn write_in(&self, transaction: u32, path: &str, value: &str) -> bool {
        let (Ok(path), Ok(len)) = (CString::new(path), c_uint::try_from(value.len())) else {
            return false;
        };
        // SAFETY: the path is a C string, the value as long as is said.
        unsafe {
            xs_write(
                self.handle.as_ptr(),
                transaction,
                path.as_ptr(),
                value.as_ptr().cast(),
                len,
            )
        }
    }

    /// Replaces a node's value if it is `expected`. Answers whether it was.
    pub(crate) fn replace(&self, path: &str, expected: &str, value: &str) -> Result<bool, XenError> {
        loop {
            // SAFETY: takes only the handle.
            let transaction = unsafe { xs_transaction_start(self.handle.as_ptr()) };
            if transaction == NONE {
                return Err(call_error("xs_transaction_start", None));
            }
            let matches = self.read_in(transaction, path).as_deref() == Some(expected);
            let written = matches && self.write_in(transaction, path, value);
            // SAFETY: the transaction was started above and is ended once.
            let ended = unsafe { xs_transaction_end(self.handle.as_ptr(), transaction, !written) };
            if ended {
                return Ok(written);
            }
            if io::Error::last_os_error().raw_os_error() != Some(EAGAIN) {
                return Err(call_error("xs_transaction_end", None));
            }
        }
    }

    /// Names of the nodes below one; empty if there is no such node.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let Ok(path) = CString::new(path) else {
            return Vec::new();
        };
        let mut count = 0;
        // SAFETY: the answer is one allocation that holds `count` pointers to C strings within it; freed here.
        unsafe {
            let Some(names) = NonNull::new(xs_directory(
                self.handle.as_ptr(),
                NONE,
                path.as_ptr(),
                &raw mut count,
            )) else {
                return Vec::new();
            };
            let list = std::slice::from_raw_parts(names.as_ptr(), count as usize)
                .iter()
                .map(|&name| {
                    let bytes = std::slice::from_raw_parts(name.cast::<u8>(), strlen(name));
                    String::from_utf8_lossy(bytes).into_owned()
                })
                .collect();
            free(names.as_ptr().cast());
            list
        }
    }

    /// Tells xenstored that a domain which had suspended goes on, so that it notices the next time.
    pub(crate) fn resumed(&self, domain: u32) -> Result<(), XenError> {
        // SAFETY: only a number is handed over.
        if unsafe { xs_resume_domain(self.handle.as_ptr(), domain) } {
            Ok(())
        } else {
            Err(call_error("xs_resume_domain", domain))
        }
    }
}

impl Drop for Xenstore {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once.
        unsafe { xs_close(self.handle.as_ptr()) };
    }
}
