//! The second store: what goes there, and what comes back from there.

use std::collections::BTreeSet;
use std::time::Duration;

use revenant_core::store::{CollectOptions, CopyError};
use revenant_core::{Clock, Store};

use super::{Driver, Id, NotRestored};
use crate::driver::Spent;
use crate::driver::boot::{Candidate, Process};
use crate::driver::disks::Place;

impl Driver<'_> {
    /// Brings the checkpoint that has just been committed to the shared store, if there is one and it is its turn: tells for
    /// how long the guest stood still meanwhile.
    pub(super) fn share(&mut self, process: &Process, id: Id) -> Result<Option<Duration>, CopyError> {
        let (Some(rules), Some(shared)) = (self.scenario.rules.shared, &process.shared) else {
            return Ok(None);
        };
        if self.since_shared.saturating_add(1) < rules.every {
            self.since_shared += 1;
            return Ok(None);
        }
        let (begun, worked) = (self.world.now(), self.world.worked(self.guest));
        self.world.hold(self.guest, true);
        let copied = shared.copy_from(&process.local, id);
        self.world.hold(self.guest, false);
        let stood_still = self.until_lost().since(begun);
        match &copied {
            Ok(_) => {
                self.since_shared = 0;
                self.prune(shared);
            }
            Err(error) if error.damaged() && !self.disks.failed_since(begun) => weed(&process.local),
            Err(_) => {}
        }
        let (end, worked) = (
            self.until_lost(),
            self.world.worked(self.guest).saturating_sub(worked),
        );
        self.report.checkpointing += end.since(begun).saturating_sub(worked);
        self.spent(end - worked, Spent::Checkpoint);
        self.spent(end, Spent::Work);
        copied.map(|_| Some(stood_still))
    }

    /// The guest runs again: from there, or (`None`) from nothing.
    pub(super) fn came_from(&mut self, from: Option<Candidate>) {
        let far = from.map_or(self.away, |from| from.place == Place::Shared);
        self.away = false;
        if far {
            self.since_shared = 0;
        }
        self.report.fetched += u32::from(far && from.is_some());
    }
}

/// A copy found damage that no loss of a store explains. What shares it is of no use, and goes, so that the next capture stores
/// anew what is damaged. A failure here leaves that to the next copy.
fn weed(store: &Store) {
    let (Ok(seen), Ok(listing)) = (store.verify(None), store.list()) else {
        return;
    };
    let damaged: BTreeSet<Id> = seen
        .findings
        .into_iter()
        .flat_map(|finding| finding.checkpoints)
        .collect();
    let listed = listing.checkpoints.iter().map(|info| info.id);
    let ids: Vec<Id> = listed.filter(|id| damaged.contains(id)).collect();
    let options = CollectOptions {
        drop_damaged: true,
        max_unused_percent: 0,
        ..CollectOptions::default()
    };
    drop(store.remove(&ids, options));
}

/// Where a checkpoint is restored from: those in the shared store are brought to this host first, for the next restart.
pub(super) fn fetched(process: &Process, from: Candidate) -> Result<Candidate, NotRestored> {
    let Some(shared) = process.shared.as_ref().filter(|_| from.place == Place::Shared) else {
        return Ok(from);
    };
    match process.local.copy_from(shared, from.id) {
        Ok(copy) => Ok(Candidate {
            place: Place::Local,
            id: copy.id,
        }),
        Err(error) if error.damaged() => Err(NotRestored::Damaged),
        // A local store that takes no writes is no reason to go without a guest.
        Err(_) => Ok(from),
    }
}
