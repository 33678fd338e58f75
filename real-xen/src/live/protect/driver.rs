//! Does what the protect loop says on a real host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use revenant_core::capture::{CaptureError, CaptureRequest, Session, capture};
use revenant_core::clock::SystemClock;
use revenant_core::guest::GoneReason;
use revenant_core::lease::{Claim, Held, Lapsed, Lease, LeaseError, LeaseState, Rival, leave_out_deposed};
use revenant_core::medium::DirectoryMedium;
use revenant_core::policy::IntervalPolicy;
use revenant_core::protect::{Event, GiveUp, Options, Protect, Step, Tally};
use revenant_core::store::{CheckpointId, CheckpointInfo, CollectOptions, Retention, Scope, StoreError};
use revenant_core::{Clock, Hypervisor, HypervisorError, Medium, MediumError, Store, Timestamp, with_causes};
use serde_json::{Map, Value, json};

use super::journal::{Entry, Journal, details, seconds};
use super::scrub::Scrub;
use super::watch::{Look, Progress, Watch, nap};
use crate::disk::AllowedDisks;
use crate::live::configuration::allow_as_running;
use crate::live::domain::{FindError, LiveDomain};
use crate::live::guest_disks;
use crate::live::keeper::KeeperProgram;
use crate::live::open::open_guest;
use crate::live::restore::{RestoreRequest, restore_domain};
use crate::live::xl;

/// How often the guest is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a domain that went away may take to come back by itself: a reboot replaces it by another.
const REBOOT_GRACE: Duration = Duration::from_secs(3);
/// After how long a store that could not be reached is tried again.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often a guest that was left suspended is resumed before it counts as lost.
const RESUME_TRIES: u32 = 5;

/// How to protect a guest.
#[derive(Debug)]
pub struct Protection {
    /// The guest's name, in Xen and in the catalogue.
    pub guest: String,
    /// Directory of the store, for the lease.
    pub store_dir: PathBuf,
    /// How checkpoints are taken; its guest name is ignored.
    pub capture: CaptureRequest,
    /// When it counts as hung; `None`: never.
    pub progress: Option<Progress>,
    /// How many checkpoints to keep; two are kept in any case.
    pub keep_last: u32,
    /// Read the store again in the background, so many bytes a second; `None`: not.
    pub scrub_bytes_per_s: Option<u64>,
    /// How long the guest may take to suspend itself.
    pub suspend_timeout: Duration,
    /// How to start the processes that look after the guest if this one dies.
    pub helper: KeeperProgram,
    /// How long the lease may stay unrenewed before others may take the guest over.
    pub lease_timeout: Duration,
    /// Take over from the holder of this lease, whose host is lost: the guest starts from its newest checkpoint at once.
    pub take_over: Option<Lapsed>,
    /// Paths of this host that checkpoints may name, besides those that the running guest has and that this host's own
    /// configurations give it.
    pub disks: AllowedDisks,
    /// What the loop is told.
    pub options: Options,
}

/// How a protection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop; the guest runs on, unprotected.
    Stopped,
    /// The guest switched itself off.
    PoweredOff,
    /// It cannot be brought back.
    GivenUp(GiveUp),
    /// Another host has taken the guest over. If it runs here, it runs on, as it is.
    LeaseLost(Rival),
}

