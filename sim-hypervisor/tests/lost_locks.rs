//! Whatever moment somebody removes or replaces the lock file of a store in use, and whoever is let in by that, nothing that was
//! committed is lost, and no commit succeeds whose checkpoint cannot be read: `docs/checkpoint-format.md` §6.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use revenant_core::clock::SystemClock;
use revenant_core::guest::{MachineKind, PageBatch, PageTag};
use revenant_core::medium::{DirEntry, LockAttempt, LockMode, MediumError, MediumReader, MediumWriter};
use revenant_core::store::{
    CheckpointId, CollectOptions, NewCheckpoint, Pruned, Retention, Scope, StoreError, StoreOptions,
};
use revenant_core::units::{PAGE_SIZE, Pfn};
use revenant_core::{Medium, Store};
use revenant_sim::SimMedium;
use revenant_sim::medium::Image;

/// A medium that does a deed just before its `at`th call.
struct Meddled {
    inner: SimMedium,
    calls: Cell<u64>,
    at: u64,
    deed: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl fmt::Debug for Meddled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meddled")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Meddled {
    fn inner(&self) -> &SimMedium {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() == self.at {
            let deed = self.deed.take().unwrap();
            deed();
        }
        &self.inner
    }
}

impl Medium for Meddled {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        self.inner().create_new(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        self.inner().open(path)
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        self.inner().list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        self.inner().rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        self.inner().remove(path)
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.inner().create_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.inner().sync_dir(dir)
    }

    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError> {
        self.inner().try_lock(path, mode, wait)
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.inner().free_bytes()
    }
}

/// Number of the page that each frame holds.
type Memory = BTreeMap<u64, u32>;

fn page(number: u32) -> [u8; PAGE_SIZE] {
    let mut page = [0; PAGE_SIZE];
    page[..4].copy_from_slice(&number.to_le_bytes());
    page
}

fn open(medium: Rc<dyn Medium>) -> Store {
    let options = StoreOptions {
        workers: 0,
        ..StoreOptions::default()
    };
    Store::open(medium, Rc::new(SystemClock::new()), options).unwrap()
}

fn commit(store: &Store, base: Option<CheckpointId>, memory: &Memory) -> Result<CheckpointId, StoreError> {
    let mut staging = store.begin(NewCheckpoint {
        guest: "g".to_owned(),
        machine: MachineKind::new("test"),
        base,
        facts: BTreeMap::new(),
    })?;
    let mut batch = staging.take_batch();
    for (&frame, &number) in memory {
        batch.push(Pfn(frame), PageTag(0), &page(number));
    }
    staging.put_pages(batch)?;
    Ok(staging.commit()?.id)
}

/// Panics unless the checkpoint holds exactly this.
fn assert_whole(disk: &SimMedium, id: CheckpointId, memory: &Memory, when: &str) {
    let store = open(Rc::new(disk.clone()));
    let mut reader = store.read(id).unwrap_or_else(|e| panic!("{when}: {e}"));
    let mut found = Memory::new();
    let mut batch = PageBatch::new();
    while reader
        .next_batch(&mut batch)
        .unwrap_or_else(|e| panic!("{when}: {e}"))
    {
        for (pfn, _, bytes) in batch.iter() {
            let number = u32::from_le_bytes(*bytes.first_chunk().unwrap());
            assert_eq!(bytes[..], page(number)[..], "{when}");
            found.insert(pfn.0, number);
        }
    }
    assert_eq!(&found, memory, "{when}");
}

fn frames(numbers: impl Iterator<Item = u32>) -> Memory {
    (0..).zip(numbers).collect()
}

fn prune(store: &Store) -> Result<Pruned, StoreError> {
    let newest = Retention {
        keep_last: Some(1),
        ..Retention::new(Scope::All)
    };
    store.prune(&newest, CollectOptions::default())
}

/// A store with what a prune removes in every way: a segment as a whole, and most of another.
struct Scene {
    image: Image,
    old: CheckpointId,
    newest: CheckpointId,
    newest_memory: Memory,
    /// Of pages that the prune will find unneeded, of others that it will not, and of new ones.
    new_memory: Memory,
}

fn scene() -> Scene {
    let disk = SimMedium::default();
    Store::create(&disk).unwrap();
    let store = open(Rc::new(disk.clone()));
    commit(&store, None, &frames(7000..7040)).unwrap();
    let old = commit(&store, None, &frames(1..201)).unwrap();
    let newest_memory = frames((1..17).chain(1000..1040));
    let newest = commit(&store, None, &newest_memory).unwrap();
    Scene {
        image: disk.image(),
        old,
        newest,
        newest_memory,
        new_memory: frames((7000..7040).chain(1..201).chain(9000..9020)),
    }
}

#[derive(Debug, Clone, Copy)]
enum Meddling {
    Remove,
    Replace,
}

impl Meddling {
    fn with(self, disk: &SimMedium) {
        match self {
            Meddling::Remove => {
                // It may not have been made yet.
                let _ = disk.remove("lock");
            }
            Meddling::Replace => {
                drop(disk.create_new("other").unwrap());
                disk.rename("other", "lock").unwrap();
            }
        }
    }
}

