use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::conformance;
use crate::medium::{EntryKind, LockHolder, MediumErrorKind};

/// A folder for a test, and a medium in it.
fn medium() -> (tempfile::TempDir, DirectoryMedium) {
    let dir = tempfile::tempdir().unwrap();
    let medium = DirectoryMedium::create(dir.path().join("medium")).unwrap();
    (dir, medium)
}

fn try_lock(medium: &DirectoryMedium, mode: LockMode, wait: Duration) -> LockAttempt {
    medium.try_lock("lock", mode, wait).unwrap()
}

fn holders(attempt: LockAttempt) -> Vec<LockHolder> {
    match attempt {
        LockAttempt::Held(_) => panic!("nobody is in the way"),
        LockAttempt::Busy(holders) => holders,
    }
}

#[test]
fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    conformance::medium::all(|| {
        number += 1;
        DirectoryMedium::create(dir.path().join(number.to_string())).unwrap()
    });
}

#[test]
fn nobody_else_reads_a_guests_memory() {
    let dir = tempfile::tempdir().unwrap();
    let medium = DirectoryMedium::create(dir.path().join("a/b")).unwrap();
    medium.create_dir("d").unwrap();
    drop(medium.create_new("d/file").unwrap());
    let _lock = try_lock(&medium, LockMode::Shared, Duration::ZERO);
    for (path, mode) in [
        ("", 0o700),
        ("d", 0o700),
        ("d/file", 0o600),
        ("lock", 0o600),
        ("lock.by", 0o700),
    ] {
        let found = fs::metadata(medium.root().join(path)).unwrap().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{path} has mode {found:o}");
    }
}

#[test]
fn a_root_that_is_no_directory_is_refused_by_name_and_one_behind_a_link_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = DirectoryMedium::open(&file).unwrap_err();
    assert_eq!(
        (error.operation, error.path.as_str(), error.kind),
        ("open", file.to_str().unwrap(), MediumErrorKind::NotAFile)
    );
    let error = DirectoryMedium::open(dir.path().join("nothing")).unwrap_err();
    assert_eq!(error.kind, MediumErrorKind::NotFound);
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let medium = DirectoryMedium::create(dir.path().join("link")).unwrap();
    drop(medium.create_new("file").unwrap());
    assert!(dir.path().join("real/file").is_file());
}

/// Everything that can have a name in a directory and is no file.
const STRANGE: [&str; 6] = ["link", "dangling", "loop", "fifo", "socket", "dir"];

/// Puts one of each there; `link` leads to `victim`.
fn plant(dir: &Path, victim: &Path) {
    symlink(victim, dir.join("link")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    symlink("loop", dir.join("loop")).unwrap();
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    drop(UnixListener::bind(dir.join("socket")).unwrap());
    fs::create_dir(dir.join("dir")).unwrap();
}

#[test]
fn what_is_no_file_is_never_touched_and_nobody_waits_for_it() {
    let (dir, medium) = medium();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    medium.create_dir("d").unwrap();
    for folder in ["", "d/"] {
        plant(&medium.root().join(folder), &victim);
        for name in STRANGE {
            let path = format!("{folder}{name}");
            drop(medium.create_new("file").unwrap());
            let mut outcomes = vec![
                ("open", medium.open(&path).map(drop)),
                ("remove", medium.remove(&path)),
                ("rename", medium.rename(&path, "d/other")),
                (
                    "lock",
                    medium.try_lock(&path, LockMode::Shared, Duration::ZERO).map(drop),
                ),
                (
                    "lock",
                    medium
                        .try_lock(&path, LockMode::Exclusive, Duration::ZERO)
                        .map(drop),
                ),
            ];
            if folder.is_empty() && name != "dir" {
                outcomes.push(("list", medium.list(name).map(drop)));
                outcomes.push(("sync", medium.sync_dir(name)));
                outcomes.push(("create", medium.create_dir(name)));
                outcomes.push(("create", medium.create_new(&format!("{name}/x")).map(drop)));
            }
            for (verb, outcome) in outcomes {
                let error = outcome.expect_err(&format!("{verb} {path}"));
                assert_eq!(
                    error.kind,
                    MediumErrorKind::NotAFile,
                    "{verb} {path}: {}",
                    error.source
                );
            }
            let taken = medium.create_new(&path).map(drop).unwrap_err();
            assert_eq!(taken.kind, MediumErrorKind::AlreadyExists, "create {path}");
            medium.remove("file").unwrap();
        }
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    let listed: Vec<_> = medium
        .list("d")
        .unwrap()
        .into_iter()
        .map(|e| (e.name, e.kind))
        .collect();
    let expected = [
        ("dangling", EntryKind::Link),
        ("dir", EntryKind::Directory),
        ("fifo", EntryKind::Other),
        ("link", EntryKind::Link),
        ("loop", EntryKind::Link),
        ("socket", EntryKind::Other),
    ];
    assert_eq!(listed, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn names_of_others_are_listed_and_told_from_our_own() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (_dir, medium) = medium();
    for name in [&b"ours"[..], b"A b", b"\xff\xfe"] {
        fs::write(medium.root().join(OsStr::from_bytes(name)), "x").unwrap();
    }
    let entries = medium.list("").unwrap();
    let found: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.is_file())).collect();
    assert_eq!(
        found,
        [("A b", false), ("ours", true), ("\u{fffd}\u{fffd}", false)]
    );
}

#[test]
fn a_lock_whose_file_goes_while_it_is_waited_for_is_taken_on_the_new_one() {
    let (_dir, medium) = medium();
    let first = try_lock(&medium, LockMode::Exclusive, Duration::ZERO)
        .held()
        .unwrap();
    let root = medium.root().to_owned();
    let (send, receive) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let medium = DirectoryMedium::open(root).unwrap();
        send.send(()).unwrap();
        let taken = try_lock(&medium, LockMode::Shared, Duration::from_secs(60));
        let lock = taken.held().expect("the new file is free");
        assert!(lock.still_held().unwrap());
    });
    receive.recv().unwrap();
    medium.remove("lock").unwrap();
    waiter.join().unwrap();
    assert!(!first.still_held().unwrap());
}

