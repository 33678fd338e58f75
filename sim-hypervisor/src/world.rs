//! The simulated world: virtual time, hosts, guests, and what happens to them.
//!
//! Time passes inside calls. Whoever charges a cost moves the clock; while it moves every running guest executes
//! for that long, and incidents that fall due strike at their instant.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use revenant_core::clock::Work;
use revenant_core::guest::GoneReason;
use revenant_core::{Clock, PAGE_SIZE, Timestamp};

use crate::machine::Machine;
use crate::profile::CostProfile;
use crate::program::Program;
use crate::silent::SilentErrors;

/// A host in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

/// A guest in the world. A guest that is restored elsewhere is another guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestId(usize);

/// What to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestSpec {
    /// What it runs.
    pub program: Program,
    /// Frames of memory, at least [`Program::PAGES_MIN`].
    pub pages: u64,
    /// Seed of the program's own random sequence.
    pub seed: u64,
    /// Steps after which its work is done.
    pub steps: u64,
    /// Virtual time a step takes, not zero.
    pub step: Duration,
}

/// Something that goes wrong at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// The guest crashes.
    GuestCrash(GuestId),
    /// The guest's vCPU stops for good. The guest is still there, and what was saved of it goes on where it is restored: the
    /// cause is not in its memory.
    Hang(GuestId),
    /// The disks attached to this host lose something, and take no writes until they are mended.
    DiskLoss {
        /// The host.
        host: HostId,
        /// Until then.
        mended: Timestamp,
    },
    /// The host stops for good: its guests are gone, what is attached to it loses power.
    HostLoss(HostId),
    /// The host stops in the same way, but can be booted again.
    HostCrash(HostId),
}

/// What ended a stretch of virtual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The time that was asked for has come.
    TimerExpired,
    /// The guest did its last step, at this instant.
    GuestFinished(Timestamp),
    /// The guest was lost, at this instant.
    GuestLost(GoneReason, Timestamp),
    /// The guest hangs since this instant; nobody has been told.
    GuestHung(Timestamp),
    /// Nothing will ever happen: the guest stands still, no timer, no incident.
    Nothing,
}

/// What is attached to a host: a disk.
pub trait Powered: fmt::Debug {
    /// The host stopped.
    fn power_off(&self);
    /// Something is lost, and nothing can be written until it is mended. Called while the world stands still: it must not be
    /// asked for anything here.
    fn damage(&self, mended: Timestamp);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    Suspended,
    Gone(GoneReason, Timestamp),
}

#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) host: HostId,
    pub(crate) machine: Machine,
    pub(crate) life: Life,
    step_ns: u64,
    finished_at: Option<Timestamp>,
    /// It executes nothing more, since then.
    pub(crate) hung_at: Option<Timestamp>,
    /// Virtual time it has executed.
    ran_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Up,
    /// Until it is booted again.
    Off,
    /// For good.
    Lost,
}

#[derive(Debug)]
struct Host {
    power: Power,
    powered: Option<Rc<dyn Powered>>,
}

#[derive(Debug, Default)]
struct State {
    now_ns: u64,
    hosts: Vec<Host>,
    guests: Vec<Guest>,
    /// By instant, then by order of scheduling.
    agenda: BTreeMap<(u64, u64), Incident>,
    scheduled: u64,
    /// What strikes in the work of guests, if anything does.
    silent: Option<SilentErrors>,
    /// When the store's threads will have done what they have.
    computed_ns: u64,
}

/// A handle to the world; clones share it.
#[derive(Debug, Clone)]
pub struct World {
    state: Rc<RefCell<State>>,
    profile: Rc<CostProfile>,
}

impl World {
    /// An empty world at instant zero.
    pub fn new(profile: CostProfile) -> Self {
        World {
            state: Rc::default(),
            profile: Rc::new(profile),
        }
    }

    /// What things cost here.
    pub fn profile(&self) -> &CostProfile {
        &self.profile
    }

    /// Adds a host that is up.
    pub fn add_host(&self) -> HostId {
        let mut state = self.state.borrow_mut();
        state.hosts.push(Host {
            power: Power::Up,
            powered: None,
        });
        HostId(state.hosts.len() - 1)
    }

    /// Is this host up?
    pub fn host_is_up(&self, host: HostId) -> bool {
        self.state.borrow().hosts[host.0].power == Power::Up
    }

    /// Did this host crash, so that a boot is all it needs?
    pub fn host_has_crashed(&self, host: HostId) -> bool {
        self.state.borrow().hosts[host.0].power == Power::Off
    }

