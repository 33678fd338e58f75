//! Judges any [`Medium`] by its contract, as far as it can be seen without a crash. What a crash may take is judged where
//! crashes can be made: in the simulated world.
//!
//! Every function wants a fresh, empty medium and panics, naming the clause, if the contract is broken.

use std::time::Duration;

use crate::medium::{DirEntry, EntryKind, LockAttempt, LockMode, Medium, MediumErrorKind, MediumLock};

/// Judges one part of the contract.
pub type Judge = fn(&dyn Medium);

/// All the judges, by name.
pub const JUDGES: [(&str, Judge); 12] = [
    ("bytes come back", bytes_come_back),
    ("names are taken once", names_are_taken_once),
    ("what is not there is not found", what_is_not_there_is_not_found),
    (
        "listings are sorted and complete",
        listings_are_sorted_and_complete,
    ),
    ("rename replaces", rename_replaces),
    (
        "open readers keep what they opened",
        open_readers_keep_what_they_opened,
    ),
    ("directories may be made again", directories_may_be_made_again),
    ("directories are no files", directories_are_no_files),
    ("locks exclude", locks_exclude),
    ("locks go with their file", locks_go_with_their_file),
    ("a wait for a lock ends", a_wait_for_a_lock_ends),
    ("paths stay inside", paths_stay_inside),
];

/// All the judges, each with a medium of its own.
pub fn all<M: Medium>(mut fresh: impl FnMut() -> M) {
    for (_, judge) in JUDGES {
        judge(&fresh());
    }
}

fn write(medium: &dyn Medium, path: &str, bytes: &[u8]) {
    let mut file = medium.create_new(path).expect("a new file is made");
    file.append(bytes).expect("bytes are taken");
    file.sync().expect("bytes become durable");
}

fn read(medium: &dyn Medium, path: &str) -> Vec<u8> {
    let file = medium.open(path).expect("a file that exists opens");
    let mut bytes = vec![0; usize::try_from(file.len_bytes()).expect("a small file")];
    file.read_at(0, &mut bytes).expect("all of a file can be read");
    bytes
}

fn kind<T>(result: Result<T, crate::medium::MediumError>, clause: &str) -> MediumErrorKind {
    match result {
        Ok(_) => panic!("{clause}"),
        Err(error) => error.kind,
    }
}

/// What was appended is read back at any offset, before and after `sync`; the end is an error, not a short read.
pub fn bytes_come_back(medium: &dyn Medium) {
    medium.create_dir("d").expect("a directory is made");
    let content: Vec<u8> = (0..200_000u32).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
    let mut file = medium.create_new("d/file").expect("a new file is made");
    for part in content.chunks(70_001) {
        file.append(part).expect("bytes are taken");
    }
    file.append(&[]).expect("no bytes are taken, too");
    assert_eq!(
        read(medium, "d/file"),
        content,
        "appended bytes are readable before they are durable"
    );
    file.sync().expect("bytes become durable");
    file.append(b"more").expect("a synced file goes on");
    file.sync().expect("bytes become durable");
    drop(file);
    let file = medium.open("d/file").expect("a file that exists opens");
    assert_eq!(file.len_bytes(), 200_004, "the length is that of all appends");
    let mut part = [0; 1000];
    for offset in [0u64, 1, 69_500, 199_004] {
        file.read_at(offset, &mut part).expect("a part within the file");
        let start = usize::try_from(offset).expect("small");
        let mut whole = content[start..].to_vec();
        whole.extend_from_slice(b"more");
        assert_eq!(part[..], whole[..1000], "bytes at offset {offset}");
    }
    file.read_at(200_004, &mut [])
        .expect("nothing at the end is there");
    for offset in [199_005, 200_004, 1 << 40] {
        let found = kind(file.read_at(offset, &mut part), "reading beyond the end fails");
        assert_eq!(
            found,
            MediumErrorKind::UnexpectedEnd,
            "reading beyond the end is of kind UnexpectedEnd"
        );
    }
}

/// `create_new` fails if the name is taken, and leaves what took it as it was.
pub fn names_are_taken_once(medium: &dyn Medium) {
    medium.create_dir("d").expect("a directory is made");
    for path in ["root-file", "d/file"] {
        write(medium, path, b"first");
        let found = kind(medium.create_new(path), "create_new fails if the name is taken");
        assert_eq!(
            found,
            MediumErrorKind::AlreadyExists,
            "a taken name is of kind AlreadyExists"
        );
        assert_eq!(read(medium, path), b"first", "a refused create changes nothing");
    }
    let first = medium.create_new("d/open").expect("a new file is made");
    let found = kind(
        medium.create_new("d/open"),
        "an empty file that is still open takes its name too",
    );
    assert_eq!(
        found,
        MediumErrorKind::AlreadyExists,
        "a taken name is of kind AlreadyExists"
    );
    drop(first);
    medium.remove("d/open").expect("a file is removed");
    write(medium, "d/open", b"second");
}

