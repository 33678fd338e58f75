//! What is damaged is never shared by later checkpoints, and is whole again once equal content is in the store, or in another
//! one: `docs/checkpoint-format.md` §2 and §5. A crash of the repair takes nothing away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use revenant_core::store::{
    BadCounts, CheckpointId, CollectOptions, Repaired, ScrubCursor, Store, StoreError,
};
use revenant_sim::SimMedium;
use revenant_sim::medium::{Image, Moment};
use revenant_tests::stores::{Expected, open};

type Held = (CheckpointId, Expected);

/// Three checkpoints that share pages: one, an increment on it, and another guest's.
fn small_store() -> (Image, Vec<Held>) {
    let disk = SimMedium::default();
    Store::create(&disk).unwrap();
    let store = open(&disk).unwrap();
    let number = |pfn: u64| u32::try_from(pfn).unwrap();
    let mut pages: Vec<_> = (0..40).map(|pfn| (pfn, 0, number(pfn) + 1)).collect();
    pages.extend([(3, 0, 1003), (41, 5, 0), (42, 0, 0)]);
    let mut held: Vec<Held> = Vec::new();
    let first = Expected::new("a").with(&pages, "first");
    let pages: Vec<_> = (30..52).map(|pfn| (pfn, 1, number(pfn) + 101)).collect();
    let second = first.clone().with(&pages, "second");
    let other = Expected::new("b").with(&[(0, 0, 36), (1, 0, 140), (2, 2, 300), (9, 9, 0)], "other");
    for (expected, on_first) in [(first, false), (second, true), (other, false)] {
        let base = held.first().filter(|_| on_first);
        let id = expected.stage(&store, base).unwrap().commit().unwrap().id;
        held.push((id, expected));
    }
    drop(store);
    (disk.image(), held)
}

fn paths(image: &Image, dir: &str) -> Vec<String> {
    let all = image.files.keys();
    all.filter(|path| path.starts_with(dir)).cloned().collect()
}

fn is_whole(store: &Store, (id, expected): &Held) -> bool {
    match expected.difference(store, *id) {
        Ok(difference) => {
            assert_eq!(difference, None, "{id} is not what was put in");
            true
        }
        Err(StoreError::Damaged(_)) => false,
        Err(other) => panic!("{id}: {other}"),
    }
}

fn assert_all_whole(store: &Store, held: &[Held], what: &str) {
    let verified = store.verify(None).unwrap();
    assert_eq!(verified.findings, [], "{what}");
    assert_eq!(verified.not_noted, None, "{what}");
    assert_eq!(store.known_bad().unwrap(), BadCounts::default(), "{what}");
    for held in held {
        assert!(is_whole(store, held), "{what}: {} is damaged", held.0);
    }
}

/// Verifies, then takes the content of every checkpoint in once more: each of these is whole, whatever the store has, and
/// heals the older ones.
fn heal_by_import(image: &Image, held: &[Held], what: &str) {
    let disk = SimMedium::new(image.clone());
    let store = open(&disk).unwrap();
    assert!(!store.verify(None).unwrap().findings.is_empty(), "{what}");
    let mut all = held.to_vec();
    for (_, expected) in held {
        let id = expected.stage(&store, None).unwrap().commit().unwrap().id;
        all.push((id, expected.clone()));
        assert!(
            is_whole(&store, all.last().unwrap()),
            "{what}: what was bad is shared"
        );
    }
    store.heal().unwrap();
    assert_all_whole(&store, &all, what);
}

#[test]
fn equal_content_heals_every_place() {
    let (image, held) = small_store();
    for path in paths(&image, "segments/") {
        let len = image.files[&path].len();
        for at in (0..len).filter(|at| at % 11 == 0 || *at < 20 || at + 60 > len) {
            let mut damaged = image.clone();
            assert!(damaged.corrupt(&path, at as u64, 1 << (at % 8)));
            heal_by_import(&damaged, &held, &format!("byte {at} of {path}"));
        }
        for cut in [0, 10, len / 2, len - 1] {
            let mut damaged = image.clone();
            damaged.insert(&path, image.files[&path][..cut].to_vec());
            heal_by_import(&damaged, &held, &format!("{path} cut to {cut} bytes"));
        }
        let mut damaged = image.clone();
        damaged.files.remove(&path);
        heal_by_import(&damaged, &held, &format!("{path} missing"));
    }
}

