//! Whatever happens to the bytes of a store at rest, `verify` names the file, a checkpoint it does not name restores exactly,
//! and one that it names gives an error or the truth: `docs/checkpoint-format.md` §1.3.
//!
//! Everything is tried on everything: each byte of each file of a small store is changed in two ways, each file is cut to
//! every length, lengthened, emptied of each of its sectors, replaced by another, and removed, and each of its sectors fails to
//! read. The store has had pages
//! dropped and a segment compacted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::prelude::*;
use revenant_core::store::{
    CheckpointId, CollectOptions, Finding, FindingKind, Retention, Scope, Store, StoreError,
};
use revenant_sim::SimMedium;
use revenant_sim::medium::Image;
use revenant_tests::reliability::row;
use revenant_tests::stores::{BadSpot, Expected, open, open_on};

type Held = (CheckpointId, Expected);

/// Three checkpoints of two guests: an increment whose base is gone, with what it needs of the base's segment, and two that
/// share pages with it. One page does not compress.
fn small_store() -> (Image, Vec<Held>) {
    let disk = SimMedium::default();
    Store::create(&disk).unwrap();
    let store = open(&disk).unwrap();
    let commit = |expected: Expected, base: Option<&Held>| {
        let id = expected.stage(&store, base).unwrap().commit().unwrap().id;
        (id, expected)
    };
    let dense = |pfn| (pfn, 0, 1000 + u32::try_from(pfn).unwrap());
    let mut pages: Vec<_> = (0..40)
        .map(|pfn| (pfn, 0, u32::try_from(pfn).unwrap() + 1))
        .collect();
    pages.extend([dense(3), (41, 5, 0), (42, 0, 0)]);
    let base = commit(Expected::new("a").with(&pages, "base"), None);
    let pages: Vec<_> = (0..33)
        .map(|pfn| (pfn, 1, u32::try_from(pfn).unwrap() + 101))
        .collect();
    let first = commit(base.1.clone().with(&pages, "first"), Some(&base));
    let rule = Retention {
        keep_last: Some(1),
        ..Retention::new(Scope::All)
    };
    let pruned = store.prune(&rule, CollectOptions::default()).unwrap();
    assert_eq!(
        (pruned.dropped.len(), pruned.collected.segments_compacted),
        (1, 1)
    );
    let second = commit(
        first
            .1
            .clone()
            .with(&[(7, 0, 200), (8, 0, 0), dense(9)], "second"),
        Some(&first),
    );
    let other = commit(
        Expected::new("b").with(&[(0, 0, 36), (1, 0, 200), (2, 2, 300), (9, 9, 0)], "other"),
        None,
    );
    drop(store);
    (disk.image(), vec![first, second, other])
}

/// Verifies and restores everything; gives what verification found.
fn judge(image: &Image, what: &str, held: &[Held]) -> Vec<Finding> {
    let disk = SimMedium::new(image.clone());
    let store = open(&disk).unwrap_or_else(|error| panic!("{what}: the store does not open: {error}"));
    let findings = judge_store(&store, image, what, held);
    let mut after = disk.image();
    after.files.retain(|path, _| !path.starts_with("bad/"));
    assert!(
        after.files == image.files,
        "{what}: reading changes nothing but notes"
    );
    findings
}

fn judge_store(store: &Store, image: &Image, what: &str, held: &[Held]) -> Vec<Finding> {
    let findings = store
        .verify(None)
        .unwrap_or_else(|error| panic!("{what}: {error}"))
        .findings;
    for (id, expected) in held {
        let named = findings.iter().any(|finding| finding.checkpoints.contains(id));
        match expected.difference(store, *id) {
            Ok(None) => {}
            Ok(Some(difference)) => panic!("{what}: {id} restores wrong, {difference}"),
            Err(StoreError::Damaged(finding)) => {
                assert!(named, "{what}: {id} does not restore and is not named");
                let paths: Vec<_> = findings.iter().map(|finding| &finding.path).collect();
                assert!(
                    paths.contains(&&finding.path),
                    "{what}: restoring blames {finding}, verifying {paths:?}"
                );
            }
            Err(StoreError::NoSuchCheckpoint(_)) => {
                let path = format!("checkpoints/{}", id.to_hex());
                assert!(!image.files.contains_key(&path), "{what}: {id} is not found");
            }
            Err(other) => panic!("{what}: {id}: {other}"),
        }
    }
    findings
}

