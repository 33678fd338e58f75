//! A checkpoint that was committed and is gone is missed, a store that was rolled back or forged is told from the one whose root
//! was kept, and whatever happens to the log that tells it, nothing else suffers: `docs/checkpoint-format.md` §3.6.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use revenant_core::Medium;
use revenant_core::medium::{LockMode, MediumLock};
use revenant_core::store::{
    CatalogueRoot, CheckpointId, CollectOptions, Collected, Finding, LogTrouble, Pruned, Retention, Scope,
    Store, StoreError,
};
use revenant_sim::SimMedium;
use revenant_sim::medium::Image;
use revenant_tests::stores::{Expected, open};

type Held = (CheckpointId, Expected);

const FIRST: &str = "catalogue/0000000000000000";

/// Pages of a guest that has this many checkpoints already.
fn guest(name: &str, round: u32) -> Expected {
    let pages: Vec<_> = (0..6).map(|i| (u64::from(i), 0, i + 1 + round * 6)).collect();
    Expected::new(name).with(&pages, &format!("{name} {round}"))
}

fn commit(store: &Store, expected: Expected) -> Held {
    let id = expected.stage(store, None).unwrap().commit().unwrap().id;
    (id, expected)
}

fn new_disk() -> SimMedium {
    let disk = SimMedium::default();
    Store::create(&disk).unwrap();
    disk
}

/// Five checkpoints of two guests, of which one was dropped, with the images after each event.
fn history() -> (Vec<Image>, Vec<Held>) {
    let disk = new_disk();
    let (mut images, mut held) = (vec![disk.image()], Vec::new());
    for (name, round) in [("a", 0), ("b", 1), ("a", 2), ("a", 3), ("b", 4)] {
        let store = open(&disk).unwrap();
        held.push(commit(&store, guest(name, round)));
        images.push(disk.image());
    }
    let dropped = held.remove(0);
    let store = open(&disk).unwrap();
    store.remove(&[dropped.0], CollectOptions::default()).unwrap();
    images.push(disk.image());
    (images, held)
}

fn findings(image: &Image) -> Vec<Finding> {
    let store = open(&SimMedium::new(image.clone())).unwrap();
    store.verify(None).unwrap().findings
}

fn root(image: &Image) -> Option<CatalogueRoot> {
    let store = open(&SimMedium::new(image.clone())).unwrap();
    let verified = store.verify(None).unwrap();
    let root = store.catalogue_root().unwrap();
    assert_eq!(verified.log.map(|log| log.root), root);
    root
}

fn expect(image: &Image, root: &CatalogueRoot) -> Option<Finding> {
    let store = open(&SimMedium::new(image.clone())).unwrap();
    store.expect_root(root).unwrap()
}

fn prune(disk: &SimMedium, drop_damaged: bool) -> Result<Pruned, StoreError> {
    let rule = Retention {
        keep_last: Some(9),
        ..Retention::new(Scope::All)
    };
    let options = CollectOptions {
        drop_damaged,
        max_unused_percent: 0,
        ..CollectOptions::default()
    };
    open(disk)?.prune(&rule, options)
}

/// All of these are there, whole, and nothing else is listed.
fn assert_held(image: &Image, held: &[Held]) {
    let store = open(&SimMedium::new(image.clone())).unwrap();
    let listed: BTreeSet<_> = store
        .list()
        .unwrap()
        .checkpoints
        .iter()
        .map(|info| info.id)
        .collect();
    assert_eq!(listed, held.iter().map(|(id, _)| *id).collect());
    for (id, expected) in held {
        assert_eq!(expected.difference(&store, *id).unwrap(), None, "{id}");
    }
}