    /// Brings a host back, or another in its place, with nothing on it and nothing attached.
    pub fn reboot(&self, host: HostId) {
        self.state.borrow_mut().hosts[host.0] = Host {
            power: Power::Up,
            powered: None,
        };
    }

    /// From now on this loses power when the host stops, and nothing that was attached before. The world holds it, so it must not hold the world: the two would keep
    /// each other for ever.
    pub fn attach(&self, host: HostId, powered: Rc<dyn Powered>) {
        self.state.borrow_mut().hosts[host.0].powered = Some(powered);
    }

    /// Boots a guest; it runs from now on.
    ///
    /// # Panics
    /// If a step takes no time.
    pub fn boot(&self, host: HostId, spec: &GuestSpec) -> GuestId {
        let mut machine = Machine::boot(spec.program, spec.pages, spec.seed, spec.steps);
        machine.add_system(&self.profile.system);
        self.add_guest(host, machine, Life::Running, spec.step)
    }

    /// Makes a suspended guest without memory, to be restored into. `step` is the speed of the host's vCPU.
    ///
    /// # Panics
    /// If a step takes no time.
    pub fn create_blank(&self, host: HostId, step: Duration) -> GuestId {
        self.add_guest(host, Machine::blank(), Life::Suspended, step)
    }

    fn add_guest(&self, host: HostId, machine: Machine, life: Life, step: Duration) -> GuestId {
        let step_ns = u64::try_from(step.as_nanos()).expect("a step shorter than centuries");
        assert!(step_ns > 0, "a step takes time");
        let mut state = self.state.borrow_mut();
        let now = Timestamp(state.now_ns);
        let life = if state.hosts[host.0].power == Power::Up {
            life
        } else {
            Life::Gone(GoneReason::HostLost, now)
        };
        state.guests.push(Guest {
            host,
            machine,
            life,
            step_ns,
            finished_at: None,
            hung_at: None,
            ran_ns: 0,
        });
        GuestId(state.guests.len() - 1)
    }

    /// Removes a guest for good; its memory is given back.
    pub fn destroy(&self, guest: GuestId) {
        let mut state = self.state.borrow_mut();
        let now = Timestamp(state.now_ns);
        state.lose(guest, GoneReason::Destroyed, now);
        state.guests[guest.0].machine = Machine::blank();
    }

    /// Where a guest lives.
    pub fn host_of(&self, guest: GuestId) -> HostId {
        self.state.borrow().guests[guest.0].host
    }

    /// Steps the guest has done.
    pub fn steps(&self, guest: GuestId) -> u64 {
        self.state.borrow().guests[guest.0].machine.steps()
    }

    /// For how long the guest has executed here: neither suspended, nor finished, nor gone. What it did before it was
    /// restored counts to the guest it did it in.
    pub fn worked(&self, guest: GuestId) -> Duration {
        Duration::from_nanos(self.state.borrow().guests[guest.0].ran_ns)
    }

    /// How long it has executed the step that it is in. A checkpoint keeps that.
    pub(crate) fn begun_step(&self, guest: GuestId) -> Duration {
        Duration::from_nanos(self.state.borrow().guests[guest.0].machine.carry_ns)
    }

    /// From now on these strike in the work of the world's guests, whichever of them does it.
    pub fn set_silent_errors(&self, errors: SilentErrors) {
        self.state.borrow_mut().silent = Some(errors);
    }

    /// Silent errors that have struck.
    pub fn silent_errors(&self) -> u64 {
        self.state
            .borrow()
            .silent
            .as_ref()
            .map_or(0, SilentErrors::struck)
    }

    /// Lets a guest that runs stand still, or go on, at once and at no cost: what a seam to it does takes its time.
    pub(crate) fn hold(&self, guest: GuestId, still: bool) {
        let life = &mut self.state.borrow_mut().guests[guest.0].life;
        *life = match (*life, still) {
            (Life::Running, true) => Life::Suspended,
            (Life::Suspended, false) => Life::Running,
            (life, _) => life,
        };
    }

    /// Digest of everything that makes up the guest now, but for its system memory.
    pub fn digest(&self, guest: GuestId) -> blake3::Hash {
        self.state.borrow().guests[guest.0].machine.digest()
    }

    /// Why and when the guest was lost, if it was.
    pub fn lost(&self, guest: GuestId) -> Option<(GoneReason, Timestamp)> {
        match self.state.borrow().guests[guest.0].life {
            Life::Gone(reason, at) => Some((reason, at)),
            Life::Running | Life::Suspended => None,
        }
    }

    /// Since when the guest hangs, if it does; it may be lost by now.
    pub fn hung(&self, guest: GuestId) -> Option<Timestamp> {
        self.state.borrow().guests[guest.0].hung_at
    }

