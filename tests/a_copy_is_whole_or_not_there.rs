//! Whatever moment the power goes while a checkpoint is copied from one store to another: the source is as it was, the target
//! has what it had, and the copy as a whole or not at all. `docs/checkpoint-format.md` §4.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use revenant_core::Store;
use revenant_core::store::{CheckpointId, CollectOptions};
use revenant_sim::SimMedium;
use revenant_sim::medium::{Image, Moment};
use revenant_tests::reliability::row;
use revenant_tests::stores::{Expected, open};

fn commit(disk: &SimMedium, expected: &Expected, base: Option<&(CheckpointId, Expected)>) -> CheckpointId {
    let store = open(disk).unwrap();
    let staging = expected.stage(&store, base).unwrap();
    staging.commit().unwrap().id
}

fn disk() -> SimMedium {
    let disk = SimMedium::default();
    Store::create(&disk).unwrap();
    disk
}

/// Page numbers from `number` on, in as many frames.
fn pages(count: u32, number: u32) -> Vec<(u64, u8, u32)> {
    (0..count).map(|i| (u64::from(i), 0, number + i)).collect()
}

/// A source with an increment on a full checkpoint, and a target that has the full one already.
struct Stores {
    source: SimMedium,
    target: Image,
    /// In the source.
    newest: CheckpointId,
    expected: Expected,
    /// In the target.
    older: (CheckpointId, Expected),
}

fn stores() -> Stores {
    let (source, target) = (disk(), disk());
    let full = Expected::new("g").with(&[pages(40, 1), vec![(50, 2, 0)]].concat(), "full");
    let first = (commit(&source, &full, None), full);
    let expected = first.1.clone().with(&pages(18, 1001), "increment");
    let newest = commit(&source, &expected, Some(&first));
    let copied = open(&target)
        .unwrap()
        .copy_from(&open(&source).unwrap(), first.0)
        .unwrap();
    Stores {
        source,
        target: target.image(),
        newest,
        older: (copied.id, copy_of(&first.1, first.0)),
        expected: copy_of(&expected, newest),
    }
}

/// A copy tells of what.
fn copy_of(expected: &Expected, id: CheckpointId) -> Expected {
    let mut copy = expected.clone();
    copy.facts.insert("copied_from".to_owned(), id.to_hex());
    copy
}

/// What a target may hold after a crash; tells whether the copy is there.
fn check(stores: &Stores, disk: &SimMedium) -> bool {
    let store = open(disk).unwrap();
    assert_eq!(store.verify(None).unwrap().findings, [], "a crash does no damage");
    let listing = store.list().unwrap();
    assert_eq!(listing.damaged, []);
    let (id, older) = &stores.older;
    assert_eq!(
        older.difference(&store, *id).unwrap(),
        None,
        "what was there is there"
    );
    let copies: Vec<_> = listing.checkpoints.iter().filter(|info| info.id != *id).collect();
    assert!(copies.len() <= 1);
    for copy in &copies {
        let difference = stores.expected.difference(&store, copy.id).unwrap();
        assert_eq!(difference, None, "half a copy");
    }
    !copies.is_empty()
}

#[test]
fn a_crash_in_a_copy_leaves_all_of_it_or_nothing() {
    let stores = stores();
    let before = stores.source.image();
    let copy = |disk: &SimMedium| {
        let (source, target) = (open(&stores.source).unwrap(), open(disk).unwrap());
        target.copy_from(&source, stores.newest)
    };
    let whole = SimMedium::new(stores.target.clone());
    whole.keep_log();
    copy(&whole).unwrap();
    assert!(check(&stores, &whole));
    let (mut seen, mut images) = (BTreeSet::new(), 0);
    for (nth, operation) in (1..).zip(whole.log()) {
        let torn = operation.starts_with("append").then_some(Moment::Torn);
        for moment in [Moment::Before, Moment::After].into_iter().chain(torn) {
            let disk = SimMedium::new(stores.target.clone());
            disk.crash_at(nth, moment);
            assert!(copy(&disk).is_err(), "no crash {moment:?} {operation}");
            for image in disk.crash_images() {
                let disk = SimMedium::new(image);
                images += 1;
                seen.insert(check(&stores, &disk));
                // It is done again, and what the crash left is collected.
                copy(&disk).unwrap();
                let store = open(&disk).unwrap();
                store.collect(CollectOptions::default()).unwrap();
                let verified = store.verify(None).unwrap();
                assert_eq!((verified.findings, verified.remains), (vec![], vec![]));
                let newest = store.newest("g").unwrap().unwrap();
                assert_eq!(stores.expected.difference(&store, newest).unwrap(), None);
            }
        }
    }
    assert!(stores.source.image() == before, "the source is as it was");
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [false, true],
        "both are seen"
    );
    row(
        "crash at every step of a copy into another store",
        format!("{images} images"),
        "all of the copy is there, or nothing",
        "cargo test -p revenant-tests --test a_copy_is_whole_or_not_there",
    );
    assert!(images >= 50, "the scenario has become poorer: {images} images");
}