/// A protection could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ProtectError {
    /// No such guest.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The guest cannot be opened.
    #[error("cannot open the guest")]
    Guest(#[from] HypervisorError),
    /// The store's catalogue cannot be read.
    #[error("cannot read the store's catalogue")]
    Store(#[from] StoreError),
    /// Other hosts would not see who protects the guest.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The lease cannot be looked at.
    #[error("cannot open the store's medium for the lease")]
    Medium(#[from] MediumError),
}

/// Protects a guest until it switches itself off, cannot be brought back, or `stop` is set.
pub fn protect(
    protection: &Protection,
    policy: Box<dyn IntervalPolicy>,
    store: &Store,
    journal: &mut dyn Journal,
    stop: &AtomicBool,
) -> Result<(Ended, Tally), ProtectError> {
    let mut machine = Protect::new(policy, protection.options);
    let clock = Arc::new(SystemClock::new());
    let mut driver = Driver::begin(protection, store, journal, stop, clock)?;
    machine.replace_candidates(driver.candidates()?);
    let mut event = driver.first_event();
    let ended = loop {
        if let Some(ended) = driver.ended() {
            break ended;
        }
        let step = machine.on(event, driver.clock.now());
        event = match step {
            Step::Run { until } => driver.run(until),
            Step::Linger { until } => driver.run(Some(until)),
            Step::Capture => driver.capture(),
            Step::Wait { until } => driver.wait(until, &mut machine),
            Step::Restore { from } => driver.restore(from),
            Step::Finished => break Ended::PoweredOff,
            Step::GivenUp(why) => break Ended::GivenUp(why),
        };
    };
    driver.end(&ended);
    Ok((ended, machine.tally()))
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".into(), |name| name.trim().to_owned())
}

/// The open guest and, through a second connection, what is going on with it.
struct Guest {
    seam: Box<dyn Hypervisor>,
    domain: LiveDomain,
}

struct Driver<'a> {
    protection: &'a Protection,
    store: &'a Store,
    journal: &'a mut dyn Journal,
    stop: &'a AtomicBool,
    clock: Arc<SystemClock>,
    session: Session,
    guest: Option<Guest>,
    watch: Watch,
    scrub: Option<Scrub>,
    lease: Held,
    /// Another has the lease: neither guest nor store is touched any more.
    deposed: Option<Rival>,
    /// It was told that this is in doubt.
    doubted: bool,
    /// Paths of this host that the guest's checkpoints may name.
    disks: AllowedDisks,
    /// When the guest was noticed to be lost, while it is not back.
    noticed_at: Option<Timestamp>,
    /// The checkpoint that was taken or restored last: until the guest shows that it goes on, it may be one of a guest that
    /// hangs.
    last: Option<Id>,
    /// Checkpoints of a guest that hung.
    hung: BTreeSet<Id>,
}

type Id = CheckpointId;

impl<'a> Driver<'a> {
    /// Takes up the guest, and then the lease: who cannot have the guest leaves the lease to whom it belongs.
    fn begin(
        protection: &'a Protection,
        store: &'a Store,
        journal: &'a mut dyn Journal,
        stop: &'a AtomicBool,
        clock: Arc<SystemClock>,
    ) -> Result<Self, ProtectError> {
        let guest = match open(protection) {
            Ok(guest) => Some(guest),
            Err(ProtectError::Find(FindError::NoSuchDomain(_))) if protection.take_over.is_some() => None,
            Err(error) => return Err(error),
        };
        let lease = take_lease(protection, store, &clock)?;
        store.set_fence(lease.fence().clone());
        let scrub = protection
            .scrub_bytes_per_s
            .map(|bytes_per_s| Scrub::new(bytes_per_s, clock.now()));
        let mut driver = Driver {
            protection,
            scrub,
            store,
            journal,
            stop,
            clock,
            session: Session::continuous(),
            guest: None,
            watch: Watch::new(protection.progress.clone()),
            lease,
            deposed: None,
            doubted: false,
            disks: protection.disks.clone(),
            noticed_at: None,
            last: None,
            hung: BTreeSet::new(),
        };
        if let Some(guest) = guest {
            driver.take_up(guest);
        }
        Ok(driver)
    }

    fn first_event(&mut self) -> Event<Id> {
        if self.guest.is_none() {
            return self.lost(GoneReason::HostLost, "its host is lost");
        }
        self.note(
            "watching",
            json!({
                "guest": self.protection.guest,
                "domain": self.id(),
                "epoch": self.lease.fence().epoch(),
            }),
        );
        Event::Started
    }

    fn note(&mut self, event: &'static str, value: Value) {
        let entry = Entry {
            at: self.clock.now(),
            event,
            details: details(value),
        };
        self.journal.record(&entry);
    }

    /// The guest's committed checkpoints, oldest first, without those in which it hangs.
    fn candidates(&self) -> Result<Vec<Id>, StoreError> {
        let listing = self.store.list()?;
        let mut own: Vec<CheckpointInfo> = listing.checkpoints;
        own.retain(|info| info.guest == self.protection.guest);
        leave_out_deposed(&mut own, self.lease.fence().epoch());
        let ids = own.iter().map(|info| info.id);
        Ok(ids.filter(|id| !self.hung.contains(id)).collect())
    }

    /// The same, in the order in which a restart tries them: a whole one before the others, however new these are. A restore that
    /// breaks off over missing pages costs the time that the guest is down.
    fn whole_last(&mut self, candidates: Vec<Id>) -> Vec<Id> {
        match self.store.whole_last(candidates.clone()) {
            Ok((ordered, lacking)) => {
                for (id, finding) in lacking {
                    let lacks = finding.to_string();
                    self.note("not-whole", json!({ "checkpoint": id.to_hex(), "lacks": lacks }));
                }
                ordered
            }
            // The restore itself finds out.
            Err(_) => candidates,
        }
    }

    /// Why it is over, if it is.
    fn ended(&self) -> Option<Ended> {
        if let Some(by) = self.rival() {
            return Some(Ended::LeaseLost(by));
        }
        self.stop.load(Ordering::Relaxed).then_some(Ended::Stopped)
    }

    fn stopped(&self) -> bool {
        self.ended().is_some()
    }

    /// Who has the lease, if another has.
    fn rival(&self) -> Option<Rival> {
        match self.lease.state(self.clock.now()) {
            LeaseState::Lost { by } => Some(by),
            LeaseState::Held | LeaseState::Doubtful => self.deposed.clone(),
        }
    }

    /// Whether guest and store may be touched: nobody has taken the lease, nor may do so in the next moment. Asks the medium.
    fn may_act(&mut self) -> bool {
        if self.rival().is_some() {
            return false;
        }
        let doubt = match self.lease.state(self.clock.now()) {
            LeaseState::Doubtful => Some("it could not be renewed in time".to_owned()),
            _ => match self.store.check_fence(&self.protection.guest) {
                Ok(()) => None,
                Err(StoreError::Superseded { by, .. }) => {
                    self.deposed = Some(Rival {
                        epoch: by,
                        holder: "another host".to_owned(),
                    });
                    return false;
                }
                Err(error) => Some(with_causes(&error)),
            },
        };
        let doubted = doubt.is_some();
        if let Some(why) = doubt
            && !self.doubted
        {
            self.note("lease-doubtful", json!({ "why": why }));
        }
        self.doubted = doubted;
        !doubted
    }

    fn open(&mut self) -> Result<(), ProtectError> {
        // The guest is locked by the seam; the old one, if any, must let go first.
        self.guest = None;
        let guest = open(self.protection)?;
        self.take_up(guest);
        Ok(())
    }

    fn take_up(&mut self, guest: Guest) {
        self.session.reset();
        self.watch.restart();
        self.disks.extend(guest_disks::paths(&guest.domain));
        // What this host runs already it may run again.
        if let Ok(text) = xl::configuration(guest.domain.id()) {
            allow_as_running(&text, &mut self.disks);
        }
        self.guest = Some(guest);
    }

    fn id(&self) -> Option<u32> {
        self.guest.as_ref().map(|guest| guest.domain.id())
    }

    fn run(&mut self, until: Option<Timestamp>) -> Event<Id> {
        loop {
            let now = self.clock.now();
            if let Some(event) = self.look(now) {
                return event;
            }
            if until.is_some_and(|until| now >= until) || self.stopped() {
                return Event::TimerExpired;
            }
            self.scrub(now);
            let next = now + LOOK_EVERY;
            nap(&*self.clock, until.map_or(next, |until| until.min(next)), || true);
        }
    }

    /// Reads the store again, a slice at a time. What it finds is not shared by later checkpoints, and pruning heals what it can.
    fn scrub(&mut self, now: Timestamp) {
        let slice = self.scrub.as_mut().and_then(|scrub| scrub.go_on(self.store, now));
        match slice {
            None | Some(Err(StoreError::Busy { .. })) => {}
            Some(Ok(slice)) => {
                for finding in slice.findings {
                    self.note("damage-found", json!({ "finding": finding.to_string() }));
                }
            }
            Some(Err(error)) => self.note("scrub-failed", json!({ "error": with_causes(&error) })),
        }
    }

    /// What there is to report of the guest, if anything.
    fn look(&mut self, now: Timestamp) -> Option<Event<Id>> {
        let Some(guest) = &self.guest else {
            return Some(self.lost(GoneReason::Destroyed, "the domain is gone"));
        };
        match self.watch.look(&guest.domain, now) {
            Look::Well => None,
            Look::PoweredOff => Some(Event::GuestFinished),
            Look::Rebooting => Some(self.rebooted().unwrap_or_else(|| {
                self.lost_at(
                    now,
                    GoneReason::Destroyed,
                    "the guest went for a reboot and did not come back",
                )
            })),
            Look::Lost(GoneReason::Destroyed, why) => {
                if let Some(event) = self.rebooted() {
                    return Some(event);
                }
                Some(self.lost_at(now, GoneReason::Destroyed, why))
            }
            Look::Lost(reason, why) => Some(self.lost(reason, why)),
            Look::Hung(since) => {
                if let Some(id) = self.last.filter(|_| self.watch.unproven()) {
                    self.note("hung-checkpoint", json!({ "checkpoint": id.to_hex() }));
                    self.hung.insert(id);
                }
                Some(self.lost_at(since, GoneReason::GuestCrashed, "the guest makes no progress"))
            }
        }
    }

    /// A capture has to wait until the guest has shown that it goes on after the last one: else what is captured may be a
    /// guest that hangs, time and again, until no good checkpoint is left. What happens to the guest meanwhile, if
    /// anything does.
    fn wait_for_proof(&mut self) -> Option<Event<Id>> {
        while self.watch.unproven() && !self.stopped() {
            if let Some(event) = self.look(self.clock.now()) {
                return Some(instead_of_capture(event));
            }
            nap(&*self.clock, self.clock.now() + LOOK_EVERY, || true);
        }
        self.stopped().then_some(Event::CaptureFailed)
    }

    /// The toolstack may have replaced the domain by a rebooted one; then that is the guest now, and it needs a
    /// checkpoint soon, because none of the old ones is what it has become.
    fn rebooted(&mut self) -> Option<Event<Id>> {
        let old = self.id();
        let until = self.clock.now() + REBOOT_GRACE;
        while self.clock.now() < until && !self.stopped() {
            let found = LiveDomain::find(&self.protection.guest).ok();
            let other = found.filter(|domain| Some(domain.id()) != old && domain.info().is_ok());
            if other.is_some() && self.open().is_ok() {
                self.note("rebooted", json!({ "domain": self.id() }));
                return Some(Event::TimerExpired);
            }
            nap(&*self.clock, self.clock.now() + LOOK_EVERY, || true);
        }
        None
    }

    fn lost(&mut self, reason: GoneReason, why: &str) -> Event<Id> {
        self.lost_at(self.clock.now(), reason, why)
    }

    /// The guest has been of no use since then, and that is noticed now.
    fn lost_at(&mut self, at: Timestamp, reason: GoneReason, why: &str) -> Event<Id> {
        let now = self.clock.now();
        self.noticed_at.get_or_insert(now);
        self.note("lost", json!({ "reason": why, "domain": self.id() }));
        Event::GuestLost { reason, at }
    }

    fn capture(&mut self) -> Event<Id> {
        if let Some(event) = self.wait_for_proof() {
            return event;
        }
        if !self.may_act() {
            return Event::CaptureFailed;
        }
        let Some(guest) = &mut self.guest else {
            return self.lost(GoneReason::Destroyed, "the domain is gone");
        };
        let request = CaptureRequest {
            guest: self.protection.guest.clone(),
            ..self.protection.capture.clone()
        };
        let captured = capture(
            &mut *guest.seam,
            self.store,
            &*self.clock,
            &mut self.session,
            &request,
        );
        match captured {
            Ok(captured) => {
                let timeline = &captured.timeline;
                self.watch.await_proof(&guest.domain, timeline.suspended_for);
                self.last = Some(captured.checkpoint.id);
                self.note(
                    "captured",
                    json!({
                        "checkpoint": captured.checkpoint.id.to_hex(),
                        "increment": timeline.increment.to_string(),
                        "pages_new": captured.checkpoint.new_pages,
                        "stored_bytes": captured.checkpoint.stored_bytes,
                        "suspended_s": seconds(timeline.suspended_for),
                        "total_s": seconds(timeline.total),
                    }),
                );
                if let Some(trouble) = self.store.take_log_trouble() {
                    self.note("log-trouble", json!({ "what": trouble.to_string() }));
                }
                self.prune();
                Event::Captured {
                    checkpoint: captured.checkpoint.id,
                    cost: timeline.suspended_for,
                }
            }
            Err(error) => self.capture_failed(&error),
        }
    }

    fn capture_failed(&mut self, error: &CaptureError) -> Event<Id> {
        self.note("capture-failed", json!({ "error": with_causes(error) }));
        if let CaptureError::NotResumed { .. } = error
            && let Some(guest) = &mut self.guest
        {
            let resumed = (0..RESUME_TRIES).any(|_| guest.seam.resume().is_ok());
            if !resumed {
                return self.lost(GoneReason::GuestCrashed, "the guest cannot be resumed");
            }
        }
        let now = self.clock.now();
        self.look(now).map_or(Event::CaptureFailed, instead_of_capture)
    }

    /// Old checkpoints go when there are twice as many as wanted. A failure here costs space, nothing else.
    fn prune(&mut self) {
        // The newest may turn out to be one of a guest that hangs or is about to crash.
        let keep = self.protection.keep_last.max(2);
        if self.candidates().is_ok_and(|all| all.len() >= 2 * keep as usize) {
            let retention = Retention {
                keep_last: Some(keep),
                quarantined: self.hung.clone(),
                ..Retention::new(Scope::Guest(self.protection.guest.clone()))
            };
            let error = match self.store.prune(&retention, CollectOptions::default()) {
                Ok(pruned) => pruned.collected.shortcomings(),
                Err(error) => Some(with_causes(&error)),
            };
            if let Some(error) = error {
                self.note("prune-failed", json!({ "error": error }));
            }
        }
    }

    fn wait(&mut self, until: Timestamp, machine: &mut Protect<Id>) -> Event<Id> {
        loop {
            while self.clock.now() < until && !self.stopped() {
                nap(&*self.clock, until.min(self.clock.now() + LOOK_EVERY), || true);
            }
            match self.candidates() {
                // Nothing is restored by a host whose lease somebody may be taking.
                Ok(_) if !self.may_act() => {
                    if self.stopped() {
                        return Event::TimerExpired;
                    }
                    nap(&*self.clock, self.clock.now() + STORE_AGAIN_AFTER, || true);
                }
                Ok(candidates) => {
                    machine.replace_candidates(self.whole_last(candidates));
                    return Event::TimerExpired;
                }
                Err(_) if self.stopped() => return Event::TimerExpired,
                Err(error) => {
                    // Without the catalogue there is nothing to restart from: the medium has to come back.
                    self.note("store-unreachable", json!({ "error": with_causes(&error) }));
                    nap(&*self.clock, self.clock.now() + STORE_AGAIN_AFTER, || true);
                }
            }
        }
    }

    fn restore(&mut self, from: Option<Id>) -> Event<Id> {
        let Some(id) = from else {
            // The loop is told not to start from nothing: how to boot this guest is not known here.
            return Event::RestoreFailed { damaged: false };
        };
        if !self.may_act() {
            return Event::RestoreFailed { damaged: false };
        }
        let begun = self.clock.now();
        self.note("restoring", json!({ "checkpoint": id.to_hex() }));
        self.clear_away();
        let request = RestoreRequest {
            unattended: true,
            disks: self.disks.clone(),
            ..RestoreRequest::default()
        };
        let outcome = restore_domain(self.store, id, &request, &mut || self.may_act(), &mut |_| {});
        let error = match outcome {
            Ok(restored) => {
                let back = self.clock.now();
                let cost = back.since(begun);
                if let Err(error) = self.open() {
                    self.note("restore-failed", json!({ "error": with_causes(&error) }));
                    return Event::RestoreFailed { damaged: false };
                }
                self.last = Some(id);
                if let Some(guest) = &self.guest {
                    self.watch.await_proof(&guest.domain, Duration::ZERO);
                }
                let mut entry = Map::new();
                entry.insert("domain".into(), json!(restored.id));
                entry.insert("checkpoint".into(), json!(id.to_hex()));
                entry.insert("restore_s".into(), seconds(cost));
                if let Some(noticed_at) = self.noticed_at.take() {
                    entry.insert("since_noticed_s".into(), seconds(back.since(noticed_at)));
                }
                self.note("restored", Value::Object(entry));
                return Event::Restored { cost };
            }
            Err(error) => error,
        };
        self.note("restore-failed", json!({ "error": with_causes(&error) }));
        if error.unreadable() {
            return Event::CheckpointUnreadable;
        }
        Event::RestoreFailed {
            damaged: error.damaged(),
        }
    }

    /// What is left of the lost domain goes, or the restored one could not take its place.
    fn clear_away(&mut self) {
        if let Some(guest) = self.guest.take() {
            let id = guest.domain.id();
            let is_it = guest
                .domain
                .control()
                .domain(id)
                .is_ok_and(|domain| domain.uuid == guest.domain.uuid());
            drop(guest);
            if is_it && let Err(error) = xl::run(&["destroy", &id.to_string()]) {
                self.note("destroy-failed", json!({ "error": with_causes(&error) }));
            }
        }
    }

    fn end(mut self, ended: &Ended) {
        let how = match ended {
            Ended::Stopped => "asked to stop",
            Ended::PoweredOff => "the guest switched itself off",
            Ended::GivenUp(GiveUp::TooManyFailures) => "too many failures",
            Ended::GivenUp(GiveUp::NothingToRestoreFrom) => "no usable checkpoint",
            Ended::LeaseLost(by) => {
                self.note("lease-lost", json!({ "by": by.to_string(), "domain": self.id() }));
                "another host has taken the guest over"
            }
        };
        if let Some(guest) = &mut self.guest {
            drop(guest.seam.set_dirty_log(false));
        }
        self.note("stopped", json!({ "why": how }));
        // A lease that is lost is left as it is.
        self.lease.release();
    }
}

/// The open guest.
fn open(protection: &Protection) -> Result<Guest, ProtectError> {
    let find = || -> Result<LiveDomain, FindError> {
        let mut domain = LiveDomain::find(&protection.guest)?;
        domain.suspend_timeout = protection.suspend_timeout;
        Ok(domain)
    };
    let domain = find()?;
    let seam = open_guest(find()?, protection.helper.clone())?;
    Ok(Guest { seam, domain })
}

/// Takes the lease on the guest and has it renewed.
fn take_lease(
    protection: &Protection,
    store: &Store,
    clock: &Arc<SystemClock>,
) -> Result<Held, ProtectError> {
    let listing = store.list()?;
    let own = listing
        .checkpoints
        .iter()
        .filter(|info| info.guest == protection.guest);
    let holder = format!("{} {}", host_name(), std::process::id());
    let claim = Claim {
        guest: &protection.guest,
        holder: &holder,
        timeout: protection.lease_timeout,
        after: protection.take_over.as_ref().map(|lapsed| lapsed.epoch),
        given: own.filter_map(CheckpointInfo::epoch).max().unwrap_or(0),
    };
    let lease = Lease::take(&*medium(&protection.store_dir)?, &claim, &**clock)?;
    let folder = protection.store_dir.clone();
    Ok(Held::keep(lease, Arc::clone(clock) as _, move || medium(&folder)))
}

fn medium(folder: &Path) -> Result<Box<dyn Medium>, MediumError> {
    Ok(Box::new(DirectoryMedium::open(folder)?))
}

/// A guest that was lost is restored. One that switched itself off or was rebooted has not been captured, and is seen
/// again at the next look.
fn instead_of_capture(event: Event<Id>) -> Event<Id> {
    match event {
        Event::GuestLost { .. } => event,
        _ => Event::CaptureFailed,
    }
}
