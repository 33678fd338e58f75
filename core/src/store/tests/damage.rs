//! No damage goes unnoticed, and none spreads.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::memory::MemoryMedium;
use super::support::*;
use crate::guest::StateRecord;
use crate::store::id::digest;
use crate::store::{CheckpointId, CollectOptions, Finding, Retention, Scope, Store, StoreError};

type Image = BTreeMap<String, Vec<u8>>;

/// Two guests that share pages, and an increment: three manifests, three segments.
fn small_store() -> (Image, Vec<(CheckpointId, Memory)>) {
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(0));
    let mut done = Vec::new();
    let first: Vec<_> = (0..20).map(|i| (i * 3, 0, u32::try_from(i).unwrap())).collect();
    let second: Vec<_> = (0..6).map(|i| (i, 1, u32::try_from(i).unwrap() + 18)).collect();
    let third = vec![(0, 0, 100), (57, 0, 0)];
    for (guest, pages, on_top) in [("a", first, false), ("b", second, false), ("a", third, true)] {
        let newest = done.first().filter(|_| on_top);
        let (base, mut memory): (_, Memory) = newest
            .map_or((None, Memory::new()), |(id, m): &(_, Memory)| {
                (Some(*id), m.clone())
            });
        let mut staging = store.begin(new(guest, base)).unwrap();
        put(&mut staging, &pages).unwrap();
        memory.extend(pages.iter().map(|&(pfn, tag, content)| (pfn, (tag, content))));
        staging
            .put_record(StateRecord::new("vcpu", guest.as_bytes()))
            .unwrap();
        done.push((staging.commit().unwrap().id, memory));
    }
    (medium.image(), done)
}

/// Is it the file that says by being there that a log was begun? It is empty, and its loss is not seen before that of the log.
fn holds_nothing(path: &str) -> bool {
    path == "catalogue-begun"
}

fn open(image: &Image) -> Result<Store, StoreError> {
    Store::open(
        MemoryMedium::holding(image),
        Rc::new(Ticking::default()),
        options(0),
    )
}

/// Verification names the file; checkpoints it does not name come back whole, those it names come back whole or not at all.
fn assert_noticed(image: &Image, path: &str, what: &str, done: &[(CheckpointId, Memory)]) -> Vec<Finding> {
    let store = match open(image) {
        Ok(store) => store,
        Err(error) => panic!("{what}: the store no longer opens: {error}"),
    };
    let findings = store.verify(None).unwrap().findings;
    assert!(
        findings.iter().any(|f| f.path == path),
        "{what} is not noticed: {findings:?}"
    );
    assert!(
        findings.iter().all(|f| f.path == path),
        "{what} is blamed on another file: {findings:?}"
    );
    for (id, memory) in done {
        if !findings.iter().any(|f| f.checkpoints.contains(id)) {
            assert_holds(&store, *id, memory);
            assert_eq!(
                store
                    .verify(Some(*id))
                    .unwrap()
                    .findings
                    .iter()
                    .filter(|f| f.path != "revenant-store")
                    .count(),
                0
            );
            continue;
        }
        match store.read(*id).and_then(|mut reader| read_back(&mut reader)) {
            Err(StoreError::Damaged(finding)) => assert_eq!(finding.path, path, "{what}"),
            Err(StoreError::NoSuchCheckpoint(_)) => assert!(!image.contains_key(path)),
            Err(other) => panic!("{what}: {other}"),
            Ok(found) => assert!(
                found
                    .iter()
                    .all(|(pfn, (tag, bytes))| (*tag, *bytes) == (memory[pfn].0, page(memory[pfn].1)))
            ),
        }
    }
    findings
}

#[test]
fn every_changed_byte_is_noticed() {
    let (image, done) = small_store();
    assert_eq!(open(&image).unwrap().verify(None).unwrap().findings, []);
    for (path, bytes) in &image {
        for at in 0..bytes.len() {
            let mut damaged = image.clone();
            damaged.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
            assert_noticed(&damaged, path, &format!("byte {at} of {path}"), &done);
        }
    }
}

