//! A live domain: who it is, what it is doing, and how to stop it and let it go on.
//!
//! Both kinds of guests and the keeper use this one way to suspend and resume.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use revenant_core::HypervisorError;
use revenant_core::clock::{Clock, SystemClock};
use revenant_core::guest::GoneReason;

use crate::live::sys::{Domain, DomainState, XenControl, XenError, Xenstore};

/// How often the hypervisor is asked whether the guest has suspended itself.
const POLL: Duration = Duration::from_micros(250);
/// What the toolstack writes to have a guest suspend itself.
const SUSPEND: &str = "suspend";

/// How long a guest may take to answer. libxl gives it 60 s; a guest that needs more than this is not well.
pub const SUSPEND_TIMEOUT: Duration = Duration::from_secs(15);

/// A domain on this host, followed by number and UUID: numbers are given out again.
pub struct LiveDomain {
    control: XenControl,
    store: Xenstore,
    clock: SystemClock,
    id: u32,
    uuid: [u8; 16],
    /// How long it may take to suspend.
    pub suspend_timeout: Duration,
    announcing: Cell<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for LiveDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LiveDomain({})", self.id)
    }
}

impl Drop for LiveDomain {
    fn drop(&mut self) {
        self.settle();
    }
}

impl LiveDomain {
    /// Opens the domain with this number.
    pub fn open(id: u32) -> Result<Self, XenError> {
        let control = XenControl::open()?;
        let uuid = control.domain(id)?.uuid;
        Ok(LiveDomain {
            control,
            store: Xenstore::open()?,
            clock: SystemClock::new(),
            id,
            uuid,
            suspend_timeout: SUSPEND_TIMEOUT,
            announcing: Cell::new(None),
        })
    }