/// Of one file: it is named, and no other.
fn assert_found(image: &Image, path: &str, what: &str, held: &[Held]) {
    let findings = judge(image, what, held);
    let named: BTreeSet<&str> = findings.iter().map(|finding| &*finding.path).collect();
    assert_eq!(named, [path].into(), "{what}: {findings:?}");
}

/// A row of docs/reliability.md.
fn tell(fault: &str, cases: usize) {
    row(
        fault,
        cases,
        "found, named, and contained",
        "cargo test -p revenant-tests --test every_damage_is_found",
    );
}

/// The files of a store, without those that hold nothing: the locks, and one that says by its name that there is a log.
fn paths(image: &Image) -> Vec<String> {
    let paths: Vec<String> = image
        .files
        .keys()
        .filter(|path| !["lock", "catalogue-lock", "catalogue-begun"].contains(&&***path))
        .cloned()
        .collect();
    assert_eq!(
        paths.iter().filter(|path| path.starts_with("segments/")).count(),
        4
    );
    assert_eq!(
        paths
            .iter()
            .filter(|path| path.starts_with("checkpoints/"))
            .count(),
        3
    );
    assert_eq!(paths.len(), 9);
    paths
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let (image, held) = small_store();
    assert_eq!(judge(&image, "undamaged", &held), []);
}

#[test]
fn every_changed_byte_is_found() {
    let (image, held) = small_store();
    let (mut damaged, mut cases) = (image.clone(), 0);
    for path in paths(&image) {
        for at in 0..image.files[&path].len() {
            for flip in [1 << (at % 8), 0xff] {
                assert!(damaged.corrupt(&path, at as u64, flip));
                assert_found(
                    &damaged,
                    &path,
                    &format!("byte {at} of {path} xor {flip:#x}"),
                    &held,
                );
                assert!(damaged.corrupt(&path, at as u64, flip));
                cases += 1;
            }
        }
    }
    tell("a changed byte", cases);
    assert!(
        cases > 8_000,
        "a store with a page that does not compress: {cases}"
    );
}

#[test]
fn every_other_length_is_found() {
    let (image, held) = small_store();
    let mut cases = 0;
    for path in paths(&image) {
        let len = image.files[&path].len();
        for other in (0..len).chain([len + 1, len + 16, len + 4096]) {
            let mut damaged = image.clone();
            let mut bytes = image.files[&path].to_vec();
            bytes.resize(other, 0);
            damaged.insert(&path, bytes);
            assert_found(
                &damaged,
                &path,
                &format!("{path} with {other} bytes instead of {len}"),
                &held,
            );
            cases += 1;
        }
    }
    tell("a file of another length", cases);
    assert!(cases > 8_000);
}

#[test]
fn every_lost_and_misplaced_file_and_sector_is_found() {
    let (image, held) = small_store();
    let all = paths(&image);
    let mut cases = 0;
    for path in &all {
        let bytes = &image.files[path];
        for start in (0..bytes.len()).step_by(512) {
            let mut damaged = image.clone();
            let end = bytes.len().min(start + 512);
            cases += 1;
            let mut without = bytes.to_vec();
            without[start..end].fill(0);
            damaged.insert(path, without);
            assert_found(
                &damaged,
                path,
                &format!("{path} without bytes {start} to {end}"),
                &held,
            );
        }
        for other in all.iter().filter(|other| *other != path) {
            let mut damaged = image.clone();
            cases += 1;
            damaged.files.insert(path.clone(), image.files[other].clone());
            assert_found(&damaged, path, &format!("{other} in the place of {path}"), &held);
        }
        let mut damaged = image.clone();
        damaged.files.remove(path);
        // Of a log that is gone as a whole nothing tells the name.
        let named = path.strip_suffix("/0000000000000000").unwrap_or(path);
        assert_found(&damaged, named, &format!("{path} missing"), &held);
        cases += 1;
    }
    tell("a lost or misplaced file or sector", cases);
}