#[test]
fn any_lost_checkpoint_is_found_and_its_pages_wait_for_it() {
    let (images, held) = history();
    let whole = images.last().unwrap();
    assert_eq!(findings(whole), []);
    for (lost, (id, _)) in held.iter().enumerate() {
        let path = format!("checkpoints/{}", id.to_hex());
        let mut image = whole.clone();
        let manifest = image.files.remove(&path).unwrap();
        let found = findings(&image);
        assert_eq!((found.len(), &found[0].path), (1, &path));
        assert_eq!(found[0].checkpoints, [*id]);

        // What only it needs is not given up...
        let disk = SimMedium::new(image.clone());
        let held_back = prune(&disk, false).unwrap().collected;
        assert_eq!(held_back.held_by, found);
        assert_eq!((held_back.segments_removed, held_back.segments_compacted), (0, 0));
        // ...so it is whole again when it is brought back, also by way of a store that was written meanwhile.
        let more = commit(&open(&disk).unwrap(), guest("c", 9));
        let mut back = disk.image();
        back.files.insert(path.clone(), manifest);
        assert_eq!(findings(&back), []);
        let mut all = held.clone();
        all.push(more.clone());
        let disk_with_all = SimMedium::new(back);
        let collected = prune(&disk_with_all, false).unwrap().collected;
        // A little may be unused that is not worth a rewriting.
        let nothing = Collected {
            unused_bytes: collected.unused_bytes,
            ..Collected::default()
        };
        assert_eq!(collected, nothing);
        assert_held(&disk_with_all.image(), &all);

        // Or it is brought back from another store.
        let mended = SimMedium::new(disk.image());
        let other = open(&SimMedium::new(whole.clone())).unwrap();
        let repaired = open(&mended).unwrap().repair(Some(&other)).unwrap();
        assert_eq!(repaired.manifests, [*id]);
        assert_eq!(findings(&mended.image()), []);
        assert_held(&mended.image(), &all);

        // Or it is given up in so many words.
        let pruned = prune(&disk, true).unwrap();
        assert_eq!(pruned.collected.damaged_dropped, found);
        assert_eq!(pruned.collected.segments_removed, 1);
        assert_eq!(findings(&disk.image()), []);
        all.remove(lost);
        assert_held(&disk.image(), &all);
    }
}

#[test]
fn a_root_tells_a_store_that_goes_on_from_one_that_was_rolled_back() {
    let (images, _) = history();
    let roots: Vec<_> = images.iter().map(root).collect();
    assert_eq!(roots[0], None, "a new store has no log");
    let entries: Vec<_> = roots.iter().flatten().map(|root| root.entries).collect();
    assert_eq!(entries, [2, 3, 4, 5, 6, 7], "it begins, five commits, one drop");
    for (then, root) in roots.iter().enumerate().skip(1) {
        let root = root.unwrap();
        assert_eq!(root.to_string().parse(), Ok(root));
        for (now, image) in images.iter().enumerate() {
            assert_eq!(findings(image), [], "an older store is a sound store");
            assert_eq!(expect(image, &root).is_none(), now >= then, "{then} {now}");
        }
    }
    // Rolled back, and then gone on with.
    let disk = SimMedium::new(images[2].clone());
    for round in 20..30 {
        commit(&open(&disk).unwrap(), guest("a", round));
    }
    let image = disk.image();
    assert_eq!(findings(&image), []);
    for (then, root) in roots.iter().enumerate().skip(1) {
        assert_eq!(expect(&image, &root.unwrap()).is_none(), then <= 2, "{then}");
    }
}

/// Somebody who knows the format changes an entry, and all digests but the chain's that was kept elsewhere.
#[test]
fn a_root_tells_a_forged_history() {
    let (images, held) = history();
    let image = images.last().unwrap();
    let root = root(image).unwrap();
    let log = &image.files[FIRST];
    let (entries, end) = (64, log.len() - 20);
    assert_eq!((end - entries) % 48, 0);
    let mut noticed = 0;
    for at in entries..end {
        let mut bytes = log.to_vec();
        bytes[at] ^= 1;
        let right = blake3::hash(&bytes[..end + 4]);
        bytes[end + 4..].copy_from_slice(&right.as_bytes()[..16]);
        let mut forged = image.clone();
        forged.insert(FIRST, bytes);
        assert!(expect(&forged, &root).is_some(), "byte {at}");
        noticed += usize::from(!findings(&forged).is_empty());
        assert_held(&forged, &held);
    }
    assert!(noticed > (end - entries) / 2, "most make no sense: {noticed}");
    // A checkpoint of the same guest in the place of another, its log left alone or its own with it.
    let other = images[4].clone();
    let disk = SimMedium::new(other);
    commit(&open(&disk).unwrap(), guest("b", 44));
    let forged = disk.image();
    assert_eq!(findings(&forged), []);
    assert!(expect(&forged, &root).is_some());
}

