//! What has been committed, where, and what of it can still be read.

use std::collections::VecDeque;
use std::time::Duration;

use revenant_core::Timestamp;

/// Checkpoints that each store keeps.
const KEEP_LAST: usize = 8;
/// All there can be at a time.
pub(super) const CANDIDATES_MAX: usize = 2 * KEEP_LAST;

/// Where a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On the guest's host; with one store, in that.
    Local,
    /// Where no host's end matters.
    Shared,
}

/// A committed checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The work it holds.
    pub(super) work: Duration,
    /// The guest's state was already wrong.
    pub(super) corrupt: bool,
    pub(super) place: Place,
    /// In the order of commits; of one capture, the local one last.
    number: u64,
}

#[derive(Debug, Default)]
struct Store {
    /// Oldest first, and whether it can be read.
    kept: VecDeque<(Checkpoint, bool)>,
    /// Writes fail until then.
    broken_until: Timestamp,
}

/// The local and the shared store. With one store only the first is used, and it outlives the host.
#[derive(Debug, Default)]
pub(super) struct Stores {
    local: Store,
    shared: Store,
    number: u64,
    /// Commits since the last one to the shared store.
    since_shared: u32,
    /// The job's own image is not on this host: a start from nothing takes it from the shared store.
    away: bool,
}

impl Stores {
    fn store(&mut self, place: Place) -> &mut Store {
        match place {
            Place::Local => &mut self.local,
            Place::Shared => &mut self.shared,
        }
    }

    pub(super) fn commit(&mut self, work: Duration, corrupt: bool, place: Place) -> Checkpoint {
        self.number += 1;
        let checkpoint = Checkpoint {
            work,
            corrupt,
            place,
            number: self.number,
        };
        let store = self.store(place);
        store.kept.push_back((checkpoint, true));
        if store.kept.len() > KEEP_LAST {
            store.kept.pop_front();
        }
        match place {
            Place::Shared => self.since_shared = 0,
            Place::Local => self.since_shared = self.since_shared.saturating_add(1),
        }
        checkpoint
    }

    /// Whether the next checkpoint is the `every`-th since the last that went to the shared store.
    pub(super) fn shared_is_due(&self, every: u32) -> bool {
        self.since_shared.saturating_add(1) >= every
    }

    /// Forgets how long ago the shared store had its last checkpoint: this one was it.
    pub(super) fn pattern_begins(&mut self) {
        self.since_shared = 0;
    }

    /// What a restart may be tried from, oldest first, unreadable ones included: nobody knows of them yet.
    pub(super) fn candidates(&self) -> Vec<Checkpoint> {
        let both = self.local.kept.iter().chain(&self.shared.kept);
        let mut all: Vec<_> = both.map(|(checkpoint, _)| *checkpoint).collect();
        all.sort_by_key(|checkpoint| checkpoint.number);
        all
    }

    /// The newest work that a restart will find.
    pub(super) fn newest_work(&self) -> Duration {
        let both = self.local.kept.iter().chain(&self.shared.kept);
        both.filter(|(_, readable)| *readable)
            .max_by_key(|(checkpoint, _)| checkpoint.number)
            .map_or(Duration::ZERO, |(checkpoint, _)| checkpoint.work)
    }

    /// Reads a checkpoint; one that cannot be read is taken out.
    pub(super) fn read(&mut self, checkpoint: Checkpoint) -> bool {
        let kept = &mut self.store(checkpoint.place).kept;
        let Some(at) = kept.iter().position(|(other, _)| *other == checkpoint) else {
            return false;
        };
        let readable = kept[at].1;
        if !readable {
            kept.remove(at);
        }
        readable
    }

    /// The host is gone with its store.
    pub(super) fn lose_local(&mut self) {
        self.local = Store::default();
        self.away = true;
    }

    /// The store with the newest checkpoint loses that one, and takes no other until it is mended.
    pub(super) fn damage(&mut self, mended: Timestamp) {
        let newest = |store: &Store| store.kept.back().map_or(0, |(checkpoint, _)| checkpoint.number);
        let place = if newest(&self.shared) > newest(&self.local) {
            Place::Shared
        } else {
            Place::Local
        };
        let store = self.store(place);
        if let Some((_, readable)) = store.kept.back_mut() {
            *readable = false;
        }
        store.broken_until = store.broken_until.max(mended);
    }

    /// Whether a store failed writes at any time since `start`.
    pub(super) fn failed_since(&self, start: Timestamp, place: Place) -> bool {
        let store = match place {
            Place::Local => &self.local,
            Place::Shared => &self.shared,
        };
        store.broken_until > start
    }

    pub(super) fn image_is_away(&self) -> bool {
        self.away
    }

    /// The guest runs from `from` on this host.
    pub(super) fn restored(&mut self, from: Option<Checkpoint>) {
        let far = from.map_or(self.away, |from| from.place == Place::Shared);
        self.away = false;
        if far {
            if let Some(from) = from {
                self.commit(from.work, from.corrupt, Place::Local);
            }
            self.pattern_begins();
        }
    }

    /// The backup of a guest in epochs has its state at this work.
    pub(super) fn follow(&mut self, work: Duration, corrupt: bool) {
        self.local.kept.clear();
        self.commit(work, corrupt, Place::Local);
    }
}