/// Names without a file are of kind `NotFound`, whatever is done with them.
pub fn what_is_not_there_is_not_found(medium: &dyn Medium) {
    medium.create_dir("d").expect("a directory is made");
    for path in ["nothing", "d/nothing", "nowhere/nothing"] {
        assert_eq!(
            kind(medium.open(path), "open fails"),
            MediumErrorKind::NotFound,
            "open {path}"
        );
        assert_eq!(
            kind(medium.remove(path), "remove fails"),
            MediumErrorKind::NotFound,
            "remove {path}"
        );
        assert_eq!(
            kind(medium.rename(path, "d/x"), "rename fails"),
            MediumErrorKind::NotFound,
            "rename {path}"
        );
    }
    let found = kind(
        medium.create_new("nowhere/file"),
        "no file is made in a directory that does not exist",
    );
    assert_eq!(
        found,
        MediumErrorKind::NotFound,
        "a missing directory is of kind NotFound"
    );
}

/// `list` gives files with their lengths and directories, in ascending order of names, and nothing for a missing directory.
pub fn listings_are_sorted_and_complete(medium: &dyn Medium) {
    assert_eq!(
        medium.list("nowhere").expect("a missing directory lists"),
        [],
        "a missing directory lists as empty"
    );
    medium.create_dir("d").expect("a directory is made");
    medium.create_dir("other").expect("a directory is made");
    assert_eq!(
        medium.list("d").expect("a directory lists"),
        [],
        "a new directory is empty"
    );
    for name in ["b", "10", "a.x", "2", "a"] {
        write(medium, &format!("d/{name}"), name.as_bytes());
    }
    write(medium, "other/c", b"");
    let found = medium.list("d").expect("a directory lists");
    let expected = ["10", "2", "a", "a.x", "b"].map(|name| DirEntry {
        name: name.to_owned(),
        kind: EntryKind::File,
        len_bytes: name.len() as u64,
    });
    assert_eq!(
        found, expected,
        "files of the directory alone, sorted, with lengths"
    );
    write(medium, "e", b"");
    let found = medium.list("").expect("the root lists");
    let found: Vec<_> = found.iter().map(|e| (e.name.as_str(), e.kind)).collect();
    let expected = [
        ("d", EntryKind::Directory),
        ("e", EntryKind::File),
        ("other", EntryKind::Directory),
    ];
    assert_eq!(found, expected, "directories are listed, and told from files");
}

/// `rename` moves a file, also between directories, and replaces what had the name.
pub fn rename_replaces(medium: &dyn Medium) {
    medium.create_dir("a").expect("a directory is made");
    medium.create_dir("b").expect("a directory is made");
    write(medium, "a/new", b"new");
    write(medium, "b/old", b"old");
    medium.rename("a/new", "b/old").expect("a file is renamed");
    medium.sync_dir("b").expect("names become durable");
    assert_eq!(read(medium, "b/old"), b"new", "the target names the renamed file");
    assert_eq!(
        medium.list("a").expect("a directory lists"),
        [],
        "the old name is gone"
    );
    write(medium, "a/new", b"again");
    medium
        .rename("a/new", "root-file")
        .expect("a file is renamed into the root");
    medium.sync_dir("").expect("names in the root become durable");
    assert_eq!(
        read(medium, "root-file"),
        b"again",
        "the root is a directory like any other"
    );
}

/// Whoever has a file open reads it to the end, although its name is gone or another's.
pub fn open_readers_keep_what_they_opened(medium: &dyn Medium) {
    medium.create_dir("d").expect("a directory is made");
    write(medium, "d/replaced", b"before");
    write(medium, "d/removed", b"before");
    let readers =
        ["d/replaced", "d/removed"].map(|path| medium.open(path).expect("a file that exists opens"));
    write(medium, "d/new", b"after!");
    medium.rename("d/new", "d/replaced").expect("a file is renamed");
    medium.remove("d/removed").expect("a file is removed");
    medium.sync_dir("d").expect("names become durable");
    for reader in readers {
        let mut bytes = [0; 6];
        reader
            .read_at(0, &mut bytes)
            .expect("an open file goes on being readable");
        assert_eq!(&bytes, b"before", "an open reader keeps what it opened");
    }
}

/// `create_dir` on an existing directory changes nothing.
pub fn directories_may_be_made_again(medium: &dyn Medium) {
    medium.create_dir("d").expect("a directory is made");
    write(medium, "d/file", b"x");
    medium.create_dir("d").expect("an existing directory is fine");
    medium.sync_dir("").expect("the root can be synced");
    assert_eq!(
        read(medium, "d/file"),
        b"x",
        "making a directory again keeps its files"
    );
}