#[test]
fn every_other_length_is_noticed() {
    let (image, done) = small_store();
    for (path, bytes) in image.iter().filter(|(path, _)| !holds_nothing(path)) {
        for len in (0..bytes.len()).chain([bytes.len() + 1, bytes.len() + 100]) {
            let mut damaged = image.clone();
            damaged.get_mut(path).unwrap().resize(len, 0);
            assert_noticed(&damaged, path, &format!("{path} cut to {len} bytes"), &done);
        }
    }
}

#[test]
fn a_missing_segment_or_header_is_noticed_and_one_that_is_another_too() {
    let (image, done) = small_store();
    for path in image.keys().filter(|path| !holds_nothing(path)) {
        let mut damaged = image.clone();
        damaged.remove(path);
        let named = path.strip_suffix("/0000000000000000").unwrap_or(path);
        assert_noticed(&damaged, named, &format!("{path} missing"), &done);
    }
    let segments: Vec<_> = image
        .keys()
        .filter(|path| path.starts_with("segments/"))
        .collect();
    assert_eq!(segments.len(), 3);
    let mut swapped = image.clone();
    swapped.insert(segments[0].clone(), image[segments[1]].clone());
    assert_noticed(&swapped, segments[0], "a segment in another's place", &done);
}

#[test]
fn strangers_are_named_and_in_nobodys_way() {
    let (mut image, done) = small_store();
    let named = ["checkpoints/README", "segments/README", "tmp/007", "tmp/notes"];
    let usual = [".nfs0001", ".DS_Store", "lost+found"]
        .map(|name| ["checkpoints", "segments", "tmp"].map(|dir| format!("{dir}/{name}")));
    let strangers: Vec<String> = named
        .map(str::to_owned)
        .into_iter()
        .chain(usual.concat())
        .collect();
    for path in &strangers {
        image.insert(path.clone(), b"precious".to_vec());
    }
    let medium = MemoryMedium::holding(&image);
    let store = store_on(medium.clone(), options(0));
    let seen = store.verify(None).unwrap();
    assert_eq!((seen.findings, seen.remains), (Vec::new(), Vec::new()));
    let found: Vec<_> = seen
        .strangers
        .iter()
        .map(|stranger| stranger.path.as_str())
        .collect();
    assert_eq!(found, named);
    let listing = store.list().unwrap();
    assert_eq!(
        (listing.checkpoints.len(), listing.damaged),
        (done.len(), Vec::new())
    );
    store.begin(new("new", None)).unwrap().commit().unwrap();
    let all: Vec<CheckpointId> = listing.checkpoints.iter().map(|info| info.id).collect();
    store.remove(&all, CollectOptions::default()).unwrap();
    for path in &strangers {
        assert_eq!(medium.get(path).as_deref(), Some(&b"precious"[..]), "{path}");
    }
}

#[test]
fn numbers_of_unfinished_files_begin_again_behind_the_last() {
    let (image, done) = small_store();
    let last = (1_u64 << 48) - 1;
    for numbers in [&[last][..], &[last - 1], &[last, 0, 1], &[last, u64::MAX]] {
        let medium = MemoryMedium::holding(&image);
        for number in numbers {
            medium.set(&format!("tmp/{number}"), b"unfinished".to_vec());
        }
        let store = store_on(medium.clone(), options(0));
        let mut staging = store.begin(new("late", None)).unwrap();
        put(&mut staging, &[(0, 0, 991)]).unwrap();
        let id = staging.commit().unwrap().id;
        assert_holds(&store, id, &Memory::from([(0, (0, 991))]));
        let gone: Vec<_> = done.iter().map(|(id, _)| *id).take(1).collect();
        store.remove(&gone, CollectOptions::default()).unwrap();
        for number in numbers {
            let is_remains = *number <= last;
            assert_eq!(
                medium.get(&format!("tmp/{number}")).is_none(),
                is_remains,
                "{number}"
            );
        }
    }
}

