//! A live domain under our care: locked against others, watched over by a keeper, its disks frozen with it.

use std::io;

use revenant_core::HypervisorError;
use revenant_core::guest::FrozenDisk;

use crate::live::domain::{LiveDomain, backend};
use crate::live::guest_disks::GuestDisks;
use crate::live::keeper::{Keeper, KeeperProgram};
use crate::live::lock::DomainLock;

/// What guests of every kind need while they are captured. Dropped while something is asked of the guest, it leaves the
/// rest to the keeper.
#[derive(Debug)]
pub(crate) struct Attended {
    domain: LiveDomain,
    /// What the guest's backend is called.
    kind: &'static str,
    helper: KeeperProgram,
    /// Runs from the first thing that the guest would have to be rescued from.
    keeper: Option<Keeper>,
    /// A request was made, and the guest has not been resumed since: it may suspend itself yet.
    unsettled: bool,
    dirty_log: bool,
    disks: GuestDisks,
    lock: DomainLock,
}

impl Attended {
    pub(crate) fn take(
        domain: LiveDomain,
        kind: &'static str,
        helper: KeeperProgram,
    ) -> Result<Self, HypervisorError> {
        let lock = DomainLock::take(domain.uuid()).map_err(|error| backend("lock the domain", error))?;
        Ok(Attended {
            disks: GuestDisks::of(&domain)?,
            domain,
            kind,
            helper,
            keeper: None,
            unsettled: false,
            dirty_log: false,
            lock,
        })
    }

    pub(crate) fn domain(&self) -> &LiveDomain {
        &self.domain
    }

    pub(crate) fn domain_mut(&mut self) -> &mut LiveDomain {
        &mut self.domain
    }

    /// How the processes that serve this guest are started.
    pub(crate) fn helper(&self) -> &KeeperProgram {
        &self.helper
    }

    fn keep_watch(&mut self) -> Result<(), HypervisorError> {
        if self.keeper.is_none() {
            let keeper = Keeper::start(&self.helper, self.domain.id(), &self.lock)
                .map_err(|error| backend("start the keeper process", error))?;
            self.keeper = Some(keeper);
        }
        Ok(())
    }

    fn keeper_hears(&mut self, word: fn(&mut Keeper) -> io::Result<()>) -> Result<(), HypervisorError> {
        match &mut self.keeper {
            Some(keeper) => word(keeper).map_err(|error| {
                self.keeper = None;
                backend("talk to the keeper process", error)
            }),
            None => Ok(()),
        }
    }

    /// Suspends the guest, and freezes its disks at that instant. On an error it runs.
    pub(crate) fn suspend(&mut self) -> Result<(), HypervisorError> {
        self.keep_watch()?;
        self.disks.prepare()?;
        self.keeper_hears(Keeper::asking)?;
        self.unsettled = true;
        self.domain.suspend()?;
        if let Err(error) = self.disks.freeze() {
            self.resume()?;
            return Err(error);
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self) -> Result<(), HypervisorError> {
        self.domain.resume()?;
        self.unsettled = false;
        // The guest runs; a keeper that is gone is found out before the next request.
        drop(self.keeper_hears(Keeper::running));
        Ok(())
    }

    /// The disks as they were when the guest was suspended last, once.
    pub(crate) fn take_frozen(&mut self) -> Vec<Box<dyn FrozenDisk>> {
        self.disks.take_frozen()
    }

    pub(crate) fn set_dirty_log(&mut self, on: bool) -> Result<(), HypervisorError> {
        self.domain.info()?;
        if on {
            self.keep_watch()?;
        }
        let (control, id) = (self.domain.control(), self.domain.id());
        let done = match (on, self.dirty_log) {
            (true, false) => control.start_dirty_log(id),
            (false, _) => control.end_dirty_log(id),
            (true, true) => Ok(()),
        };
        done.map_err(|error| self.domain.failed("switch the dirty log", error))?;
        self.dirty_log = on;
        Ok(())
    }

    pub(crate) fn need_suspended(&self, operation: &'static str) -> Result<(), HypervisorError> {
        if self.domain.is_suspended()? {
            Ok(())
        } else {
            Err(HypervisorError::NotSuspended { operation })
        }
    }

    /// The answer to what this kind of guest cannot do; of a guest that is gone, that it is gone.
    pub(crate) fn refuse<T>(&self, operation: &'static str) -> Result<T, HypervisorError> {
        self.domain.info()?;
        Err(HypervisorError::Unsupported {
            operation,
            backend: self.kind,
        })
    }

    /// The answer to an attempt to make another guest of a live one.
    pub(crate) fn refuse_to_rewrite<T>(&self) -> Result<T, HypervisorError> {
        self.refuse("write into a live domain: restore makes a new one")
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let in_order = !self.dirty_log && !self.unsettled && matches!(self.domain.is_suspended(), Ok(false));
        // Otherwise dropping it is the call for help.
        if in_order && let Some(keeper) = self.keeper.take() {
            keeper.release();
        }
    }
}
