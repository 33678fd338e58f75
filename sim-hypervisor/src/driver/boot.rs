//! One life of the checkpointer process: from its start on a host to that host's loss.

use std::rc::Rc;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_core::Store;
use revenant_core::capture::Session;
use revenant_core::store::{CheckpointId, StoreError, StoreOptions};

use crate::fault::{Faults, FaultyMedium};
use crate::medium::{Image, SimMedium, WorldPace};
use crate::world::{HostId, World};

/// The shared disk over all lives of the checkpointer. Whatever one life did not sync may be gone in the next.
#[derive(Debug)]
pub(super) struct SharedDisk {
    medium: SimMedium,
    draws: Xoshiro256PlusPlus,
}

impl SharedDisk {
    /// A disk with an empty store on it, seen from `host`.
    pub(super) fn with_store(world: &World, host: HostId, seed: u64) -> Self {
        let fresh = SimMedium::default();
        Store::create(&fresh).expect("a simulated disk without faults takes a store");
        let medium = connect(world, host, fresh.image());
        SharedDisk {
            medium,
            draws: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// The host that used it is gone: cuts what was not synced and connects another.
    pub(super) fn reconnect(&mut self, world: &World, host: HostId) {
        let image = self.medium.crash_image(&mut || self.draws.next_u64());
        self.medium = connect(world, host, image);
    }
}

fn connect(world: &World, host: HostId, image: Image) -> SimMedium {
    let medium = SimMedium::paced(image, Rc::new(WorldPace::new(world)));
    world.attach(host, Rc::new(medium.clone()));
    medium
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