#[test]
fn what_a_log_has_that_is_not_known_is_called_what_it_is() {
    let (image, _) = small_store();
    for (at, said) in [(8, "format version 0"), (12, "flags"), (16, "authentication")] {
        let mut image = image.clone();
        let (path, log) = image
            .iter_mut()
            .find(|(path, _)| path.starts_with("catalogue/"))
            .unwrap();
        let (path, end) = (path.clone(), log.len() - 16);
        // Byte 16 stands for the authentication, which is the last before the digest.
        log[if at == 16 { end - 4 } else { at }] ^= 1;
        let digest = digest(&log[..end]);
        log[end..].copy_from_slice(&digest);
        let seen = open(&image).unwrap().verify(None).unwrap();
        let finding = seen.findings.iter().find(|finding| finding.path == path).unwrap();
        assert!(finding.what.contains(said), "{finding}");
        assert!(!finding.what.contains("reads version 1") || at == 8, "{finding}");
    }
}

#[test]
fn damage_to_one_page_names_the_checkpoints_that_have_it() {
    let (image, done) = small_store();
    // The first segment: guest a's first checkpoint and the increment on it need all of it, guest b shares a page.
    let path = image
        .keys()
        .filter(|p| p.starts_with("segments/"))
        .max_by_key(|p| image[*p].len())
        .unwrap();
    let mut damaged = image.clone();
    damaged.get_mut(path).unwrap()[40] ^= 1;
    let findings = assert_noticed(&damaged, path, "a byte of the first frame", &done);
    assert_eq!(findings.len(), 1);
    let mut named = [done[0].0, done[2].0];
    named.sort();
    let mut found = findings[0].checkpoints.clone();
    found.sort();
    assert_eq!(
        found, named,
        "frame 0 holds contents 1 to 16, guest b has 18 and more"
    );
}

#[test]
fn a_restart_tries_the_newest_whole_checkpoint_first_and_forgets_none() {
    let (image, done) = small_store();
    let own = vec![done[0].0, done[2].0];
    let files = image.keys().filter(|path| path.contains('/'));
    for path in files.filter(|path| path.starts_with("segments/") || path.starts_with("checkpoints/")) {
        for cut in [0, image[path].len() / 2, image[path].len() - 1] {
            let mut damaged = image.clone();
            damaged.get_mut(path).unwrap().truncate(cut);
            let store = open(&damaged).unwrap();
            let is_whole = |id: &CheckpointId| store.verify(Some(*id)).unwrap().findings.is_empty();
            let (ordered, lacking) = store.whole_last(own.clone()).unwrap();
            let newest_whole = own.iter().rev().find(|id| is_whole(id)).or(own.last());
            assert_eq!(ordered.last(), newest_whole, "{path} cut to {cut}");
            for id in &own {
                assert!(ordered.contains(id), "{path} cut to {cut}");
                assert_eq!(lacking.contains_key(id), !is_whole(id), "{path} cut to {cut}");
            }
        }
    }
}

#[test]
fn damaged_pages_are_stored_anew_once_nobody_uses_them() {
    let (image, done) = small_store();
    let path = image
        .keys()
        .filter(|p| p.starts_with("segments/"))
        .max_by_key(|p| image[*p].len())
        .unwrap();
    let mut damaged = image.clone();
    damaged.get_mut(path).unwrap()[40] ^= 1;
    let store = open(&damaged).unwrap();
    let users = store.verify(None).unwrap().findings.remove(0).checkpoints;
    let unknown = store.remove(&[CheckpointId([1; 32])], CollectOptions::default());
    assert!(matches!(unknown, Err(StoreError::NoSuchCheckpoint(_))));
    let removed = store
        .remove(
            &users,
            CollectOptions {
                max_unused_percent: 0,
                ..CollectOptions::default()
            },
        )
        .unwrap();
    assert_eq!((removed.kept.len(), removed.dropped.len()), (1, 2));
    let mut staging = store.begin(new("a", None)).unwrap();
    let pages: Vec<_> = done[0]
        .1
        .iter()
        .map(|(&pfn, &(tag, content))| (pfn, tag, content))
        .collect();
    put(&mut staging, &pages).unwrap();
    let id = staging.commit().unwrap().id;
    assert_holds(&store, id, &done[0].1);
    assert_holds(&store, done[1].0, &done[1].1);
    assert_eq!(store.verify(None).unwrap().findings, []);
}

