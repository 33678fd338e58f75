//! libxenctrl: hypercalls about domains.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::{self, NonNull};

use revenant_core::Pfn;
use revenant_core::guest::PfnSet;
use xenctrl_sys as sys;

use super::{XenError, call_error, open_error};

/// How many domains one request asks for.
const DOMAINS_PER_CALL: u32 = 64;
/// Xen's `xen_extraversion_t`.
const EXTRA_VERSION_BYTES: usize = 16;
/// Xen's own limit on domain numbers (`DOMID_FIRST_RESERVED`).
const DOMID_END: u32 = 0x7ff0;
/// Frames of which the hypervisor tells the type in one request.
pub(crate) const FRAMES_PER_CALL: usize = 1024;

/// Page types whose frames hold no data although they are listed: broken, allocated only, none.
pub(crate) const TYPES_WITHOUT_DATA: std::ops::RangeInclusive<u8> = 0xd..=0xf;
const TYPE_SHIFT: u32 = 28;

const SHUTDOWN_MASK: u32 = 0xff;
const SHUTDOWN_SHIFT: u32 = 16;

const OP_OFF: c_uint = 0;
const OP_ENABLE_LOGDIRTY: c_uint = 2;
const OP_CLEAN: c_uint = 11;
/// "The guest is stopped, this is the last look": lets the hypervisor skip preparing the next one. Not used, because
/// a session goes on.
const MODE_NONE: c_uint = 0;

/// The HVM parameters that make up a saved domain, in the order of libxc's stream (`xg_sr_save_x86_hvm.c` of Xen 4.17).
pub(crate) const HVM_PARAMS_SAVED: [u32; 16] = [1, 5, 6, 27, 28, 29, 37, 17, 19, 9, 12, 34, 32, 33, 36, 38];

// Types that libxenguest's header declares and xenctrl-sys does not bind.
#[repr(C)]
struct CpuPolicyHandle {
    _opaque: [u8; 0],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CpuidLeaf {
    leaf: u32,
    subleaf: u32,
    registers: [u32; 4],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct MsrEntry {
    index: u32,
    flags: u32,
    value: u64,
}

#[link(name = "xenctrl")]
unsafe extern "C" {
    // Exported for libxenguest's use, declared only in a private header.
    fn xc_get_pfn_type_batch(
        xch: *mut sys::xc_interface,
        dom: u32,
        num: c_uint,
        pfns: *mut sys::xen_pfn_t,
    ) -> c_int;
}

#[link(name = "xenguest")]
unsafe extern "C" {
    fn xc_domain_resume(xch: *mut sys::xc_interface, domid: u32, fast: c_int) -> c_int;
    fn xc_cpu_policy_init() -> *mut CpuPolicyHandle;
    fn xc_cpu_policy_destroy(policy: *mut CpuPolicyHandle);
    fn xc_cpu_policy_get_domain(
        xch: *mut sys::xc_interface,
        domid: u32,
        policy: *mut CpuPolicyHandle,
    ) -> c_int;
    fn xc_cpu_policy_serialise(
        xch: *mut sys::xc_interface,
        policy: *const CpuPolicyHandle,
        leaves: *mut CpuidLeaf,
        nr_leaves: *mut u32,
        msrs: *mut MsrEntry,
        nr_msrs: *mut u32,
    ) -> c_int;
    fn xc_cpu_policy_get_size(xch: *mut sys::xc_interface, nr_leaves: *mut u32, nr_msrs: *mut u32) -> c_int;
}

/// What a domain is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainState {
    /// It runs, or waits for something to do.
    Running,
    /// It was paused from outside.
    Paused,
    /// It suspended itself and can go on.
    Suspended,
    /// It crashed: a kernel panic, a triple fault.
    Crashed,
    /// It shut down or asked to be rebooted; a number of Xen's `SHUTDOWN_` constants.
    ShutDown(u8),
    /// It is being destroyed.
    Dying,
}

/// A domain, as the hypervisor lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    /// Domain number.
    pub id: u32,
    /// The domain's UUID.
    pub uuid: [u8; 16],
    /// 4 KiB pages it holds now.
    pub pages: u64,
    /// vCPUs that are online.
    pub vcpus_online: u32,
    /// Nanoseconds of processor time it has had.
    pub cpu_ns: u64,
    /// Hardware-assisted (HVM or PVH), so that a dirty log can be had.
    pub hardware_assisted: bool,
    /// What it is doing.
    pub state: DomainState,
}

