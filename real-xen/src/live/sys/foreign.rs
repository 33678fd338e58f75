//! libxenforeignmemory: looking into a guest's memory.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use revenant_core::guest::{PageBatch, PageTag};
use revenant_core::{PAGE_SIZE, Pfn};

use super::{XenError, call_error, open_error};

const PROT_READ: c_int = 1;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "xenforeignmemory")]
unsafe extern "C" {
    fn xenforeignmemory_open(logger: *mut c_void, flags: u32) -> *mut Handle;
    fn xenforeignmemory_close(handle: *mut Handle) -> c_int;
    fn xenforeignmemory_map(
        handle: *mut Handle,
        dom: u32,
        prot: c_int,
        pages: usize,
        frames: *const u64,
        errors: *mut c_int,
    ) -> *mut c_void;
    fn xenforeignmemory_unmap(handle: *mut Handle, address: *mut c_void, pages: usize) -> c_int;
}

/// Why frames could not be copied.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// This frame cannot be mapped: it is not populated.
    NotPopulated(Pfn),
    /// The call failed.
    Xen(XenError),
}

/// An open interface; closed when dropped.
#[derive(Debug)]
pub(crate) struct ForeignMemory {
    handle: NonNull<Handle>,
    frames: Vec<u64>,
    errors: Vec<c_int>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("xenforeignmemory_handle")
    }
}

impl ForeignMemory {
    pub(crate) fn open() -> Result<Self, XenError> {
        // SAFETY: a null logger selects the default.
        let handle = unsafe { xenforeignmemory_open(ptr::null_mut(), 0) };
        Ok(ForeignMemory {
            handle: NonNull::new(handle).ok_or_else(|| open_error("Xen's foreign memory interface"))?,
            frames: Vec::new(),
            errors: Vec::new(),
        })
    }

    /// Appends copies of the frames to `into`, in order; nothing on an error.
    pub(crate) fn copy(&mut self, domain: u32, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), CopyError> {
        if pfns.is_empty() {
            return Ok(());
        }
        self.frames.clear();
        self.frames.extend(pfns.iter().map(|pfn| pfn.0));
        self.errors.clear();
        self.errors.resize(pfns.len(), 0);
        // SAFETY: both arrays have `pfns.len()` entries and outlive the call.
        let start = unsafe {
            xenforeignmemory_map(
                self.handle.as_ptr(),
                domain,
                PROT_READ,
                pfns.len(),
                self.frames.as_ptr(),
                self.errors.as_mut_ptr(),
            )
        };
        let Some(start) = NonNull::new(start.cast::<u8>()) else {
            return Err(CopyError::Xen(call_error("xenforeignmemory_map", domain)));
        };
        let mapping = Mapping {
            memory: self.handle,
            start,
            pages: pfns.len(),
        };
        if let Some(bad) = self.errors.iter().position(|&error| error != 0) {
            return Err(CopyError::NotPopulated(pfns[bad]));
        }
        let target = into.extend_zeroed(pfns, PageTag::default());
        debug_assert_eq!(target.len(), pfns.len() * PAGE_SIZE);
        // SAFETY: every page of the mapping is there (no error was reported) and it is as long as the target. The guest
        // may write to it meanwhile, so it is only ever copied from, byte for byte through raw pointers, never
        // borrowed: a torn page is in the dirty log.
        unsafe { ptr::copy_nonoverlapping(mapping.start.as_ptr(), target.as_mut_ptr(), target.len()) };
        Ok(())
    }
}

impl Drop for ForeignMemory {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once; all mappings are gone, they live within `copy`.
        unsafe { xenforeignmemory_close(self.handle.as_ptr()) };
    }
}

struct Mapping {
    memory: NonNull<Handle>,
    start: NonNull<u8>,
    pages: usize,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped with the same handle, which is still open, and unmapped once.
        unsafe {
            xenforeignmemory_unmap(self.memory.as_ptr(), self.start.as_ptr().cast(), self.pages);
        }
    }
}
