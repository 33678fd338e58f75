//! The order of what reaches the medium, and what happens when it cannot.

use std::rc::Rc;

use super::memory::MemoryMedium;
use super::support::*;
use crate::medium::{DirectoryMedium, Medium};
use crate::store::{CollectOptions, Store, StoreError};

/// Pages enough for several batches in flight; every third one was seen before.
fn fill(store: &Store, guest: &str) -> Result<crate::store::CheckpointInfo, StoreError> {
    let mut staging = store.begin(new(guest, None))?;
    for batch in 0..14u32 {
        let contents = (0..70).map(|i| if i % 3 == 0 { i + 1 } else { batch * 1000 + i });
        let pages: Vec<_> = contents.map(|content| (u64::from(content), 0, content)).collect();
        put(&mut staging, &pages)?;
    }
    staging.commit()
}

#[test]
fn the_medium_cannot_tell_how_many_threads_there_are() {
    let seen: Vec<_> = [0, 1, 2]
        .map(|workers| {
            let medium = MemoryMedium::new();
            let store = store_on(medium.clone(), options(workers));
            fill(&store, "a").unwrap();
            fill(&store, "b").unwrap();
            (medium.image(), medium.log.borrow().clone())
        })
        .into();
    assert_eq!(
        seen[0].0.len(),
        6,
        "a header, one segment, two manifests, the log and its mark"
    );
    assert!(seen[0] == seen[1] && seen[0] == seen[2]);
}

#[test]
fn content_is_durable_before_its_manifest_and_that_before_commit_returns() {
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(0));
    medium.log.borrow_mut().clear();
    let mut staging = store.begin(new("g", None)).unwrap();
    put(&mut staging, &[(1, 0, 1)]).unwrap();
    let id = staging.commit().unwrap().id.to_hex();
    let log = medium.log.borrow();
    let steps: Vec<&str> = log
        .iter()
        .map(String::as_str)
        .filter(|step| !step.starts_with("append"))
        .collect();
    let segment = medium.list("segments").unwrap()[0].name.clone();
    let expected = [
        "create tmp/0",
        "sync tmp/0",
        &format!("rename tmp/0 segments/{segment}"),
        "sync_dir segments",
        "create tmp/0",
        "sync tmp/0",
        &format!("rename tmp/0 checkpoints/{id}"),
        "sync_dir checkpoints",
        "create tmp/0",
        "sync tmp/0",
        "rename tmp/0 catalogue/0000000000000000",
        "sync_dir catalogue",
        "create catalogue-begun",
        "sync_dir ",
    ];
    assert_eq!(steps, expected);
    let last_append = log.iter().rposition(|step| step.starts_with("append")).unwrap();
    assert_eq!(log[last_append + 1], "sync tmp/0");
    drop(log);

    medium.log.borrow_mut().clear();
    let staging = store.begin(new("g", None)).unwrap();
    staging.commit().unwrap();
    let log = medium.log.borrow();
    let rename = |step: &&String| step.starts_with("rename");
    assert_eq!(
        log.iter().filter(rename).count(),
        2,
        "without pages: a manifest and an entry"
    );
    assert_eq!(*log.last().unwrap(), "sync_dir catalogue");
}

/// Whatever fits before the medium is full: what was committed stays, what was not is gone, and it goes on once there is room.
/// A checkpoint whose entry in the log does not fit is there, and the next writer adds it.
#[test]
fn a_full_medium_costs_only_the_checkpoint_being_made() {
    let reference = MemoryMedium::new();
    let store = store_on(reference.clone(), options(0));
    fill(&store, "a").unwrap();
    let before = reference.image();
    let store = store_on(reference.clone(), options(0));
    let mut staging = store.begin(new("b", None)).unwrap();
    put(&mut staging, &[(0, 0, 77_777), (1, 0, 77_778)]).unwrap();
    staging.commit().unwrap();
    let bytes = |image: std::collections::BTreeMap<String, Vec<u8>>, in_log: bool| -> usize {
        let files = image
            .iter()
            .filter(|(path, _)| path.starts_with("catalogue") == in_log);
        files.map(|(_, bytes)| bytes.len()).sum()
    };
    let grown = bytes(reference.image(), false) - bytes(before.clone(), false);
    let log = bytes(reference.image(), true);
    for room in 0..=grown + log {
        let medium = MemoryMedium::holding(&before);
        medium.room.set(room);
        let store = store_on(medium.clone(), options(1));
        let mut staging = store.begin(new("b", None)).unwrap();
        let put = put(&mut staging, &[(0, 0, 77_777), (1, 0, 77_778)]);
        let result = put.and_then(|()| staging.commit());
        let verified = store.verify(None).unwrap();
        assert_eq!(verified.findings, []);
        let unlogged = verified.log.unwrap().unlogged.len();
        if room < grown {
            let error = result.unwrap_err();
            assert!(error.is_full(), "{room}: {error}");
            let after = medium.image();
            assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
            assert_eq!((verified.checkpoints, unlogged), (1, 0));
        } else {
            assert!(result.is_ok());
            assert_eq!(
                (verified.checkpoints, unlogged),
                (2, usize::from(room < grown + log))
            );
        }
        medium.room.set(usize::MAX);
        fill(&store, "c").unwrap();
        assert!(medium.list("tmp").unwrap().is_empty());
        assert_eq!(store.verify(None).unwrap().log.unwrap().unlogged, []);
    }
}