/// A directory is not opened, renamed, removed or locked as if it were a file, nor a file listed, synced or made as a directory.
pub fn directories_are_no_files(medium: &dyn Medium) {
    medium.create_dir("d").expect("a directory is made");
    write(medium, "d/in", b"x");
    write(medium, "f", b"x");
    let found = [
        kind(medium.open("d"), "a directory is not opened"),
        kind(medium.remove("d"), "a directory is not removed"),
        kind(medium.rename("d", "e"), "a directory is not renamed"),
        kind(medium.rename("f", "d"), "a directory is not replaced"),
        kind(
            medium.try_lock("d", LockMode::Shared, Duration::ZERO),
            "a directory is not locked",
        ),
        kind(medium.list("f"), "a file is not listed"),
        kind(medium.sync_dir("f"), "a file is not synced as a directory"),
        kind(medium.create_dir("f"), "a file is not made a directory"),
        kind(medium.open("f/x"), "there is nothing in a file"),
        kind(medium.create_new("f/x"), "nothing is made in a file"),
    ];
    assert_eq!(found, [MediumErrorKind::NotAFile; 10], "of kind NotAFile");
    assert_eq!(
        (read(medium, "d/in"), read(medium, "f")),
        (b"x".to_vec(), b"x".to_vec()),
        "what was refused has changed nothing"
    );
}

/// Asks for the lock of that name, and does not wait.
fn lock(medium: &dyn Medium, mode: LockMode) -> Option<Box<dyn MediumLock>> {
    let attempt = medium.try_lock("lock", mode, Duration::ZERO);
    attempt.expect("asking for a lock works").held()
}

/// Shared holders exclude an exclusive one and the other way round; dropping the guard releases; names are independent.
pub fn locks_exclude(medium: &dyn Medium) {
    let lock = |mode| lock(medium, mode);
    let (first, second) = (lock(LockMode::Shared), lock(LockMode::Shared));
    assert!(
        first.is_some() && second.is_some(),
        "shared holders do not exclude each other"
    );
    assert!(
        lock(LockMode::Exclusive).is_none(),
        "shared holders exclude an exclusive one"
    );
    drop(first);
    assert!(
        lock(LockMode::Exclusive).is_none(),
        "one of two shared holders is still there"
    );
    let second = second.expect("looked at above");
    assert!(
        second.excludes() && second.still_held().expect("a guard tells"),
        "a lock whose file nobody touched is held"
    );
    drop(second);
    let alone = lock(LockMode::Exclusive);
    assert!(alone.is_some(), "a dropped guard releases the lock");
    assert!(
        lock(LockMode::Exclusive).is_none() && lock(LockMode::Shared).is_none(),
        "exclusive is alone"
    );
    let other = medium
        .try_lock("other-lock", LockMode::Exclusive, Duration::ZERO)
        .expect("asking for a lock works");
    assert!(other.held().is_some(), "locks of different names are independent");
    drop(alone);
    assert!(
        lock(LockMode::Shared).is_some(),
        "a dropped guard releases the lock"
    );
}

/// A lock is on a file: when that is removed or replaced its holder can tell, others lock what has the name now, and the old
/// guard does not release theirs.
pub fn locks_go_with_their_file(medium: &dyn Medium) {
    let lock = |mode| lock(medium, mode);
    for mode in [LockMode::Shared, LockMode::Exclusive] {
        for replaced in [false, true] {
            let old = lock(mode).expect("nobody is in the way");
            if replaced {
                write(medium, "new", b"");
                medium.rename("new", "lock").expect("a file is replaced");
            } else {
                medium.remove("lock").expect("a file is removed");
            }
            assert!(
                !old.still_held().expect("a guard tells"),
                "a lock whose file is gone is not held"
            );
            let new = lock(LockMode::Exclusive).expect("the name is free");
            assert!(
                !old.still_held().expect("a guard tells"),
                "what has the name now is another's"
            );
            drop(old);
            assert!(
                lock(LockMode::Shared).is_none() && new.still_held().expect("a guard tells"),
                "the old guard releases nothing of the new"
            );
        }
    }
}

/// Who waits for a lock that nobody releases is told so in the end.
pub fn a_wait_for_a_lock_ends(medium: &dyn Medium) {
    let held = lock(medium, LockMode::Exclusive);
    assert!(held.is_some(), "nobody is in the way");
    for mode in [LockMode::Shared, LockMode::Exclusive] {
        let attempt = medium.try_lock("lock", mode, Duration::from_millis(5));
        let attempt = attempt.expect("asking for a lock works");
        assert!(
            matches!(attempt, LockAttempt::Busy(_)),
            "a wait ends without the lock"
        );
    }
    drop(held);
    let shared = lock(medium, LockMode::Shared);
    assert!(shared.is_some(), "who waited in vain is in nobody's way");
}

/// Paths of another form than the contract's are refused, before they reach anything outside.
pub fn paths_stay_inside(medium: &dyn Medium) {
    medium.create_dir("d").expect("a directory is made");
    for path in [
        "", ".", "..", "/", "/x", "../x", "d/..", "d/../x", "d//x", "d/x/y", "d/", "D", "a b", "a\\b", "a\0",
    ] {
        let clause = format!("{path:?} is no path of a medium");
        kind(medium.create_new(path), &clause);
        kind(medium.open(path), &clause);
        kind(medium.remove(path), &clause);
        kind(medium.rename("d", path), &clause);
    }
}
