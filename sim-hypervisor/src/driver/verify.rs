//! Looks for silent errors in a guest.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use revenant_core::HypervisorError;

use crate::hypervisor::Inspector;
use crate::oracle::Oracle;
use crate::world::{GuestId, GuestSpec, World};

/// Compares the guest with what its oracle says that it must be after as many steps. It knows everything, so what it passes is
/// right; what it costs is given.
#[derive(Debug)]
pub(super) struct Verifier {
    cost: Duration,
    oracle: RefCell<Oracle>,
    /// The last look found an error, and nobody has asked yet.
    found: Cell<bool>,
}

impl Verifier {
    pub(super) fn new(cost: Duration, guest: &GuestSpec) -> Self {
        Verifier {
            cost,
            oracle: RefCell::new(Oracle::new(guest.program, guest.pages, guest.seed, guest.steps)),
            found: Cell::new(false),
        }
    }

    /// Looks at a guest that stands still; false if it is wrong. One that is lost meanwhile is neither.
    pub(super) fn passes(&self, world: &World, guest: GuestId) -> bool {
        world.advance(self.cost);
        let wanted = self.oracle.borrow_mut().digest_at(world.steps(guest));
        world.lost(guest).is_some() || world.digest(guest) == wanted
    }

    /// Whether a look during a capture has found an error since this was asked last.
    pub(super) fn take_found(&self) -> bool {
        self.found.take()
    }
}

impl Inspector for Verifier {
    fn inspect(&self, world: &World, guest: GuestId) -> Result<(), HypervisorError> {
        if self.passes(world, guest) {
            return Ok(());
        }
        self.found.set(true);
        Err(HypervisorError::Backend {
            operation: "verify",
            source: Box::new(io::Error::other("the guest is not what its program makes of it")),
        })
    }
}
