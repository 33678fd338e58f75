//! The disks with the stores on them, over all lives of the checkpointer. Whatever one life did not sync may be gone in the
//! next.

use std::cell::RefCell;
use std::rc::Rc;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_core::{Store, Timestamp};

use super::damage::{damage_newest, newest_begun};
use crate::medium::{SimMedium, WorldPace};
use crate::profile::MediumCosts;
use crate::world::{HostId, Powered, World};

/// Keeps what a loss of power leaves on one disk apart from what it leaves on the other.
const SHARED_SEED: u64 = 0x7368_6172_6564;

/// Where a store is, in the order in which they get a checkpoint that goes to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Where no host's end matters.
    Shared,
    /// On the guest's host. Where there is but one store it is this, and all hosts reach it.
    Local,
}

/// The local disk and, if there are two stores, the shared one, as the guest's host has them.
#[derive(Debug)]
pub(super) struct Disks {
    /// The guest whose checkpoints are lost when a disk loses something.
    guest: String,
    local: Rc<RefCell<Disk>>,
    shared: Option<Disk>,
    /// The local disk as the host has it: off once the disk lost power, even if another host has it running again.
    attached: SimMedium,
    losses: Rc<RefCell<Vec<Timestamp>>>,
    damaged: Rc<RefCell<Vec<String>>>,
}

impl Disks {
    /// With an empty store on each.
    pub(super) fn with_stores(guest: &str, world: &World, host: HostId, two: bool, seed: u64) -> Self {
        let profile = world.profile();
        let far = profile.shared_medium.as_ref().unwrap_or(&profile.medium);
        let local = Disk::with_store(world, &profile.medium, seed);
        let disks = Disks {
            guest: guest.to_owned(),
            attached: local.medium.clone(),
            local: Rc::new(RefCell::new(local)),
            shared: two.then(|| Disk::with_store(world, far, seed ^ SHARED_SEED)),
            losses: Rc::default(),
            damaged: Rc::default(),
        };
        disks.attach(world, host);
        disks
    }

    /// The same local disk, for another guest on another host. If it loses power under one of them it does so under both.
    pub(super) fn beside(&self, guest: &str, world: &World, host: HostId) -> Self {
        let disks = Disks {
            guest: guest.to_owned(),
            local: Rc::clone(&self.local),
            shared: None,
            attached: self.local(),
            losses: Rc::default(),
            damaged: Rc::clone(&self.damaged),
        };
        disks.attach(world, host);
        disks
    }

    /// The host that used them is gone, and this one comes in its place: cuts what was not synced. If it is another host
    /// (`moved`) and there is a shared disk, the local one is another, too. A disk that another guest's host has running again is
    /// taken as it is.
    pub(super) fn reconnect(&mut self, world: &World, host: HostId, moved: bool) {
        if let Some(shared) = &mut self.shared {
            shared.boot(world);
        }
        if moved && self.shared.is_some() {
            let mut local = self.local.borrow_mut();
            local.medium = empty(world, &local.costs);
        } else if self.local().is_halted() {
            self.local.borrow_mut().boot(world);
        }
        self.attached = self.local();
        self.attach(world, host);
    }

    /// The host has lost the disk, which lost power with another guest's host.
    pub(super) fn are_gone(&self) -> bool {
        self.attached.is_halted()
    }

    fn attach(&self, world: &World, host: HostId) {
        let attached = Attached {
            guest: self.guest.clone(),
            local: self.local().at_a_standstill(),
            shared: self.shared.as_ref().map(|disk| disk.medium.at_a_standstill()),
            losses: Rc::clone(&self.losses),
            damaged: Rc::clone(&self.damaged),
        };
        world.attach(host, Rc::new(attached));
    }

    pub(super) fn local(&self) -> SimMedium {
        self.local.borrow().medium.clone()
    }

    /// Files that lost something so far, under any of the guests.
    pub(super) fn damaged(&self) -> Vec<String> {
        self.damaged.borrow().clone()
    }

    pub(super) fn shared(&self) -> Option<&SimMedium> {
        self.shared.as_ref().map(|disk| &disk.medium)
    }

    /// How often one of them lost something.
    pub(super) fn losses(&self) -> usize {
        self.losses.borrow().len()
    }

    /// When it was mended after each loss but the first so many.
    pub(super) fn mended_after(&self, known: usize) -> Vec<Timestamp> {
        self.losses.borrow()[known..].to_vec()
    }

    /// Whether one of them took no writes at some time since `begun`.
    pub(super) fn failed_since(&self, begun: Timestamp) -> bool {
        let shared = self.shared.as_ref().map(|disk| disk.medium.mended());
        let both = std::iter::once(self.local().mended()).chain(shared);
        both.into_iter().any(|mended| mended > begun)
    }
}

#[derive(Debug)]
struct Disk {
    medium: SimMedium,
    costs: MediumCosts,
    draws: Xoshiro256PlusPlus,
}

impl Disk {
    fn with_store(world: &World, costs: &MediumCosts, seed: u64) -> Self {
        Disk {
            medium: empty(world, costs),
            costs: costs.clone(),
            draws: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// As it is found after a loss of power.
    fn boot(&mut self, world: &World) {
        let image = self.medium.crash_image(&mut || self.draws.next_u64());
        let mended = self.medium.mended();
        let pace = WorldPace::with_costs(world, self.costs.clone());
        self.medium = SimMedium::paced(image, Rc::new(pace));
        self.medium.refuse_writes_until(mended);
    }
}

/// A disk with an empty store.
fn empty(world: &World, costs: &MediumCosts) -> SimMedium {
    let fresh = SimMedium::default();
    Store::create(&fresh).expect("a simulated disk without faults takes a store");
    let mut image = fresh.image();
    // Lock files are made by whoever takes a lock first: nobody has yet.
    image.files.remove("lock");
    let pace = WorldPace::with_costs(world, costs.clone());
    SimMedium::paced(image, Rc::new(pace))
}

/// What a host has attached.
#[derive(Debug)]
struct Attached {
    guest: String,
    local: SimMedium,
    shared: Option<SimMedium>,
    losses: Rc<RefCell<Vec<Timestamp>>>,
    damaged: Rc<RefCell<Vec<String>>>,
}

impl Powered for Attached {
    fn power_off(&self) {
        self.local.power_off();
        if let Some(shared) = &self.shared {
            shared.power_off();
        }
    }

    /// Strikes the store with the newest checkpoint; of one that is in both, the local one.
    fn damage(&self, mended: Timestamp) {
        let newer =
            |shared: &&SimMedium| newest_begun(shared, &self.guest) > newest_begun(&self.local, &self.guest);
        let struck = self.shared.as_ref().filter(newer).unwrap_or(&self.local);
        let damaged = damage_newest(struck, &self.guest);
        self.damaged.borrow_mut().extend(damaged);
        struck.damage(mended);
        self.losses.borrow_mut().push(mended);
    }
}
