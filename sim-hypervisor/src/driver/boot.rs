//! One life of the checkpointer process: from its start on a host to that host's loss.

use std::cell::RefCell;
use std::rc::Rc;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_core::capture::Session;
use revenant_core::store::{CheckpointId, StoreError, StoreOptions};
use revenant_core::{Store, Timestamp};

use super::damage::damage_newest;
use crate::fault::{Faults, FaultyMedium};
use crate::medium::{Image, SimMedium, WorldPace};
use crate::world::{HostId, Powered, World};

/// The shared disk over all lives of the checkpointer. Whatever one life did not sync may be gone in the next.
#[derive(Debug)]
pub(super) struct SharedDisk {
    medium: SimMedium,
    draws: Xoshiro256PlusPlus,
    losses: Rc<RefCell<Vec<Timestamp>>>,
}

impl SharedDisk {
    /// A disk with an empty store on it, seen from `host`.
    pub(super) fn with_store(world: &World, host: HostId, seed: u64) -> Self {
        let fresh = SimMedium::default();
        Store::create(&fresh).expect("a simulated disk without faults takes a store");
        let losses = Rc::default();
        let medium = connect(world, host, fresh.image(), &losses);
        SharedDisk {
            medium,
            draws: Xoshiro256PlusPlus::seed_from_u64(seed),
            losses,
        }
    }

    /// The host that used it is gone: cuts what was not synced and connects another.
    pub(super) fn reconnect(&mut self, world: &World, host: HostId) {
        let image = self.medium.crash_image(&mut || self.draws.next_u64());
        let mended = self.medium.mended();
        self.medium = connect(world, host, image, &self.losses);
        self.medium.refuse_writes_until(mended);
    }

    /// How often it lost something.
    pub(super) fn losses(&self) -> usize {
        self.losses.borrow().len()
    }

    /// When it was mended after each loss but the first so many.
    pub(super) fn mended_after(&self, known: usize) -> Vec<Timestamp> {
        self.losses.borrow()[known..].to_vec()
    }

    /// Whether it took no writes at some time since `begun`.
    pub(super) fn failed_since(&self, begun: Timestamp) -> bool {
        self.medium.mended() > begun
    }
}

fn connect(world: &World, host: HostId, image: Image, losses: &Rc<RefCell<Vec<Timestamp>>>) -> SimMedium {
    let medium = SimMedium::paced(image, Rc::new(WorldPace::new(world)));
    let attached = StoreDisk {
        medium: medium.clone(),
        losses: Rc::clone(losses),
    };
    world.attach(host, Rc::new(attached));
    medium
}

/// A disk with a store on it, as its host has it.
#[derive(Debug)]
struct StoreDisk {
    medium: SimMedium,
    losses: Rc<RefCell<Vec<Timestamp>>>,
}

impl Powered for StoreDisk {
    fn power_off(&self) {
        self.medium.power_off();
    }

    fn damage(&self, mended: Timestamp) {
        damage_newest(&self.medium);
        self.medium.damage(mended);
        self.losses.borrow_mut().push(mended);
    }
}

/// The checkpointer on a host.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) store: Store,
    pub(super) session: Session,
}

impl Process {
    /// Starts it: opens the store.
    pub(super) fn start(
        world: &World,
        host: HostId,
        disk: &SharedDisk,
        faults: &Faults,
        compression_level: i32,
    ) -> Result<Self, StoreError> {
        let medium = FaultyMedium::new(Rc::new(disk.medium.clone()), host, faults.clone());
        // Without workers everything happens on this thread: a trial is a thread's work already.
        let options = StoreOptions {
            workers: 0,
            compression_level,
            ..StoreOptions::default()
        };
        let store = Store::open(Rc::new(medium), Rc::new(world.clone()), options)?;
        Ok(Process {
            store,
            session: Session::continuous(),
        })
    }

    /// The guest's committed checkpoints, oldest first.
    pub(super) fn candidates(&self, guest: &str) -> Result<Vec<CheckpointId>, StoreError> {
        let listing = self.store.list()?;
        Ok(listing
            .checkpoints
            .into_iter()
            .filter(|info| info.guest == guest)
            .map(|info| info.id)
            .collect())
    }
}