#[test]
fn who_waits_for_an_exclusive_lock_is_not_starved_by_shared_holders() {
    let (_dir, medium) = medium();
    let mut held = try_lock(&medium, LockMode::Shared, Duration::ZERO).held();
    assert!(held.is_some());
    let root = medium.root().to_owned();
    let (send, receive) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let medium = DirectoryMedium::open(root).unwrap();
        let taken = try_lock(&medium, LockMode::Exclusive, Duration::from_secs(60));
        send.send(()).unwrap();
        drop(taken.held().expect("it is its turn"));
    });
    // There is always somebody who holds it, as long as newcomers are let in.
    let mut refused = 0;
    while receive.try_recv().is_err() {
        held = try_lock(&medium, LockMode::Shared, Duration::ZERO).held();
        refused += u32::from(held.is_none());
    }
    waiter.join().unwrap();
    assert!(refused > 0, "the one that waited was let in first");
    drop(held);
    assert!(
        try_lock(&medium, LockMode::Shared, Duration::ZERO)
            .held()
            .is_some()
    );
}

#[test]
fn a_wait_ends() {
    let (_dir, medium) = medium();
    for held in [LockMode::Shared, LockMode::Exclusive] {
        let _held = try_lock(&medium, held, Duration::ZERO).held().unwrap();
        let busy = try_lock(&medium, LockMode::Exclusive, Duration::from_millis(20));
        assert!(busy.held().is_none());
    }
    let again = try_lock(&medium, LockMode::Shared, Duration::ZERO);
    assert!(again.held().is_some(), "who gave up waiting is in nobody's way");
}

#[test]
fn whoever_is_in_the_way_is_named_until_it_is_gone() {
    let (_dir, medium) = medium();
    let me = std::process::id();
    for (held, wanted) in [
        (LockMode::Shared, LockMode::Exclusive),
        (LockMode::Exclusive, LockMode::Shared),
        (LockMode::Exclusive, LockMode::Exclusive),
    ] {
        let guard = try_lock(&medium, held, Duration::ZERO).held().unwrap();
        let found = holders(try_lock(&medium, wanted, Duration::ZERO));
        assert_eq!(found.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [me]);
        let host = found[0].host.clone();
        // Nobody has such a number: a process that was killed.
        drop(medium.create_new(&format!("lock.by/x.{}.0.{host}", i32::MAX)));
        drop(medium.create_new("lock.by/x.7.0.elsewhere"));
        let found = holders(try_lock(&medium, wanted, Duration::ZERO));
        assert_eq!(found.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [7, me]);
        drop(guard);
        drop(
            try_lock(&medium, LockMode::Exclusive, Duration::ZERO)
                .held()
                .unwrap(),
        );
        assert_eq!(
            medium.list("lock.by").unwrap(),
            [],
            "what the dead left is cleared away"
        );
    }
}

#[test]
fn notes_are_not_written_through_a_link() {
    let (dir, medium) = medium();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, medium.root().join("lock.by")).unwrap();
    let lock = try_lock(&medium, LockMode::Exclusive, Duration::ZERO).held();
    assert!(lock.is_some(), "a lock needs no note");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn whatever_has_the_place_of_the_turnstile_locks_exclude_and_are_waited_for() {
    for strange in STRANGE {
        let (dir, medium) = medium();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        plant(medium.root(), &victim);
        fs::rename(medium.root().join(strange), medium.root().join("lock.next")).unwrap();
        let shared = try_lock(&medium, LockMode::Shared, Duration::ZERO).held();
        assert!(shared.is_some(), "{strange}");
        let waited = try_lock(&medium, LockMode::Exclusive, Duration::from_millis(20));
        assert!(waited.held().is_none(), "{strange} does away with the lock");
        let root = medium.root().to_owned();
        let waiter = thread::spawn(move || {
            let medium = DirectoryMedium::open(root).unwrap();
            let taken = try_lock(&medium, LockMode::Exclusive, Duration::from_secs(60));
            assert!(taken.held().is_some());
        });
        drop(shared);
        waiter.join().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }
}
