//! Faults on the `Hypervisor` seam.

use std::io;

use revenant_core::guest::{Capabilities, FrozenDisk, MemoryLayout, PageBatch, PfnSet, StateRecord};
use revenant_core::{Hypervisor, HypervisorError, Pfn};

use super::inject::Faults;
use super::plan::{Call, Verdict, When};
use crate::hypervisor::SimHypervisor;

/// A simulated hypervisor on which a plan is carried out.
#[derive(Debug)]
pub struct FaultyHypervisor {
    inner: SimHypervisor,
    faults: Faults,
}

impl FaultyHypervisor {
    /// Carries the plan out on calls to `inner`.
    pub fn new(inner: SimHypervisor, faults: Faults) -> Self {
        FaultyHypervisor { inner, faults }
    }

    fn call<T>(
        &mut self,
        call: Call,
        work: impl FnOnce(&mut SimHypervisor, Option<u32>) -> Result<T, HypervisorError>,
    ) -> Result<T, HypervisorError> {
        let guest = self.inner.guest();
        let host = self.faults.world().host_of(guest);
        match self.faults.meet(call) {
            Some(Verdict::Fail | Verdict::Full | Verdict::Lie) => Err(HypervisorError::Backend {
                operation: "a call that the fault plan lets fail",
                source: Box::new(io::Error::other(call.to_string())),
            }),
            Some(Verdict::Lose(loss, When::Before)) => {
                self.faults.lose(loss, Some(guest), host);
                work(&mut self.inner, None)
            }
            Some(Verdict::Lose(loss, When::After)) => {
                let done = work(&mut self.inner, None);
                self.faults.lose(loss, Some(guest), host);
                done
            }
            Some(Verdict::Delay(by)) => {
                self.faults.world().advance(by.0);
                work(&mut self.inner, None)
            }
            Some(Verdict::Flip(bit)) => work(&mut self.inner, Some(bit)),
            None => work(&mut self.inner, None),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Hypervisor for FaultyHypervisor {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError> {
        self.call(Call::Layout, |inner, _| inner.layout())
    }

    // The two questions are no calls of their own in a fault plan: a plan written before they were asked means the same.
    fn layout_held(&mut self) -> Result<bool, HypervisorError> {
        self.inner.layout_held()
    }

    fn keep_image(&mut self) -> Result<bool, HypervisorError> {
        self.inner.keep_image()
    }

    fn suspend(&mut self) -> Result<(), HypervisorError> {
        self.call(Call::Suspend, |inner, _| inner.suspend())
    }

    fn resume(&mut self) -> Result<(), HypervisorError> {
        self.call(Call::Resume, |inner, _| inner.resume())
    }

    fn set_dirty_log(&mut self, on: bool) -> Result<(), HypervisorError> {
        self.call(Call::SetDirtyLog, |inner, _| inner.set_dirty_log(on))
    }

    fn take_dirty(&mut self, into: &mut PfnSet) -> Result<(), HypervisorError> {
        self.call(Call::TakeDirty, |inner, _| inner.take_dirty(into))
    }

    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError> {
        let before = into.bytes().len();
        self.call(Call::ReadPages, |inner, flip| {
            inner.read_pages(pfns, into)?;
            if let Some(bit) = flip {
                flip_bit(&mut into.bytes_mut()[before..], bit);
            }
            Ok(())
        })
    }

    fn populate(&mut self, layout: &MemoryLayout) -> Result<(), HypervisorError> {
        self.call(Call::Populate, |inner, _| inner.populate(layout))
    }

    fn write_pages(&mut self, batch: &PageBatch) -> Result<(), HypervisorError> {
        self.call(Call::WritePages, |inner, _| inner.write_pages(batch))
    }

    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError> {
        self.call(Call::SaveState, |inner, _| inner.save_state())
    }

    fn load_state(&mut self, records: &[StateRecord]) -> Result<(), HypervisorError> {
        self.call(Call::LoadState, |inner, _| inner.load_state(records))
    }

    fn frozen_disks(&mut self) -> Result<Vec<Box<dyn FrozenDisk>>, HypervisorError> {
        // Simulated guests have none, so there is no call that a plan could count.
        self.inner.frozen_disks()
    }
}

/// Flips one bit, counted modulo the number there is.
pub(super) fn flip_bit(bytes: &mut [u8], bit: u32) {
    if !bytes.is_empty() {
        let at = bit as usize / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
    }
}