#[test]
fn what_a_damaged_manifest_may_need_stays_until_it_is_dropped() {
    let (image, done) = small_store();
    // Guest b has one checkpoint, and a segment of its own.
    let path = format!("checkpoints/{}", done[1].0.to_hex());
    let keep_one = Retention {
        keep_last: Some(1),
        ..Retention::new(Scope::All)
    };
    for at in [20, image[&path].len() - 1] {
        let mut damaged = image.clone();
        damaged.get_mut(&path).unwrap()[at] ^= 1;
        let medium = MemoryMedium::holding(&damaged);
        let store = store_on(medium.clone(), options(0));
        let pruned = store.prune(&keep_one, CollectOptions::default()).unwrap();
        assert_eq!(pruned.dropped.len(), 1, "the rules go on");
        let held = pruned.collected.held_by;
        assert!(held.len() == 1 && held[0].path == path, "{held:?}");
        assert_eq!(pruned.collected.segments_held, 1);
        assert_holds(&store, done[2].0, &done[2].1);
        // Mended, it has all that it needs.
        medium.set(&path, image[&path].clone());
        assert_holds(&store_on(medium.clone(), options(0)), done[1].0, &done[1].1);

        let medium = MemoryMedium::holding(&damaged);
        let store = store_on(medium, options(0));
        let drop_damaged = CollectOptions {
            drop_damaged: true,
            ..CollectOptions::default()
        };
        // Whose it is cannot be told from a damaged head.
        let of_a = Retention {
            keep_last: Some(9),
            ..Retention::new(Scope::Guest("a".to_owned()))
        };
        assert_eq!(
            store
                .prune(&of_a, drop_damaged)
                .unwrap()
                .collected
                .damaged_dropped,
            []
        );
        let dropped = store.collect(drop_damaged).unwrap();
        assert_eq!((dropped.damaged_dropped.len(), dropped.segments_removed), (1, 1));
        assert_eq!(store.verify(None).unwrap().findings, []);
        assert_holds(&store, done[0].0, &done[0].1);
        assert_holds(&store, done[2].0, &done[2].1);
    }
}

#[test]
fn a_store_with_a_damaged_header_is_read_and_not_written() {
    let (image, done) = small_store();
    let mut damaged = image.clone();
    damaged.get_mut("revenant-store").unwrap()[3] ^= 1;
    let store = open(&damaged).unwrap();
    assert_holds(&store, done[0].0, &done[0].1);
    assert!(matches!(store.begin(new("a", None)), Err(StoreError::Damaged(f)) if f.path == "revenant-store"));
    assert!(matches!(
        store.collect(CollectOptions::default()),
        Err(StoreError::Damaged(_))
    ));

    let mut other_version = image["revenant-store"][..16].to_vec();
    other_version[8] = 2;
    other_version.extend_from_slice(&crate::store::id::digest(&other_version));
    damaged.insert("revenant-store".to_owned(), other_version);
    assert!(matches!(
        open(&damaged),
        Err(StoreError::Version {
            found: 2,
            supported: 1,
            ..
        })
    ));
    assert!(matches!(open(&Image::new()), Err(StoreError::NotAStore { .. })));
    damaged.remove("revenant-store");
    assert!(matches!(
        Store::create(&*MemoryMedium::holding(&damaged)),
        Err(StoreError::HeaderLost { .. })
    ));
}
