//! Opening a live guest as what it is.

use revenant_core::{Hypervisor, HypervisorError};

use crate::live::domain::LiveDomain;
use crate::live::hvm::HvmGuest;
use crate::live::keeper::KeeperProgram;
use crate::live::pv::PvGuest;

/// Opens a live guest. `helper` says how to start the processes that serve it and outlive this one.
pub fn open_guest(domain: LiveDomain, helper: KeeperProgram) -> Result<Box<dyn Hypervisor>, HypervisorError> {
    if domain.info()?.hardware_assisted {
        Ok(Box::new(HvmGuest::open(domain, helper)?))
    } else {
        Ok(Box::new(PvGuest::open(domain, helper)?))
    }
}