impl Domain {
    fn from_sys(info: &sys::xc_domaininfo_t) -> Domain {
        let has = |flag: u32| info.flags & flag != 0;
        let state = if has(sys::XEN_DOMINF_dying) {
            DomainState::Dying
        } else if has(sys::XEN_DOMINF_shutdown) {
            match (info.flags >> SHUTDOWN_SHIFT) & SHUTDOWN_MASK {
                2 => DomainState::Suspended,
                3 => DomainState::Crashed,
                reason => DomainState::ShutDown(u8::try_from(reason).unwrap_or(u8::MAX)),
            }
        } else if has(sys::XEN_DOMINF_paused) {
            DomainState::Paused
        } else {
            DomainState::Running
        };
        Domain {
            id: u32::from(info.domain),
            uuid: info.handle,
            pages: info.tot_pages,
            vcpus_online: info.nr_online_vcpus,
            cpu_ns: info.cpu_time,
            hardware_assisted: has(sys::XEN_DOMINF_hvm_guest),
            state,
        }
    }
}

/// How a guest sees time, as the stream's X86_TSC_INFO record has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TscInfo {
    /// Xen's `tsc_mode`.
    pub mode: u32,
    /// Frequency the guest sees, kHz.
    pub khz: u32,
    /// Nanoseconds that the guest's time stamp counter has counted.
    pub elapsed_ns: u64,
    /// How often the guest was restored.
    pub incarnation: u32,
}

/// What processor a guest was promised: the bodies of the stream's X86_CPUID_POLICY and X86_MSR_POLICY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuPolicy {
    /// CPUID leaves, 24 bytes each.
    pub cpuid: Vec<u8>,
    /// Model-specific registers, 16 bytes each.
    pub msrs: Vec<u8>,
}

/// An open control interface; closed when dropped.
#[derive(Debug)]
pub struct XenControl {
    handle: NonNull<sys::xc_interface>,
}

impl XenControl {
    /// Opens the interface.
    pub fn open() -> Result<Self, XenError> {
        // SAFETY: null loggers select the library's default; flags 0 opens a real interface.
        let handle = unsafe { sys::xc_interface_open(ptr::null_mut(), ptr::null_mut(), 0) };
        NonNull::new(handle)
            .map(|handle| XenControl { handle })
            .ok_or_else(|| open_error("Xen's control interface"))
    }

    pub(super) fn raw(&self) -> *mut sys::xc_interface {
        self.handle.as_ptr()
    }

    /// The running hypervisor's version: `4.17.5`, `4.21-unstable`. What stands behind the two numbers is up to who built it.
    pub fn version(&self) -> Result<String, XenError> {
        // SAFETY: XENVER_version (command 0) takes no argument and returns the version packed in an int.
        let packed = unsafe { sys::xc_version(self.raw(), 0, ptr::null_mut::<c_void>()) };
        let packed = u32::try_from(packed).map_err(|_| call_error("xc_version", None))?;
        let mut extra = [0u8; EXTRA_VERSION_BYTES];
        // SAFETY: XENVER_extraversion (command 1) fills an array of 16 characters, which `extra` is.
        let rc = unsafe { sys::xc_version(self.raw(), 1, extra.as_mut_ptr().cast::<c_void>()) };
        if rc < 0 {
            return Err(call_error("xc_version", None));
        }
        let extra = extra.split(|&byte| byte == 0).next().unwrap_or_default();
        let extra = String::from_utf8_lossy(extra);
        Ok(format!("{}.{}{extra}", packed >> 16, packed & 0xffff))
    }

