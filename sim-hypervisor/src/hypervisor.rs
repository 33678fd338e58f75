//! The `Hypervisor` seam over a simulated guest.

use std::fmt;
use std::rc::Rc;

use revenant_core::guest::{Capabilities, MachineKind, MemoryLayout, PageBatch, PfnSet, StateRecord};
use revenant_core::units::PAGE_SIZE;
use revenant_core::{Hypervisor, HypervisorError, Pfn};

use crate::profile::HypervisorCosts;
use crate::world::{Guest, GuestId, Life, World};

/// Machine kind of every simulated guest.
pub const MACHINE: &str = "sim";

const BACKEND: &str = "simulator";

/// Looks at a guest that has just come to a standstill, before anything is read of it.
pub(crate) trait Inspector: fmt::Debug {
    /// An error fails the call that suspended the guest, which stays suspended.
    fn inspect(&self, world: &World, guest: GuestId) -> Result<(), HypervisorError>;
}

/// The seam to one guest of a [`World`]. Every call takes virtual time, during which the guest runs on unless it is
/// suspended, and during which guest or host may be lost. A guest that hangs answers no request to suspend itself; what the
/// hypervisor does alone goes on.
#[derive(Debug, Clone)]
pub struct SimHypervisor {
    world: World,
    guest: GuestId,
    dirty_log: bool,
    live_read: bool,
    /// It was looked at: it is known from then on.
    layout_known: bool,
    inspector: Option<Rc<dyn Inspector>>,
}

impl SimHypervisor {
    /// A hypervisor that can do everything, as Xen with a PVH guest.
    pub fn new(world: &World, guest: GuestId) -> Self {
        SimHypervisor {
            world: world.clone(),
            guest,
            dirty_log: true,
            live_read: true,
            layout_known: false,
            inspector: None,
        }
    }

    /// Without a dirty log and without reading a running guest, as Xen built without shadow paging with a PV guest.
    pub fn without_dirty_log(world: &World, guest: GuestId) -> Self {
        SimHypervisor {
            dirty_log: false,
            live_read: false,
            ..SimHypervisor::new(world, guest)
        }
    }

    /// The same with somebody who looks at the guest whenever it was suspended.
    #[must_use]
    pub(crate) fn inspected_by(self, inspector: Option<Rc<dyn Inspector>>) -> Self {
        SimHypervisor { inspector, ..self }
    }

    /// Which guest this is.
    pub fn guest(&self) -> GuestId {
        self.guest
    }

    fn costs(&self) -> &HypervisorCosts {
        &self.world.profile().hypervisor
    }

    /// Lets a cost pass, then works on the guest if there still is one.
    fn after<T>(
        &self,
        cost_ns: u64,
        work: impl FnOnce(&mut Guest) -> Result<T, HypervisorError>,
    ) -> Result<T, HypervisorError> {
        self.on_guest(|_| Ok(()))?;
        self.world.advance_ns(cost_ns);
        self.on_guest(work)
    }

    fn on_guest<T>(
        &self,
        work: impl FnOnce(&mut Guest) -> Result<T, HypervisorError>,
    ) -> Result<T, HypervisorError> {
        self.world.with_guest(self.guest, |guest| match guest.life {
            Life::Gone(reason, _) => Err(HypervisorError::Gone(reason)),
            Life::Running | Life::Suspended => work(guest),
        })
    }

    fn need_dirty_log(&self, operation: &'static str) -> Result<(), HypervisorError> {
        if self.dirty_log {
            Ok(())
        } else {
            Err(HypervisorError::Unsupported {
                operation,
                backend: BACKEND,
            })
        }
    }

    /// Copies one page of a running guest in two halves with time between them: it may come out torn.
    fn read_live(&self, pfn: Pfn, into: &mut PageBatch) -> Result<(), HypervisorError> {
        const HALF: usize = PAGE_SIZE / 2;
        let tag = self.on_guest(|guest| Ok(guest.machine.tag(frame(guest, pfn)?)))?;
        let page = into.push_zeroed(pfn, tag);
        for half in [0..HALF, HALF..PAGE_SIZE] {
            self.on_guest(|guest| {
                let frame = frame(guest, pfn)?;
                page[half.clone()].copy_from_slice(&guest.machine.page(frame)[half]);
                Ok(())
            })?;
            self.world
                .advance_ns(self.world.profile().pages_ns(self.costs().page_read, 1) / 2);
        }
        Ok(())
    }
}

fn frame(guest: &Guest, pfn: Pfn) -> Result<usize, HypervisorError> {
    guest.machine.frame(pfn).ok_or(HypervisorError::NoSuchFrame(pfn))
}

fn need_suspended(guest: &Guest, operation: &'static str) -> Result<(), HypervisorError> {
    if guest.life == Life::Suspended {
        Ok(())
    } else {
        Err(HypervisorError::NotSuspended { operation })
    }
}