/// Runs something on a fresh copy of the scene for each call that it does on the medium, with a deed before that call.
fn at_every_call(
    scene: &Scene,
    deed: impl Fn(&SimMedium, Meddling) -> Box<dyn FnOnce()>,
    mut run: impl FnMut(Rc<Meddled>, &SimMedium, &str),
) {
    for meddling in [Meddling::Remove, Meddling::Replace] {
        for at in 1.. {
            let disk = SimMedium::new(scene.image.clone());
            let meddled = Rc::new(Meddled {
                inner: disk.clone(),
                calls: Cell::new(0),
                at,
                deed: RefCell::new(Some(deed(&disk, meddling))),
            });
            run(
                Rc::clone(&meddled),
                &disk,
                &format!("{meddling:?} before call {at}"),
            );
            if meddled.deed.borrow().is_some() {
                assert!(at > 10, "there are more calls than {at}");
                break;
            }
        }
    }
}

#[test]
fn a_prune_harms_no_checkpoint_that_is_committed_while_its_lock_is_gone() {
    let scene = scene();
    // A writer that begins then, and one that knows the store from before.
    for seasoned in [false, true] {
        let (mut stopped, mut committed) = (0, 0);
        let new: Rc<Cell<Option<CheckpointId>>> = Rc::default();
        let deed = |disk: &SimMedium, meddling: Meddling| -> Box<dyn FnOnce()> {
            let (disk, memory, new) = (disk.clone(), scene.new_memory.clone(), Rc::clone(&new));
            let writer = open(Rc::new(disk.clone()));
            if seasoned {
                commit(&writer, None, &scene.newest_memory).unwrap();
            }
            Box::new(move || {
                meddling.with(&disk);
                new.set(commit(&writer, None, &memory).ok());
            })
        };
        at_every_call(&scene, deed, |meddled, disk, when| {
            let newest_before = open(Rc::new(disk.clone())).newest("g").unwrap().unwrap();
            new.set(None);
            let pruned = prune(&open(meddled));
            let stops = |pruned: &Pruned| {
                let undone = &pruned.collected.undone;
                undone.iter().any(|undone| undone.what.contains("lock"))
            };
            stopped += u32::from(match &pruned {
                Ok(pruned) => stops(pruned),
                Err(error) => matches!(error, StoreError::LockLost { .. }),
            });
            if let Some(id) = new.get() {
                committed += 1;
                assert_whole(disk, id, &scene.new_memory, when);
            }
            // Unless the other one was there before it looked, it keeps what was the newest.
            let kept = pruned.map_or(vec![newest_before], |pruned| {
                pruned.kept.iter().map(|info| info.id).collect()
            });
            for id in kept.into_iter().filter(|&id| Some(id) != new.get()) {
                assert_whole(disk, id, &scene.newest_memory, when);
            }
        });
        assert!(
            stopped > 10 && committed > 10,
            "{stopped} stopped, {committed} committed"
        );
    }
}

#[test]
fn a_commit_whose_lock_is_gone_fails_if_a_prune_took_what_it_shares() {
    let scene = scene();
    let deed = |disk: &SimMedium, meddling: Meddling| -> Box<dyn FnOnce()> {
        let disk = disk.clone();
        Box::new(move || {
            meddling.with(&disk);
            // It is refused where nobody took the lock away from it: the writer has the new file.
            let _ = prune(&open(Rc::new(disk.clone())));
        })
    };
    for incremental in [false, true] {
        let base = incremental.then_some(scene.old);
        let (mut failed, mut committed) = (0, 0);
        at_every_call(&scene, deed, |meddled, disk, when| {
            let writer = open(meddled);
            let memory = if incremental {
                frames(9000..9010)
            } else {
                scene.new_memory.clone()
            };
            if let Ok(id) = commit(&writer, base, &memory) {
                committed += 1;
                let mut whole = if incremental {
                    frames(1..201)
                } else {
                    Memory::new()
                };
                whole.extend(memory);
                assert_whole(disk, id, &whole, when);
            } else {
                failed += 1;
                let store = open(Rc::new(disk.clone()));
                let findings = store.verify(None).unwrap().findings;
                assert_eq!(findings, [], "{when}: a failed commit leaves nothing damaged");
                let newest = store.newest("g").unwrap();
                assert!(newest.is_some(), "{when}: the guest has lost all");
            }
        });
        assert!(
            failed > 10 && committed > 0,
            "{failed} failed, {committed} committed"
        );
    }
}

#[test]
fn a_commit_looks_for_what_it_shares_even_if_nobody_took_its_lock() {
    // As on a medium whose locks do not reach other hosts.
    let scene = scene();
    for damage in ["gone", "shorter"] {
        let disk = SimMedium::new(scene.image.clone());
        let store = open(Rc::new(disk.clone()));
        let mut staging = store
            .begin(NewCheckpoint {
                guest: "g".to_owned(),
                machine: MachineKind::new("test"),
                base: Some(scene.newest),
                facts: BTreeMap::new(),
            })
            .unwrap();
        let mut batch = staging.take_batch();
        batch.push(Pfn(0), PageTag(0), &page(1));
        staging.put_pages(batch).unwrap();
        for entry in disk.list("segments").unwrap() {
            let path = format!("segments/{}", entry.name);
            if damage == "gone" {
                disk.remove(&path).unwrap();
            } else {
                disk.rot(&path, |bytes| bytes.truncate(100));
            }
        }
        let failed = staging.commit();
        assert!(
            matches!(failed, Err(StoreError::SegmentLost { .. })),
            "{failed:?}"
        );
        let listing = open(Rc::new(disk)).list().unwrap();
        assert_eq!(listing.checkpoints.len(), 3, "segments {damage}");
    }
}