#[test]
fn a_damaged_log_is_found_stops_nothing_and_begins_anew() {
    let (images, held) = history();
    let image = images.last().unwrap();
    let root = root(image).unwrap();
    let bytes = image.files[FIRST].to_vec();
    let mut damaged: Vec<(String, Option<Vec<u8>>)> = vec![("missing".to_owned(), None)];
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        damaged.push((format!("byte {at}"), Some(flipped)));
        damaged.push((format!("cut to {at}"), Some(bytes[..at].to_vec())));
    }
    damaged.push(("longer".to_owned(), Some([&bytes[..], &[0]].concat())));
    for (what, content) in damaged {
        let mut broken = image.clone();
        let gone = content.is_none();
        match content {
            Some(content) => broken.insert(FIRST, content),
            None => drop(broken.files.remove(FIRST)),
        }
        let found = findings(&broken);
        let named = if gone { "catalogue" } else { FIRST };
        assert_eq!((found.len(), &*found[0].path), (1, named), "{what}: {found:?}");
        assert_eq!(found[0].checkpoints, [], "{what}");
        assert!(expect(&broken, &root).is_some(), "{what}");
        assert_held(&broken, &held);

        let disk = SimMedium::new(broken);
        let held_back = prune(&disk, false).unwrap().collected.held_by;
        assert_eq!(held_back.is_empty(), gone, "{what}: who knows what is missing?");
        let store = open(&disk).unwrap();
        let more = commit(&store, guest("c", 9));
        assert_eq!(store.take_log_trouble(), Some(LogTrouble::BegunAnew), "{what}");
        let healed = disk.image();
        assert_eq!(findings(&healed), [], "{what}");
        assert_held(&healed, &[held.clone(), vec![more]].concat());
        let store = open(&SimMedium::new(healed.clone())).unwrap();
        let log = store.verify(None).unwrap().log.unwrap();
        assert!(
            log.begun.1,
            "{what}: what was before is lost, and nothing says so"
        );
        assert_eq!(log.unlogged, [], "{what}");
        assert!(expect(&healed, &root).is_some(), "{what}");
    }
}

/// A file that has the name of one of the log and is none: the log goes on without it, and a repair removes it.
#[test]
fn a_stray_file_puts_no_end_to_the_log() {
    let (images, held) = history();
    for number in ["0000000000000001", "0000000000009999", "1152921504606846975"] {
        let path = format!("catalogue/{number}");
        let mut strayed = images.last().unwrap().clone();
        strayed.insert(&path, Vec::new());
        let disk = SimMedium::new(strayed.clone());
        let store = open(&disk).unwrap();
        let more = commit(&store, guest("c", 9));
        assert_eq!(store.take_log_trouble(), None, "{number}");
        let found = findings(&disk.image());
        assert_eq!((found.len(), &found[0].path), (1, &path), "{found:?}");
        assert!(
            disk.image().files.contains_key(FIRST),
            "{number}: the log is gone"
        );
        // A loss is still seen, and its pages are kept.
        let mut lost = disk.image();
        lost.files.remove(&format!("checkpoints/{}", held[0].0.to_hex()));
        assert_eq!(findings(&lost).len(), 2, "{number}");
        let collected = prune(&SimMedium::new(lost), false).unwrap().collected;
        assert_eq!(
            (collected.held_by.len(), collected.segments_removed),
            (1, 0),
            "{number}"
        );
        let repaired = open(&disk).unwrap().repair(None).unwrap();
        assert!(repaired.log && repaired.left.is_empty(), "{number}: {repaired:?}");
        assert_eq!(findings(&disk.image()), [], "{number}");
        assert_held(&disk.image(), &[held.clone(), vec![more]].concat());
        let log = open(&disk).unwrap().verify(None).unwrap().log.unwrap();
        assert!(!log.begun.1, "{number}: begun anew for nothing");
    }
    let mut foreign = images.last().unwrap().clone();
    foreign.insert("catalogue/18446744073709551615", Vec::new());
    let disk = SimMedium::new(foreign);
    let store = open(&disk).unwrap();
    commit(&store, guest("c", 9));
    assert_eq!(
        (store.take_log_trouble(), findings(&disk.image())),
        (None, Vec::new())
    );
}

/// Keeps writers from the log.
fn hold_log(disk: &SimMedium) -> Box<dyn MediumLock> {
    let attempt = disk.try_lock("catalogue-lock", LockMode::Exclusive, Duration::ZERO);
    attempt.unwrap().held().unwrap()
}

