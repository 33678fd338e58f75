//! One life of the checkpointer process: from its start on a host to that host's loss.

use std::rc::Rc;

use revenant_core::capture::Session;
use revenant_core::store::{CheckpointId, StoreError, StoreOptions};
use revenant_core::{Store, Timestamp};

use super::disks::{Disks, Place};
use crate::fault::{Faults, FaultyMedium};
use crate::medium::SimMedium;
use crate::world::{HostId, World};

/// What a restart may be tried from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) place: Place,
    pub(super) id: CheckpointId,
}

/// The checkpointer on a host.
#[derive(Debug)]
pub(super) struct Process {
    /// The guest's name.
    guest: String,
    pub(super) local: Store,
    pub(super) shared: Option<Store>,
    pub(super) session: Session,
}

impl Process {
    /// Starts it for a guest of this name: opens the stores.
    pub(super) fn start(
        guest: &str,
        world: &World,
        host: HostId,
        disks: &Disks,
        faults: &Faults,
        compression_level: i32,
    ) -> Result<Self, StoreError> {
        // Without workers everything happens on this thread: a trial is a thread's work already.
        let options = StoreOptions {
            workers: 0,
            compression_level,
            ..StoreOptions::default()
        };
        let open = |disk: &SimMedium| {
            let medium = FaultyMedium::new(Rc::new(disk.clone()), host, faults.clone());
            Store::open(Rc::new(medium), Rc::new(world.clone()), options)
        };
        Ok(Process {
            guest: guest.to_owned(),
            local: open(&disks.local())?,
            shared: disks.shared().map(open).transpose()?,
            session: Session::continuous(),
        })
    }

    /// The store of a place; where there is but one, that.
    pub(super) fn store(&self, place: Place) -> &Store {
        match place {
            Place::Shared => self.shared.as_ref().unwrap_or(&self.local),
            Place::Local => &self.local,
        }
    }

    /// The guest's committed checkpoints, oldest first; of one that is in both stores the local one last.
    pub(super) fn candidates(&self) -> Result<Vec<Candidate>, StoreError> {
        let at = |place| move |(begun, id)| (begun, Candidate { place, id });
        let mut all: Vec<_> = self
            .listed(&self.local)?
            .into_iter()
            .map(at(Place::Local))
            .collect();
        if let Some(shared) = &self.shared {
            all.extend(self.listed(shared)?.into_iter().map(at(Place::Shared)));
            // Begun is what a copy has in common with its original.
            all.sort_by_key(|&(begun, candidate)| (begun, candidate.place));
        }
        Ok(all.into_iter().map(|(_, candidate)| candidate).collect())
    }

    /// The guest's checkpoints in one of its stores, oldest first, and when each was begun.
    fn listed(&self, store: &Store) -> Result<Vec<(Timestamp, CheckpointId)>, StoreError> {
        listed(store, &self.guest)
    }
}

/// A guest's checkpoints in a store, oldest first, and when each was begun.
pub(super) fn listed(store: &Store, guest: &str) -> Result<Vec<(Timestamp, CheckpointId)>, StoreError> {
    let listing = store.list()?.checkpoints.into_iter();
    let of_guest = listing.filter(|info| info.guest == guest);
    Ok(of_guest.map(|info| (info.begun, info.id)).collect())
}
