//! libxenguest's own save, timed: what this crate's capture is measured against.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use revenant_core::Timestamp;
use revenant_core::clock::Clock;

use crate::live::domain::LiveDomain;
use crate::live::pv::SaveError;
use crate::live::sys::{XenControl, save_domain};

/// How long a save kept the guest from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspension {
    /// From the request until the guest was suspended.
    pub latency: Duration,
    /// From then until it ran again.
    pub suspended_for: Duration,
    /// From the beginning of the save to its end.
    pub total: Duration,
}

/// Saves a domain with `xc_domain_save` into a file and resumes it in place. `live` copies while the guest runs; it
/// needs a dirty log.
pub fn libxc_save(domain: u32, live: bool, output: &File) -> Result<Suspension, SaveError> {
    let guest = LiveDomain::open(domain)?;
    let control = XenControl::open()?;
    let begun = guest.clock().now();
    let mut suspended: Option<(Timestamp, Timestamp)> = None;
    let mut outcome = Ok(());
    let saved = save_domain(&control, domain, live, output.as_fd(), || {
        let requested = guest.clock().now();
        outcome = guest.suspend();
        suspended = Some((requested, guest.clock().now()));
        outcome.is_ok()
    });
    guest.resume()?;
    let resumed = guest.clock().now();
    outcome?;
    saved?;
    let (requested, at) = suspended.unwrap_or((begun, begun));
    Ok(Suspension {
        latency: at.since(requested),
        suspended_for: resumed.since(at),
        total: resumed.since(begun),
    })
}