/// A writer that cannot get at the log, or keeps none: the next one adds what it did.
#[test]
fn a_checkpoint_that_is_not_in_the_log_is_adopted() {
    let disk = new_disk();
    let (first, second) = (open(&disk).unwrap(), open(&disk).unwrap());
    let unlogged = |store: &Store| store.verify(None).unwrap().log.map(|log| log.unlogged);
    let lock = hold_log(&disk);
    let mut held = vec![commit(&first, guest("a", 0))];
    assert!(matches!(
        first.take_log_trouble(),
        Some(LogTrouble::NotWritten(_))
    ));
    assert_eq!(unlogged(&second), None, "there is no log");
    drop(lock);
    held.push(commit(&second, guest("b", 1)));
    assert_eq!(unlogged(&first), Some(vec![]));
    let lock = hold_log(&disk);
    held.push(commit(&first, guest("c", 2)));
    assert_eq!(unlogged(&second), Some(vec![held[2].0]));
    drop(lock);
    // Two at once, ended in the other order, each on a log that the other has changed since.
    let guests = [guest("d", 3), guest("e", 4)];
    let staged = (
        guests[0].stage(&first, None).unwrap(),
        guests[1].stage(&second, None).unwrap(),
    );
    let second_id = staged.1.commit().unwrap().id;
    let ids = [staged.0.commit().unwrap().id, second_id];
    held.extend(ids.into_iter().zip(guests));
    assert_eq!(unlogged(&first), Some(vec![]));
    assert_held(&disk.image(), &held);
    let dropped = held[0].0;
    assert_eq!(root(&disk.image()).unwrap().entries, 6);

    // It was dropped, and comes back from elsewhere: it is there, and then it is in the log again.
    let path = format!("checkpoints/{}", dropped.to_hex());
    let before = disk.image();
    first.remove(&[dropped], CollectOptions::default()).unwrap();
    assert_eq!(findings(&disk.image()), []);
    let mut back = disk.image();
    for (name, bytes) in before.files.range("segments/".to_owned().."segments0".to_owned()) {
        back.files.insert(name.clone(), bytes.clone());
    }
    back.files.insert(
        path,
        before.files[&format!("checkpoints/{}", dropped.to_hex())].clone(),
    );
    let disk = SimMedium::new(back);
    let store = open(&disk).unwrap();
    assert_eq!(unlogged(&store), Some(vec![dropped]));
    commit(&store, guest("f", 5));
    assert_eq!(unlogged(&store), Some(vec![]));
    assert_eq!(findings(&disk.image()), []);
}

/// More events than a file takes, dropped at once, and damage in a file that nobody reads to go on.
#[test]
fn a_long_history_goes_on_from_its_last_file() {
    let disk = new_disk();
    let store = open(&disk).unwrap();
    let mut roots = Vec::new();
    for round in 0..1500u32 {
        let expected = Expected::new("g").with(&[(u64::from(round), 0, 7)], "x");
        commit(&store, expected);
        if round % 100 == 0 {
            roots.push(store.catalogue_root().unwrap().unwrap());
        }
    }
    let rule = Retention {
        keep_last: Some(2),
        ..Retention::new(Scope::All)
    };
    let pruned = open(&disk)
        .unwrap()
        .prune(&rule, CollectOptions::default())
        .unwrap();
    assert_eq!(pruned.dropped.len(), 1498);
    roots.push(store.catalogue_root().unwrap().unwrap());
    let image = disk.image();
    assert_eq!(roots.last().unwrap().entries, 1 + 1500 + 1498);
    assert_eq!(findings(&image), []);
    assert!(roots.iter().all(|root| expect(&image, root).is_none()));
    let files: Vec<_> = image
        .files
        .keys()
        .filter(|path| path.starts_with("catalogue/0"))
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let names: Vec<String> = files.into_iter().cloned().collect();

    for (path, missing) in [
        (&names[0], false),
        (&names[1], false),
        (&names[0], true),
        (&names[1], true),
    ] {
        let mut damaged = image.clone();
        if missing {
            damaged.files.remove(path);
        } else {
            damaged.corrupt(path, 1000, 4);
        }
        let found = findings(&damaged);
        // What is missing is missed by the file behind it.
        let at = names.iter().position(|name| name == path).unwrap() + usize::from(missing);
        assert_eq!((found.len(), &found[0].path), (1, &names[at]), "{found:?}");
        let disk = SimMedium::new(damaged);
        commit(&open(&disk).unwrap(), guest("h", 1));
        assert_eq!(findings(&disk.image()), found, "it goes on");
        prune(&disk, true).unwrap();
        assert_eq!(findings(&disk.image()), []);
        assert!(expect(&disk.image(), &roots[3]).is_some(), "its history is lost");
    }
}