    /// Finds a domain by name or number.
    pub fn find(name: &str) -> Result<Self, FindError> {
        let store = Xenstore::open()?;
        let named = |id: &u32| store.read(&format!("/local/domain/{id}/name")).as_deref() == Some(name);
        let ids: Vec<u32> = XenControl::open()?
            .domains()?
            .iter()
            .map(|domain| domain.id)
            .collect();
        let id = ids
            .iter()
            .copied()
            .find(named)
            .or_else(|| name.parse().ok().filter(|id| ids.contains(id)))
            .ok_or_else(|| FindError::NoSuchDomain(name.to_owned()))?;
        if id == 0 {
            return Err(FindError::ControlDomain);
        }
        Ok(LiveDomain::open(id)?)
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its UUID, which it keeps through a restore.
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// Its name in xenstore.
    pub fn name(&self) -> Option<String> {
        self.store.read(&self.path("name"))
    }

    /// The control interface it is seen through.
    pub fn control(&self) -> &XenControl {
        &self.control
    }

    /// The clock that its time limits go by.
    pub(crate) fn clock(&self) -> &SystemClock {
        &self.clock
    }

    pub(crate) fn store(&self) -> &Xenstore {
        &self.store
    }

    /// A path below its own directory in xenstore.
    pub(crate) fn path(&self, node: &str) -> String {
        format!("/local/domain/{}/{node}", self.id)
    }

    /// What the hypervisor says of it now.
    pub fn info(&self) -> Result<Domain, HypervisorError> {
        match self.control.domain(self.id) {
            Ok(domain) if domain.uuid != self.uuid => Err(HypervisorError::Gone(GoneReason::Destroyed)),
            Ok(domain) => match domain.state {
                DomainState::Crashed => Err(HypervisorError::Gone(GoneReason::GuestCrashed)),
                DomainState::Dying | DomainState::ShutDown(_) => {
                    Err(HypervisorError::Gone(GoneReason::Destroyed))
                }
                DomainState::Running | DomainState::Paused | DomainState::Suspended => Ok(domain),
            },
            Err(XenError::NoDomain(_)) => Err(HypervisorError::Gone(GoneReason::Destroyed)),
            Err(error) => Err(backend("look at the domain", error)),
        }
    }

    /// Whether it is suspended, else an error if it is gone.
    pub fn is_suspended(&self) -> Result<bool, HypervisorError> {
        Ok(self.info()?.state == DomainState::Suspended)
    }

    /// Asks the guest to suspend itself and waits until it has. A request that it does not answer is withdrawn, so
    /// that it will not be answered when nobody waits any more.
    pub fn suspend(&self) -> Result<(), HypervisorError> {
        self.settle();
        if self.is_suspended()? {
            return Ok(());
        }
        let request = self.path("control/shutdown");
        self.store
            .write(&request, SUSPEND)
            .map_err(|error| backend("ask the guest to suspend", error))?;
        if self.wait_suspended(self.suspend_timeout)? {
            return Ok(());
        }
        let withdrawn = self
            .store
            .replace(&request, SUSPEND, "")
            .map_err(|error| backend("withdraw the suspend request", error))?;
        // It may have taken the request a moment ago: then it will suspend, and is waited for once more.
        if !withdrawn && self.wait_suspended(self.suspend_timeout)? {
            return Ok(());
        }
        Err(HypervisorError::Timeout {
            operation: "the suspend request",
            waited: self.suspend_timeout,
        })
    }

    fn wait_suspended(&self, limit: Duration) -> Result<bool, HypervisorError> {
        let begun = self.clock.now();
        while self.clock.now().since(begun) < limit {
            if self.is_suspended()? {
                return Ok(true);
            }
            sleep(POLL);
        }
        Ok(false)
    }

    /// Lets it go on where it is, if it is suspended.
    pub fn resume(&self) -> Result<(), HypervisorError> {
        if !self.is_suspended()? {
            return Ok(());
        }
        self.control
            .resume(self.id)
            .map_err(|error| backend("resume the guest", error))?;
        self.announce();
        Ok(())
    }

    /// Tells xenstored that the guest runs: else it keeps the domain marked as shut down and reports no later end of it.
    /// The guest runs already, so nobody waits for that, and a failure is no reason to say it does not.
    fn announce(&self) {
        let id = self.id;
        let told = thread::spawn(move || {
            if let Ok(store) = Xenstore::open() {
                drop(store.resumed(id));
            }
        });
        self.settle();
        self.announcing.set(Some(told));
    }

    /// Waits for an announcement under way.
    fn settle(&self) {
        if let Some(told) = self.announcing.take() {
            drop(told.join());
        }
    }

    /// Withdraws a suspend request that nobody waits for any more. `false`: there is none, or the guest has taken it.
    pub(crate) fn withdraw_suspend(&self) -> bool {
        let request = self.path("control/shutdown");
        self.store.replace(&request, SUSPEND, "").unwrap_or(false)
    }

    /// The error of a failed call, or that the guest is gone if that is why.
    pub(crate) fn failed(&self, operation: &'static str, error: XenError) -> HypervisorError {
        match self.info() {
            Err(gone @ HypervisorError::Gone(_)) => gone,
            _ => backend(operation, error),
        }
    }
}

/// No domain to work with.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Nothing of this name or number.
    #[error("there is no domain named or numbered {0:?} here")]
    NoSuchDomain(String),
    /// Domain 0 is the host itself.
    #[error("domain 0 is this host's control domain and cannot be checkpointed")]
    ControlDomain,
    /// Xen did not answer.
    #[error(transparent)]
    Xen(#[from] XenError),
}

pub(crate) fn backend(
    operation: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> HypervisorError {
    HypervisorError::Backend {
        operation,
        source: Box::new(source),
    }
}

pub(crate) fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// Lets a pipe hold 1 MiB: with the 64 KiB of the default, two processes on one processor take turns far more often than
/// they have to. A refusal (the user's limit on pipe memory) only costs time.
pub(crate) fn widen(pipe: &impl AsFd) {
    const PIPE_BYTES: usize = 1 << 20;
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
}
