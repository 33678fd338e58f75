//! What `doctor --store` says of a store that does not work, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::path::Path;

use common::{Ended, copy_store, import, revenant, save_file};

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[20] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn replace_by_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

/// What is done to a store, the exit status, and which checks must not be "ok".
type Harm = (fn(&Path), i32, &'static [&'static str]);

const HEADER: &[&str] = &["store: revenant-store"];

const HARMS: [Harm; 11] = [
    (|_| {}, 0, &[]),
    (|store| flip(&store.join("revenant-store")), 3, HEADER),
    (
        |store| fs::write(store.join("revenant-store"), b"").unwrap(),
        3,
        HEADER,
    ),
    (
        |store| replace_by_folder(&store.join("revenant-store")),
        3,
        HEADER,
    ),
    (
        |store| fs::remove_file(store.join("revenant-store")).unwrap(),
        3,
        HEADER,
    ),
    (
        |store| fs::remove_dir_all(store.join("catalogue")).unwrap(),
        3,
        &["store: catalogue"],
    ),
    (
        |store| {
            let log = fs::read_dir(store.join("catalogue")).unwrap().next();
            flip(&log.unwrap().unwrap().path());
        },
        3,
        &["store: catalogue/0"],
    ),
    (
        |store| replace_by_folder(&store.join("catalogue-lock")),
        1,
        &["store: lock of the log", "store: catalogue-lock"],
    ),
    (
        |store| replace_by_folder(&store.join("lock")),
        1,
        &["store: lock shared", "store: lock exclusive", "store: lock"],
    ),
    (
        |store| {
            fs::remove_dir(store.join("tmp")).unwrap();
            fs::write(store.join("tmp"), b"").unwrap();
        },
        1,
        &["store: files", "store: tmp"],
    ),
    (|store| fs::remove_dir_all(store).unwrap(), 1, &["store /"]),
];

/// The checks of the store that are not "ok".
fn complaints(ended: &Ended) -> Vec<String> {
    let said = ended.json();
    let checks = said["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["status"] != "ok")
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .filter(|name| name.starts_with("store"))
        .collect()
}

#[test]
fn what_a_writer_will_miss_is_named_and_tells_in_the_exit_status() {
    let dir = tempfile::tempdir().unwrap();
    let (file, base) = (dir.path().join("guest.save"), dir.path().join("base"));
    save_file(&file, 2);
    import(&base, &file, "web");
    for (number, (harm, status, named)) in HARMS.iter().enumerate() {
        let store = dir.path().join(number.to_string());
        copy_store(&base, &store);
        harm(&store);
        let ended = revenant(&store, &["doctor", "--json", "--store", store.to_str().unwrap()]);
        assert_eq!(ended.status, Some(*status), "{number}: {ended:?}");
        let complaints = complaints(&ended);
        assert_eq!(
            complaints.is_empty(),
            named.is_empty(),
            "{number}: {complaints:?}"
        );
        for name in *named {
            let is_named = complaints.iter().any(|complaint| complaint.starts_with(name));
            assert!(is_named, "{number}: {name:?} is not among {complaints:?}");
        }
    }
}