#[test]
fn what_a_restore_or_a_scrub_finds_is_not_shared_either_and_prune_heals_it() {
    let (image, held) = small_store();
    let path = paths(&image, "segments/")
        .into_iter()
        .max_by_key(|path| image.files[path].len())
        .unwrap();
    let mut damaged = image.clone();
    assert!(damaged.corrupt(&path, 40, 1));
    for scrub in [false, true] {
        let store = open(&SimMedium::new(damaged.clone())).unwrap();
        let mut cursor = ScrubCursor::default();
        let mut found = Vec::new();
        let mut done = !scrub;
        while !done {
            let slice = store.scrub(&mut cursor, 1000).unwrap();
            assert!(slice.bytes < 1000 + (2 << 20));
            found.extend(slice.findings);
            done = slice.round_done;
        }
        assert_eq!(
            found.iter().filter(|finding| finding.path == path).count(),
            usize::from(scrub)
        );
        let lost = held.iter().filter(|held| !is_whole(&store, held)).count();
        assert!(lost > 0);
        assert_eq!(store.known_bad().unwrap().frames, 1);
        // Without a word to the store: it was told by the one that came upon it.
        let (_, content) = &held[0];
        let id = content.stage(&store, None).unwrap().commit().unwrap().id;
        assert!(is_whole(&store, &(id, content.clone())));
        assert!(store.collect(CollectOptions::default()).unwrap().pages_healed > 0);
        assert_all_whole(&store, &held, "after a collection");
    }
}