    /// All domains, ascending. `xc_domain_getinfolist` exists in every libxc from 4.17 on, unlike
    /// `xc_domain_getinfo`.
    pub fn domains(&self) -> Result<Vec<Domain>, XenError> {
        let mut all = Vec::new();
        let mut first = 0u32;
        while first < DOMID_END {
            let infos = self.info_list(first, DOMAINS_PER_CALL)?;
            let Some(last) = infos.last() else {
                break;
            };
            first = u32::from(last.domain) + 1;
            all.extend(infos.iter().map(Domain::from_sys));
            if infos.len() < DOMAINS_PER_CALL as usize {
                break;
            }
        }
        Ok(all)
    }

    /// One domain.
    pub fn domain(&self, id: u32) -> Result<Domain, XenError> {
        match self.info_list(id, 1)?.first() {
            Some(info) if u32::from(info.domain) == id => Ok(Domain::from_sys(info)),
            _ => Err(XenError::NoDomain(id)),
        }
    }

    fn info_list(&self, first: u32, count: u32) -> Result<Vec<sys::xc_domaininfo_t>, XenError> {
        let mut infos = vec![sys::xc_domaininfo_t::default(); count as usize];
        // SAFETY: the array has room for as many entries as are asked for and outlives the call.
        let got = unsafe { sys::xc_domain_getinfolist(self.raw(), first, count, infos.as_mut_ptr()) };
        let got = usize::try_from(got).map_err(|_| call_error("xc_domain_getinfolist", first))?;
        infos.truncate(got);
        Ok(infos)
    }

    /// Frame numbers that the guest may use: one more than the highest.
    pub(crate) fn frames(&self, id: u32) -> Result<u64, XenError> {
        let mut frames: sys::xen_pfn_t = 0;
        // SAFETY: the result goes to a local of the right type.
        let failed = unsafe { sys::xc_domain_nr_gpfns(self.raw(), id, &raw mut frames) };
        if failed == 0 {
            Ok(frames)
        } else {
            Err(call_error("xc_domain_nr_gpfns", id))
        }
    }

    /// Replaces frame numbers by the four-bit types of the frames.
    pub(crate) fn frame_types(&self, id: u32, frames: &mut [u64]) -> Result<(), XenError> {
        for chunk in frames.chunks_mut(FRAMES_PER_CALL) {
            let count = c_uint::try_from(chunk.len()).expect("a chunk is small");
            // SAFETY: the library reads and writes exactly `count` frame numbers.
            let failed = unsafe { xc_get_pfn_type_batch(self.raw(), id, count, chunk.as_mut_ptr()) };
            if failed != 0 {
                return Err(call_error("XEN_DOMCTL_getpageframeinfo3", id));
            }
            for frame in chunk {
                *frame = (*frame >> TYPE_SHIFT) & 0xf;
            }
        }
        Ok(())
    }

    /// Starts the log of written frames. A log that somebody left on is started anew.
    pub(crate) fn start_dirty_log(&self, id: u32) -> Result<(), XenError> {
        if self.shadow_op(id, OP_ENABLE_LOGDIRTY).is_ok() {
            return Ok(());
        }
        // It is on already: left by a process that died, or for the frame buffer's sake. libxc does the same.
        self.shadow_op(id, OP_OFF)?;
        self.shadow_op(id, OP_ENABLE_LOGDIRTY)
    }

    /// Ends the log of written frames.
    pub(crate) fn end_dirty_log(&self, id: u32) -> Result<(), XenError> {
        self.shadow_op(id, OP_OFF)
    }

    fn shadow_op(&self, id: u32, op: c_uint) -> Result<(), XenError> {
        // SAFETY: no pointer is needed for these operations.
        let failed = unsafe { sys::xc_shadow_control(self.raw(), id, op, ptr::null_mut(), MODE_NONE) };
        if failed == 0 {
            Ok(())
        } else {
            Err(call_error("XEN_DOMCTL_shadow_op", id))
        }
    }

