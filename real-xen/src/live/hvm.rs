//! A live HVM or PVH guest behind the core's door: frames by foreign mapping, changes by log-dirty.

use std::ops::Range;

use revenant_core::guest::{Capabilities, FrozenDisk, MemoryLayout, PageBatch, PfnSet, StateRecord};
use revenant_core::{Hypervisor, HypervisorError, Pfn};
use revenant_xen_format::names;
use revenant_xen_format::{GuestType, Layer, LibxcHeader, LibxlHeader, XlHeader, libxc, libxl};

use crate::live::attended::Attended;
use crate::live::domain::{LiveDomain, backend};
use crate::live::keeper::KeeperProgram;
use crate::live::sys::{CopyError, CpuPolicy, ForeignMemory, HVM_PARAMS_SAVED, TYPES_WITHOUT_DATA, XenError};
use crate::live::xl;

const BACKEND: &str = "xen-hvm";
/// libxc writes this version of its stream since Xen 4.14.
const STREAM_VERSION: u32 = 3;

/// A live HVM or PVH guest.
#[derive(Debug)]
pub struct HvmGuest {
    guest: Attended,
    memory: ForeignMemory,
    /// What does not change while the guest lives, read before anybody has to wait for it.
    fixed: Fixed,
    layout: Option<KnownLayout>,
    trust: Trust,
    /// Of the suspended guest. Its time stamp counter goes on meanwhile, so that a second look would differ.
    state: Option<Vec<StateRecord>>,
}

#[derive(Debug)]
struct Fixed {
    xl_header: Vec<u8>,
    libxc_header: Vec<u8>,
    cpu_policy: CpuPolicy,
}

/// How the layout came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// By looking.
    Known,
    /// It was said to be that of a moment before.
    Assumed,
    /// Such an assumption was wrong: the next one is looked for in full, whatever it costs.
    Doubted,
}

/// The populated frames, and how many pages the domain held when they were looked for.
#[derive(Debug)]
struct KnownLayout {
    layout: MemoryLayout,
    domain_pages: u64,
}

impl HvmGuest {
    /// Opens a live guest. `keeper` says how to start the process that looks after it should this one die.
    pub fn open(domain: LiveDomain, keeper: KeeperProgram) -> Result<Self, HypervisorError> {
        let guest = Attended::take(domain, BACKEND, keeper)?;
        let domain = guest.domain();
        let failed = |error| domain.failed("read what kind of guest this is", error);
        let version = domain.control().version().map_err(failed)?;
        let fixed = Fixed {
            xl_header: XlHeader::with_config(&xl::configuration(domain.id())?).encode(),
            libxc_header: libxc_header(&version),
            cpu_policy: domain.control().cpu_policy(domain.id()).map_err(failed)?,
        };
        Ok(HvmGuest {
            memory: ForeignMemory::open().map_err(|error| backend("open the guest's memory", error))?,
            guest,
            fixed,
            layout: None,
            trust: Trust::Known,
            state: None,
        })
    }

    /// The domain.
    pub fn domain(&self) -> &LiveDomain {
        self.guest.domain()
    }

    /// The domain, with its time limits to be set.
    pub fn domain_mut(&mut self) -> &mut LiveDomain {
        self.guest.domain_mut()
    }

    /// Populated frames among a range of frame numbers.
    fn populated(&self, frames: Range<u64>) -> Result<MemoryLayout, HypervisorError> {
        /// Frames asked about at a time, to bound the list.
        const STEP: u64 = 64 * 1024;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut types = Vec::new();
        let mut first = frames.start;
        while first < frames.end {
            types.clear();
            types.extend(first..frames.end.min(first + STEP));
            self.domain()
                .control()
                .frame_types(self.domain().id(), &mut types)
                .map_err(|error| self.domain().failed("look for populated frames", error))?;
            for (frame, &kind) in (first..).zip(&types) {
                if TYPES_WITHOUT_DATA.contains(&u8::try_from(kind).unwrap_or(u8::MAX)) {
                    continue;
                }
                match ranges.last_mut() {
                    Some(last) if last.end == frame => last.end += 1,
                    _ => ranges.push(frame..frame + 1),
                }
            }
            first = frames.end.min(first + STEP);
        }
        Ok(ranges.into_iter().collect())
    }

    /// Looks at every frame number the guest may have.
    fn look_for_frames(&self) -> Result<KnownLayout, HypervisorError> {
        let domain_pages = self.domain().info()?.pages;
        let frames = self
            .domain()
            .control()
            .frames(self.domain().id())
            .map_err(|error| self.domain().failed("count the guest's frames", error))?;
        Ok(KnownLayout {
            layout: self.populated(0..frames)?,
            domain_pages,
        })
    }

