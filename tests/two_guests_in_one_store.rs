//! Two guests in one store, each protected by a process of its own with rules of its own: whatever is damaged, and whoever's disk
//! loses power, neither loses a checkpoint that its own rules keep.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use revenant_core::store::{CheckpointId, CollectOptions, Retention, Scope, Store, StoreError};
use revenant_sim::SimMedium;
use revenant_tests::stores::{Expected, open};

/// What happens to one of the guests, or to the store.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A checkpoint, on the one before or full, and a prune by the guest's own rule as a protector does it.
    Captured { guest: usize, incremental: bool },
    /// A checkpoint whose guest turns out to hang.
    Hung { guest: usize },
    /// The newest checkpoint of the guest is torn: what only it needs is cut in half.
    Torn { guest: usize },
    /// Both processes start again.
    Restarted,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..2usize, any::<bool>()).prop_map(|(guest, incremental)| Event::Captured { guest, incremental }),
        1 => (0..2usize).prop_map(|guest| Event::Hung { guest }),
        1 => (0..2usize).prop_map(|guest| Event::Torn { guest }),
        1 => Just(Event::Restarted),
    ]
}

/// One guest and the process that protects it.
struct Protector {
    name: &'static str,
    keep_last: u32,
    store: Store,
    now: Expected,
    writes: u32,
    /// Committed, oldest first, with what they hold; whether they count, and whether they were torn.
    committed: Vec<(CheckpointId, Expected, bool, bool)>,
    /// What the last prune had to leave.
    owed: Vec<CheckpointId>,
}

impl Protector {
    fn new(name: &'static str, keep_last: u32, disk: &SimMedium) -> Self {
        Protector {
            name,
            keep_last,
            store: open(disk).unwrap(),
            now: Expected::new(name),
            writes: 0,
            committed: Vec::new(),
            owed: Vec::new(),
        }
    }

    fn capture(&mut self, incremental: bool, hangs: bool) {
        self.writes += 1;
        let own = if self.name == "a" { 0 } else { 400 };
        // Some pages are the other guest's, too.
        let frames = (0..20).map(|i| {
            (
                u64::from((self.writes * 7 + i) % 60),
                0,
                own + self.writes * 20 + i,
            )
        });
        let shared = (60..64).map(|pfn| (pfn, 0, 800 + u32::try_from(pfn).unwrap()));
        let pages: Vec<_> = frames.chain(shared).collect();
        self.now = self.now.clone().with(&pages, &self.writes.to_string());
        let base = self.committed.last().filter(|_| incremental);
        let base = base.map(|(id, expected, ..)| (*id, expected.clone()));
        let staging = match self.now.stage(&self.store, base.as_ref()) {
            // As the capture engine does.
            Err(StoreError::Damaged(_)) if base.is_some() => self.now.stage(&self.store, None),
            staging => staging,
        };
        let id = staging.unwrap().commit().unwrap().id;
        self.committed.push((id, self.now.clone(), !hangs, false));
    }

    fn prune(&mut self) {
        let hung = self.committed.iter().filter(|checkpoint| !checkpoint.2);
        let retention = Retention {
            keep_last: Some(self.keep_last),
            quarantined: hung.map(|checkpoint| checkpoint.0).collect(),
            ..Retention::new(Scope::Guest(self.name.to_owned()))
        };
        let pruned = self.store.prune(&retention, CollectOptions::default()).unwrap();
        assert!(pruned.dropped.iter().all(|info| info.guest == self.name));
        let of_use = self
            .committed
            .iter()
            .rev()
            .filter(|checkpoint| checkpoint.2 && !checkpoint.3);
        self.owed = of_use
            .take(self.keep_last as usize)
            .map(|checkpoint| checkpoint.0)
            .collect();
    }

    /// Cuts in half what only the newest checkpoint needs.
    fn tear(&mut self, disk: &SimMedium) {
        let Some(newest) = self.committed.last_mut() else {
            return;
        };
        let mut without = disk.image();
        without
            .files
            .remove(&format!("checkpoints/{}", newest.0.to_hex()));
        let needless = |image| {
            let remains = open(&SimMedium::new(image))
                .unwrap()
                .verify(None)
                .unwrap()
                .remains;
            remains
                .into_iter()
                .map(|remains| remains.path)
                .collect::<Vec<_>>()
        };
        let before = needless(disk.image());
        if let Some(own) = needless(without).into_iter().find(|path| !before.contains(path)) {
            disk.rot(&own, |bytes| bytes.truncate(bytes.len() / 2));
            newest.3 = true;
        }
    }

    /// What the last prune had to leave is there, unless it was torn since, and holds what it held.
    fn check(&self, disk: &SimMedium) {
        let store = open(disk).unwrap();
        let owed = self
            .committed
            .iter()
            .filter(|checkpoint| self.owed.contains(&checkpoint.0) && !checkpoint.3);
        for (id, expected, ..) in owed {
            assert_eq!(
                expected.difference(&store, *id).unwrap(),
                None,
                "{} of {}",
                id,
                self.name
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]
    #[test]
    fn neither_loses_what_its_own_rules_keep(
        keep in (1..4u32, 1..4u32), events in prop::collection::vec(any_event(), 1..40),
    ) {
        let disk = SimMedium::default();
        Store::create(&disk).unwrap();
        let mut guests = [Protector::new("a", keep.0, &disk), Protector::new("b", keep.1, &disk)];
        for event in events {
            match event {
                Event::Captured { guest, incremental } => {
                    guests[guest].capture(incremental, false);
                    guests[guest].prune();
                }
                Event::Hung { guest } => {
                    guests[guest].capture(true, true);
                    guests[guest].prune();
                }
                Event::Torn { guest } => guests[guest].tear(&disk),
                Event::Restarted => {
                    for guest in &mut guests {
                        guest.store = open(&disk).unwrap();
                    }
                }
            }
            guests.iter().for_each(|guest| guest.check(&disk));
        }
        // Nor is more kept than that, but for what is newer than the last of it.
        for guest in &mut guests {
            guest.capture(false, false);
            for _ in 0..guest.keep_last {
                guest.capture(true, false);
            }
            guest.prune();
            let listed = guest.store.list().unwrap().checkpoints;
            let of_guest = listed.iter().filter(|info| info.guest == guest.name).count();
            prop_assert_eq!(of_guest, guest.keep_last as usize);
        }
    }
}