    /// Reads and clears the log of written frames below `frames`, adding to `into`.
    pub(crate) fn take_dirty_log(&self, id: u32, frames: u64, into: &mut PfnSet) -> Result<(), XenError> {
        let words = usize::try_from(frames.div_ceil(64)).expect("a bitmap fits in memory");
        let mut bitmap = HypercallBuffer::new(self, words * 8)?;
        // SAFETY: the buffer holds at least `frames` bits; null statistics are allowed.
        let got = unsafe {
            sys::xc_logdirty_control(
                self.raw(),
                id,
                OP_CLEAN,
                &raw mut bitmap.buffer,
                frames,
                MODE_NONE,
                ptr::null_mut(),
            )
        };
        if got < 0 {
            return Err(call_error("xc_logdirty_control", id));
        }
        for (index, &word) in bitmap.words(words).iter().enumerate() {
            if word != 0 {
                into.insert_word(Pfn(index as u64 * 64), word);
            }
        }
        Ok(())
    }

    /// Lets a suspended domain go on where it is; its suspend call answers "cancelled".
    pub(crate) fn resume(&self, id: u32) -> Result<(), XenError> {
        // SAFETY: only numbers are handed over.
        if unsafe { xc_domain_resume(self.raw(), id, 1) } == 0 {
            Ok(())
        } else {
            Err(call_error("xc_domain_resume", id))
        }
    }

    /// vCPUs and emulated devices of a hardware-assisted guest, as the hypervisor serialises them.
    pub(crate) fn hvm_context(&self, id: u32) -> Result<Vec<u8>, XenError> {
        // SAFETY: a null buffer asks for the size.
        let size = unsafe { sys::xc_domain_hvm_getcontext(self.raw(), id, ptr::null_mut(), 0) };
        let room = u32::try_from(size).map_err(|_| call_error("xc_domain_hvm_getcontext", id))?;
        let mut context = vec![0u8; room as usize];
        // SAFETY: the buffer is as long as is said.
        let size = unsafe { sys::xc_domain_hvm_getcontext(self.raw(), id, context.as_mut_ptr(), room) };
        let size = usize::try_from(size).map_err(|_| call_error("xc_domain_hvm_getcontext", id))?;
        context.truncate(size);
        Ok(context)
    }

    /// An HVM parameter.
    pub(crate) fn hvm_param(&self, id: u32, param: u32) -> Result<u64, XenError> {
        let mut value = 0u64;
        // SAFETY: the result goes to a local of the right type.
        let failed = unsafe { sys::xc_hvm_param_get(self.raw(), id, param, &raw mut value) };
        if failed == 0 {
            Ok(value)
        } else {
            Err(call_error("xc_hvm_param_get", id))
        }
    }

    /// How the guest sees time.
    pub(crate) fn tsc_info(&self, id: u32) -> Result<TscInfo, XenError> {
        let (mut mode, mut elapsed_ns, mut khz, mut incarnation) = (0, 0, 0, 0);
        // SAFETY: the results go to locals of the right types.
        let failed = unsafe {
            sys::xc_domain_get_tsc_info(
                self.raw(),
                id,
                &raw mut mode,
                &raw mut elapsed_ns,
                &raw mut khz,
                &raw mut incarnation,
            )
        };
        if failed != 0 {
            return Err(call_error("xc_domain_get_tsc_info", id));
        }
        Ok(TscInfo {
            mode,
            khz,
            elapsed_ns,
            incarnation,
        })
    }

