//! Whether a guest is well.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use revenant_core::guest::GoneReason;
use revenant_core::{Clock, Timestamp};

use crate::live::domain::LiveDomain;
use crate::live::sys::{DomainState, XenError};

/// What shows that a guest makes progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// It has had processor time. Tells a guest whose processors have halted for good; one that spins looks well.
    ProcessorTime,
    /// A file on the host grows or changes: the console log, a heartbeat that an application writes.
    File(PathBuf),
    /// A node of xenstore changes, relative to the domain's own directory, such as `data/heartbeat`.
    Xenstore(String),
}

/// When a guest counts as hung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What has to change.
    pub sign: Sign,
    /// For how long it may stay as it is.
    pub timeout: Duration,
}

/// How a look at the guest came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It runs.
    Well,
    /// It switched itself off.
    PoweredOff,
    /// It asked to be rebooted: the toolstack makes it anew.
    Rebooting,
    /// It runs and has made no progress since then.
    Hung(Timestamp),
    /// It is lost.
    Lost(GoneReason, &'static str),
}

/// Watches one domain.
#[derive(Debug)]
pub(super) struct Watch {
    progress: Option<Progress>,
    /// The sign as it was seen last, and since when it is so.
    last: Option<(String, Timestamp)>,
    /// The guest has yet to show that it goes on after what was done to it last.
    unproven: bool,
}

impl Watch {
    pub(super) fn new(progress: Option<Progress>) -> Self {
        Watch {
            progress,
            last: None,
            unproven: false,
        }
    }

    /// The guest was captured or restored just now, in which it was kept from its work for some time: from here on it has
    /// to show that it goes on. What it did before counts for before.
    pub(super) fn await_proof(&mut self, domain: &LiveDomain, kept: Duration) {
        self.forgive(kept);
        let Some(progress) = &self.progress else { return };
        self.unproven = true;
        let seen = domain.control().domain(domain.id());
        let mark = read_sign(&progress.sign, domain, seen.map_or(0, |seen| seen.cpu_ns));
        if let Some((last, _)) = &mut self.last {
            *last = mark;
        }
    }

    /// Progress is watched for, and none was seen since the last [`await_proof`](Self::await_proof).
    pub(super) fn unproven(&self) -> bool {
        self.unproven
    }

    /// Forgets what was seen: it is another guest, or it was stopped on purpose.
    pub(super) fn restart(&mut self) {
        self.last = None;
    }

    /// Time during which the guest was kept from its work is not held against it.
    fn forgive(&mut self, kept: Duration) {
        if let Some((_, since)) = &mut self.last {
            *since = *since + kept;
        }
    }

    pub(super) fn look(&mut self, domain: &LiveDomain, now: Timestamp) -> Look {
        let seen = match domain.control().domain(domain.id()) {
            Ok(seen) if seen.uuid == domain.uuid() => seen,
            Ok(_) | Err(XenError::NoDomain(_)) => {
                return Look::Lost(GoneReason::Destroyed, "the domain is gone");
            }
            // Xen did not answer: nothing is known, and nothing is done for that reason.
            Err(_) => return Look::Well,
        };
        match seen.state {
            DomainState::Crashed => Look::Lost(GoneReason::GuestCrashed, "the guest crashed"),
            DomainState::Dying => Look::Lost(GoneReason::Destroyed, "the domain was destroyed"),
            DomainState::ShutDown(0) => Look::PoweredOff,
            DomainState::ShutDown(1) => Look::Rebooting,
            DomainState::ShutDown(_) => {
                Look::Lost(GoneReason::GuestCrashed, "the guest shut down abnormally")
            }
            // Somebody paused it on purpose.
            DomainState::Paused => {
                self.restart();
                Look::Well
            }
            DomainState::Running | DomainState::Suspended => self.progress(domain, seen.cpu_ns, now),
        }
    }

    fn progress(&mut self, domain: &LiveDomain, cpu_ns: u64, now: Timestamp) -> Look {
        let Some(progress) = &self.progress else {
            return Look::Well;
        };
        let mark = read_sign(&progress.sign, domain, cpu_ns);
        match &self.last {
            Some((last, since)) if *last == mark => {
                if now.since(*since) >= progress.timeout {
                    return Look::Hung(*since);
                }
            }
            last => {
                // The first look compares with nothing.
                self.unproven &= last.is_none();
                self.last = Some((mark, now));
            }
        }
        Look::Well
    }
}

fn read_sign(sign: &Sign, domain: &LiveDomain, cpu_ns: u64) -> String {
    match sign {
        Sign::ProcessorTime => cpu_ns.to_string(),
        Sign::File(path) => fs::metadata(path).map_or_else(
            |_| "none".to_owned(),
            |meta| format!("{} {:?}", meta.len(), meta.modified().ok()),
        ),
        Sign::Xenstore(node) => domain.store().read(&domain.path(node)).unwrap_or_default(),
    }
}

/// Sleeps in small pieces for as long as `more` says.
pub(super) fn nap(clock: &dyn Clock, until: Timestamp, mut more: impl FnMut() -> bool) {
    const PIECE: Duration = Duration::from_millis(50);
    while clock.now() < until && more() {
        std::thread::sleep(PIECE.min(until.since(clock.now())));
    }
}