fn nanos(period: revenant_core::quantity::Period) -> u64 {
    u64::try_from(period.0.as_nanos()).unwrap_or(u64::MAX)
}

impl Hypervisor for SimHypervisor {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: BACKEND,
            machine: MachineKind::new(MACHINE),
            dirty_log: self.dirty_log,
            live_read: self.live_read,
            rewrites: true,
        }
    }

    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError> {
        let cost = if self.layout_known {
            0
        } else {
            nanos(self.costs().layout)
        };
        let layout = self.after(cost, |guest| Ok(guest.machine.layout().clone()))?;
        self.layout_known = true;
        Ok(layout)
    }

    fn suspend(&mut self) -> Result<(), HypervisorError> {
        let suspended = self.on_guest(|guest| Ok(guest.life == Life::Suspended))?;
        let cost = if suspended { 0 } else { nanos(self.costs().suspend) };
        self.after(cost, |guest| {
            if !suspended && guest.hung_at.is_some() {
                return Err(HypervisorError::Timeout {
                    operation: "suspend",
                    waited: self.costs().suspend.0,
                });
            }
            guest.life = Life::Suspended;
            Ok(())
        })?;
        match &self.inspector {
            Some(inspector) if !suspended => inspector.inspect(&self.world, self.guest),
            _ => Ok(()),
        }
    }

    fn resume(&mut self) -> Result<(), HypervisorError> {
        let running = self.on_guest(|guest| Ok(guest.life == Life::Running))?;
        let cost = if running { 0 } else { nanos(self.costs().resume) };
        self.after(cost, |guest| {
            guest.life = Life::Running;
            Ok(())
        })
    }

    fn set_dirty_log(&mut self, on: bool) -> Result<(), HypervisorError> {
        self.need_dirty_log("log dirty pages")?;
        self.after(nanos(self.costs().dirty_log_switch), |guest| {
            guest.machine.set_dirty_log(on);
            Ok(())
        })
    }

    fn take_dirty(&mut self, into: &mut PfnSet) -> Result<(), HypervisorError> {
        self.need_dirty_log("read the dirty log")?;
        let before = into.len();
        self.after(nanos(self.costs().dirty_log_read), |guest| {
            guest
                .machine
                .take_dirty(into)
                .ok_or(HypervisorError::Unsupported {
                    operation: "read a dirty log that is off",
                    backend: BACKEND,
                })
        })?;
        // What is written while the log is handed over stands in the next one.
        let cost = self
            .world
            .profile()
            .pages_ns(self.costs().dirty_log_page, into.len() - before);
        self.world.advance_ns(cost);
        Ok(())
    }

    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError> {
        let running = self.on_guest(|guest| Ok(guest.life == Life::Running))?;
        self.world.advance_ns(nanos(self.costs().read_call));
        if running {
            if !self.live_read {
                return Err(HypervisorError::NotSuspended {
                    operation: "read pages",
                });
            }
            return pfns.iter().try_for_each(|&pfn| self.read_live(pfn, into));
        }
        let cost = self
            .world
            .profile()
            .pages_ns(self.costs().page_read, pfns.len() as u64);
        self.after(cost, |guest| {
            for &pfn in pfns {
                let frame = frame(guest, pfn)?;
                into.push(pfn, guest.machine.tag(frame), guest.machine.page(frame));
            }
            Ok(())
        })
    }

    fn populate(&mut self, layout: &MemoryLayout) -> Result<(), HypervisorError> {
        let cost = self
            .world
            .profile()
            .pages_ns(self.costs().page_populate, layout.page_count());
        self.after(cost, |guest| {
            guest.life = Life::Suspended;
            guest.machine.populate(layout);
            guest.state_loaded();
            Ok(())
        })
    }

    fn write_pages(&mut self, batch: &PageBatch) -> Result<(), HypervisorError> {
        let cost = self
            .world
            .profile()
            .pages_ns(self.costs().page_write, batch.len() as u64);
        self.after(cost, |guest| {
            need_suspended(guest, "write pages")?;
            for &pfn in batch.pfns() {
                frame(guest, pfn)?;
            }
            for (pfn, tag, page) in batch.iter() {
                let frame = frame(guest, pfn)?;
                guest.machine.write_page(frame, tag, page);
            }
            Ok(())
        })
    }

    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError> {
        self.after(nanos(self.costs().state), |guest| {
            need_suspended(guest, "save the machine state")?;
            Ok(guest.machine.save_state())
        })
    }

    fn load_state(&mut self, records: &[StateRecord]) -> Result<(), HypervisorError> {
        self.after(nanos(self.costs().state), |guest| {
            need_suspended(guest, "load the machine state")?;
            guest.machine.load_state(records)?;
            guest.state_loaded();
            Ok(())
        })
    }
}