#[test]
fn an_increment_does_not_build_on_bad_pages() {
    let (image, held) = small_store();
    for path in paths(&image, "segments/") {
        let mut damaged = image.clone();
        assert!(damaged.corrupt(&path, 40, 1));
        let store = open(&SimMedium::new(damaged)).unwrap();
        store.verify(None).unwrap();
        for base in &held {
            let whole = is_whole(&store, base);
            match base
                .1
                .stage(&store, Some(base))
                .map(|staging| staging.commit().unwrap().id)
            {
                Ok(id) => assert!(whole && is_whole(&store, &(id, base.1.clone()))),
                Err(StoreError::Damaged(finding)) => assert!(!whole && finding.path == path),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// Verifies and repairs from another store.
fn repair(disk: &SimMedium, from: &Image) -> Result<(Store, Repaired), StoreError> {
    let store = open(disk)?;
    store.verify(None)?;
    let from = open(&SimMedium::new(from.clone()))?;
    let repaired = store.repair(Some(&from))?;
    Ok((store, repaired))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Many at once, anywhere, be it of the store's own files or of its lists of bad frames.
    #[test]
    fn a_second_store_heals_whatever_was_damaged(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6u8, 1..200usize, any::<u8>()), 1..6),
        noted in any::<bool>(),
    ) {
        let (image, held) = small_store();
        let mut damaged = image.clone();
        for (file, place, how, len, byte) in hits {
            let all: Vec<String> = damaged.files.keys().filter(|path| *path != "lock").cloned().collect();
            let path = file.get(&all).clone();
            let mut bytes = damaged.files[&path].to_vec();
            let at = place.index(bytes.len().max(1)).min(bytes.len());
            let end = bytes.len().min(at + len);
            match how {
                0 => bytes[at..end].fill(byte),
                1 => bytes[at..end].reverse(),
                2 => drop(bytes.splice(at..at, std::iter::repeat_n(byte, len))),
                3 => drop(bytes.drain(at..end)),
                4 => bytes.truncate(at),
                _ if path.starts_with("segments/") || path.starts_with("checkpoints/") => {
                    damaged.files.remove(&path);
                    continue;
                }
                _ => {}
            }
            damaged.insert(&path, bytes);
            if noted {
                let disk = SimMedium::new(damaged);
                drop(open(&disk).unwrap().verify(None).unwrap());
                damaged = disk.image();
            }
        }
        // Without the log nothing tells that a manifest was there.
        let log = &paths(&image, "catalogue/")[0];
        if damaged.files.get(log) != image.files.get(log) {
            for path in paths(&image, "checkpoints/") {
                let manifest = image.files[&path].clone();
                damaged.files.entry(path).or_insert(manifest);
            }
        }
        let disk = SimMedium::new(damaged);
        let (store, repaired) = repair(&disk, &image).unwrap();
        prop_assert_eq!(repaired.left, []);
        assert_all_whole(&store, &held, "repaired from a second store");
    }
}

/// A store that has the checkpoints as copies has none of the files, and all of the pages.
#[test]
fn copies_heal_frames() {
    let (image, held) = small_store();
    let copies = SimMedium::default();
    Store::create(&copies).unwrap();
    let (source, target) = (
        open(&SimMedium::new(image.clone())).unwrap(),
        open(&copies).unwrap(),
    );
    for (id, _) in held.iter().rev() {
        target.copy_from(&source, *id).unwrap();
    }
    for path in paths(&image, "segments/") {
        let mut damaged = image.clone();
        for at in [17, 30] {
            damaged.corrupt(&path, at, 8);
        }
        let disk = SimMedium::new(damaged);
        let (store, repaired) = repair(&disk, &copies.image()).unwrap();
        assert_eq!(repaired.left, []);
        assert_all_whole(&store, &held, "repaired from copies");
    }
}

#[test]
fn without_equal_content_nothing_is_lost_that_was_there() {
    let (image, held) = small_store();
    for path in paths(&image, "segments/") {
        let mut damaged = image.clone();
        assert!(damaged.corrupt(&path, 60, 1));
        let disk = SimMedium::new(damaged);
        let store = open(&disk).unwrap();
        store.verify(None).unwrap();
        let whole: Vec<bool> = held.iter().map(|held| is_whole(&store, held)).collect();
        for _ in 0..2 {
            let repaired = store.repair(None).unwrap();
            assert_eq!(
                repaired.left.is_empty(),
                store.verify(None).unwrap().findings.is_empty()
            );
            for (held, whole) in held.iter().zip(&whole) {
                assert!(is_whole(&store, held) || !whole, "{} was lost", held.0);
            }
        }
    }
}

#[test]
fn a_crash_of_the_repair_takes_nothing_away() {
    let (image, held) = small_store();
    let mut damaged = image.clone();
    let segments = paths(&image, "segments/");
    assert!(damaged.corrupt(&segments[0], 40, 1));
    damaged.files.remove(&segments[1]);
    assert!(damaged.corrupt(&paths(&image, "checkpoints/")[0], 100, 1));
    assert!(damaged.corrupt("revenant-store", 3, 1));
    let disk = SimMedium::new(damaged.clone());
    let readable: Vec<bool> = {
        let store = open(&disk).unwrap();
        held.iter().map(|held| is_whole(&store, held)).collect()
    };
    let whole = SimMedium::new(damaged.clone());
    whole.keep_log();
    repair(&whole, &image).unwrap();
    let log = whole.log();
    assert!(log.len() > 20, "{log:?}");
    for (nth, operation) in (1..).zip(log) {
        for moment in [Moment::Before, Moment::Torn, Moment::After] {
            let disk = SimMedium::new(damaged.clone());
            disk.crash_at(nth, moment);
            let crashed = repair(&disk, &image);
            assert!(
                crashed.is_err() && disk.is_halted(),
                "no crash {moment:?} {operation}"
            );
            for left in disk.crash_images() {
                let disk = SimMedium::new(left);
                let store = open(&disk).unwrap();
                for (held, readable) in held.iter().zip(&readable) {
                    assert!(
                        is_whole(&store, held) || !readable,
                        "{} was lost at {operation}",
                        held.0
                    );
                }
                drop(store);
                let (store, repaired) = repair(&disk, &image).unwrap();
                assert_eq!(repaired.left, [], "after a crash at {operation}");
                assert_all_whole(&store, &held, "repaired after a crash");
            }
        }
    }
}