#[test]
fn every_read_that_fails_is_found() {
    let (image, held) = small_store();
    for path in paths(&image) {
        let len = image.files[&path].len() as u64;
        // The whole file, and each of its sectors.
        let sectors = (0..len).step_by(512).map(|start| start..start + 512);
        for bad in std::iter::once(0..len).chain(sectors) {
            let what = format!("bytes {bad:?} of {path} do not read");
            let disk = Rc::new(SimMedium::new(image.clone()));
            let medium = BadSpot {
                disk,
                path: path.clone(),
                bad,
            };
            let store = open_on(Rc::new(medium)).unwrap();
            let findings = judge_store(&store, &image, &what, &held);
            assert!(
                findings.iter().all(|found| found.kind == FindingKind::Unreadable),
                "{what}: {findings:?}"
            );
            let named: BTreeSet<&str> = findings.iter().map(|finding| &*finding.path).collect();
            assert_eq!(named, [&*path].into(), "{what}: {findings:?}");
            // The others are listed, and another guest gets its checkpoint.
            let listed = store.list().unwrap();
            assert_eq!(
                listed.checkpoints.len() + listed.damaged.len(),
                held.len(),
                "{what}"
            );
            if path != "revenant-store" {
                let guest =
                    Expected::new("c").with(&[(0, 0, 36), (1, 0, 200), (2, 0, 1003), (3, 0, 777)], "c");
                let id = guest.stage(&store, None).unwrap().commit().unwrap().id;
                if guest.difference(&store, id).is_ok() {
                    assert_eq!(guest.difference(&store, id).unwrap(), None, "{what}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Many at once, anywhere: bytes moved within a file, between files, changed, inserted and taken out.
    #[test]
    fn damage_in_many_places_is_found(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5u8, 1..200usize, any::<u8>()), 1..5),
    ) {
        let (image, held) = small_store();
        let all = paths(&image);
        let mut damaged = image.clone();
        for (file, place, how, len, byte) in hits {
            let source = damaged.files[&all[place.index(all.len())]].clone();
            let path = file.get(&all);
            let mut bytes = damaged.files[path].to_vec();
            if bytes.is_empty() {
                continue;
            }
            let at = place.index(bytes.len());
            let end = bytes.len().min(at + len);
            match how {
                0 => bytes[at..end].fill(byte),
                1 => bytes[at..end].reverse(),
                2 => drop(bytes.splice(at..at, std::iter::repeat_n(byte, len))),
                3 => drop(bytes.drain(at..end)),
                _ => drop(bytes.splice(at..end, source.iter().copied().take(len))),
            }
            damaged.insert(path, bytes);
        }
        let changed: BTreeSet<&str> = all.iter().filter(|path| damaged.files[*path] != image.files[*path]).map(|path| &**path).collect();
        let findings = judge(&damaged, "many places", &held);
        let named: BTreeSet<&str> = findings.iter().map(|finding| &*finding.path).collect();
        prop_assert!(named.is_subset(&changed), "{:?} named, {:?} changed", named, changed);
        // A segment that only unreadable manifests need is one that nobody needs, as far as can be known.
        let needed = |path: &&&str| !path.starts_with("segments/") || !changed.iter().any(|path| path.starts_with("checkpoints/"));
        let missed: Vec<_> = changed.iter().filter(needed).filter(|path| !named.contains(**path)).collect();
        prop_assert!(missed.is_empty(), "{:?} changed, {:?} named", changed, named);
    }
}