    /// Whether the known layout is still the layout: the domain holds as many pages as then and every frame is still
    /// there. A guest spans a million frame numbers, most of them in the hole below 4 GiB; this looks at the others.
    fn still(&self, known: &KnownLayout) -> Result<bool, HypervisorError> {
        if known.domain_pages != self.domain().info()?.pages {
            return Ok(false);
        }
        for range in known.layout.ranges() {
            if self.populated(range.clone())?.page_count() != range.end - range.start {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn params(&self) -> Result<Vec<u8>, XenError> {
        let mut entries = Vec::new();
        let mut count = 0u32;
        for param in HVM_PARAMS_SAVED {
            let value = self.domain().control().hvm_param(self.domain().id(), param)?;
            if value != 0 {
                count += 1;
                entries.extend(u64::from(param).to_le_bytes());
                entries.extend(value.to_le_bytes());
            }
        }
        Ok([&count.to_le_bytes()[..], &0u32.to_le_bytes(), &entries].concat())
    }

    fn machine_state(&self) -> Result<Vec<StateRecord>, XenError> {
        let (control, id) = (self.domain().control(), self.domain().id());
        let tsc = control.tsc_info(id)?;
        let tsc: Vec<u8> = [
            &tsc.mode.to_le_bytes()[..],
            &tsc.khz.to_le_bytes(),
            &tsc.elapsed_ns.to_le_bytes(),
            &tsc.incarnation.to_le_bytes(),
            &0u32.to_le_bytes(),
        ]
        .concat();
        let context = control.hvm_context(id)?;
        let params = self.params()?;
        let libxc = |code, bytes: Vec<u8>| StateRecord::new(names::record(Layer::Libxc, code), bytes);
        let libxl = |code| StateRecord::new(names::record(Layer::Libxl, code), Vec::new());
        Ok(vec![
            StateRecord::new(names::XL_HEADER, self.fixed.xl_header.clone()),
            StateRecord::new(names::LIBXL_HEADER, LibxlHeader::default().encode()),
            libxl(libxl::LIBXC_CONTEXT),
            StateRecord::new(names::LIBXC_HEADER, self.fixed.libxc_header.clone()),
            libxc(libxc::X86_CPUID_POLICY, self.fixed.cpu_policy.cpuid.clone()),
            libxc(libxc::X86_MSR_POLICY, self.fixed.cpu_policy.msrs.clone()),
            libxc(libxc::STATIC_DATA_END, Vec::new()),
            libxc(libxc::X86_TSC_INFO, tsc),
            libxc(libxc::HVM_CONTEXT, context),
            libxc(libxc::HVM_PARAMS, params),
            libxc(libxc::END, Vec::new()),
            libxl(libxl::END),
        ])
    }
}

/// The headers of a libxc stream that this host would write.
fn libxc_header(xen_version: &str) -> Vec<u8> {
    let (major, minor) = xen_version.split_once('.').unwrap_or((xen_version, "0"));
    LibxcHeader {
        version: STREAM_VERSION,
        guest: GuestType::Hvm,
        xen_major: major.parse().unwrap_or(0),
        xen_minor: minor.parse().unwrap_or(0),
    }
    .encode()
    .to_vec()
}

impl Hypervisor for HvmGuest {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: BACKEND,
            machine: names::machine_kind(GuestType::Hvm),
            dirty_log: true,
            live_read: true,
            rewrites: false,
        }
    }

    /// The layout known from before, if the domain holds as many pages as then. To look at every frame takes longer than
    /// everything else that is done while the guest waits, and makes the rounds before that longer than they have to be;
    /// `layout_held` does it after.
    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError> {
        let domain_pages = self.domain().info()?.pages;
        if let Some(known) = &self.layout {
            let same = if self.trust == Trust::Doubted {
                self.still(known)?
            } else {
                known.domain_pages == domain_pages
            };
            if same {
                if self.trust == Trust::Known {
                    self.trust = Trust::Assumed;
                }
                return Ok(known.layout.clone());
            }
        }
        let known = self.look_for_frames()?;
        let layout = known.layout.clone();
        self.layout = Some(known);
        Ok(layout)
    }

    fn layout_held(&mut self) -> Result<bool, HypervisorError> {
        let held = match &self.layout {
            Some(known) if self.trust == Trust::Assumed => self.still(known)?,
            _ => true,
        };
        self.trust = if held { Trust::Known } else { Trust::Doubted };
        Ok(held)
    }

    fn suspend(&mut self) -> Result<(), HypervisorError> {
        if self.domain().is_suspended()? {
            return Ok(());
        }
        self.state = None;
        self.guest.suspend()
    }

    fn frozen_disks(&mut self) -> Result<Vec<Box<dyn FrozenDisk>>, HypervisorError> {
        Ok(self.guest.take_frozen())
    }

    fn resume(&mut self) -> Result<(), HypervisorError> {
        self.guest.resume()?;
        self.state = None;
        Ok(())
    }

    fn set_dirty_log(&mut self, on: bool) -> Result<(), HypervisorError> {
        self.guest.set_dirty_log(on)
    }

    fn take_dirty(&mut self, into: &mut PfnSet) -> Result<(), HypervisorError> {
        let (control, id) = (self.domain().control(), self.domain().id());
        let taken = control
            .frames(id)
            .and_then(|frames| control.take_dirty_log(id, frames, into));
        taken.map_err(|error| self.domain().failed("read the dirty log", error))
    }

    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError> {
        match self.memory.copy(self.domain().id(), pfns, into) {
            Ok(()) => Ok(()),
            Err(CopyError::NotPopulated(pfn)) => {
                self.domain().info()?;
                Err(HypervisorError::NoSuchFrame(pfn))
            }
            Err(CopyError::Xen(error)) => Err(self.domain().failed("map the guest's memory", error)),
        }
    }

    fn populate(&mut self, _: &MemoryLayout) -> Result<(), HypervisorError> {
        self.guest.refuse_to_rewrite()
    }

    fn write_pages(&mut self, _: &PageBatch) -> Result<(), HypervisorError> {
        self.guest.refuse_to_rewrite()
    }

    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError> {
        self.guest.need_suspended("save the machine state")?;
        let state = match self.state.take() {
            Some(state) => state,
            None => self
                .machine_state()
                .map_err(|error| self.domain().failed("save the machine state", error))?,
        };
        Ok(self.state.insert(state).clone())
    }

    fn load_state(&mut self, _: &[StateRecord]) -> Result<(), HypervisorError> {
        self.guest.refuse_to_rewrite()
    }
}
