//! Does what the protect loop says and reports what came of it.

mod losses;
mod shared;
mod together;
mod told;
mod verified;

pub use together::{Member, Seen, run_together};

use std::rc::Rc;
use std::time::Duration;

use revenant_core::capture::{CaptureError, CaptureRequest, capture};
use revenant_core::policy::IntervalPolicy;
use revenant_core::protect::{Event, Protect, Step};
use revenant_core::restore::{RestoreError, restore};
use revenant_core::store::{CheckpointId, CollectOptions, Retention, Scope, StoreError};
use revenant_core::{Clock, Hypervisor, Store, Timestamp};

use super::boot::{Candidate, Process, listed};
use super::disks::{Disks, Place};
use super::report::{Capture, Report, RunEnd};
use super::strike::{Losses, Strike};
use super::verify::Verifier;
use super::witness::{Moment, Spent, Witness};
use super::{GUEST, Scenario};
use crate::fault::{Faults, FaultyHypervisor};
use crate::hypervisor::{Inspector, SimHypervisor};
use crate::oracle::Oracle;
use crate::silent::SilentErrors;
use crate::world::{GuestId, Happening, HostId, Incident, World};
use shared::fetched;
use told::Told;

/// How often a call that should never fail for long is tried before the guest counts as hung, or the store as lost.
const TRIES_MAX: u32 = 5;

/// Runs a guest to its end, checkpointing it when `policy` says so.
pub fn run(scenario: &Scenario, policy: Box<dyn IntervalPolicy>, losses: &mut dyn Losses) -> Report {
    watch(scenario, policy, losses, &mut ())
}

/// The same, telling a witness what happens; it changes nothing.
pub fn watch(
    scenario: &Scenario,
    policy: Box<dyn IntervalPolicy>,
    losses: &mut dyn Losses,
    witness: &mut dyn Witness,
) -> Report {
    let world = World::new(scenario.profile.clone());
    let mut protect = Protect::new(policy, scenario.protect);
    let mut driver = Driver::new(GUEST, scenario, &world, None, losses, witness);
    let mut event = Event::Started;
    let end = loop {
        if driver.is_out_of_time() {
            break RunEnd::TimeLimit;
        }
        let step = driver.next_step(event, &mut protect);
        event = match driver.perform(&step, &mut protect) {
            Ok(event) => event,
            Err(end) => break end,
        };
    };
    driver.finish(end, &protect)
}

struct Driver<'a> {
    /// The guest's name in the catalogue.
    name: &'a str,
    scenario: &'a Scenario,
    losses: &'a mut dyn Losses,
    world: World,
    hosts: [HostId; 2],
    here: usize,
    guest: GuestId,
    disks: Disks,
    /// Checkpoints since the last that went to the shared store.
    since_shared: u32,
    /// The guest has not been on this host: its image is not there.
    away: bool,
    /// `None` while no checkpointer runs.
    process: Option<Process>,
    faults: Faults,
    /// The next loss at risk that takes the guest.
    next_loss: Option<(Timestamp, Strike)>,
    verifier: Option<Rc<Verifier>>,
    /// The host stands, and waits for nothing before the restart.
    at_hand: bool,
    /// When the guest was first booted.
    begun_at: Timestamp,
    /// When the step at hand was asked for. Where there are several guests time may have passed since.
    asked_at: Timestamp,
    /// When the guest was lost, while it is not back.
    lost_at: Option<Timestamp>,
    /// What guests that are gone have executed.
    worked_before: Duration,
    report: Report,
    told: Told<'a>,
}

type Id = CheckpointId;

impl<'a> Driver<'a> {
    /// Boots the guest on hosts of its own, on a disk of its own or on that of another guest.
    fn new(
        name: &'a str,
        scenario: &'a Scenario,
        world: &World,
        beside: Option<&Disks>,
        losses: &'a mut dyn Losses,
        witness: &'a mut dyn Witness,
    ) -> Self {
        let world = world.clone();
        let hosts = [world.add_host(), world.add_host()];
        let faults = Faults::new(&world, scenario.faults.clone());
        let two = scenario.rules.shared.is_some();
        let disks = match beside {
            Some(others) => others.beside(name, &world, hosts[0]),
            None => Disks::with_stores(name, &world, hosts[0], two, scenario.seed),
        };
        if let Some(gaps) = losses.silent_errors() {
            world.set_silent_errors(SilentErrors::new(gaps, scenario.seed));
        }
        let (guest, begun_at) = (world.boot(hosts[0], &scenario.guest), world.now());
        let verification = scenario.rules.verification;
        let verifier = verification.map(|rules| Rc::new(Verifier::new(rules.cost, &scenario.guest)));
        let mut driver = Driver {
            name,
            scenario,
            losses,
            world,
            hosts,
            here: 0,
            guest,
            disks,
            since_shared: 0,
            away: false,
            process: None,
            faults,
            next_loss: None,
            verifier,
            at_hand: false,
            begun_at,
            asked_at: begun_at,
            lost_at: None,
            worked_before: Duration::ZERO,
            report: Report::new(),
            told: Told::new(witness),
        };
        driver.draw_loss();
        driver.aim_losses();
        // A checkpointer that cannot start yet is started by the first capture.
        driver.process = driver.start_process().ok();
        driver
    }