    /// Puts an incident on the agenda. One in the past strikes when time next moves.
    pub fn schedule(&self, at: Timestamp, incident: Incident) {
        let mut state = self.state.borrow_mut();
        let order = state.scheduled;
        state.scheduled += 1;
        state.agenda.insert((at.0, order), incident);
    }

    /// Takes the incidents off the agenda that strike these hosts, or guests on them, and are not to be kept.
    pub fn retain_agenda(&self, hosts: &[HostId], keep: impl Fn(&Incident) -> bool) {
        let mut state = self.state.borrow_mut();
        let State { guests, agenda, .. } = &mut *state;
        agenda.retain(|_, incident| {
            let host = match incident {
                Incident::GuestCrash(guest) | Incident::Hang(guest) => guests[guest.0].host,
                Incident::HostLoss(host) | Incident::HostCrash(host) | Incident::DiskLoss { host, .. } => {
                    *host
                }
            };
            !hosts.contains(&host) || keep(incident)
        });
    }

    /// Makes an incident happen now.
    pub fn strike(&self, incident: Incident) {
        self.state.borrow_mut().strike(incident);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.advance_ns(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn advance_ns(&self, by_ns: u64) {
        let mut state = self.state.borrow_mut();
        let until = state.now_ns.saturating_add(by_ns);
        state.advance_to(until);
    }

    /// Lets time pass until the guest finishes, hangs or is lost, at most until `until`.
    pub fn run_until(&self, guest: GuestId, until: Option<Timestamp>) -> Happening {
        let mut state = self.state.borrow_mut();
        loop {
            let subject = &state.guests[guest.0];
            if let Life::Gone(reason, at) = subject.life {
                return Happening::GuestLost(reason, at);
            }
            if let Some(at) = subject.hung_at {
                return Happening::GuestHung(at);
            }
            if let Some(at) = subject.finished_at {
                return Happening::GuestFinished(at);
            }
            if until.is_some_and(|until| state.now_ns >= until.0) {
                return Happening::TimerExpired;
            }
            let incident = state.agenda.keys().next().map(|&(at, _)| at.max(state.now_ns));
            let finish = subject.finish_ns(state.now_ns);
            let Some(next) = [until.map(|u| u.0), incident, finish].into_iter().flatten().min() else {
                return Happening::Nothing;
            };
            state.advance_to(next);
        }
    }

    /// Since when the guest executes nothing more: it has finished, hangs or is lost. `None`: it will go on.
    pub fn ended(&self, guest: GuestId) -> Option<Timestamp> {
        self.state.borrow().guests[guest.0].ended()
    }

    /// Lets time pass until another of these guests has [ended](World::ended), at most until `until`.
    pub fn run_all_until(&self, guests: &[GuestId], until: Timestamp) {
        let mut state = self.state.borrow_mut();
        let running = |state: &State| {
            let guests = guests.iter().map(|guest| &state.guests[guest.0]);
            guests.filter(|guest| guest.ended().is_none()).count()
        };
        let before = running(&state);
        while state.now_ns < until.0 && running(&state) == before {
            let now_ns = state.now_ns;
            let incident = state.agenda.keys().next().map(|&(at, _)| at.max(now_ns));
            let finishes = guests
                .iter()
                .filter(|guest| state.guests[guest.0].ended().is_none())
                .filter_map(|guest| state.guests[guest.0].finish_ns(now_ns));
            let next = finishes.chain(incident).fold(until.0, u64::min);
            state.advance_to(next);
        }
    }

    pub(crate) fn with_guest<T>(&self, guest: GuestId, f: impl FnOnce(&mut Guest) -> T) -> T {
        f(&mut self.state.borrow_mut().guests[guest.0])
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp(self.state.borrow().now_ns)
    }

    fn hand_out(&self, work: Work<'_>) -> Timestamp {
        let costs = &self.profile.store;
        let ns = match work {
            Work::Hash { .. } if costs.page_hash.0.is_zero() && costs.page_scan.0.is_zero() => 0,
            Work::Hash { pages } => {
                let all = (pages.len() / PAGE_SIZE) as u64;
                let used = pages
                    .chunks(PAGE_SIZE)
                    .filter(|page| page.iter().any(|&byte| byte != 0));
                let hashed_ns = self.profile.pages_ns(costs.page_hash, used.count() as u64);
                hashed_ns.saturating_add(self.profile.pages_ns(costs.page_scan, all))
            }
            Work::Compress { pages } => self.profile.pages_ns(costs.page_compress, pages),
        };
        let mut state = self.state.borrow_mut();
        let done_ns = state.computed_ns.max(state.now_ns).saturating_add(ns);
        state.computed_ns = done_ns;
        Timestamp(done_ns)
    }

    fn wait_for(&self, done: Timestamp) {
        self.advance(done.since(self.now()));
    }
}

impl State {
    fn advance_to(&mut self, until_ns: u64) {
        loop {
            let due = self
                .agenda
                .first_key_value()
                .map(|(&key, _)| key)
                .filter(|&(at, _)| at <= until_ns);
            let stop_ns = due.map_or(until_ns, |(at, _)| at.max(self.now_ns));
            for guest in &mut self.guests {
                guest.run(self.now_ns, stop_ns, self.silent.as_mut());
            }
            self.now_ns = stop_ns;
            match due.and_then(|key| self.agenda.remove(&key)) {
                Some(incident) => self.strike(incident),
                None => return,
            }
        }
    }

    fn strike(&mut self, incident: Incident) {
        let now = Timestamp(self.now_ns);
        match incident {
            Incident::GuestCrash(guest) => self.lose(guest, GoneReason::GuestCrashed, now),
            Incident::Hang(guest) => {
                let guest = &mut self.guests[guest.0];
                if !matches!(guest.life, Life::Gone(..)) {
                    guest.hung_at.get_or_insert(now);
                }
            }
            Incident::DiskLoss { host, mended } => {
                if let Some(powered) = &self.hosts[host.0].powered {
                    powered.damage(mended);
                }
            }
            Incident::HostLoss(host) => self.stop_host(host, Power::Lost, now),
            Incident::HostCrash(host) => self.stop_host(host, Power::Off, now),
        }
    }

    fn stop_host(&mut self, host: HostId, power: Power, now: Timestamp) {
        self.hosts[host.0].power = power;
        if let Some(powered) = self.hosts[host.0].powered.take() {
            powered.power_off();
        }
        for index in 0..self.guests.len() {
            if self.guests[index].host == host {
                self.lose(GuestId(index), GoneReason::HostLost, now);
            }
        }
    }

    fn lose(&mut self, guest: GuestId, reason: GoneReason, now: Timestamp) {
        let life = &mut self.guests[guest.0].life;
        if !matches!(life, Life::Gone(..)) {
            *life = Life::Gone(reason, now);
        }
    }
}

impl Guest {
    /// Executes from one instant to another, and meets the silent errors of that time.
    fn run(&mut self, from_ns: u64, to_ns: u64, silent: Option<&mut SilentErrors>) {
        let mut at_ns = from_ns;
        if let Some(silent) = silent {
            while let Some(left_ns) = silent.within(self.work_ns(at_ns, to_ns)) {
                self.execute(at_ns, at_ns + left_ns);
                at_ns += left_ns;
                silent.strike(&mut self.machine);
            }
        }
        self.execute(at_ns, to_ns);
    }

    /// How much it works from one instant to another.
    fn work_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        if self.finished_at.is_some() {
            return 0;
        }
        self.finish_ns(from_ns)
            .map_or(0, |finish| finish.min(to_ns).saturating_sub(from_ns))
    }

    fn ended(&self) -> Option<Timestamp> {
        let lost = match self.life {
            Life::Gone(_, at) => Some(at),
            Life::Running | Life::Suspended => None,
        };
        [lost, self.hung_at, self.finished_at].into_iter().flatten().min()
    }

    fn execute(&mut self, from_ns: u64, to_ns: u64) {
        if self.life != Life::Running || self.finished_at.is_some() || self.hung_at.is_some() {
            return;
        }
        let (finish, ran) = (self.finish_ns(from_ns), to_ns - from_ns);
        self.ran_ns += finish.map_or(ran, |at| ran.min(at.saturating_sub(from_ns)));
        let progress = self.machine.carry_ns + ran;
        self.machine.run(progress / self.step_ns);
        self.machine.carry_ns = progress % self.step_ns;
        self.machine.run_system(ran);
        if self.machine.finished() {
            self.machine.carry_ns = 0;
            self.finished_at = finish.map(|at| Timestamp(at.max(from_ns)));
        }
    }

    /// When it will do its last step if it runs from `now_ns` on.
    fn finish_ns(&self, now_ns: u64) -> Option<u64> {
        if self.life != Life::Running || self.hung_at.is_some() {
            return None;
        }
        let left = self.machine.target().saturating_sub(self.machine.steps());
        let needs = left
            .saturating_mul(self.step_ns)
            .saturating_sub(self.machine.carry_ns);
        Some(now_ns.saturating_add(needs))
    }

    /// A restored machine may have its last step before it or behind it.
    pub(crate) fn state_loaded(&mut self) {
        self.finished_at = None;
    }
}