    /// What processor the guest was promised.
    pub(crate) fn cpu_policy(&self, id: u32) -> Result<CpuPolicy, XenError> {
        let (mut leaves_max, mut msrs_max) = (0, 0);
        // SAFETY: the results go to locals of the right types.
        if unsafe { xc_cpu_policy_get_size(self.raw(), &raw mut leaves_max, &raw mut msrs_max) } != 0 {
            return Err(call_error("xc_cpu_policy_get_size", id));
        }
        // SAFETY: takes nothing, gives an object that `Policy` destroys.
        let policy = Policy(
            NonNull::new(unsafe { xc_cpu_policy_init() })
                .ok_or_else(|| call_error("xc_cpu_policy_init", id))?,
        );
        // SAFETY: the policy is a live object of the library.
        if unsafe { xc_cpu_policy_get_domain(self.raw(), id, policy.0.as_ptr()) } != 0 {
            return Err(call_error("xc_cpu_policy_get_domain", id));
        }
        let mut leaves = vec![CpuidLeaf::default(); leaves_max as usize];
        let mut msrs = vec![MsrEntry::default(); msrs_max as usize];
        // SAFETY: the arrays are as long as the counts say; the library lowers the counts to what it filled.
        let failed = unsafe {
            xc_cpu_policy_serialise(
                self.raw(),
                policy.0.as_ptr(),
                leaves.as_mut_ptr(),
                &raw mut leaves_max,
                msrs.as_mut_ptr(),
                &raw mut msrs_max,
            )
        };
        if failed != 0 {
            return Err(call_error("xc_cpu_policy_serialise", id));
        }
        let cpuid = leaves.iter().take(leaves_max as usize).flat_map(|leaf| {
            let [a, b, c, d] = leaf.registers;
            [leaf.leaf, leaf.subleaf, a, b, c, d].map(u32::to_le_bytes)
        });
        let mut bytes = Vec::with_capacity(msrs.len() * 16);
        for msr in msrs.iter().take(msrs_max as usize) {
            bytes.extend(msr.index.to_le_bytes());
            bytes.extend(msr.flags.to_le_bytes());
            bytes.extend(msr.value.to_le_bytes());
        }
        Ok(CpuPolicy {
            cpuid: cpuid.flatten().collect(),
            msrs: bytes,
        })
    }
}

impl Drop for XenControl {
    fn drop(&mut self) {
        // SAFETY: the handle came from xc_interface_open and is closed once. Nothing can be done about an error.
        unsafe { sys::xc_interface_close(self.raw()) };
    }
}

struct Policy(NonNull<CpuPolicyHandle>);

impl Drop for Policy {
    fn drop(&mut self) {
        // SAFETY: made by xc_cpu_policy_init, destroyed once.
        unsafe { xc_cpu_policy_destroy(self.0.as_ptr()) };
    }
}

/// Memory that the hypervisor may write to during a call.
struct HypercallBuffer<'a> {
    control: &'a XenControl,
    buffer: sys::xc_hypercall_buffer_t,
    pages: c_int,
    start: NonNull<u64>,
}

impl<'a> HypercallBuffer<'a> {
    fn new(control: &'a XenControl, bytes: usize) -> Result<Self, XenError> {
        let pages = c_int::try_from(bytes.div_ceil(4096).max(1)).expect("a bitmap has few pages");
        let mut buffer = sys::xc_hypercall_buffer_t::default();
        // SAFETY: the structure is zeroed, which is what a fresh declaration of it amounts to; the library fills it in.
        let start = unsafe { sys::xc__hypercall_buffer_alloc_pages(control.raw(), &raw mut buffer, pages) };
        let start =
            NonNull::new(start.cast()).ok_or_else(|| call_error("xc__hypercall_buffer_alloc_pages", None))?;
        Ok(HypercallBuffer {
            control,
            buffer,
            pages,
            start,
        })
    }

    fn words(&mut self, count: usize) -> &[u64] {
        assert!(count * 8 <= usize::try_from(self.pages).unwrap_or(0) * 4096);
        // SAFETY: the buffer is page-aligned, at least this long, zeroed at allocation, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), count) }
    }
}

impl Drop for HypercallBuffer<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated with the same number of pages, freed once.
        unsafe {
            sys::xc__hypercall_buffer_free_pages(self.control.raw(), &raw mut self.buffer, self.pages);
        }
    }
}