    fn is_out_of_time(&self) -> bool {
        self.world.now() > Timestamp::default() + self.scenario.time_limit
    }

    fn next_step(&mut self, event: Event<Candidate>, protect: &mut Protect<Candidate>) -> Step<Candidate> {
        self.asked_at = self.world.now();
        protect.on(event, self.asked_at)
    }

    /// Does a step, and tells what came of it, or that it was the last.
    fn perform(
        &mut self,
        step: &Step<Candidate>,
        protect: &mut Protect<Candidate>,
    ) -> Result<Event<Candidate>, RunEnd> {
        match *step {
            Step::Run { until } => Ok(self.run(until)),
            Step::Linger { until } => Ok(self.linger(until)),
            Step::Capture => Ok(self.capture()),
            Step::Wait { until } => {
                let waited = self.wait(until, protect);
                waited.map_err(|error| RunEnd::StoreLost(error.to_string()))
            }
            Step::Restore { from } => Ok(self.restore(from)),
            Step::Finished => Err(RunEnd::Finished),
            Step::GivenUp(why) => Err(RunEnd::GivenUp(why)),
        }
    }

    fn host(&self) -> HostId {
        self.hosts[self.here]
    }

    fn start_process(&self) -> Result<Process, StoreError> {
        Process::start(
            self.name,
            &self.world,
            self.host(),
            &self.disks,
            &self.faults,
            self.scenario.compression_level,
        )
    }

    fn seam(&self) -> FaultyHypervisor {
        let inner = if self.scenario.dirty_log {
            SimHypervisor::new(&self.world, self.guest)
        } else {
            SimHypervisor::without_dirty_log(&self.world, self.guest)
        };
        let inspector = self
            .verifier
            .clone()
            .map(|verifier| verifier as Rc<dyn Inspector>);
        FaultyHypervisor::new(inner.inspected_by(inspector), self.faults.clone())
    }

    fn work(&mut self, until: Option<Timestamp>) -> Event<Candidate> {
        let limit = Timestamp::default() + self.scenario.time_limit + Duration::from_nanos(1);
        let happening = self
            .world
            .run_until(self.guest, Some(until.map_or(limit, |until| until.min(limit))));
        self.spent(self.until_lost(), Spent::Work);
        self.unnoticed();
        match happening {
            Happening::GuestFinished(at) => {
                // Others may have been at work since.
                self.report.lingering += self.world.now().since(at.max(self.asked_at));
                Event::GuestFinished
            }
            Happening::GuestLost(..) | Happening::GuestHung(_) => self.noticed(),
            // A guest that stands still although it was told to run is as good as gone; see `resume_or_destroy`.
            Happening::TimerExpired | Happening::Nothing => Event::TimerExpired,
        }
    }

    fn linger(&mut self, until: Timestamp) -> Event<Candidate> {
        let begun = self.asked_at;
        self.world.advance(until.since(self.world.now()));
        self.report.lingering += self.until_lost().since(begun);
        self.spent(self.until_lost(), Spent::Checkpoint);
        if self.gone().is_some() {
            self.noticed()
        } else {
            Event::TimerExpired
        }
    }

    fn capture(&mut self) -> Event<Candidate> {
        let (begun, worked) = (self.world.now(), self.world.worked(self.guest));
        self.reach_disk();
        let Some(mut process) = self.process.take().or_else(|| self.start_process().ok()) else {
            self.account_capture(begun, worked, None);
            self.unnoticed();
            return self.after_failure(begun);
        };
        let request = CaptureRequest {
            method: self.scenario.method,
            incremental: self.scenario.incremental,
            ..CaptureRequest::new(self.name)
        };
        let mut seam = self.seam();
        let captured = capture(
            &mut seam,
            &process.local,
            &self.world,
            &mut process.session,
            &request,
        );
        let event = match captured {
            Ok(captured) => {
                let timeline = &captured.timeline;
                let cost = timeline.suspended_for;
                let capture = Capture {
                    lead: timeline.total.saturating_sub(cost + timeline.commit_time),
                    suspended_for: cost,
                    commit_time: timeline.commit_time,
                    shared_for: None,
                    stored_bytes: captured.checkpoint.stored_bytes,
                    pages_copied: captured.timeline.pages_copied(),
                };
                self.prune(&process.local);
                self.account_capture(begun, worked, Some(capture));
                self.committed(&process, captured.checkpoint.id, capture, begun)
            }
            Err(error) => {
                if matches!(error, CaptureError::NotResumed { .. }) {
                    self.resume_or_destroy(&mut seam);
                }
                self.account_capture(begun, worked, None);
                self.unnoticed();
                self.after_failure(begun)
            }
        };
        if self.world.host_is_up(self.host()) {
            self.process = Some(process);
        }
        event
    }