#[test]
fn two_writers_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Store {
        let medium: Rc<dyn Medium> = Rc::new(DirectoryMedium::create(dir.path()).unwrap());
        store_on(medium, options(1))
    };
    let (first, second) = (open(), open());
    let (mut a, mut b) = (
        first.begin(new("a", None)).unwrap(),
        second.begin(new("b", None)).unwrap(),
    );
    let (mut a_memory, mut b_memory) = (Memory::new(), Memory::new());
    for i in 0..40u32 {
        // Half of the pages are the same in both.
        let a_pages: Vec<_> = (0..100)
            .map(|j| (u64::from(i * 100 + j), 0, i * 100 + j))
            .collect();
        let b_pages: Vec<_> = (0..100)
            .map(|j| (u64::from(i * 100 + j), 0, i * 100 + j + (j % 2) * 100_000))
            .collect();
        put(&mut a, &a_pages).unwrap();
        put(&mut b, &b_pages).unwrap();
        a_memory.extend(
            a_pages
                .into_iter()
                .map(|(pfn, tag, content)| (pfn, (tag, content))),
        );
        b_memory.extend(
            b_pages
                .into_iter()
                .map(|(pfn, tag, content)| (pfn, (tag, content))),
        );
    }
    let b = b.commit().unwrap().id;
    let a = a.commit().unwrap().id;
    assert_holds(&second, a, &a_memory);
    assert_holds(&first, b, &b_memory);
    assert_eq!(first.verify(None).unwrap().findings, []);
    // The same content by two writers at once gives the same segment twice.
    let (mut x, mut y) = (
        first.begin(new("x", None)).unwrap(),
        second.begin(new("y", None)).unwrap(),
    );
    put(&mut x, &[(0, 0, 999_999)]).unwrap();
    put(&mut y, &[(7, 0, 999_999)]).unwrap();
    let (x, y) = (x.commit().unwrap().id, y.commit().unwrap().id);
    assert_holds(&first, x, &[(0, (0, 999_999))].into());
    assert_holds(&first, y, &[(7, (0, 999_999))].into());
}

#[test]
fn one_store_holds_one_shared_lock_however_many_it_serves() {
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(0));
    let id = store.begin(new("g", None)).unwrap().commit().unwrap().id;
    let first = store.read(id).unwrap();
    // As behind a turnstile at which somebody waits for the first to let go.
    medium.admit(false);
    let second = store.read(id).expect("no second lock is asked for");
    let staging = store
        .begin(new("g", Some(id)))
        .expect("no second lock is asked for");
    drop((first, second));
    assert!(
        store.collect(CollectOptions::default()).is_err(),
        "a staging holds it still"
    );
    staging.commit().unwrap();
    let again = store.read(id).map(drop);
    assert!(
        matches!(again, Err(StoreError::Busy { exclusive: false, .. })),
        "the last let go"
    );
    medium.admit(true);
    store.collect(CollectOptions::default()).unwrap();
}

#[test]
fn without_locks_a_store_is_read_and_says_so_and_is_not_written() {
    let medium = MemoryMedium::new();
    let id = store_on(medium.clone(), options(0))
        .begin(new("g", None))
        .unwrap()
        .commit()
        .unwrap()
        .id;
    medium.has_locks.set(false);
    let store = store_on(medium.clone(), options(0));
    assert!(store.is_guarded());
    store.read(id).unwrap();
    assert_eq!(store.verify(None).unwrap().findings, []);
    assert!(!store.is_guarded());
    let before = medium.image();
    let refused = [
        store.begin(new("g", None)).map(drop),
        store.collect(CollectOptions::default()).map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::NoLocks { .. })), "{refused:?}");
    }
    assert_eq!(medium.image(), before);
}

#[test]
fn a_dropped_staging_leaves_nothing_and_what_a_crashed_one_left_is_in_nobodys_way() {
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(1));
    let mut staging = store.begin(new("g", None)).unwrap();
    put(
        &mut staging,
        &(0..1000).map(|i| (u64::from(i), 0, i + 1)).collect::<Vec<_>>(),
    )
    .unwrap();
    put(
        &mut staging,
        &(0..1000).map(|i| (u64::from(i), 0, i + 5000)).collect::<Vec<_>>(),
    )
    .unwrap();
    drop(staging);
    assert_eq!(medium.image().len(), 1, "only the header is left");
    let remains = [
        ("tmp/0", vec![1, 2, 3]),
        ("tmp/7", Vec::new()),
        ("tmp/x", vec![4]),
        ("tmp/99999999999999999999", vec![]),
    ];
    for (path, bytes) in &remains {
        medium.set(path, bytes.clone());
    }
    let mut staging = store.begin(new("g", None)).unwrap();
    put(&mut staging, &[(0, 0, 1)]).unwrap();
    staging.commit().unwrap();
    assert!(
        remains
            .iter()
            .all(|(path, bytes)| medium.get(path).as_ref() == Some(bytes))
    );
    let verified = store.verify(None).unwrap();
    assert_eq!(
        (
            verified.remains.len(),
            verified.strangers.len(),
            verified.findings.len()
        ),
        (2, 2, 0)
    );
    let collected = store.collect(CollectOptions::default()).unwrap();
    assert_eq!((collected.remains_removed, collected.freed_bytes), (2, 3));
    assert_eq!(medium.list("tmp").unwrap().len(), 2, "strangers stay");
}