    /// A checkpoint is in the local store: it has failed all the same if it was to be brought to the shared one and was not.
    fn committed(
        &mut self,
        process: &Process,
        id: Id,
        capture: Capture,
        begun: Timestamp,
    ) -> Event<Candidate> {
        let shared = self.share(process, id);
        if shared.is_ok() {
            self.moment(self.world.now(), Moment::Checkpoint);
        }
        self.unnoticed();
        let Ok(shared_for) = shared else {
            return self.after_failure(begun);
        };
        self.report.captures.push(Capture {
            shared_for,
            ..capture
        });
        Event::Captured {
            checkpoint: Candidate {
                place: Place::Local,
                id,
            },
            cost: capture.suspended_for + shared_for.unwrap_or_default(),
        }
    }

    /// What of the time since `begun`, when the guest had executed `worked`, kept it from its work.
    fn account_capture(&mut self, begun: Timestamp, worked: Duration, committed: Option<Capture>) {
        let worked = self.world.worked(self.guest).saturating_sub(worked);
        self.report.checkpointing += self.until_lost().since(begun).saturating_sub(worked);
        self.captured(committed, worked);
    }

    /// Old checkpoints go when there are twice as many as wanted. A failure here costs space, nothing else.
    fn prune(&self, store: &Store) {
        let keep = self.scenario.keep_last.max(1);
        let crowded = listed(store, self.name).is_ok_and(|all| all.len() >= 2 * keep as usize);
        if crowded {
            let retention = Retention {
                keep_last: Some(keep),
                ..Retention::new(Scope::Guest(self.name.to_owned()))
            };
            let pruned = store.prune(&retention, CollectOptions::default());
            drop(pruned);
        }
    }

    /// A guest that cannot be resumed is of no use to anybody.
    fn resume_or_destroy(&mut self, seam: &mut FaultyHypervisor) {
        for _ in 0..TRIES_MAX {
            if self.gone().is_some() || seam.resume().is_ok() {
                return;
            }
        }
        self.world.strike(Incident::GuestCrash(self.guest));
    }

    /// A capture that was begun then failed: because the guest is gone, because of the store, or all by itself.
    fn after_failure(&mut self, begun: Timestamp) -> Event<Candidate> {
        let found = self
            .verifier
            .as_ref()
            .is_some_and(|verifier| verifier.take_found());
        if self.gone().is_some() {
            return self.noticed();
        }
        if found {
            return self.found();
        }
        self.report.refused += u64::from(self.disks.failed_since(begun));
        self.moment(self.world.now(), Moment::CheckpointFailed);
        Event::CaptureFailed
    }

    /// Waits for a host, and for a checkpointer on it that knows what is in the store.
    fn wait(
        &mut self,
        until: Timestamp,
        protect: &mut Protect<Candidate>,
    ) -> Result<Event<Candidate>, StoreError> {
        let at_hand = std::mem::take(&mut self.at_hand);
        let begun = self.asked_at;
        if !at_hand {
            self.world.advance(until.since(self.world.now()));
        }
        if self.world.host_has_crashed(self.host()) {
            self.world.advance(self.scenario.rules.reboot);
        }
        self.report.down += self.world.now().since(begun);
        self.spent(self.world.now(), Spent::Downtime);
        let begun = self.world.now();
        let mut tries = 0;
        loop {
            match self.ready() {
                Ok(candidates) => {
                    protect.replace_candidates(candidates);
                    break;
                }
                Err(error) if tries == TRIES_MAX => return Err(error),
                Err(_) => tries += 1,
            }
        }
        self.report.restarting += self.world.now().since(begun);
        self.spent(self.world.now(), Spent::Restore);
        if !at_hand {
            self.draw_loss();
        }
        Ok(Event::TimerExpired)
    }

    /// Moves to the other host if this one is lost, starts the checkpointer there, reads the catalogue.
    fn ready(&mut self) -> Result<Vec<Candidate>, StoreError> {
        if !self.world.host_is_up(self.host()) {
            self.process = None;
            let moved = !self.world.host_has_crashed(self.host());
            if moved {
                self.here = 1 - self.here;
                self.away = self.scenario.rules.shared.is_some();
            }
            self.world.reboot(self.host());
            self.disks.reconnect(&self.world, self.host(), moved);
        }
        self.reach_disk();
        let process = match self.process.take() {
            Some(process) => process,
            None => self.start_process()?,
        };
        let candidates = process.candidates();
        self.process = Some(process);
        candidates
    }

    /// If the disk lost power with another guest's host, the checkpointer ends, and the next one finds the disk running again.
    fn reach_disk(&mut self) {
        if self.disks.are_gone() && self.world.host_is_up(self.host()) {
            self.process = None;
            self.disks.reconnect(&self.world, self.host(), false);
        }
    }

    fn restore(&mut self, from: Option<Candidate>) -> Event<Candidate> {
        let begun = self.world.now();
        self.worked_before += self.world.worked(self.guest);
        self.world.destroy(self.guest);
        self.guest = self.world.create_blank(self.host(), self.scenario.guest.step);
        self.aim_losses();
        let restored = if let Some(from) = from {
            self.restore_checkpoint(from)
        } else {
            self.cold_start();
            Ok(())
        };
        let cost = self.until_lost().since(begun);
        self.report.restarting += cost;
        self.spent(self.until_lost(), Spent::Restore);
        if self.gone().is_some() {
            return self.noticed();
        }
        match restored {
            Ok(()) => {
                self.came_from(from);
                self.back();
                Event::Restored { cost }
            }
            Err(why) => {
                let damaged = why == NotRestored::Damaged;
                self.report.damaged += u32::from(damaged);
                self.moment(self.world.now(), Moment::RestoreFailed);
                if why == NotRestored::Unreadable {
                    Event::CheckpointUnreadable
                } else {
                    Event::RestoreFailed { damaged }
                }
            }
        }
    }

    fn restore_checkpoint(&mut self, from: Candidate) -> Result<(), NotRestored> {
        let mut seam = self.seam();
        let process = self.process.as_mut().ok_or(NotRestored::Otherwise)?;
        process.session.reset();
        let Candidate { place, id } = fetched(process, from)?;
        let store = process.store(place);
        let read = store.read(id).map_err(RestoreError::from);
        read.and_then(|mut reader| restore(&mut reader, &mut seam, &self.world))
            .map_err(|error| NotRestored::of(&error))?;
        seam.resume().map_err(|_| NotRestored::Otherwise)
    }

    fn cold_start(&mut self) {
        if let Some(process) = &mut self.process {
            process.session.reset();
        }
        let shared = self.scenario.rules.shared.filter(|_| self.away);
        let boot = shared.map_or(self.scenario.boot, |shared| shared.boot);
        self.world.advance(boot);
        if self.gone().is_none() {
            self.world.destroy(self.guest);
            self.guest = self.world.boot(self.host(), &self.scenario.guest);
            self.aim_losses();
        }
    }

    /// The guest runs again.
    fn back(&mut self) {
        if let Some(lost_at) = self.lost_at.take() {
            self.report.recoveries.push(self.world.now().since(lost_at));
        }
        self.settled(self.world.begun_step(self.guest));
        self.moment(self.world.now(), Moment::Restored);
    }

    fn work_of(&self, steps: u64) -> Duration {
        let step_ns = u64::try_from(self.scenario.guest.step.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(step_ns.saturating_mul(steps))
    }

    fn finish(mut self, end: RunEnd, protect: &Protect<Candidate>) -> Report {
        let spec = &self.scenario.guest;
        if end == RunEnd::Finished {
            // The last commit goes on when the finished guest is lost: then its result is safe all the same.
            self.report.checkpointing += self.world.now().since(self.until_lost());
            let mut oracle = Oracle::new(spec.program, spec.pages, spec.seed, spec.steps);
            let steps = self.world.steps(self.guest);
            self.report.digest_ok =
                Some(steps == spec.steps && self.world.digest(self.guest) == oracle.digest_at(steps));
        }
        self.spent(self.world.now(), Spent::Checkpoint);
        self.unnoticed();
        self.settled(Duration::ZERO);
        self.report.end = end;
        self.report.makespan = self.world.now().since(self.begun_at);
        self.report.useful = self.work_of(self.world.steps(self.guest));
        let worked = self.worked_before + self.world.worked(self.guest);
        self.report.lost = worked.saturating_sub(self.report.useful);
        self.report.tally = protect.tally();
        self.report.store_losses = u32::try_from(self.disks.losses()).unwrap_or(u32::MAX);
        self.report.silent_errors = self.world.silent_errors();
        self.report.applied = self.faults.applied();
        self.report
    }
}

/// What a failed restore says of its checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotRestored {
    Damaged,
    Unreadable,
    /// Nothing.
    Otherwise,
}

impl NotRestored {
    fn of(error: &RestoreError) -> Self {
        if error.damaged() {
            NotRestored::Damaged
        } else if error.unreadable() {
            NotRestored::Unreadable
        } else {
            NotRestored::Otherwise
        }
    }
}
